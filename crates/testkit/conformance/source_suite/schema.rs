//! What every source must do of its schema and its position: a catalog that is whole, positions
//! that only grow, and a history that knows its own.

use std::time::Duration;

use spanferry_core::port::source::{
    CatalogSource, ChangeSource, ChangeStream, CheckRequest, HealthSource, PositionSource, PreflightSource,
};
use spanferry_core::position::{Position, TransactionId};
use spanferry_core::report::finding::Severity;
use spanferry_core::schema::source::{QualifiedName, SourceColumn, SourceTable};

use super::model::{Assembly, capture};
use super::{A, B, Bench, CREATED, Statement, Subject, Writer, delete, in_time, insert, open};

/// How far ahead of the source a position is that it cannot hold.
const FAR_AHEAD: u64 = 1_000_000;
/// A MySQL server that is none of the subject's.
const STRANGER: &str = "5a5a5a5a-71ca-11e1-9e33-c80aa9429562";
/// Transactions that a stream is ahead of `position` with, if ever.
const HELD_TRANSACTIONS: i64 = 20;

pub(super) async fn check<S: Subject>(subject: &S) {
    check_catalog(subject).await;
    check_findings(subject).await;
    check_position(subject).await;
    check_strain(subject).await;
    check_holds(subject).await;
    check_sent_is_held(subject).await;
}

type Definition = (String, Vec<SourceColumn>, Vec<usize>);

async fn definitions<S: CatalogSource>(source: &S) -> Vec<Definition> {
    let definition = |table: SourceTable| (table.name.table, table.columns, table.primary_key);
    let mut found: Vec<_> = source
        .catalog()
        .await
        .unwrap()
        .tables
        .into_iter()
        .map(definition)
        .collect();
    found.sort_by(|left, right| left.0.cmp(&right.0));
    found
}

/// The catalog shows all base tables as they are now, the same to everybody; so does the identity.
async fn check_catalog<S: Subject>(subject: &S) {
    let bench = Bench::new(subject).await;
    let before = definitions(&bench.source).await;
    let names: Vec<&str> = before.iter().map(|(name, ..)| name.as_str()).collect();
    assert_eq!(names, subject.tables());
    for (name, columns, key) in &before {
        assert_eq!((columns.len(), key.as_slice()), (3, &[0][..]), "{name}");
    }
    assert_eq!(definitions(&subject.source()).await, before);
    let identity = bench.source.identity().await.unwrap();
    assert!(!identity.is_empty());
    assert_eq!(subject.source().identity().await.unwrap(), identity);

    subject.run(Statement::ChangeColumn(B)).await;
    let after = definitions(&bench.source).await;
    assert_eq!(after.len(), before.len());
    for (table, (old, new)) in before.iter().zip(&after).enumerate() {
        assert_eq!(old == new, table != B, "{new:?}");
    }
    subject.run(Statement::CreateTable).await;
    let (created, rest) = {
        let mut now = definitions(&bench.source).await;
        (now.pop().map(|(name, ..)| name), now)
    };
    assert_eq!((created.as_deref(), rest), (Some(CREATED), after));
}

/// A source that is no replica is behind no other server, and says so beside an open snapshot and
/// again.
async fn check_strain<S: Subject>(subject: &S) {
    let bench = Bench::new(subject).await;
    let opening = open(&bench.source, &bench.plans, 1, true);
    let snapshot = opening.await.unwrap();
    for _ in 0..2 {
        let strain = in_time("the source's health", bench.source.health())
            .await
            .unwrap();
        assert_eq!(strain.replica_lag, None);
    }
    drop(snapshot);
}

/// A check finds nothing in the way of good tables, names one that is not there, and says the same
/// again.
async fn check_findings<S: Subject>(subject: &S) {
    let bench = Bench::new(subject).await;
    let tables = bench.source.catalog().await.unwrap().tables;
    let mut request = CheckRequest {
        tables: tables.iter().map(|table| table.name.clone()).collect(),
        load_estimate: Duration::from_secs(1),
        sessions: 2,
        lock: true,
    };
    let blocking = async |request: &CheckRequest| {
        let mut findings = bench.source.check(request).await.unwrap();
        findings.retain(|finding| finding.severity == Severity::Blocking);
        let told = findings
            .into_iter()
            .map(|finding| (finding.code, finding.subject));
        told.collect::<Vec<_>>()
    };
    assert_eq!(blocking(&request).await, []);
    // Also a table of another schema that has the name of one that is there.
    let schema = &tables[0].name.schema;
    let absent = [
        QualifiedName::new(schema, "absent"),
        QualifiedName::new(format!("{schema}_absent"), &tables[0].name.table),
    ];
    request.tables.extend(absent.clone());
    let found = blocking(&request).await;
    let subjects = found.iter().filter_map(|(_, subject)| subject.source_table());
    assert_eq!(subjects.collect::<Vec<_>>(), absent.each_ref(), "{found:?}");
    assert_eq!(blocking(&request).await, found);
}

/// A position holds what was committed before the call and nothing else, and never goes back.
async fn check_position<S: Subject>(subject: &S) {
    let mut bench = Bench::new(subject).await;
    let mut before = bench.start.clone();
    for key in 0..5 {
        let again = subject.source().position().await.unwrap();
        assert_eq!(again, before, "nothing was written");
        bench
            .writer
            .roll_back(&[insert(A, [key, 0, 0]), insert(B, [key, 0, 0])])
            .await;
        assert_eq!(
            bench.source.position().await.unwrap(),
            before,
            "nothing was committed"
        );
        bench.insert(A, &[[key, 1, 2]]).await;
        let after = bench.source.position().await.unwrap();
        let transactions = capture(&bench.source, &before).await;
        assert_eq!(transactions.len(), 1);
        let id = &transactions[0].id;
        assert!(after.contains(id).unwrap() && !before.contains(id).unwrap());
        before.advance(id).unwrap();
        assert_eq!(before, after);
        assert_eq!(Position::parse(&after.to_string()).as_ref(), Ok(&after));
    }
}

/// A history holds each of its own positions, and none that is ahead of it or of another history.
async fn check_holds<S: Subject>(subject: &S) {
    let mut bench = Bench::new(subject).await;
    let mut own = vec![bench.start.clone()];
    for key in 0..3 {
        bench.insert(A, &[[key, 0, 0]]).await;
        own.push(bench.source.position().await.unwrap());
    }
    for position in &own {
        assert!(bench.source.holds(position).await.unwrap(), "{position}");
    }
    let strangers = strangers(&bench).await;
    for position in &strangers {
        assert!(!bench.source.holds(position).await.unwrap(), "{position}");
    }
}

/// Positions that the source does not hold: ahead of it, of another server, and of another kind of
/// source.
pub(super) async fn strangers<S: Subject>(bench: &Bench<S>) -> [Position; 3] {
    let transactions = capture(&bench.source, &bench.start).await;
    let end = bench.source.position().await.unwrap();
    let texts = match &transactions.last().expect("something was committed").id {
        TransactionId::Mysql { server, number, .. } => [
            format!("{end},{server}:{}", number + FAR_AHEAD),
            format!("{end},{STRANGER}:1"),
            "mariadb:0-1-1".to_owned(),
        ],
        TransactionId::Mariadb {
            domain,
            server,
            number,
        } => [
            format!("mariadb:{domain}-{server}-{}", number + FAR_AHEAD),
            // The same length, but the last was written by another server.
            format!("mariadb:{domain}-{}-{number}", server + 1),
            format!("mysql:{STRANGER}:1"),
        ],
    };
    texts.map(|text| Position::parse(&text).unwrap())
}

/// What a stream has brought is held at once, also before `position` shows it.
async fn check_sent_is_held<S: Subject>(subject: &S) {
    let mut bench = Bench::new(subject).await;
    let mut stream = ChangeSource::open_stream(&bench.source, &bench.beginning())
        .await
        .unwrap();
    let mut assembly = Assembly::new(&bench.start);
    let write = async {
        for key in 0..HELD_TRANSACTIONS {
            bench
                .writer
                .commit(&[insert(A, [key, 0, 0]), delete(A, key)])
                .await;
            bench.writer.commit(&[insert(A, [key, 0, 0])]).await;
        }
    };
    let expected = 2 * usize::try_from(HELD_TRANSACTIONS).unwrap();
    let follow = async {
        while assembly.whole.len() < expected {
            let mut pieces = Vec::new();
            stream.next(&mut pieces, 1).await.unwrap();
            assembly.take(pieces);
            assert!(bench.source.holds(&assembly.reached).await.unwrap());
        }
    };
    in_time("a stream beside its writer", async {
        tokio::join!(write, follow)
    })
    .await;
    assert_eq!(bench.source.position().await.unwrap(), assembly.reached);
}
