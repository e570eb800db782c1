//! Names in another letter case than the server keeps them in: 34. `crates/mysql/tests/names.rs`
//! has the details.

use std::sync::Arc;

use spanferry_testkit::server::{Emulator, Engine, Server, ServerOptions};

use crate::support::{World, said};

const TABLES: &str = "CREATE TABLE Orders (N INT NOT NULL, Id INT NOT NULL, v INT, PRIMARY KEY (N, Id));
    CREATE TABLE Dropped (id INT PRIMARY KEY);
    CREATE TABLE Skipped (id INT PRIMARY KEY);
    INSERT INTO Orders VALUES (1, 1, 1), (2, 2, 2);
    INSERT INTO Dropped VALUES (1), (2);
    ";

/// A server with `lower_case_table_names = 1`, and every name written with capitals.
async fn lower_case_names(engine: Engine) {
    let options = ServerOptions {
        arguments: vec!["--lower-case-table-names=1".to_owned()],
        ..ServerOptions::default()
    };
    let server = Arc::new(Server::start_with(engine, &options).unwrap());
    let emulator = Arc::new(Emulator::start().unwrap());
    let mut world = World::on(server, emulator, "shop2", "googlesql", TABLES).await;
    world.schema_spelled = Some("Shop2");
    world.options = [
        "--include",
        "Orders",
        "--include",
        "DROP*",
        "--exclude",
        "SKIPPED",
    ]
    .map(str::to_owned)
    .into();
    let mut migrate = world.migrate();
    world.wait_caught_up(&mut migrate);
    world
        .sql("INSERT INTO ORDERS VALUES (3, 3, 3);\nUPDATE orders SET n = 9, v = 8 WHERE N = 1;\nTRUNCATE TABLE DROPPED")
        .await;
    world.wait(&mut migrate, "the emptied table had stopped", |status| {
        let tables = status["tables"].as_array().unwrap();
        tables.len() == 2
            && tables
                .iter()
                .any(|table| table["name"] == "dropped" && table["phase"] == "stopped")
    });
    assert_eq!(migrate.interrupt(), 4);
    let (status, text) = said(&world.run("resync", &["DROPPED", "--yes"]));
    assert_eq!(status, 0, "{text}");
    world.expect_drained();
    world.expect_equal();
    let rows = world.target_rows("orders", &["N", "v"]).await;
    assert_eq!(rows, [["2", "2"], ["3", "3"], ["9", "8"]]);
}

#[tokio::test(flavor = "multi_thread")]
async fn killer_34_names_in_another_letter_case_mysql() {
    lower_case_names(Engine::MySql).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killer_34_names_in_another_letter_case_mariadb() {
    lower_case_names(Engine::MariaDb).await;
}
