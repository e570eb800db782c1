//! A batch of DDL with one refused statement, at each place and refused in each way: the target
//! names that one and no other.

#![expect(clippy::unwrap_used, reason = "the helpers of a test fail as tests do")]

use spanferry_core::port::target::{DdlFailure, SchemaTarget};
use spanferry_core::schema::target::Dialect;
use spanferry_spanner::SpannerTarget;
use spanferry_spanner::client::{Client, ClientOptions};
use spanferry_spanner::endpoint::{Endpoint, EndpointChoice};
use spanferry_spanner_standin::{DdlStage, Fault, Loss, Mode, Options, Outlast, StandIn};

/// Statements of a batch: more than one call takes.
const STATEMENTS: usize = 60;
const DIALECTS: [Dialect; 2] = [Dialect::GoogleSql, Dialect::PostgreSql];
/// Most calls that a batch with one refused statement may take: two full ones, and six halvings on
/// each side of it.
const CALLS_MAX: usize = 2 + 2 * 6 + 1;

/// What a statement of the batch creates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Table,
    Index,
    ForeignKey,
}

const KINDS: [Kind; 3] = [Kind::Table, Kind::Index, Kind::ForeignKey];

fn quote(name: &str, dialect: Dialect) -> String {
    spanferry_core::schema::ddl::quote(name, dialect)
}

fn table(name: &str, dialect: Dialect) -> String {
    let (name, id, other) = (
        quote(name, dialect),
        quote("id", dialect),
        quote("other", dialect),
    );
    match dialect {
        Dialect::GoogleSql => {
            format!("CREATE TABLE {name} ({id} INT64 NOT NULL, {other} INT64) PRIMARY KEY ({id})")
        }
        Dialect::PostgreSql => {
            format!("CREATE TABLE {name} ({id} bigint NOT NULL, {other} bigint, PRIMARY KEY ({id}))")
        }
    }
}

fn statement(kind: Kind, number: usize, dialect: Dialect) -> String {
    let base = quote("base", dialect);
    let (id, other) = (quote("id", dialect), quote("other", dialect));
    let name = quote(&name(number), dialect);
    match kind {
        Kind::Table => table(&self::name(number), dialect),
        Kind::Index => format!("CREATE INDEX {name} ON {base} ({other})"),
        Kind::ForeignKey => {
            format!("ALTER TABLE {base} ADD CONSTRAINT {name} FOREIGN KEY ({other}) REFERENCES {base} ({id})")
        }
    }
}

fn name(number: usize) -> String {
    format!("object_{number:02}")
}

async fn start(dialect: Dialect) -> (StandIn, SpannerTarget) {
    let stand_in = StandIn::start(Options::new(Mode::Null)).unwrap();
    let choice = EndpointChoice {
        endpoint: Some(format!("http://{}", stand_in.address())),
        ..EndpointChoice::default()
    };
    let database = "spanner://projects/test/instances/test/databases/shop";
    let endpoint = Endpoint::choose(&choice).unwrap();
    let client = Client::new(database.parse().unwrap(), endpoint, ClientOptions::default()).unwrap();
    let target = SpannerTarget::new(client);
    target.create_database(dialect).await.unwrap();
    target.run_ddl(&[table("base", dialect)]).await.unwrap();
    (stand_in, target)
}

/// The objects of the batch that are there.
async fn present(target: &SpannerTarget, kind: Kind) -> Vec<String> {
    let objects = target.schema_objects().await.unwrap();
    let found = match kind {
        Kind::Table => objects.tables,
        Kind::Index => objects.indexes,
        Kind::ForeignKey => objects.foreign_keys,
    };
    found
        .into_iter()
        .filter(|name| name.starts_with("object_"))
        .collect()
}

async fn check(kind: Kind, dialect: Dialect, place: usize, stage: DdlStage) {
    let (stand_in, target) = start(dialect).await;
    let statements: Vec<String> = (0..STATEMENTS)
        .map(|number| statement(kind, number, dialect))
        .collect();
    stand_in.ddl_rules().refuse(&name(place), stage);
    let calls_before = stand_in.ddl_rules().calls().len();
    let context = format!("{kind:?} {dialect} {place} {stage:?}");
    match target.run_ddl(&statements).await.unwrap_err() {
        DdlFailure::Refused { statement, reason } => {
            assert_eq!(statement, place, "{context}");
            assert_eq!(reason.object, statements[place], "{context}");
            assert!(reason.reason().contains(&name(place)), "{context}: {reason:?}");
        }
        other @ DdlFailure::Failed(_) => panic!("{context}: {other:?}"),
    }
    let calls = stand_in.ddl_rules().calls().len() - calls_before;
    assert!(calls <= CALLS_MAX, "{context}: {calls} calls");
    let before: Vec<String> = (0..place).map(name).collect();
    assert_eq!(present(&target, kind).await, before, "{context}");
    // What follows does not depend on it.
    target.run_ddl(&statements[place + 1..]).await.unwrap();
    let all_but_one: Vec<String> = (0..STATEMENTS)
        .filter(|number| *number != place)
        .map(name)
        .collect();
    assert_eq!(present(&target, kind).await, all_but_one, "{context}");
}

#[tokio::test]
async fn the_refused_statement_is_named_at_every_place() {
    for stage in [DdlStage::Call, DdlStage::Operation] {
        for (kind, dialect) in KINDS.into_iter().zip([DIALECTS[0], DIALECTS[1], DIALECTS[0]]) {
            for place in 0..STATEMENTS {
                check(kind, dialect, place, stage).await;
            }
        }
        for kind in KINDS {
            for dialect in DIALECTS {
                for place in [0, 49, 50, STATEMENTS - 1] {
                    check(kind, dialect, place, stage).await;
                }
            }
        }
    }
}

#[tokio::test]
async fn a_batch_that_nothing_is_wrong_with_takes_as_few_calls_as_it_can() {
    let (stand_in, target) = start(Dialect::GoogleSql).await;
    let statements: Vec<String> = (0..STATEMENTS)
        .map(|number| statement(Kind::Index, number, Dialect::GoogleSql))
        .collect();
    target.run_ddl(&statements).await.unwrap();
    assert_eq!(stand_in.ddl_rules().calls()[1..], [50, 10]);
}

/// A call whose answer is lost is joined by its operation id: nothing is run twice, and nothing is
/// taken for refused.
#[tokio::test]
async fn a_lost_answer_blames_no_statement() {
    for loss in [Loss::Unavailable, Loss::Drop] {
        for kind in KINDS {
            let (stand_in, target) = start(Dialect::GoogleSql).await;
            let statements: Vec<String> = (0..STATEMENTS)
                .map(|number| statement(kind, number, Dialect::GoogleSql))
                .collect();
            stand_in
                .faults()
                .once("UpdateDatabaseDdl", Fault::LostReply(loss));
            stand_in.faults().once("UpdateDatabaseDdl", Fault::Unavailable);
            stand_in.faults().once("GetOperation", Fault::Unavailable);
            target.run_ddl(&statements).await.unwrap();
            assert_eq!(present(&target, kind).await.len(), STATEMENTS);
            // The same where the operation whose answer is lost has refused a statement.
            stand_in.ddl_rules().refuse("again_1", DdlStage::Operation);
            stand_in
                .faults()
                .once("UpdateDatabaseDdl", Fault::LostReply(loss));
            let again = ["again_0", "again_1", "again_2"].map(|name| table(name, Dialect::GoogleSql));
            let refused = target.run_ddl(&again).await.unwrap_err();
            assert!(
                matches!(refused, DdlFailure::Refused { statement: 1, .. }),
                "{refused:?}"
            );
        }
    }
}

/// A call that works on when its caller has gone away, as at the emulator, whose operations exist
/// only when their statements are done: it is waited for, whenever it ends. Nothing is run twice,
/// nothing is refused that is not refused by the operation itself.
#[tokio::test]
async fn a_call_that_outlasts_its_deadline_is_found_by_its_operation() {
    for at_work in [0, 1, 2, 5] {
        for unknown in [0, 1, 4] {
            let how = Outlast { at_work, unknown };
            let (stand_in, target) = start(Dialect::GoogleSql).await;
            let statements: Vec<String> = (0..STATEMENTS)
                .map(|number| statement(Kind::Table, number, Dialect::GoogleSql))
                .collect();
            stand_in.ddl_rules().outlast(how);
            target.run_ddl(&statements).await.unwrap();
            assert_eq!(present(&target, Kind::Table).await.len(), STATEMENTS, "{how:?}");

            stand_in.ddl_rules().outlast(how);
            stand_in.ddl_rules().refuse("again_1", DdlStage::Operation);
            let again = ["again_0", "again_1", "again_2"].map(|name| table(name, Dialect::GoogleSql));
            match target.run_ddl(&again).await.unwrap_err() {
                DdlFailure::Refused { statement: 1, reason } => {
                    assert!(
                        reason.reason().contains("The stand-in refuses"),
                        "{how:?}: {reason:?}"
                    );
                }
                other => panic!("{how:?}: {other:?}"),
            }
        }
    }
}

/// What was there before is still refused behind a call without an answer.
#[tokio::test]
async fn a_name_that_is_taken_is_refused_behind_a_lost_call() {
    let (stand_in, target) = start(Dialect::GoogleSql).await;
    stand_in.faults().once("UpdateDatabaseDdl", Fault::Unavailable);
    let taken = [
        table("new", Dialect::GoogleSql),
        table("base", Dialect::GoogleSql),
    ];
    let refused = target.run_ddl(&taken).await.unwrap_err();
    assert!(
        matches!(refused, DdlFailure::Refused { statement: 1, .. }),
        "{refused:?}"
    );
}
