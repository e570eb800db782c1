//! Each rule finds what is planted for it, and nothing else.

use crate::rules::{circles_of_files, directions, impurities, long_files, silent_files, target_folders};
use crate::tree::Tree;

/// A package `crates/a` with these files below `src`.
fn package(files: &[(&str, &str)]) -> Tree {
    let paths: Vec<String> = files
        .iter()
        .map(|(path, _)| format!("crates/a/src/{path}"))
        .collect();
    let mut all = vec![("crates/a/Cargo.toml", "[package]\n")];
    all.extend(
        paths
            .iter()
            .map(String::as_str)
            .zip(files.iter().map(|(_, text)| *text)),
    );
    Tree::planted(&all)
}

#[track_caller]
fn finds(found: &[String], expected: &[&str]) {
    assert_eq!(found.len(), expected.len(), "{found:#?}");
    for (found, expected) in found.iter().zip(expected) {
        assert!(found.contains(expected), "{found}");
    }
}

#[test]
fn a_circle_of_two_files_is_found() {
    let tree = package(&[
        ("lib.rs", "mod x; mod y;"),
        ("x.rs", "use crate::y::Y;"),
        ("y/mod.rs", "fn f() { super::x::g() }"),
    ]);
    finds(
        &circles_of_files(&tree, &[]),
        &["\n    x uses y (crate::y::Y)\n    y uses x (super::x::g)"],
    );
}

#[test]
fn a_circle_of_three_files_is_one_circle() {
    let tree = package(&[
        ("x.rs", "use crate::{a, y};"),
        ("y.rs", "macro_rules! m { () => { $crate::z::m() } }"),
        ("z.rs", "use super::x::X;"),
        ("a.rs", "use b::c;"),
    ]);
    finds(&circles_of_files(&tree, &[]), &["x uses y"]);
}

#[test]
fn a_circle_of_parent_and_child_is_found() {
    let tree = package(&[("x.rs", "mod y; fn f() { y::g() }"), ("x/y.rs", "use super::f;")]);
    finds(&circles_of_files(&tree, &[]), &["x uses x/y"]);
}

#[test]
fn a_name_is_followed_to_the_file_that_defines_it() {
    let tree = package(&[
        ("lib.rs", "mod x; mod y; pub use x::X; pub(crate) use y::Y as Z;"),
        ("x.rs", "use crate::Z;"),
        ("y.rs", "use crate::X;"),
    ]);
    finds(&circles_of_files(&tree, &[]), &["x uses y (crate::Z)"]);
}

#[test]
fn what_only_tests_use_makes_no_circle() {
    let tree = package(&[
        ("x.rs", "use super::y::Y;"),
        (
            "y.rs",
            "#[cfg(test)] mod tests { use crate::x::X; } // crate::x::X\nconst A: &str = \"crate::x::X\";",
        ),
        ("y/tests.rs", "use crate::x::X; use super::Y;"),
    ]);
    finds(&circles_of_files(&tree, &[]), &[]);
}

#[test]
fn an_allowed_circle_must_exist() {
    let allowed: &[&[&str]] = &[&["crates/a/src/x", "crates/a/src/y"]];
    let tree = package(&[("x.rs", "use super::y;"), ("y.rs", "use super::x;")]);
    finds(&circles_of_files(&tree, allowed), &[]);
    let tree = package(&[("x.rs", "use super::y;"), ("y.rs", "")]);
    finds(
        &circles_of_files(&tree, allowed),
        &["no circle any more: crates/a/src/x, crates/a/src/y"],
    );
}

#[test]
fn crates_depend_on_those_above_them() {
    let table = "| `a` | job | – |\n| `b` | job | `a` |\n| `c` | job | `d` |\n| `d` | job | `a`, `b` |";
    let tree = Tree::planted(&[
        ("ARCHITECTURE.md", table),
        (
            "crates/a/Cargo.toml",
            "[dependencies]\nclap = \"1\"\n\n[dev-dependencies]\nspanferry-b = {}\n",
        ),
        (
            "crates/b/Cargo.toml",
            "[dependencies]\nspanferry-a.workspace = true\n",
        ),
        (
            "crates/c/Cargo.toml",
            "[dependencies]\nspanferry-d.workspace = true\n",
        ),
        (
            "crates/d/Cargo.toml",
            "[dependencies]\nspanferry-a = { path = \"../a\" }\n",
        ),
        ("crates/e/Cargo.toml", ""),
    ]);
    let expected = ["c depends on d", "d depends on {\"a\"}", "e is not in the table"];
    finds(&directions(&tree), &expected);
}

#[test]
fn what_is_not_pure_is_found() {
    let core = [
        "use std::{fmt, fs::File};",
        "use std::time::{Duration, Instant};",
        "fn a() { std::env::var(\"A\"); tokio::spawn(b) }",
        "#[cfg(test)] use std::thread;",
        "use serde::Serialize; // std::net",
    ];
    let tree = Tree::planted(&[
        (
            "crates/core/Cargo.toml",
            "[dependencies]\nserde.workspace = true\ntokio = \"1\"\n",
        ),
        ("crates/core/src/lib.rs", &core.join("\n")),
        ("crates/core/src/tests.rs", "use std::fs;"),
        ("crates/log/Cargo.toml", "[dependencies]\ntokio = \"1\"\n"),
        ("crates/log/src/lib.rs", "use std::fs;"),
    ]);
    let expected = [
        "crates/core depends on tokio",
        "names std::env::var",
        "names std::fs::File",
        "names std::time::Instant",
        "names tokio::spawn",
    ];
    finds(&impurities(&tree), &expected);
}

#[test]
fn each_file_says_its_job() {
    let tree = package(&[
        ("a.rs", "//! A sentence."),
        ("b.rs", "mod c;"),
        ("d.rs", "//!\n//! Late."),
    ]);
    finds(&silent_files(&tree), &["crates/a/src/b.rs", "crates/a/src/d.rs"]);
}

#[test]
fn a_folder_of_sources_is_not_called_target() {
    let tree = package(&[("target/mod.rs", ""), ("target.rs", "")]);
    finds(&target_folders(&tree), &["crates/a/src/target/mod.rs"]);
}

#[test]
fn long_files_are_found_without_their_tests() {
    let long = "fn f() {}\n".repeat(401);
    let tested = format!("fn f() {{}}\n#[cfg(test)]\nmod tests {{\n{long}}}\n");
    let tree = package(&[
        ("a.rs", &long),
        ("b.rs", &tested),
        ("c.rs", &long),
        ("tests/d.rs", &long),
    ]);
    let allowed = ["crates/a/src/b.rs", "crates/a/src/c.rs"];
    finds(
        &long_files(&tree, &allowed),
        &[
            "crates/a/src/a.rs has 401 lines",
            "not long any more: crates/a/src/b.rs",
        ],
    );
}
