//! The change log's disk: at its budget capture pauses and says so, and continues when there is
//! room.

use std::os::unix::process::ExitStatusExt;
use std::process::Command;

use spanferry_testkit::server::Engine;

use crate::support::{Running, bench, said};

const SCHEMA: &str =
    "CREATE TABLE t (id INT PRIMARY KEY, pad VARCHAR(3000) NOT NULL);\nINSERT INTO t VALUES (1, 'x');\n";
/// About 1 MB of changes, never the same.
const CHANGES: &str = "SET SESSION cte_max_recursion_depth = 10000;
    REPLACE INTO t WITH RECURSIVE n AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM n WHERE i < 400) SELECT i, CONCAT(UUID(), REPEAT('x', 2500)) FROM n;
    ";

/// A budget smaller than what comes: capture waits, says why, and continues once what is applied
/// was trimmed. A transaction larger than the budget has to wait for a larger one: an interrupt is
/// clean, and the next start resumes.
#[tokio::test(flavor = "multi_thread")]
async fn a_log_at_its_budget_pauses_capture_and_says_so() {
    let servers = bench(Engine::MySql).await;
    let mut world = servers.as_ref().unwrap().world("googlesql", SCHEMA).await;
    world.options = vec!["--log-budget".to_owned(), "3000000".to_owned()];
    let mut migrate = world.migrate();
    world.wait_caught_up(&mut migrate);
    let waits = |status: &serde_json::Value| {
        let reason = status["throttled"].as_str();
        reason.is_some_and(|reason| reason.contains("capture waits"))
    };
    for _ in 0..4 {
        world.sql(CHANGES).await;
    }
    world.wait(&mut migrate, "capture waits for room", waits);
    world.wait_caught_up(&mut migrate);
    world
        .sql(&format!("BEGIN;\n{CHANGES}{CHANGES}{CHANGES}COMMIT;\n"))
        .await;
    world.wait(
        &mut migrate,
        "the operator hears that it waits in vain",
        |status| {
            let reason = status["throttled"].as_str();
            reason.is_some_and(|reason| {
                reason.contains("Waiting does not help") && reason.contains("--log-budget")
            })
        },
    );
    assert_eq!(migrate.interrupt(), 130);
    world.options.clear();
    world.expect_drained();
    world.expect_equal();
}

/// Transactions that come at once are more than the budget, and each of them is less: they take
/// turns.
#[tokio::test(flavor = "multi_thread")]
async fn a_batch_above_the_budget_goes_through_by_transactions() {
    let servers = bench(Engine::MySql).await;
    let mut world = servers.as_ref().unwrap().world("googlesql", SCHEMA).await;
    world.expect_drained();
    let one = "REPLACE INTO t SELECT ID + n.i, REPEAT('y', 3000) FROM (WITH RECURSIVE n AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM n WHERE i < 20) SELECT i FROM n) n;\n";
    let all: String = (0..4)
        .map(|step| one.replace("ID", &(step * 20).to_string()))
        .collect();
    world.sql(&all).await;
    world.options = vec!["--log-budget".to_owned(), "150000".to_owned()];
    world.expect_drained();
    world.expect_equal();
}

/// Lets files of a running process grow up to `bytes` and no further: to write beyond fails as on a
/// full disk.
fn limit_files(migrate: &Running, bytes: &str) {
    let limited = Command::new("prlimit")
        .args(["--pid", &migrate.0.id().to_string(), &format!("--fsize={bytes}:")])
        .status()
        .unwrap();
    assert!(limited.success());
}

/// No room for the log: capture waits and says so; with room again the same process continues.
#[tokio::test(flavor = "multi_thread")]
async fn a_disk_without_room_pauses_capture_until_there_is_some() {
    let servers = bench(Engine::MySql).await;
    let world = servers.as_ref().unwrap().world("googlesql", SCHEMA).await;
    let mut migrate = world.migrate();
    world.wait_caught_up(&mut migrate);
    limit_files(&migrate, "1500000");
    for _ in 0..4 {
        world.sql(CHANGES).await;
    }
    world.wait(&mut migrate, "capture waits for room", |status| {
        status["throttled"]
            .as_str()
            .is_some_and(|reason| reason.contains("no space left for the change log"))
    });
    limit_files(&migrate, "unlimited");
    world.wait(&mut migrate, "capture continues", |status| {
        status["throttled"].is_null()
    });
    assert_eq!(migrate.interrupt(), 130);
    world.expect_drained();
    world.expect_equal();
}

/// The state directory of another migration is refused; a lost one is noticed, and what it held is
/// fetched again.
#[tokio::test(flavor = "multi_thread")]
async fn a_foreign_state_directory_is_refused_and_a_lost_one_replaced() {
    let servers = bench(Engine::MySql).await;
    let one = servers.as_ref().unwrap().world("googlesql", SCHEMA).await;
    let mut other = servers.as_ref().unwrap().world("googlesql", SCHEMA).await;
    one.expect_drained();
    other.expect_drained();
    let own = std::mem::replace(&mut other.state, one.state.clone());
    let (status, text) = other.drain();
    assert!(
        status == 2 && text.contains("SF-1003") && text.contains("hint"),
        "{status}: {text}"
    );
    other.state = own;
    other.expect_drained();
    std::fs::remove_dir_all(other.state.join("log")).unwrap();
    other.sql(CHANGES).await;
    let (status, text) = other.drain();
    assert!(
        status == 0 && text.contains("change log is not in the state directory"),
        "{status}: {text}"
    );
    other.expect_equal();
}

/// A killed process leaves no lock behind.
#[tokio::test(flavor = "multi_thread")]
async fn a_killed_process_holds_nothing() {
    let servers = bench(Engine::MySql).await;
    let world = servers.as_ref().unwrap().world("googlesql", SCHEMA).await;
    let mut migrate = world.migrate();
    world.wait_caught_up(&mut migrate);
    let (status, text) = said(&world.run("resync", &["t", "--yes"]));
    assert!(status == 2 && text.contains("SF-1002"), "{status}: {text}");
    migrate.0.kill().unwrap();
    assert_eq!(migrate.0.wait().unwrap().signal(), Some(9));
    world.expect_drained();
    world.expect_equal();
}
