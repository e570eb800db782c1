//! What is read back from control rows, and what is refused.

use spanferry_core::port::target::{Epoch, StreamRow};

use super::*;

/// The migration's row with these texts of a stream.
fn migration_payload(log_id: &str, start: &str) -> Vec<u8> {
    payload(&[
        Cell::Number(SINGLETON),
        Cell::Text("m"),
        Cell::Number(4),
        Cell::Text(log_id),
        Cell::Text("db/shop"),
        Cell::Text(start),
        Cell::Text("shop"),
        Cell::Text("googlesql"),
        Cell::Number(CONTROL_VERSION.into()),
        Cell::Text("owner"),
    ])
}

fn first_payload(rows: &RowBatch) -> &[u8] {
    rows.payloads().next().unwrap()
}

#[test]
fn a_stream_is_two_texts_or_none() {
    let stream = StreamRow {
        log_id: "log".to_owned(),
        start_position: Position::parse("mariadb:0-1-5").unwrap(),
    };
    let check = |log_id: &str, start: &str, expected: Result<Option<StreamRow>, MalformedRow>| {
        let found = read_migration(&migration_payload(log_id, start));
        let found = found.map(|owned| owned.migration.stream);
        assert_eq!(found, expected, "`{log_id}` `{start}`");
    };
    check("log", "mariadb:0-1-5", Ok(Some(stream)));
    check("", "", Ok(None));
    let half = MalformedRow::new("a change log with the position where it begins, or neither of both");
    check("log", "", Err(half));
    check("", "mariadb:0-1-5", Err(half));
    check("log", "somewhere", Err(MalformedRow::new("a position")));
}

#[test]
fn a_migration_without_a_stream_is_read_as_it_was_written() {
    let migration = MigrationRow {
        id: "m".to_owned(),
        epoch: Epoch(4),
        stream: None,
        source: "db/shop".to_owned(),
        schema: "shop".to_owned(),
        dialect: Dialect::GoogleSql,
    };
    let found = read_migration(&migration_payload("", "")).unwrap();
    assert_eq!(found.migration, migration);
    assert_eq!(found.owner, "owner");
}

#[test]
fn a_range_is_read_as_it_was_written() {
    let check = |rows: u64, is_finished: bool, stored: &str| {
        let row = RangeRow {
            table: QualifiedName::new("shop", "t"),
            number: 3,
            after: None,
            up_to: Some("k".to_owned()),
            rows,
            is_finished,
        };
        let written = range_row(&row);
        let mut cells = Cells::new(first_payload(&written));
        let count = (0..5).map(|_| cells.optional_text().unwrap()).last().flatten();
        assert_eq!(count, Some(stored));
        assert_eq!(read_range(first_payload(&written)), Ok(row));
    };
    check(0, true, "0");
    check(9, true, "9");
    check(0, false, "-1");
    check(9, false, "-10");
}
