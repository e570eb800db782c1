//! What the emulator cannot show: retry information, precommit tokens, broken streams, lost
//! sessions, single attempts.

#![expect(
    clippy::unwrap_used,
    reason = "a test ends at the first surprise, also in its helpers"
)]

mod fake;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use fake::{Fake, any, partial, text};
use prost_types::Timestamp;
use spanferry_core::fixture;
use spanferry_core::port::target::{CommitTimestamp, ScanAt, ScanRequest, Scanned, TableReader, TargetScan};
use spanferry_core::report::code;
use spanferry_core::value::encode::Encoding;
use spanferry_core::wire::list_value::{WireReader, WireValue};
use spanferry_core::wire::rows::RowBatch;
use spanferry_spanner::SpannerTarget;
use spanferry_spanner::client::{Client, ClientOptions, Priority};
use spanferry_spanner::commit::{Mutations, WriteKind};
use spanferry_spanner::endpoint::{Endpoint, EndpointChoice};
use spanferry_spanner::error::SpannerError;
use spanferry_spanner::read::{Keys, Read, ReadAt};
use spanferry_spanner_api::rpc;
use spanferry_spanner_api::spanner::commit_response::MultiplexedSessionRetry;
use spanferry_spanner_api::spanner::{CommitResponse, MultiplexedSessionPrecommitToken};
use tonic::{Code, Status};

fn client(address: &str, options: ClientOptions) -> Client {
    let choice = EndpointChoice {
        endpoint: Some(format!("http://{address}")),
        ..EndpointChoice::default()
    };
    let name = "spanner://projects/p/instances/i/databases/d".parse().unwrap();
    Client::new(name, Endpoint::choose(&choice).unwrap(), options).unwrap()
}

fn mutations() -> Mutations {
    let mut rows = RowBatch::new();
    rows.push(b"");
    let mut mutations = Mutations::new();
    mutations.write(WriteKind::Insert, "t", ["c"], &rows);
    mutations
}

fn committed() -> CommitResponse {
    CommitResponse {
        commit_timestamp: Some(Timestamp { seconds: 7, nanos: 0 }),
        ..CommitResponse::default()
    }
}

fn token(number: i32) -> MultiplexedSessionPrecommitToken {
    MultiplexedSessionPrecommitToken {
        precommit_token: Bytes::from_static(b"token"),
        seq_num: number,
    }
}

#[tokio::test]
async fn a_commit_is_sent_once_whatever_comes_back() {
    let (fake, address) = Fake::start().await;
    let client = client(&address, ClientOptions::default());
    let delay = rpc::RetryInfo {
        retry_delay: Some(prost_types::Duration {
            seconds: 1,
            nanos: 500_000_000,
        }),
    };
    let details = rpc::Status {
        details: vec![any("google.rpc.RetryInfo", &delay)],
        ..rpc::Status::default()
    };
    let details = prost::Message::encode_to_vec(&details).into();
    let statuses = [
        (
            Status::with_details(Code::Aborted, "x", details),
            "aborted Some(1.5s)",
        ),
        (Status::unavailable("x"), "unanswered"),
        (Status::internal("x"), "unanswered"),
        (Status::already_exists("x"), "rejected"),
    ];
    for (index, (status, expected)) in statuses.into_iter().enumerate() {
        fake.answer_commit(Err(status));
        let shape = match client.commit("t", mutations()).await.unwrap_err() {
            SpannerError::Aborted { retry_delay, .. } => format!("aborted {retry_delay:?}"),
            SpannerError::Unanswered { .. } => "unanswered".to_owned(),
            SpannerError::Rejected { .. } => "rejected".to_owned(),
            other => panic!("unexpected {other}"),
        };
        assert_eq!((shape.as_str(), fake.commits().len()), (expected, index + 1));
    }
}

#[tokio::test]
async fn a_cut_connection_leaves_the_outcome_unknown_and_is_opened_again() {
    let (fake, address) = Fake::start().await;
    let proxy = fake::CuttingProxy::start(address).await;
    let client = client(&proxy.address, ClientOptions::default());
    fake.answer_commit(Ok(committed()));
    client.commit("t", mutations()).await.unwrap();
    proxy.cut();
    let mut outcomes = Vec::new();
    // Each of the client's connections may be cut once; then all are new.
    while fake.commits().len() < 3 {
        fake.answer_commit(Ok(committed()));
        outcomes.push(client.commit("t", mutations()).await);
    }
    for outcome in outcomes {
        assert!(
            matches!(outcome, Ok(_) | Err(SpannerError::Unanswered { .. })),
            "{outcome:?}"
        );
    }
}

#[tokio::test]
async fn requests_carry_session_routing_priority_and_tag() {
    let (fake, address) = Fake::start().await;
    let commit_delay_max = Some(Duration::from_millis(20));
    let client = client(
        &address,
        ClientOptions {
            priority: Priority::Low,
            commit_delay_max,
        },
    );
    fake.answer_commit(Ok(committed()));
    assert_eq!(client.commit("t", mutations()).await.unwrap().at.seconds, 7);
    let (commit, metadata) = fake.commits().remove(0);
    let header = |name: &str| metadata.get(name).map(|value| value.to_str().unwrap().to_owned());
    assert_eq!(
        header("google-cloud-resource-prefix").as_deref(),
        Some("projects/p/instances/i/databases/d")
    );
    assert_eq!(header("x-goog-request-params").as_deref(), Some("session=s%2F1"));
    assert_eq!(header("x-goog-spanner-route-to-leader").as_deref(), Some("true"));
    assert_eq!(header("authorization"), None);
    let options = commit.request_options.unwrap();
    assert_eq!(
        (options.priority, options.transaction_tag.as_str()),
        (1, "app=spanferry")
    );
    assert_eq!(commit.max_commit_delay.unwrap().nanos, 20_000_000);
    assert_eq!((commit.session.as_str(), commit.mutations.len()), ("s/1", 1));
    assert_eq!(fake.sessions(), [true]);
}

#[tokio::test]
async fn a_lost_session_is_replaced_by_the_next_call() {
    let (fake, address) = Fake::start().await;
    let client = client(&address, ClientOptions::default());
    fake.answer_commit(Err(Status::not_found("Session not found: s/1")));
    let lost = client.commit("t", mutations()).await.unwrap_err();
    assert!(matches!(lost, SpannerError::SessionLost { .. }), "{lost}");
    fake.answer_commit(Ok(committed()));
    client.commit("t", mutations()).await.unwrap();
    assert_eq!(fake.commits()[1].0.session, "s/2");
}

#[tokio::test]
async fn precommit_tokens_are_followed() {
    let (fake, address) = Fake::start().await;
    let client = client(&address, ClientOptions::default());
    let mut part = partial(&[text("x")], false, b"");
    part.precommit_token = Some(token(4));
    fake.answer_read(vec![Ok(part)]);
    let retry = Some(MultiplexedSessionRetry::PrecommitToken(token(9)));
    fake.answer_commit(Ok(CommitResponse {
        multiplexed_session_retry: retry,
        ..CommitResponse::default()
    }));
    fake.answer_commit(Ok(committed()));
    let mut transaction = client.begin("t").await.unwrap();
    assert_eq!(
        transaction
            .read(&Read::new("t", ["c"], Keys::All))
            .await
            .unwrap()
            .len(),
        1
    );
    transaction.commit(mutations()).await.unwrap();
    let tokens: Vec<_> = fake
        .commits()
        .into_iter()
        .map(|(commit, _)| commit.precommit_token.unwrap().seq_num)
        .collect();
    assert_eq!(tokens, [4, 9]);
}

/// A server that asks for another round again and again, or names no time, has not said what became
/// of the commit.
#[tokio::test]
async fn an_answer_without_a_commit_timestamp_is_no_answer() {
    let (fake, address) = Fake::start().await;
    let client = client(&address, ClientOptions::default());
    fake.answer_commit(Ok(CommitResponse::default()));
    let unknown = client.commit("t", mutations()).await.unwrap_err();
    assert!(matches!(unknown, SpannerError::Unanswered { .. }), "{unknown}");
    for number in 0..8 {
        fake.answer_commit(Ok(CommitResponse {
            multiplexed_session_retry: Some(MultiplexedSessionRetry::PrecommitToken(token(number))),
            ..CommitResponse::default()
        }));
    }
    let unknown = client.commit("t", mutations()).await.unwrap_err();
    assert!(matches!(unknown, SpannerError::Unanswered { .. }), "{unknown}");
    assert_eq!(fake.commits().len(), 9);
}

#[tokio::test]
async fn a_broken_read_resumes_without_loss_or_repetition() {
    let (fake, address) = Fake::start().await;
    let client = client(&address, ClientOptions::default());
    let broken = || Err(Status::unavailable("cut"));
    // Before any token the read begins again; what came without a token is not given out.
    fake.answer_read(vec![Ok(partial(&[text("lost")], false, b"")), broken()]);
    fake.answer_read(vec![
        Ok(partial(&[text("a"), text("b"), text("c1")], true, b"t1")),
        Ok(partial(&[text("lost"), text("lost")], false, b"")),
        broken(),
    ]);
    fake.answer_read(vec![broken()]);
    fake.answer_read(vec![
        Ok(partial(&[text("c2")], false, b"")),
        Ok(partial(&[text("d"), text("e"), text("f")], false, b"t2")),
    ]);
    let read = Read::new("t", ["x", "y"], Keys::All);
    let mut rows = client.read("table t", &read, ReadAt::Strong).await.unwrap();
    let mut cells = Vec::new();
    // Three rows of two columns; the first value of the second row comes in two chunks, on both
    // sides of the break.
    while let Some(row) = rows.next().await.unwrap() {
        for cell in WireReader::new(&row) {
            let Ok(WireValue::String(cell)) = cell else {
                panic!("expected a text, found {cell:?}")
            };
            cells.push(String::from_utf8(cell.to_vec()).unwrap());
        }
    }
    assert_eq!(cells, ["a", "b", "c1c2", "d", "e", "f"]);
    assert_eq!(fake.resume_tokens(), ["", "", "t1", "t1"]);
}

/// `FAILED_PRECONDITION` means that the version is gone where its timestamp was chosen before, and
/// something else where it was not.
#[tokio::test]
async fn a_version_that_is_gone_is_told_from_a_rejection() {
    let (fake, address) = Fake::start().await;
    let client = client(&address, ClientOptions::default());
    let read = Read::new("t", ["x"], Keys::All);
    let gone = || Err(Status::failed_precondition("any words"));
    fake.answer_read(vec![gone()]);
    let refused = client.read("table t", &read, ReadAt::Strong).await.unwrap_err();
    assert!(matches!(refused, SpannerError::Rejected { .. }), "{refused}");
    fake.answer_read(vec![gone()]);
    let at = ReadAt::Exact(Timestamp { seconds: 7, nanos: 0 });
    let expired = client.read("table t", &read, at).await.unwrap_err();
    assert!(matches!(expired, SpannerError::Expired { .. }), "{expired}");

    // The server had chosen: the stream broke, and what is left cannot be read any more.
    fake.answer_read(vec![
        Ok(partial(&[text("a")], false, b"t1")),
        Err(Status::unavailable("cut")),
    ]);
    fake.answer_read(vec![gone()]);
    let mut rows = client.read("table t", &read, ReadAt::Strong).await.unwrap();
    assert!(rows.next().await.unwrap().is_some());
    let expired = rows.next().await.unwrap_err();
    assert!(matches!(expired, SpannerError::Expired { .. }), "{expired}");
    assert!(!expired.is_passing());
}

/// A scan hands on what came before its version was gone, and then says that it is.
#[tokio::test]
async fn a_scan_ends_where_its_version_is_gone() {
    let (fake, address) = Fake::start().await;
    let target = SpannerTarget::new(client(&address, ClientOptions::default()));
    let mut plan = fixture::plan(
        fixture::table("t", vec![fixture::column("id", fixture::BIGINT)]),
        [Encoding::Int64],
    );
    plan.target.columns = vec![fixture::target_column("id")];
    let plan = Arc::new(plan);
    let gone = || Err(Status::failed_precondition("any words"));
    fake.answer_read(vec![
        Ok(partial(&[text("1"), text("2")], false, b"t1")),
        Err(Status::unavailable("cut")),
    ]);
    fake.answer_read(vec![gone()]);
    let whole = ScanRequest::whole(&plan);
    let (mut scan, mut batch) = (target.scan(&whole).await.unwrap(), RowBatch::new());
    assert_eq!(scan.next(&mut batch, 1 << 20).await.unwrap(), Scanned::Rows);
    assert_eq!(batch.len(), 2);
    for _ in 0..2 {
        assert_eq!(scan.next(&mut batch, 1 << 20).await.unwrap(), Scanned::Expired);
        assert!(batch.is_empty());
    }
    // A timestamp that was asked for is gone at once.
    fake.answer_read(vec![gone()]);
    let at = CommitTimestamp {
        seconds: 7,
        nanoseconds: 0,
    };
    let request = ScanRequest {
        at: ScanAt::Exactly(at),
        ..whole
    };
    let mut scan = target.scan(&request).await.unwrap();
    assert_eq!(scan.next(&mut batch, 1).await.unwrap(), Scanned::Expired);
    assert_eq!(scan.at(), Some(at));
    // The present is never gone: another refusal is a failure.
    fake.answer_read(vec![gone()]);
    assert_eq!(target.scan(&whole).await.unwrap_err().code, code::TARGET_FAILED);
}

#[tokio::test]
async fn a_result_that_ends_inside_a_row_is_an_error() {
    let (fake, address) = Fake::start().await;
    let client = client(&address, ClientOptions::default());
    fake.answer_read(vec![Ok(partial(&[text("a"), text("b"), text("c")], false, b"t"))]);
    let mut rows = client
        .read("table t", &Read::new("t", ["x", "y"], Keys::All), ReadAt::Strong)
        .await
        .unwrap();
    assert!(rows.next().await.unwrap().is_some());
    assert!(matches!(rows.next().await, Err(SpannerError::Malformed { .. })));
}
