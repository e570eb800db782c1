//! The files that the structure test reads.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Where files stand that a tool has written.
const GENERATED: &str = "crates/spanner-api/src/generated/";

/// Sources, manifests and ARCHITECTURE.md: each file's text by its path below the workspace.
#[derive(Debug, Default)]
pub(crate) struct Tree(BTreeMap<String, String>);

impl Tree {
    /// The tree that this test belongs to.
    pub(crate) fn of_workspace() -> Tree {
        let top = Path::new(env!("CARGO_MANIFEST_DIR"))
            .parent()
            .expect("the workspace holds xtask");
        let mut tree = Tree::default();
        tree.add_file(top, "ARCHITECTURE.md");
        let crates = names_in(&top.join("crates"))
            .into_iter()
            .map(|name| format!("crates/{name}"));
        for package in crates.chain(["xtask".to_owned()]) {
            tree.add_file(top, &format!("{package}/Cargo.toml"));
            for part in ["src", "tests", "benches"] {
                tree.add_directory(top, &format!("{package}/{part}"));
            }
        }
        tree
    }

    /// A small tree for the tests of the rules.
    pub(crate) fn planted(files: &[(&str, &str)]) -> Tree {
        Tree(
            files
                .iter()
                .map(|(path, text)| ((*path).to_owned(), (*text).to_owned()))
                .collect(),
        )
    }

    /// The text of one file, which is empty if there is no such file.
    pub(crate) fn text(&self, path: &str) -> &str {
        self.0.get(path).map_or("", String::as_str)
    }

    /// The folders that hold a manifest.
    pub(crate) fn packages(&self) -> Vec<&str> {
        self.0
            .keys()
            .filter_map(|path| path.strip_suffix("/Cargo.toml"))
            .collect()
    }

    /// Every Rust file with its text, without those that a tool has written.
    pub(crate) fn sources(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0
            .iter()
            .filter(|(path, _)| is_rust(path) && !path.starts_with(GENERATED))
            .map(|(path, text)| (path.as_str(), text.as_str()))
    }

    /// The Rust files below `folder`, by their path from there.
    pub(crate) fn sources_in(&self, folder: &str) -> BTreeMap<&str, &str> {
        self.sources()
            .filter_map(|(path, text)| Some((path.strip_prefix(folder)?.strip_prefix('/')?, text)))
            .collect()
    }

    fn add_file(&mut self, top: &Path, path: &str) {
        let text = std::fs::read_to_string(top.join(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
        self.0.insert(path.to_owned(), text);
    }

    fn add_directory(&mut self, top: &Path, path: &str) {
        for name in names_in(&top.join(path)) {
            let path = format!("{path}/{name}");
            if top.join(&path).is_dir() {
                self.add_directory(top, &path);
            } else if is_rust(&path) {
                self.add_file(top, &path);
            }
        }
    }
}

/// The names in a directory; none if it does not exist.
fn names_in(directory: &Path) -> BTreeSet<String> {
    let entries = std::fs::read_dir(directory).into_iter().flatten();
    entries
        .map(|entry| entry.expect("a readable directory").file_name())
        .map(|name| name.into_string().expect("a name of UTF-8"))
        .collect()
}

fn is_rust(path: &str) -> bool {
    Path::new(path)
        .extension()
        .is_some_and(|extension| extension == "rs")
}
