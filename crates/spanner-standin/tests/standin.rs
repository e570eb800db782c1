//! The stand-in, driven by our own client.

#![expect(clippy::unwrap_used, reason = "the helpers of a test fail as tests do")]

use std::time::Duration;

use spanferry_core::port::target::{ControlStore, Epoch, MigrationRow, SchemaTarget, StreamRow};
use spanferry_core::position::Position;
use spanferry_core::schema::target::Dialect;
use spanferry_core::wire::list_value;
use spanferry_core::wire::rows::RowBatch;
use spanferry_spanner::SpannerTarget;
use spanferry_spanner::client::{Client, ClientOptions};
use spanferry_spanner::commit::{Mutations, WriteKind};
use spanferry_spanner::endpoint::{Endpoint, EndpointChoice};
use spanferry_spanner::error::SpannerError;
use spanferry_spanner::read::{Keys, Read, ReadAt};
use spanferry_spanner_standin::{Fault, Loss, Mode, Options, Rule, StandIn};
use tonic::Code;

const TABLES: [&str; 2] = [
    "CREATE TABLE `spanferry_t` (`id` INT64 NOT NULL, `text` STRING(10)) PRIMARY KEY (`id`)",
    "CREATE TABLE `data` (`id` INT64 NOT NULL, `text` STRING(10), `b` BYTES(MAX)) PRIMARY KEY (`id`)",
];

/// Rows as texts.
type Rows<'a> = &'a [&'a [&'a str]];

fn client(stand_in: &StandIn, database: &str) -> Client {
    let name = format!("spanner://projects/test/instances/test/databases/{database}")
        .parse()
        .unwrap();
    let endpoint = Some(format!("http://{}", stand_in.address()));
    let choice = EndpointChoice {
        endpoint,
        ..EndpointChoice::default()
    };
    Client::new(name, Endpoint::choose(&choice).unwrap(), ClientOptions::default()).unwrap()
}

async fn start(mode: Mode) -> (StandIn, Client) {
    let stand_in = StandIn::start(Options::new(mode)).unwrap();
    let client = client(&stand_in, "shop");
    client.create_database(Dialect::GoogleSql).await.unwrap();
    client
        .update_ddl(&TABLES.map(str::to_owned), "setup")
        .await
        .unwrap();
    (stand_in, client)
}

fn rows(rows: &[&[&str]]) -> RowBatch {
    let mut batch = RowBatch::new();
    for row in rows {
        let out = batch.begin_row();
        row.iter()
            .for_each(|cell| list_value::put_string(out, cell.as_bytes()));
        batch.end_row();
    }
    batch
}

fn write(kind: WriteKind, table: &str, columns: &[&str], cells: &[&[&str]]) -> Mutations {
    let mut mutations = Mutations::new();
    mutations.write(kind, table, columns.iter().copied(), &rows(cells));
    mutations
}

fn control(kind: WriteKind, id: &str, text: &str) -> Mutations {
    write(kind, "spanferry_t", &["id", "text"], &[&[id, text]])
}

/// All rows of the control table, each as its cells joined by a blank.
async fn stored(client: &Client) -> Vec<String> {
    let read = Read::new("spanferry_t", ["id", "text"], Keys::All);
    let found = client
        .read("t", &read, ReadAt::Strong)
        .await
        .unwrap()
        .collect()
        .await
        .unwrap();
    let cell = |value| match value {
        Ok(list_value::WireValue::String(text)) => String::from_utf8(text.to_vec()).unwrap(),
        other => format!("{other:?}"),
    };
    found
        .iter()
        .map(|row| {
            list_value::WireReader::new(row)
                .map(cell)
                .collect::<Vec<_>>()
                .join(" ")
        })
        .collect()
}

fn code(error: &SpannerError) -> Code {
    error
        .rejection()
        .unwrap_or_else(|| panic!("no rejection: {error}"))
}

#[tokio::test]
async fn rows_of_control_tables_have_the_semantics_of_spanner() {
    let (stand_in, client) = start(Mode::Null).await;
    client
        .commit("t", control(WriteKind::Insert, "10", "a"))
        .await
        .unwrap();
    client
        .commit("t", control(WriteKind::Upsert, "-2", "b"))
        .await
        .unwrap();
    let repeated = client
        .commit("t", control(WriteKind::Insert, "10", "x"))
        .await
        .unwrap_err();
    assert_eq!(code(&repeated), Code::AlreadyExists);
    let missing = client
        .commit("t", control(WriteKind::Update, "7", "x"))
        .await
        .unwrap_err();
    assert_eq!(code(&missing), Code::NotFound);
    // The first mutation of a commit goes with the failing second one.
    let mut both = control(WriteKind::Update, "10", "c");
    both.write(WriteKind::Insert, "spanferry_t", ["id"], &rows(&[&["-2"]]));
    assert_eq!(
        code(&client.commit("t", both).await.unwrap_err()),
        Code::AlreadyExists
    );
    assert_eq!(stored(&client).await, ["-2 b", "10 a"]);
    let mut replaced = Mutations::new();
    replaced.delete("spanferry_t", &rows(&[&["10"], &["99"]]));
    replaced.write(
        WriteKind::Insert,
        "spanferry_t",
        ["id", "text"],
        &rows(&[&["10", "new"]]),
    );
    client.commit("t", replaced).await.unwrap();
    assert_eq!(stored(&client).await, ["-2 b", "10 new"]);
    assert_eq!(stand_in.violations(), []);
}

#[tokio::test]
async fn other_rows_are_checked_counted_and_discarded() {
    let (stand_in, client) = start(Mode::Null).await;
    let rows: &[&[&str]] = &[&["1", "a"], &["2", "b"]];
    client
        .commit("data", write(WriteKind::Insert, "data", &["id", "text"], rows))
        .await
        .unwrap();
    client
        .commit("data", write(WriteKind::Insert, "data", &["id", "text"], rows))
        .await
        .unwrap();
    let counters = stand_in.counters();
    assert_eq!((counters.commits, counters.rows), (2, 4));
    let read = Read::new("data", ["id"], Keys::All);
    assert_eq!(
        client
            .read("data", &read, ReadAt::Strong)
            .await
            .unwrap()
            .collect()
            .await
            .unwrap()
            .len(),
        0
    );
}

#[tokio::test]
async fn transactions_carry_tokens_and_see_each_other() {
    let (stand_in, client) = start(Mode::Null).await;
    let read = Read::new("spanferry_t", ["id", "text"], Keys::All);
    let mut first = client.begin("t").await.unwrap();
    let mut second = client.begin("t").await.unwrap();
    assert_eq!(first.read(&read).await.unwrap().len(), 0);
    assert_eq!(second.read(&read).await.unwrap().len(), 0);
    stand_in.faults().once("Commit", Fault::RetryToken);
    first
        .commit(control(WriteKind::Insert, "1", "first"))
        .await
        .unwrap();
    let late = second
        .commit(control(WriteKind::Upsert, "1", "second"))
        .await
        .unwrap_err();
    assert!(
        matches!(
            late,
            SpannerError::Aborted {
                retry_delay: Some(_),
                ..
            }
        ),
        "{late}"
    );
    assert_eq!(stored(&client).await, ["1 first"]);
    assert_eq!(stand_in.violations(), []);
    // A transaction that has read nothing has no token.
    let blind = client.begin("t").await.unwrap();
    let refused = blind
        .commit(control(WriteKind::Upsert, "1", "blind"))
        .await
        .unwrap_err();
    assert_eq!(code(&refused), Code::FailedPrecondition);
    assert_eq!(stand_in.take_violations()[0].rule, Rule::PrecommitToken);
}

#[tokio::test]
async fn limits_are_refused_and_recorded() {
    let (stand_in, client) = start(Mode::Null).await;
    let many: Vec<String> = (0..40_001).map(|id: u32| id.to_string()).collect();
    let many: Vec<[&str; 2]> = many.iter().map(|id| [id.as_str(), "x"]).collect();
    let many: Vec<&[&str]> = many.iter().map(<[&str; 2]>::as_slice).collect();
    let large = "A".repeat(14 << 20);
    let cases: [(&[&str], Rows<'_>, Rule); 7] = [
        (&["id", "text"], &many, Rule::MutationCount),
        (&["id", "text"], &[&["1", "12345678901"]], Rule::CellSize),
        (&["id", "b"], &[&["1", &large]], Rule::CellSize),
        (&["id", "text"], &[&["1"]], Rule::ValueCount),
        (&["id"], &[&["one"]], Rule::ValueForm),
        (&["text"], &[&["a"]], Rule::ValueCount),
        (&["id", "none"], &[&["1", "a"]], Rule::UnknownColumn),
    ];
    for (columns, rows, rule) in cases {
        client
            .commit("data", write(WriteKind::Insert, "data", columns, rows))
            .await
            .unwrap_err();
        let violations = stand_in.take_violations();
        assert_eq!(
            violations
                .iter()
                .map(|violation| violation.rule)
                .collect::<Vec<_>>(),
            [rule]
        );
    }
    assert_eq!(stand_in.counters().commits, 0);
}

#[tokio::test]
async fn faults_before_a_commit_leave_nothing() {
    let (stand_in, client) = start(Mode::Null).await;
    let delay = Duration::from_millis(7);
    for fault in [
        Fault::Aborted(Some(delay)),
        Fault::Exhausted(Some(delay)),
        Fault::Unavailable,
        Fault::Drop,
    ] {
        stand_in.faults().once("Commit", fault);
        let error = client
            .commit("t", control(WriteKind::Insert, "1", "a"))
            .await
            .unwrap_err();
        assert!(error.is_passing(), "{error}");
        let told = matches!(fault, Fault::Aborted(_) | Fault::Exhausted(_)).then_some(delay);
        assert_eq!(error.retry_delay(), told);
        assert_eq!(stored(&client).await, [""; 0]);
    }
    assert_eq!(stand_in.faults().injected(), 4);
}

#[tokio::test]
async fn lost_replies_leave_the_commit() {
    let (stand_in, client) = start(Mode::Null).await;
    for (id, loss) in [("1", Loss::Unavailable), ("2", Loss::Drop)] {
        stand_in.faults().once("Commit", Fault::LostReply(loss));
        let error = client
            .commit("t", control(WriteKind::Insert, id, "a"))
            .await
            .unwrap_err();
        assert!(matches!(error, SpannerError::Unanswered { .. }), "{error}");
    }
    stand_in.faults().once("Commit", Fault::AlreadyExists);
    let error = client
        .commit("t", control(WriteKind::Insert, "3", "a"))
        .await
        .unwrap_err();
    assert_eq!(code(&error), Code::AlreadyExists);
    stand_in.faults().once("Commit", Fault::LostReply(Loss::Silence));
    let silent = client.commit("t", control(WriteKind::Insert, "4", "a"));
    assert!(
        tokio::time::timeout(Duration::from_millis(300), silent)
            .await
            .is_err()
    );
    assert_eq!(stored(&client).await, ["1 a", "2 a", "3 a", "4 a"]);
}

#[tokio::test]
async fn late_commits_come_after_others() {
    let (stand_in, client) = start(Mode::Null).await;
    stand_in.faults().once("Commit", Fault::Late(2));
    client
        .commit("t", control(WriteKind::Upsert, "1", "late"))
        .await
        .unwrap_err();
    client
        .commit("t", control(WriteKind::Upsert, "1", "one"))
        .await
        .unwrap();
    assert_eq!(stored(&client).await, ["1 one"]);
    client
        .commit("t", control(WriteKind::Upsert, "2", "two"))
        .await
        .unwrap();
    assert_eq!(
        (stored(&client).await, stand_in.late_commits()),
        (vec!["1 late".into(), "2 two".into()], 0)
    );
    stand_in.faults().once("Commit", Fault::Duplicate(1));
    client
        .commit("t", control(WriteKind::Upsert, "1", "twice"))
        .await
        .unwrap();
    client
        .commit("t", control(WriteKind::Upsert, "1", "between"))
        .await
        .unwrap();
    assert_eq!(stored(&client).await, ["1 twice", "2 two"]);
}

#[tokio::test]
async fn ended_sessions_are_not_found() {
    let (stand_in, client) = start(Mode::Null).await;
    client
        .commit("t", control(WriteKind::Upsert, "1", "a"))
        .await
        .unwrap();
    stand_in.expire_sessions();
    let error = client
        .commit("t", control(WriteKind::Upsert, "1", "b"))
        .await
        .unwrap_err();
    assert!(matches!(error, SpannerError::SessionLost { .. }), "{error}");
    client
        .commit("t", control(WriteKind::Upsert, "1", "b"))
        .await
        .unwrap();
    assert_eq!(stand_in.violations(), []);
}

#[tokio::test]
async fn commits_reach_the_emulator_checked() {
    let emulator = spanferry_testkit::server::Emulator::start().unwrap();
    let (stand_in, client) = start(Mode::Forward(emulator.host_port().to_owned())).await;
    client
        .commit("t", control(WriteKind::Insert, "1", "a"))
        .await
        .unwrap();
    stand_in
        .faults()
        .once("Commit", Fault::LostReply(Loss::Unavailable));
    client
        .commit("t", control(WriteKind::Insert, "2", "b"))
        .await
        .unwrap_err();
    let repeated = client
        .commit("t", control(WriteKind::Insert, "2", "b"))
        .await
        .unwrap_err();
    assert_eq!(code(&repeated), Code::AlreadyExists);
    stand_in.faults().once("Commit", Fault::Late(1));
    client
        .commit("t", control(WriteKind::Upsert, "1", "late"))
        .await
        .unwrap_err();
    client
        .commit("t", control(WriteKind::Upsert, "1", "c"))
        .await
        .unwrap();
    assert_eq!(stored(&client).await, ["1 late", "2 b"]);
    assert_eq!(stand_in.violations(), []);
    client
        .commit("t", control(WriteKind::Insert, "3", "12345678901"))
        .await
        .unwrap_err();
    assert_eq!(stand_in.take_violations()[0].rule, Rule::CellSize);
}

#[tokio::test]
async fn a_migration_finds_its_target_in_both_dialects() {
    for dialect in [Dialect::GoogleSql, Dialect::PostgreSql] {
        let stand_in = StandIn::start(Options::new(Mode::Null)).unwrap();
        let target = SpannerTarget::new(client(&stand_in, "shop"));
        target.create_database(dialect).await.unwrap();
        target.create_control().await.unwrap();
        assert_eq!(target.read_control().await.unwrap(), None);
        let row = MigrationRow {
            id: "6ba7b810".to_owned(),
            epoch: Epoch(1),
            stream: Some(StreamRow {
                log_id: "log".to_owned(),
                start_position: Position::parse("mariadb:0-1-5").unwrap(),
            }),
            source: "mysql://example/shop".to_owned(),
            schema: "shop".to_owned(),
            dialect,
        };
        target.begin_epoch(None, &row, &[]).await.unwrap();
        let found = target.read_control().await.unwrap().unwrap();
        assert_eq!(found.migration, row);
        let description = target.describe().await.unwrap();
        assert_eq!((description.dialect, description.tables.len()), (dialect, 0));
        assert_eq!(stand_in.violations(), []);
    }
}
