//! Case 33, from verify's side: what the load and verify read wrongly in the same way is seen by
//! the witness alone. The source is a real one behind a wrapper whose snapshots have the fault; the
//! target holds what such snapshots would have loaded.

use std::sync::Arc;

use spanferry_core::mapping::convert;
use spanferry_core::mapping::options::MappingOptions;
use spanferry_core::plan::TablePlan;
use spanferry_core::port::source::{
    Boundary, CatalogSource, CheckRequest, HealthSource, PositionSource, PreflightSource, Range, ReadRows,
    ReadStatus, Snapshot, SnapshotRequest, SnapshotSession, SnapshotSource, SourceHealth,
};
use spanferry_core::port::target::{ControlStore, Lane, SchemaTarget};
use spanferry_core::position::Position;
use spanferry_core::report::failure::Failure;
use spanferry_core::report::finding::Finding;
use spanferry_core::schema::source::Catalog;
use spanferry_core::verify::witness::WitnessSource;
use spanferry_core::wire::list_value::{self, WireReader, WireValue};
use spanferry_core::wire::rows::RowBatch;
use spanferry_engine::verify::{Counters, TableVerdict, verify};
use spanferry_mysql::{MysqlSession, MysqlSource, MysqlWitness, Options};
use spanferry_spanner::SpannerTarget;
use spanferry_testkit::server::Engine;

use crate::support::{World, bench};

/// What is wrong with every snapshot.
#[derive(Debug, Clone, Copy)]
enum Fault {
    /// A range ends after so many rows, as under `sql_select_limit`.
    Cut(usize),
    /// Text is read in another character set than its own, as `Ã©` for `é`.
    Misread,
}

struct FaultySource {
    source: MysqlSource,
    fault: Fault,
}

struct FaultySession {
    session: MysqlSession,
    fault: Fault,
    /// Rows that the range has brought.
    rows: usize,
}

impl CatalogSource for FaultySource {
    async fn catalog(&self) -> Result<Catalog, Failure> {
        self.source.catalog().await
    }
}

impl PreflightSource for FaultySource {
    async fn check(&self, request: &CheckRequest) -> Result<Vec<Finding>, Failure> {
        self.source.check(request).await
    }
}

impl PositionSource for FaultySource {
    async fn position(&self) -> Result<Position, Failure> {
        self.source.position().await
    }

    async fn holds(&self, position: &Position) -> Result<bool, Failure> {
        self.source.holds(position).await
    }

    async fn identity(&self) -> Result<String, Failure> {
        self.source.identity().await
    }
}

impl HealthSource for FaultySource {
    async fn health(&self) -> Result<SourceHealth, Failure> {
        self.source.health().await
    }
}

impl WitnessSource for FaultySource {
    type Witness = MysqlWitness;

    async fn witness(&self) -> Result<MysqlWitness, Failure> {
        self.source.witness().await
    }
}

impl SnapshotSource for FaultySource {
    type Session = FaultySession;

    async fn open_snapshot(&self, request: &SnapshotRequest<'_>) -> Result<Snapshot<FaultySession>, Failure> {
        let snapshot = self.source.open_snapshot(request).await?;
        let sessions = snapshot.sessions.into_iter();
        Ok(Snapshot {
            low: snapshot.low,
            high: snapshot.high,
            sessions: sessions
                .map(|session| FaultySession {
                    session,
                    fault: self.fault,
                    rows: 0,
                })
                .collect(),
            method: snapshot.method,
            passed: snapshot.passed,
        })
    }
}

impl SnapshotSession for FaultySession {
    async fn boundary(
        &mut self,
        plan: &TablePlan,
        after: Option<&Boundary>,
        rows: u64,
    ) -> Result<Option<Boundary>, Failure> {
        self.session.boundary(plan, after, rows).await
    }

    async fn begin(&mut self, plan: &Arc<TablePlan>, range: &Range) -> Result<(), Failure> {
        self.rows = 0;
        self.session.begin(plan, range).await
    }

    async fn read(
        &mut self,
        into: &mut ReadRows,
        rows_max: usize,
        bytes_max: usize,
    ) -> Result<ReadStatus, Failure> {
        let status = self.session.read(into, rows_max, bytes_max).await?;
        let mut changed = RowBatch::new();
        for row in into.rows.payloads() {
            match self.fault {
                Fault::Cut(rows_max) if self.rows >= rows_max => {}
                Fault::Cut(_) => changed.push(row),
                Fault::Misread => changed.push(&misread(row)),
            }
            self.rows += 1;
        }
        into.rows = changed;
        Ok(status)
    }
}

/// UTF-8 bytes taken for latin1.
fn misread_text(text: &str) -> String {
    text.bytes().map(char::from).collect()
}

fn misread(row: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    for value in WireReader::new(row) {
        match value.unwrap() {
            WireValue::Null => list_value::put_null(&mut out),
            WireValue::String(text) => {
                let text = std::str::from_utf8(text).unwrap();
                list_value::put_string(&mut out, misread_text(text).as_bytes());
            }
            other => panic!("the table has no {other:?}"),
        }
    }
    out
}

const SCHEMA: &str = "CREATE TABLE t (id INT PRIMARY KEY, v VARCHAR(60) CHARACTER SET latin1 NOT NULL);
    INSERT INTO t WITH RECURSIVE n AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM n WHERE i < 40) SELECT i, CONCAT('caf\u{e9} ', i) FROM n;
    ";

/// The verdict on the world's one table, read through the fault.
async fn judged(world: &World, fault: Fault) -> TableVerdict {
    let options = world.source_url().replace("//admin@", "//admin:admin@");
    let source = MysqlSource::new(Options::parse(&options).unwrap(), 4_255).unwrap();
    let target = SpannerTarget::new(world.target_client());
    let described = target.describe().await.unwrap();
    let options = MappingOptions {
        dialect: described.dialect,
        uuid_supported: false,
    };
    let tables = source.catalog().await.unwrap().tables;
    let plans = convert::map(tables, &options).plans.into_iter();
    let plans: Vec<_> = plans.map(Arc::new).collect();
    let control = target.read_control().await.unwrap().unwrap();
    let (stream, lane) = Lane::MAIN.parts();
    let fence = control.fences[&(stream.to_owned(), lane)].clone();
    let applied = fence.reached.unwrap().bookmark();
    let changes = source.observer();
    let faulty = FaultySource { source, fault };
    let counters = Counters::default();
    let found = Box::pin(verify(
        &faulty,
        &changes,
        &target,
        &plans,
        &applied,
        &counters,
        |_| {},
    ));
    let mut tables = found.await.unwrap().tables;
    assert_eq!(tables.len(), 1);
    tables.remove(0)
}

/// Whether verify's own reading finds nothing.
fn agrees(verdict: &TableVerdict) -> bool {
    (verdict.missing, verdict.extra, verdict.different, verdict.refused) == (0, 0, 0, 0)
}

async fn faults_on_both_sides(engine: Engine, dialect: &'static str) {
    let servers = bench(engine).await;
    let world = servers.as_ref().unwrap().world(dialect, SCHEMA).await;
    world.expect_drained();
    world.expect_equal();

    // Half of the rows are lost by every reading.
    let lost: Vec<String> = (21..=40).map(|id| id.to_string()).collect();
    let keys: Vec<[&str; 1]> = lost.iter().map(|id| [id.as_str()]).collect();
    let keys: Vec<&[&str]> = keys.iter().map(<[&str; 1]>::as_slice).collect();
    world.meddle_away("t", &keys).await;
    let cut = judged(&world, Fault::Cut(20)).await;
    assert!(agrees(&cut) && !cut.is_equal(), "{cut:?}");
    assert_eq!((cut.rows_source, cut.rows_target), (20, 20));
    assert_eq!((cut.testimony.rows_source, cut.testimony.rows_target), (40, 20));
    assert_eq!(cut.testimony.contradicted, []);

    // Every text is read as another one.
    let wrong: Vec<[String; 2]> = (1..=40)
        .map(|id| [id.to_string(), misread_text(&format!("caf\u{e9} {id}"))])
        .collect();
    let rows: Vec<[&str; 2]> = wrong
        .iter()
        .map(|[id, text]| [id.as_str(), text.as_str()])
        .collect();
    let rows: Vec<&[&str]> = rows.iter().map(<[&str; 2]>::as_slice).collect();
    world.meddle("t", &["id", "v"], &rows).await;
    let misread = judged(&world, Fault::Misread).await;
    assert!(agrees(&misread) && !misread.is_equal(), "{misread:?}");
    let said = &misread.testimony;
    assert_eq!(
        (said.rows_source, said.rows_target, said.rows_asked),
        (40, 40, 40)
    );
    assert_eq!(said.contradicted.len(), 40, "{said:?}");
    assert!(
        said.contradicted.iter().all(|row| row.columns == ["v"]),
        "{said:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn killer_33_a_fault_on_both_sides_is_seen_by_the_witness_mysql() {
    faults_on_both_sides(Engine::MySql, "googlesql").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killer_33_a_fault_on_both_sides_is_seen_by_the_witness_mariadb_postgresql() {
    faults_on_both_sides(Engine::MariaDb, "postgresql").await;
}
