//! Finds circles of source files: files of one crate that use each other, directly or by way of
//! others.

use std::collections::{BTreeMap, BTreeSet};

use crate::reading::{Path, Reading, read};

/// The files of one crate by their module's path, which is empty for `lib.rs` and `main.rs`.
type Files = BTreeMap<Path, Reading>;

/// Each file with the files that it uses, and the paths by which it does.
type Graph = BTreeMap<Path, BTreeMap<Path, BTreeSet<String>>>;

/// The circles of one crate: each as its files, each with those of the circle that it uses.
///
/// `sources` are its files by their path below `src`; files of tests are left out.
pub(crate) fn circles(sources: &BTreeMap<&str, &str>) -> Vec<BTreeMap<String, String>> {
    let files: Files = sources
        .iter()
        .filter(|(file, _)| !is_test(file))
        .map(|(file, source)| (module(file), read(source)))
        .collect();
    let graph = graph(&files);
    let reached: BTreeMap<&Path, BTreeSet<&Path>> =
        graph.keys().map(|file| (file, reach(&graph, file))).collect();
    let mut circles = Vec::new();
    let mut seen = BTreeSet::new();
    for file in graph.keys().filter(|file| reached[file].contains(file)) {
        if seen.contains(file) {
            continue;
        }
        let circle: BTreeSet<&Path> = reached[file]
            .iter()
            .copied()
            .filter(|other| reached[other].contains(file))
            .collect();
        seen.extend(circle.iter().copied());
        circles.push(
            circle
                .iter()
                .map(|from| (name(from), shown(&graph[*from], &circle)))
                .collect(),
        );
    }
    circles
}

/// Whether a file below `src` or `tests` holds only tests.
pub(crate) fn is_test(file: &str) -> bool {
    file.split('/').any(|part| part == "tests") || file.ends_with("tests.rs")
}

/// The path of the module that a file holds.
fn module(file: &str) -> Path {
    let mut path: Path = file
        .trim_end_matches(".rs")
        .split('/')
        .map(str::to_owned)
        .collect();
    let last = path.last().map(String::as_str);
    if last == Some("mod") || (path.len() == 1 && matches!(last, Some("lib" | "main"))) {
        path.pop();
    }
    path
}

fn name(module: &Path) -> String {
    if module.is_empty() {
        "lib".to_owned()
    } else {
        module.join("/")
    }
}

fn shown(uses: &BTreeMap<Path, BTreeSet<String>>, circle: &BTreeSet<&Path>) -> String {
    let uses = uses.iter().filter(|(to, _)| circle.contains(to));
    let texts: Vec<String> = uses
        .map(|(to, paths)| {
            let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
            format!("{} ({})", name(to), paths.join(", "))
        })
        .collect();
    texts.join(", ")
}

/// Every file that can be reached from `from` in one step or more.
fn reach<'a>(graph: &'a Graph, from: &Path) -> BTreeSet<&'a Path> {
    let mut reached: BTreeSet<&Path> = BTreeSet::new();
    let mut waiting: Vec<&Path> = graph[from].keys().collect();
    while let Some(file) = waiting.pop() {
        if reached.insert(file) {
            waiting.extend(graph[file].keys());
        }
    }
    reached
}

fn graph(files: &Files) -> Graph {
    let mut given: BTreeMap<&Path, BTreeMap<&str, Path>> = BTreeMap::new();
    for (file, reading) in files {
        for found in reading.uses.iter().filter(|found| found.is_public) {
            if let Some(path) = absolute(&found.path, file, files) {
                given.entry(file).or_default().insert(&found.name, path);
            }
        }
    }
    let mut graph: Graph = files.keys().map(|file| (file.clone(), BTreeMap::new())).collect();
    for (file, reading) in files {
        let uses = reading.uses.iter().map(|found| (&found.path, found.is_public));
        let paths = reading.paths.iter().map(|path| (path, false));
        for (path, is_public) in uses.chain(paths) {
            let Some(absolute) = absolute(path, file, files) else {
                continue;
            };
            let Some(to) = home(&absolute, files, &given) else {
                continue;
            };
            // What a file gives on from the files below it, it does not use itself.
            if to != *file && !(is_public && to.starts_with(file)) {
                graph
                    .entry(file.clone())
                    .or_default()
                    .entry(to)
                    .or_default()
                    .insert(path.join("::"));
            }
        }
    }
    graph
}

/// `path`, written in `file`, from the crate's root; none when it leads out of the crate.
fn absolute(path: &[String], file: &Path, files: &Files) -> Option<Path> {
    let mut base = file.clone();
    let mut rest = path;
    match rest.first()?.as_str() {
        "crate" => {
            base.clear();
            rest = &rest[1..];
        }
        "self" => rest = &rest[1..],
        "super" => {
            while rest.first().is_some_and(|first| first == "super") {
                base.pop();
                rest = &rest[1..];
            }
        }
        first => {
            base.push(first.to_owned());
            if !files.contains_key(&base) {
                return None;
            }
            base.pop();
        }
    }
    base.extend_from_slice(rest);
    Some(base)
}

/// The file that defines what `path` names; names that files give on are followed.
fn home(path: &Path, files: &Files, given: &BTreeMap<&Path, BTreeMap<&str, Path>>) -> Option<Path> {
    let mut path = path.clone();
    let mut seen = BTreeSet::new();
    while seen.insert(path.clone()) {
        let length = (0..=path.len())
            .rev()
            .find(|length| files.contains_key(&path[..*length]))?;
        let file = path[..length].to_vec();
        let Some(rest) = path
            .get(length)
            .and_then(|name| given.get(&file)?.get(name.as_str()))
        else {
            return Some(file);
        };
        path = rest.iter().chain(&path[length + 1..]).cloned().collect();
    }
    None
}
