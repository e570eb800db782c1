//! Dumps that the servers' own tools write hold the servers' own rows: each value that the reader
//! of dumps gives is the one that the server gives.

mod support;

use std::collections::BTreeMap;

use spanferry_format::mysql::dump::{Cell, Limits, Reader, Reading, Step};
use spanferry_mysql::connection::Connection;
use support::{Server, types};

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
}

#[tokio::test]
async fn a_dump_of_mysql_holds_the_rows_of_its_server() {
    check(Server::quick(false), false).await;
}

#[tokio::test]
async fn a_dump_of_mariadb_holds_the_rows_of_its_server() {
    check(Server::quick(true), true).await;
}
