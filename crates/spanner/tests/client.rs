//! The low-level client against the emulator: reads of every kind, transactions, DDL under
//! contention, outages.

#![expect(
    clippy::unwrap_used,
    reason = "a test ends at the first surprise, also in its helpers"
)]

mod support;

use bytes::Bytes;
use spanferry_core::report::failure::{Failure, ServerWords};
use spanferry_core::schema::target::Dialect;
use spanferry_core::wire::list_value::{self, WireReader, WireValue};
use spanferry_core::wire::rows::RowBatch;
use spanferry_spanner::client::Client;
use spanferry_spanner::commit::{Mutations, WriteKind};
use spanferry_spanner::error::SpannerError;
use spanferry_spanner::read::{Keys, Read, ReadAt};
use spanferry_spanner_api::spanner::{KeyRange, key_range};
use support::Emulator;

const TABLE: &str =
    "CREATE TABLE t (id INT64 NOT NULL, text STRING(MAX), list ARRAY<STRING(MAX)>) PRIMARY KEY (id)";
/// The emulator's transactions of one session are forgotten beyond this many.
const EMULATOR_TRANSACTIONS: usize = 32;

fn key(id: i64) -> Bytes {
    let mut key = Vec::new();
    list_value::put_string(&mut key, id.to_string().as_bytes());
    key.into()
}

fn upsert(rows: &[(i64, String)]) -> Mutations {
    let mut batch = RowBatch::new();
    for (id, text) in rows {
        let row = batch.begin_row();
        list_value::put_string(row, id.to_string().as_bytes());
        list_value::put_string(row, text.as_bytes());
        let list = list_value::open_list(row);
        list_value::put_string(row, text.as_bytes());
        list_value::put_null(row);
        list_value::close_list(row, list);
        batch.end_row();
    }
    let mut mutations = Mutations::new();
    mutations.write(WriteKind::Upsert, "t", ["id", "text", "list"], &batch);
    mutations
}

async fn ids(client: &Client, keys: Keys, at: ReadAt) -> Vec<i64> {
    let rows = client
        .read("table t", &Read::new("t", ["id"], keys), at)
        .await
        .unwrap()
        .collect()
        .await
        .unwrap();
    rows.iter().map(|row| id(row)).collect()
}

fn id(row: &[u8]) -> i64 {
    match WireReader::new(row).next() {
        Some(Ok(WireValue::String(text))) => std::str::from_utf8(text).unwrap().parse().unwrap(),
        other => panic!("expected a number, found {other:?}"),
    }
}

#[tokio::test]
async fn reads_by_key_range_and_timestamp() {
    let emulator = Emulator::start();
    let client = emulator.database("db", Dialect::GoogleSql, &[TABLE]).await;
    let rows: Vec<_> = (0..10).map(|id| (id, id.to_string())).collect();
    let before = client.commit("t", upsert(&rows)).await.unwrap().at;
    client.commit("t", upsert(&[(10, String::new())])).await.unwrap();
    assert_eq!(
        ids(&client, Keys::All, ReadAt::Strong).await,
        (0..=10).collect::<Vec<_>>()
    );
    assert_eq!(
        ids(&client, Keys::All, ReadAt::Exact(before)).await,
        (0..10).collect::<Vec<_>>()
    );
    assert_eq!(
        ids(&client, Keys::List(vec![key(7), key(99), key(3)]), ReadAt::Strong).await,
        [3, 7]
    );
    let range = KeyRange {
        start_key_type: Some(key_range::StartKeyType::StartOpen(key(2))),
        end_key_type: Some(key_range::EndKeyType::EndClosed(key(5))),
    };
    assert_eq!(
        ids(&client, Keys::Ranges(vec![range]), ReadAt::Strong).await,
        [3, 4, 5]
    );
    let stream = client
        .read(
            "table t",
            &Read::new("t", ["id"], Keys::All),
            ReadAt::Exact(before),
        )
        .await
        .unwrap();
    assert_eq!(stream.read_timestamp(), Some(before));
    let missing = client
        .read("table u", &Read::new("u", ["id"], Keys::All), ReadAt::Strong)
        .await
        .unwrap_err();
    assert_eq!(missing.rejection(), Some(tonic::Code::NotFound));
}

#[tokio::test]
async fn large_values_come_back_whole() {
    let emulator = Emulator::start();
    let client = emulator.database("db", Dialect::GoogleSql, &[TABLE]).await;
    let rows: Vec<_> = (0..3)
        .map(|id| (id, "é€x".repeat(400_000 + usize::try_from(id).unwrap())))
        .collect();
    client.commit("t", upsert(&rows)).await.unwrap();
    let read = Read::new("t", ["text", "list"], Keys::All);
    let found = client
        .read("table t", &read, ReadAt::Strong)
        .await
        .unwrap()
        .collect()
        .await
        .unwrap();
    assert_eq!(found.len(), rows.len());
    for ((_, text), row) in rows.iter().zip(&found) {
        let mut cells = WireReader::new(row).map(Result::unwrap);
        assert!(cells.next() == Some(WireValue::String(text.as_bytes())));
        let Some(WireValue::List(list)) = cells.next() else {
            panic!("expected a list")
        };
        let list: Vec<_> = WireReader::new(list).map(Result::unwrap).collect();
        assert!(list == [WireValue::String(text.as_bytes()), WireValue::Null]);
    }
}

#[tokio::test]
async fn transactions_read_lock_and_outnumber_the_emulators_memory() {
    let emulator = Emulator::start();
    let client = emulator.database("db", Dialect::GoogleSql, &[TABLE]).await;
    client.commit("t", upsert(&[(0, String::new())])).await.unwrap();
    let read = Read::new("t", ["id"], Keys::List(vec![key(0)]));
    for number in 1..=EMULATOR_TRANSACTIONS + 8 {
        let mut transaction = client.begin("t").await.unwrap();
        assert_eq!(transaction.read(&read).await.unwrap().len(), 1);
        transaction
            .commit(upsert(&[(i64::try_from(number).unwrap(), String::new())]))
            .await
            .unwrap();
        assert_eq!(ids(&client, Keys::All, ReadAt::Strong).await.len(), number + 1);
    }
    // One transaction at a time: of two that have read, the one that loses is aborted, and nothing
    // of it happens.
    let (mut one, mut other) = (client.begin("t").await.unwrap(), client.begin("t").await.unwrap());
    let outcomes = [one.read(&read).await.is_ok(), other.read(&read).await.is_ok()];
    let commits = [
        one.commit(upsert(&[(-1, String::new())])).await,
        other.commit(upsert(&[(-2, String::new())])).await,
    ];
    for outcome in commits.iter().filter(|outcome| outcome.is_err()) {
        assert!(
            matches!(outcome, Err(SpannerError::Aborted { .. })),
            "{outcome:?}"
        );
    }
    let committed = commits.iter().filter(|outcome| outcome.is_ok()).count();
    assert!(
        outcomes.contains(&true) && committed >= 1,
        "{outcomes:?} {commits:?}"
    );
    let present = ids(&client, Keys::List(vec![key(-1), key(-2)]), ReadAt::Strong).await;
    assert_eq!(present.len(), committed);
}

#[tokio::test]
async fn ddl_waits_for_a_transaction_to_end() {
    let emulator = Emulator::start();
    let client = emulator.database("db", Dialect::GoogleSql, &[TABLE]).await;
    let mut transaction = client.begin("t").await.unwrap();
    transaction
        .read(&Read::new("t", ["id"], Keys::All))
        .await
        .unwrap();
    let statements = ["CREATE TABLE u (id INT64) PRIMARY KEY (id)".to_owned()];
    let ended = async {
        // The first attempt has been refused, or is about to be, when this ends.
        tokio::task::yield_now().await;
        transaction.rollback().await;
    };
    let (done, ()) = tokio::join!(client.update_ddl(&statements, "contended"), ended);
    done.unwrap();
    // Under another operation id it is another schema change, which finds the table there.
    client.update_ddl(&statements, "again").await.unwrap_err();
    // A call that is repeated under its own id joins the operation that is done.
    let more = ["CREATE TABLE v (id INT64) PRIMARY KEY (id)".to_owned()];
    client.update_ddl(&more, "repeated").await.unwrap();
    client.update_ddl(&more, "repeated").await.unwrap();
    let found = client.schema_statements().await.unwrap();
    assert_eq!(found.len(), 3, "{found:?}");
    client.drop_database().await.unwrap();
    assert_eq!(
        client.dialect().await.unwrap_err().rejection(),
        Some(tonic::Code::NotFound)
    );
    assert!(
        client
            .instance()
            .await
            .unwrap()
            .config
            .ends_with("emulator-config")
    );
}

/// What the emulator says where it judges data quotes rows; none of that may come into a log.
#[tokio::test]
async fn a_log_holds_no_row_that_the_emulator_quotes() {
    const SECRET: &str = "s3cret-4711";
    const SCHEMA: [&str; 4] = [
        "CREATE TABLE t (id STRING(MAX) NOT NULL, v STRING(MAX)) PRIMARY KEY (id)",
        "CREATE UNIQUE INDEX t_v ON t (v)",
        "CREATE TABLE u (id STRING(MAX) NOT NULL, v STRING(MAX)) PRIMARY KEY (id)",
        "ALTER TABLE u ADD CONSTRAINT u_v FOREIGN KEY (v) REFERENCES t (id)",
    ];
    let emulator = Emulator::start();
    let client = emulator.database("db", Dialect::GoogleSql, &SCHEMA).await;
    let write = |kind, table, id: &str, v: &str| {
        let mut batch = RowBatch::new();
        let row = batch.begin_row();
        list_value::put_string(row, id.as_bytes());
        list_value::put_string(row, v.as_bytes());
        batch.end_row();
        let mut mutations = Mutations::new();
        mutations.write(kind, table, ["id", "v"], &batch);
        mutations
    };
    let stored = write(WriteKind::Insert, "t", SECRET, SECRET);
    client.commit("lane a 0", stored.clone()).await.unwrap();
    let mut errors = Vec::new();
    for refused in [
        stored,
        write(WriteKind::Update, "t", "s3cret-4712", "x"),
        write(WriteKind::Insert, "t", "s3cret-4713", SECRET),
        write(WriteKind::Insert, "u", "s3cret-4714", "s3cret-4715"),
    ] {
        errors.push(client.commit("lane a 0", refused).await.unwrap_err());
    }
    // An index that the data does not satisfy.
    let twins = ["1", "2"].map(|id| write(WriteKind::Insert, "u", id, SECRET));
    for twin in twins {
        client.commit("lane a 0", twin).await.unwrap();
    }
    let index = ["CREATE UNIQUE INDEX twins ON u (v)".to_owned()];
    errors.push(client.update_ddl(&index, "twins").await.unwrap_err().cause);
    for error in errors {
        let (whole, logged) = (error.to_string(), error.for_log());
        assert!(
            whole.contains("s3cret-471"),
            "the emulator quotes nothing any more: {whole}"
        );
        assert!(!logged.contains("s3cret"), "{logged}");
        assert!(logged.contains("rejected ("), "{logged}");
        // The failure that carries it is whole for a person.
        let failure = Failure::bug("t", "x").caused_by(ServerWords::from(error));
        assert_eq!(failure.for_log(), format!("t: x: {logged}"));
        assert_eq!(failure.cause.unwrap().to_string(), whole);
    }
    // What concerns the connection stays: a reader of the log needs it.
    let elsewhere = emulator.client("nowhere");
    let error = elsewhere.dialect().await.unwrap_err();
    assert!(
        error.for_log().ends_with("rejected (NotFound)"),
        "{}",
        error.for_log()
    );
}

#[tokio::test]
async fn a_paused_server_delays_and_loses_nothing() {
    let emulator = Emulator::start();
    let client = emulator.database("db", Dialect::GoogleSql, &[TABLE]).await;
    client.commit("t", upsert(&[(1, String::new())])).await.unwrap();
    emulator.pause();
    let mut hanging = Box::pin(client.commit("t", upsert(&[(2, String::new())])));
    assert!(
        futures_pending(&mut hanging).await,
        "a paused server does not answer"
    );
    emulator.resume();
    hanging.await.unwrap();
    assert_eq!(ids(&client, Keys::All, ReadAt::Strong).await, [1, 2]);
}

/// Whether a call is still pending after the runtime has had time to send it.
async fn futures_pending<F: Future + Unpin>(call: &mut F) -> bool {
    tokio::time::timeout(std::time::Duration::from_millis(100), call)
        .await
        .is_err()
}
