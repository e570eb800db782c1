//! A source that logs cascades and follows a server that does not: SF-2032.

use serde_json::Value;
use spanferry_testkit::patience::until;
use spanferry_testkit::server::{Engine, Server};

use crate::server::address;
use crate::support::{World, said};

const SCHEMA: &str = "CREATE TABLE p (id INT PRIMARY KEY);
    CREATE TABLE c (id INT PRIMARY KEY, p INT, CONSTRAINT fk FOREIGN KEY (p) REFERENCES p (id) ON DELETE CASCADE);
    CREATE TABLE calm (id INT PRIMARY KEY);
    INSERT INTO p VALUES (1), (2), (3);
    INSERT INTO c VALUES (10, 1), (20, 2), (30, 3);
    INSERT INTO calm VALUES (1);
    ";

/// Waits until the replica has the row of `calm` that its source wrote last.
async fn wait_for_calm(replica: &Server, id: u64) {
    until("the replica has what its source wrote", async || {
        let sql = format!("SELECT COUNT(*) FROM calm WHERE id = {id}");
        let found = replica.query::<u64>(Some("shop"), &sql).await;
        found.is_ok_and(|found| found == [1])
    })
    .await;
}

fn is_stopped(status: &Value, table: &str) -> bool {
    let mut tables = status["tables"].as_array().into_iter().flatten();
    tables.any(|found| found["name"] == table && found["phase"] == "stopped")
}

/// The remedy that `status` shows for a table and the code.
fn remedy(status: &Value, table: &str) -> String {
    let findings = status["findings"].as_array().into_iter().flatten();
    let mut ours = findings.filter(|finding| finding["code"] == "SF-2032" && finding["table"] == table);
    let found = ours.next().unwrap_or_else(|| panic!("{status}"));
    found["remedy"].as_str().unwrap().to_owned()
}

/// The statements for the source in the words of the remedy.
fn statements(remedy: &str) -> String {
    let (_, rest) = remedy.split_once("where the changes are made: ").unwrap();
    let (statements, _) = rest.split_once("; and let").unwrap();
    statements.replace("; ", ";\n")
}

/// The child stops by name with its parent, the other table flows on, and what the remedy says ends
/// it.
#[tokio::test(flavor = "multi_thread")]
async fn a_cascade_above_the_source_stops_the_child_by_name() {
    let native = ["--innodb-native-foreign-keys=ON"];
    let mut world = World::with_arguments(Engine::MySql, &native, SCHEMA).await;
    let replica = world.server.replica().unwrap();
    world.source_address = Some(address(&replica));
    wait_for_calm(&replica, 1).await;
    let mut migrate = world.migrate();
    world.wait_caught_up(&mut migrate);

    world
        .sql("DELETE FROM p WHERE id = 1;\nINSERT INTO calm VALUES (2);\n")
        .await;
    world.wait(&mut migrate, "the child and its parent had stopped", |status| {
        is_stopped(status, "c") && is_stopped(status, "p")
    });
    let status = world.status().unwrap();
    assert!(!is_stopped(&status, "calm"), "{status}");
    let remedy = remedy(&status, "c");
    assert!(remedy.contains("run `spanferry resync c`"), "{remedy}");
    assert_eq!(migrate.interrupt(), 4);
    world.sql("INSERT INTO calm VALUES (3);\n").await;
    wait_for_calm(&replica, 3).await;
    let (status, text) = world.drain();
    assert!(status == 4 && text.contains("SF-2032"), "{status}: {text}");
    assert_eq!(world.target_rows("calm", &["id"]).await, [["1"], ["2"], ["3"]]);
    let (status, text) = said(&world.run("status", &[]));
    assert!(
        text.contains("SF-2032") && text.contains("the foreign key `fk` of table `c`"),
        "{status}: {text}"
    );

    // What the remedy says.
    world.sql(&statements(&remedy)).await;
    world
        .sql("DELETE FROM c WHERE p = 2;\nDELETE FROM p WHERE id = 2;\nINSERT INTO calm VALUES (4);\n")
        .await;
    wait_for_calm(&replica, 4).await;
    let (status, text) = said(&world.run("resync", &["c", "--yes"]));
    assert_eq!(status, 0, "{text}");
    world.expect_drained();
    world
        .sql("DELETE FROM c WHERE p = 3;\nDELETE FROM p WHERE id = 3;\nINSERT INTO calm VALUES (5);\n")
        .await;
    wait_for_calm(&replica, 5).await;
    world.expect_drained();
    world.expect_equal();
    assert!(world.target_rows("c", &["id"]).await.is_empty());
}
