//! The rules that the tree keeps. Each gives one line for each place that breaks it.

use std::collections::BTreeSet;

use crate::circles::{circles, is_test};
use crate::reading::read;
use crate::tree::Tree;

/// Crates that only compute.
const PURE: [&str; 2] = ["core", "format"];
/// What a pure crate may depend on.
const PURE_DEPENDENCIES: [&str; 10] = [
    "base64",
    "blake3",
    "hashbrown",
    "itoa",
    "memchr",
    "serde",
    "serde_json",
    "spanferry-core",
    "thiserror",
    "uuid",
];
/// What a pure crate does not name: I/O, the clock, randomness, threads, async.
const IMPURE: [&str; 16] = [
    "async_trait",
    "getrandom",
    "rand",
    "std::env",
    "std::fs",
    "std::io",
    "std::net",
    "std::os",
    "std::process",
    "std::thread",
    "std::time::Instant",
    "std::time::SystemTime",
    "tokio",
    "uuid::Uuid::new_v4",
    "Uuid::new_v4",
    "Uuid::now_v7",
];

/// Lines of a file, without its tests.
const LINES_MAX: usize = 400;

/// Circles of source files; `allowed` are those that may stay, each by its files.
pub(crate) fn circles_of_files(tree: &Tree, allowed: &[&[&str]]) -> Vec<String> {
    let mut left: BTreeSet<Vec<String>> = allowed
        .iter()
        .map(|files| files.iter().map(ToString::to_string).collect())
        .collect();
    let mut found = Vec::new();
    for package in tree.packages() {
        for circle in circles(&tree.sources_in(&format!("{package}/src"))) {
            let files: Vec<String> = circle
                .keys()
                .map(|file| format!("{package}/src/{file}"))
                .collect();
            if !left.remove(&files) {
                let lines = circle
                    .iter()
                    .map(|(file, uses)| format!("\n    {file} uses {uses}"));
                found.push(format!("a circle in {package}:{}", lines.collect::<String>()));
            }
        }
    }
    found.extend(
        left.iter()
            .map(|files| format!("no circle any more: {}", files.join(", "))),
    );
    found
}

/// Crates that depend on one that ARCHITECTURE.md does not list, or not before them.
pub(crate) fn directions(tree: &Tree) -> Vec<String> {
    let table = crate_table(tree.text("ARCHITECTURE.md"));
    let mut found = Vec::new();
    for package in tree.packages() {
        let name = short(package);
        let Some(row) = table.iter().position(|(listed, _)| *listed == name) else {
            found.push(format!("{name} is not in the table of ARCHITECTURE.md"));
            continue;
        };
        let used: BTreeSet<&str> = dependencies(tree.text(&format!("{package}/Cargo.toml")))
            .into_iter()
            .filter_map(|dependency| dependency.strip_prefix("spanferry-"))
            .collect();
        if used != table[row].1 {
            found.push(format!(
                "{name} depends on {used:?}, the table says {:?}",
                table[row].1
            ));
        }
        let above: BTreeSet<&str> = table[..row].iter().map(|(listed, _)| *listed).collect();
        let below = used.difference(&above);
        found.extend(below.map(|other| format!("{name} depends on {other}, which does not stand above it")));
    }
    found
}

/// What a pure crate depends on or names that is not pure.
pub(crate) fn impurities(tree: &Tree) -> Vec<String> {
    let mut found = Vec::new();
    let pure = tree
        .packages()
        .into_iter()
        .filter(|package| PURE.contains(&short(package)));
    for package in pure {
        let dependencies = dependencies(tree.text(&format!("{package}/Cargo.toml")));
        let others = dependencies
            .into_iter()
            .filter(|name| !PURE_DEPENDENCIES.contains(name));
        found.extend(others.map(|name| format!("{package} depends on {name}")));
        for (file, text) in tree.sources_in(&format!("{package}/src")) {
            if is_test(file) {
                continue;
            }
            let reading = read(text);
            let paths = reading.uses.iter().map(|found| &found.path).chain(&reading.paths);
            let named: BTreeSet<String> = paths
                .map(|path| path.join("::"))
                .filter(|path| is_impure(path))
                .collect();
            found.extend(
                named
                    .into_iter()
                    .map(|path| format!("{package}/src/{file} names {path}")),
            );
        }
    }
    found
}

fn is_impure(path: &str) -> bool {
    // A parent of what is impure would hide it.
    ["std", "std::time", "std::time::*"].contains(&path)
        || IMPURE
            .iter()
            .any(|name| path == *name || path.starts_with(&format!("{name}::")))
}

/// Files that do not say their job in the first line.
pub(crate) fn silent_files(tree: &Tree) -> Vec<String> {
    let says = |text: &str| {
        let job = text.lines().next().and_then(|line| line.strip_prefix("//! "));
        job.is_some_and(|job| job.starts_with(char::is_uppercase) || job.starts_with('`'))
    };
    tree.sources()
        .filter(|(_, text)| !says(text))
        .map(|(path, _)| format!("{path} does not begin with a `//!` sentence"))
        .collect()
}

/// Sources in a folder that tools take for the output of a build.
pub(crate) fn target_folders(tree: &Tree) -> Vec<String> {
    tree.sources()
        .filter(|(path, _)| path.split('/').any(|part| part == "target"))
        .map(|(path, _)| format!("{path} stands in a folder called `target`"))
        .collect()
}

/// Files with more lines than `LINES_MAX`; those in `allowed` may stay, as long as they are long.
pub(crate) fn long_files(tree: &Tree, allowed: &[&str]) -> Vec<String> {
    let mut left: BTreeSet<&str> = allowed.iter().copied().collect();
    let mut found = Vec::new();
    for (path, text) in tree.sources().filter(|(path, _)| !is_test(path)) {
        let lines = read(text).lines;
        if lines > LINES_MAX && !left.remove(path) {
            found.push(format!("{path} has {lines} lines without its tests"));
        }
    }
    found.extend(left.iter().map(|path| format!("not long any more: {path}")));
    found
}

/// The crates of the table in ARCHITECTURE.md, each with those that it depends on.
fn crate_table(text: &str) -> Vec<(&str, BTreeSet<&str>)> {
    let rows = text
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.strip_suffix("|"));
    rows.filter_map(|row| {
        let cells: Vec<&str> = row.split('|').collect();
        let [name, _, uses] = cells.as_slice() else {
            return None;
        };
        let uses = uses.split('`').skip(1).step_by(2).collect();
        Some((name.split('`').next()?, uses))
    })
    .collect()
}

/// The names under `[dependencies]` of a manifest.
fn dependencies(manifest: &str) -> Vec<&str> {
    let lines = manifest
        .lines()
        .skip_while(|line| *line != "[dependencies]")
        .skip(1);
    lines
        .take_while(|line| !line.starts_with('['))
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split(['.', '=', ' ']).next())
        .filter(|name| !name.is_empty())
        .collect()
}

/// The last part of a package's folder.
fn short(package: &str) -> &str {
    package.rsplit('/').next().unwrap_or(package)
}
