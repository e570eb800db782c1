//! Control tables in the format of an earlier release: refused by name, and dropped by `end`.

#![expect(
    clippy::unwrap_used,
    reason = "a test ends at the first surprise, also in its helpers"
)]

mod support;

use std::path::Path;

use spanferry_core::port::target::{CONTROL_VERSION, ControlStore};
use spanferry_core::report::code;
use spanferry_core::schema::ddl;
use spanferry_core::schema::target::Dialect;
use spanferry_core::wire::list_value;
use spanferry_core::wire::rows::RowBatch;
use spanferry_spanner::SpannerTarget;
use spanferry_spanner::commit::{Mutations, WriteKind};
use spanferry_spanner::control::definitions;
use support::Emulator;

/// The control tables of version 1.
const VERSION_1: &str = include_str!("golden/control-1.googlesql");

/// A change of the control tables needs a new format number: the statements of each format are
/// kept.
#[test]
fn the_control_tables_are_those_of_their_format_number() {
    for dialect in [Dialect::GoogleSql, Dialect::PostgreSql] {
        let statements = definitions().map(|table| ddl::create_table(&table, dialect));
        let name = format!("control-{CONTROL_VERSION}.{dialect}");
        let path = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("tests/golden")
            .join(&name);
        let golden = std::fs::read_to_string(path).unwrap_or_default();
        let made = statements.join(";\n");
        assert_eq!(
            made,
            golden.trim(),
            "{name}: a change needs a new CONTROL_VERSION, and a new file beside the old one"
        );
    }
}

/// The migration's row of version 1.
fn row_of_version_1() -> Mutations {
    let mut row = RowBatch::new();
    let cells = row.begin_row();
    let text = [
        "1",
        "6ba7b810",
        "3",
        "log",
        "db/shop",
        "mariadb:0-1-5",
        "shop/googlesql",
        "1",
        "me",
    ];
    for text in text {
        list_value::put_string(cells, text.as_bytes());
    }
    row.end_row();
    let columns = [
        "singleton",
        "id",
        "epoch",
        "log_id",
        "source",
        "start_position",
        "mapping",
        "version",
        "owner",
    ];
    let mut mutations = Mutations::new();
    mutations.write(WriteKind::Insert, "spanferry_migration", columns, &row);
    mutations
}

#[tokio::test]
async fn a_migration_of_version_1_is_refused_by_name() {
    let emulator = Emulator::start();
    let statements: Vec<&str> = VERSION_1.trim().split(";\n").collect();
    let client = emulator.database("old", Dialect::GoogleSql, &statements).await;
    let target = SpannerTarget::new(emulator.client("old"));
    // A first start of the old release that died before its first epoch.
    assert_eq!(target.read_control().await.unwrap(), None);
    let refused = target.create_control().await.unwrap_err();
    assert_eq!(refused.code, code::CONTROL_FORMAT, "{refused}");

    client.commit("a row", row_of_version_1()).await.unwrap();
    let refused = target.read_control().await.unwrap_err();
    assert_eq!(refused.code, code::CONTROL_FORMAT, "{refused}");
    assert!(refused.message.contains("format 1"), "{refused}");
    assert!(target.drop_control().await.unwrap());
    assert_eq!(target.read_control().await.unwrap(), None);
    target.create_control().await.unwrap();
}
