//! The structure of the tree, so that it stays as ARCHITECTURE.md describes it.

mod circles;
mod planted;
mod reading;
mod rules;
mod tokens;
mod tree;

use tree::Tree;

/// Circles that may stay until they are opened. Nothing is added here.
const CIRCLES_ALLOWED: &[&[&str]] = &[];

/// Files that are longer than others. Nothing is added here.
const LONG_FILES_ALLOWED: &[&str] = &[
    "crates/core/src/apply/fold.rs",
    "crates/core/src/apply/scheduler.rs",
    "crates/core/src/apply/window.rs",
    "crates/core/src/record/definition.rs",
    "crates/core/src/value/reference.rs",
    "crates/engine/src/lane.rs",
    "crates/engine/src/registry.rs",
    "crates/format/src/charset/single_byte.rs",
    "crates/format/src/mysql/dump/row.rs",
    "crates/log/src/blocking.rs",
    "crates/mysql/src/binlog/columns.rs",
    "crates/mysql/src/binlog/stream.rs",
    "crates/mysql/src/error.rs",
    "crates/mysql/src/snapshot/session.rs",
    "crates/spanner-standin/src/null.rs",
    "crates/spanner/src/control.rs",
    "crates/spanner/src/read.rs",
    "crates/testkit/src/proxy.rs",
    "crates/testkit/src/workload/data.rs",
    "crates/testkit/src/workload/transaction.rs",
];

#[track_caller]
fn none(found: &[String]) {
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn no_files_use_each_other_in_a_circle() {
    none(&rules::circles_of_files(&Tree::of_workspace(), CIRCLES_ALLOWED));
}

#[test]
fn crates_depend_as_the_table_of_the_architecture_says() {
    none(&rules::directions(&Tree::of_workspace()));
}

#[test]
fn core_and_format_are_pure() {
    none(&rules::impurities(&Tree::of_workspace()));
}

#[test]
fn every_file_begins_with_its_job() {
    none(&rules::silent_files(&Tree::of_workspace()));
}

#[test]
fn no_folder_of_sources_is_called_target() {
    none(&rules::target_folders(&Tree::of_workspace()));
}

#[test]
fn no_file_is_long() {
    none(&rules::long_files(&Tree::of_workspace(), LONG_FILES_ALLOWED));
}
