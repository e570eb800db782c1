//! Dumps that the servers' own tools write hold the servers' own rows and tables: each value that
//! the reader of dumps gives is the one that the server gives, and each table is the one that the
//! catalog gives.

mod support;

use std::collections::BTreeMap;

use spanferry_core::port::source::CatalogSource;
use spanferry_core::schema::charset::Charset;
use spanferry_core::schema::source::{NameCase, SourceTable};
use spanferry_core::schema::source_default::{Clock, DefaultKind};
use spanferry_format::mysql::create_table::{Defaults, Surroundings, default_collation, parse};
use spanferry_format::mysql::dump::{Cell, Limits, Reader, Reading, Statement, Step};
use spanferry_mysql::MysqlSource;
use spanferry_mysql::connection::Connection;
use support::{Server, schema, types};

const LIMITS: Limits = Limits {
    statement_bytes_max: 1 << 20,
    row_bytes_max: 16 << 20,
};

/// Options of the tools that change how values and names are written.
const OPTIONS: &[&[&str]] = &[
    &[],
    &["--complete-insert", "--skip-extended-insert"],
    &["--hex-blob", "--skip-tz-utc", "--replace"],
    // With --compatible, mariadb-dump writes latin1 unless it gets another character set.
    &[
        "--compatible=ansi",
        "--default-character-set=utf8mb4",
        "--insert-ignore",
    ],
    &["--compact", "--skip-quote-names", "--net-buffer-length=4096"],
];

/// A row: the bytes of each value, none for NULL.
type Values = Vec<Option<Vec<u8>>>;

/// The rows of one table.
#[derive(Default)]
struct Table {
    columns: Option<Vec<String>>,
    rows: Vec<Values>,
}

fn value(cell: Cell<'_>) -> Option<Vec<u8>> {
    match cell {
        Cell::Null => None,
        Cell::Number(bytes)
        | Cell::Text { bytes, .. }
        | Cell::Hex { bytes, .. }
        | Cell::Bits { bytes, .. } => Some(bytes.to_vec()),
        Cell::Bool(value) => panic!("no tool writes {value}"),
    }
}

fn name(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("a name")
}

/// Everything that a dump holds, read in pieces; and whether it has its last line.
fn read(dump: &[u8], mariadb: bool) -> (BTreeMap<String, Table>, bool) {
    let mut reader = Reader::new(LIMITS, Reading::plain(mariadb));
    let mut pieces = dump.chunks(10_000);
    let mut tables: BTreeMap<String, Table> = BTreeMap::new();
    loop {
        match reader.next().expect("the tools write what can be read") {
            Step::More => match pieces.next() {
                Some(piece) => reader.feed(piece),
                None => reader.finish(),
            },
            Step::Row(row) => {
                let insert = row.insert();
                let table = tables.entry(name(&insert.table)).or_default();
                let columns = insert.columns.as_ref();
                table.columns = columns.map(|columns| columns.iter().map(|column| name(column)).collect());
                table.rows.push(row.cells().map(value).collect());
            }
            Step::Refused { error, .. } => panic!("{error}"),
            Step::Statement(_) => {}
            Step::End(ending) => return (tables, ending.completed),
        }
    }
}

/// The rows of a table as its server prints them to the tools.
async fn printed(connection: &mut Connection, table: &str, columns: Option<&[String]>) -> Vec<Values> {
    let columns = match columns {
        Some(columns) => columns
            .iter()
            .map(|column| format!("`{column}`"))
            .collect::<Vec<_>>()
            .join(", "),
        None => "*".to_owned(),
    };
    let sql = format!("SELECT {columns} FROM v.`{table}`");
    let result = connection.query(&sql).await.expect("rows");
    let width = result.columns.len();
    let values = |row: &spanferry_mysql::connection::ResultRow| {
        (0..width)
            .map(|index| row.bytes(index).map(<[u8]>::to_vec))
            .collect()
    };
    result.rows.iter().map(values).collect()
}

/// The table that a statement of a dump creates, if it creates one.
fn created(statement: Statement<'_>) -> Option<SourceTable> {
    let mut scratch = Vec::new();
    let text = statement.text(&mut scratch).expect("text");
    let reading = statement.session().reading();
    let table = parse(text, reading.dialect()).expect("a definition that is understood")?;
    let around = Surroundings {
        mariadb: reading.mariadb,
        schema: "v",
        names: NameCase::Sensitive,
        clock: Clock::Utc,
        defaults: &Defaults::default(),
    };
    Some(table.resolve(&around).expect("a table"))
}

/// The tables of a dump, in the order of their names.
fn tables(dump: &[u8], mariadb: bool) -> Vec<SourceTable> {
    let mut reader = Reader::new(LIMITS, Reading::plain(mariadb));
    reader.feed(dump);
    reader.finish();
    let mut tables = Vec::new();
    loop {
        match reader.next().expect("the tools write what can be read") {
            Step::Statement(statement) => tables.extend(created(statement)),
            Step::End(_) => break,
            Step::More | Step::Row(_) | Step::Refused { .. } => {}
        }
    }
    tables.sort_by(|left, right| left.name.cmp(&right.name));
    tables
}

/// Its expressions as they are printed when names have no quotes.
fn without_quotes(table: &mut SourceTable) {
    let generated = table
        .columns
        .iter_mut()
        .filter_map(|column| column.generated.as_mut());
    let checks = table.checks.iter_mut().map(|(_, clause)| clause);
    for text in generated.chain(checks) {
        *text = text.replace('`', "");
    }
}

/// Hides the values of defaults that no dump shows, and for which a live server is asked.
fn hide(found: &SourceTable, expected: &mut SourceTable) {
    for (found, expected) in found.columns.iter().zip(&mut expected.columns) {
        if let (Some(found), Some(expected)) = (&found.default, &mut expected.default)
            && found.kind == DefaultKind::Hidden
        {
            expected.kind = DefaultKind::Hidden;
        }
    }
}

/// Each table that a dump creates is the one that the server's catalog has.
async fn check_tables(server: &Server, mariadb: bool, odd_names: bool) {
    let source = MysqlSource::new(server.admin("v"), 4270).expect("options");
    let mut expected = source.catalog().await.expect("a catalog").tables;
    expected.sort_by(|left, right| left.name.cmp(&right.name));
    for table in &mut expected {
        (table.rows_estimate, table.bytes_estimate) = (0, 0);
    }
    for options in OPTIONS {
        // In this mode the servers leave out the engine, and MariaDB character sets too. Without
        // quotes, the tools fail at a name that needs some.
        let is_unquoted = options.contains(&"--skip-quote-names");
        if options.contains(&"--compatible=ansi") || (odd_names && is_unquoted) {
            continue;
        }
        let mut expected = expected.clone();
        if is_unquoted {
            expected.iter_mut().for_each(without_quotes);
        }
        let found = tables(&server.dump(options, "v"), mariadb);
        assert_eq!(found.len(), expected.len(), "{options:?}");
        for (found, expected) in found.iter().zip(&mut expected) {
            hide(found, expected);
            assert_eq!(found, expected, "{options:?}");
        }
    }
}

/// The collation of each character set that a column gets which names no collation.
async fn check_collations(connection: &mut Connection, mariadb: bool) {
    let sql = "SELECT character_set_name, default_collate_name FROM information_schema.character_sets";
    let rows = connection.query(sql).await.expect("character sets").rows;
    assert!(rows.len() > 30);
    for row in rows {
        let (name, collation) = (row.text_or_empty(0), row.text_or_empty(1));
        let charset = Charset::from_name(&name).expect("a known character set");
        assert_eq!(default_collation(charset, mariadb), collation);
    }
}

async fn check_definitions(server: Server, mariadb: bool) {
    let mut connection = server.run(&schema::statements(mariadb)).await;
    check_tables(&server, mariadb, true).await;
    check_collations(&mut connection, mariadb).await;
}

async fn check(server: Server, mariadb: bool) {
    let (create, fill) = types::statements(&server).await;
    let mut connection = server.run(&format!("{create};\n{fill}")).await;
    connection.execute("SET NAMES utf8mb4").await.expect("a setting");
    connection
        .execute("SET time_zone = '+00:00'")
        .await
        .expect("a setting");
    let sql = "SELECT table_name FROM information_schema.tables WHERE table_schema = 'v' AND table_type = 'BASE TABLE'";
    let tables = connection.query(sql).await.expect("tables").rows;
    for options in OPTIONS {
        let dump = server.dump(options, "v");
        let (mut found, completed) = read(&dump, mariadb);
        assert_eq!(completed, !options.contains(&"--compact"), "{options:?}");
        for name in tables.iter().map(|row| row.text_or_empty(0)) {
            let mut table = found.remove(&name).unwrap_or_default();
            let mut expected = printed(&mut connection, &name, table.columns.as_deref()).await;
            expected.sort();
            table.rows.sort();
            assert_eq!(table.rows.len(), expected.len(), "{name} {options:?}");
            for (row, expected) in table.rows.iter().zip(&expected) {
                assert_eq!(row, expected, "{name} {options:?}");
            }
        }
        assert!(found.is_empty(), "{:?} {options:?}", found.keys());
    }
    check_tables(&server, mariadb, false).await;
}

#[tokio::test]
async fn a_dump_of_mysql_holds_the_rows_of_its_server() {
    check(Server::quick(false), false).await;
}

#[tokio::test]
async fn a_dump_of_mariadb_holds_the_rows_of_its_server() {
    check(Server::quick(true), true).await;
}

#[tokio::test]
async fn a_dump_of_mysql_defines_the_tables_of_its_server() {
    check_definitions(Server::quick(false), false).await;
}

#[tokio::test]
async fn a_dump_of_mariadb_defines_the_tables_of_its_server() {
    check_definitions(Server::quick(true), true).await;
}
