//! Names of 64 characters, and names that are equal in their first 63: 42.

use std::collections::BTreeSet;

use spanferry_core::port::target::SchemaTarget as _;
use spanferry_spanner::SpannerTarget;
use spanferry_testkit::server::Engine;

use crate::support::{bench, said};

/// Tables, columns, indexes and foreign keys with the longest names that the source takes, twice
/// each, and a table that the PostgreSQL dialect keeps for itself.
async fn long_names(engine: Engine) {
    let servers = bench(engine).await;
    let name = |letter: &str, last: &str| format!("{}{last}", letter.repeat(63));
    let mut schema = "CREATE TABLE pg_order (id INT PRIMARY KEY, a INT, KEY ia (a));\nINSERT INTO pg_order VALUES (1, 1);\n".to_owned();
    for last in ["x", "y"] {
        let (table, first, second) = (name("t", last), name("c", "x"), name("c", "y"));
        let (by_first, by_second, key) = (name("i", "x"), name("i", "y"), name("f", last));
        schema.push_str(&format!(
            "CREATE TABLE {table} (id INT PRIMARY KEY, {first} INT, {second} INT, KEY {by_first} ({first}), KEY {by_second} ({second}), \
               CONSTRAINT {key} FOREIGN KEY ({first}) REFERENCES pg_order (id));\nINSERT INTO {table} VALUES (1, 1, 2);\n"
        ));
    }
    let world = servers.as_ref().unwrap().world("postgresql", &schema).await;
    // Findings of one kind stand in one line unless all are asked for.
    let all = [&world.migrate_options()[..], &["--verbose"]].concat();
    let (status, text) = said(&world.run("check", &all));
    assert_eq!(status, 0, "{text}");
    assert!(
        text.contains("`pg_order`: it is named `x_pg_order` at the target"),
        "{text}"
    );
    let mut migrate = world.migrate();
    world.wait_caught_up(&mut migrate);
    world
        .sql(&format!(
            "INSERT INTO {0} VALUES (2, 1, 3);\nUPDATE {1} SET {2} = 7;\nUPDATE pg_order SET a = 5;\n",
            name("t", "x"),
            name("t", "y"),
            name("c", "y")
        ))
        .await;
    migrate.kill();
    // Every resume finds the same names, and misses none of them.
    for _ in 0..2 {
        let (status, text) = world.drain();
        assert_eq!(status, 0, "{text}");
        let report = std::fs::read_to_string(world.state.join("report.json")).unwrap();
        assert!(
            !report.contains("SF-4006") && !report.contains("SF-4011"),
            "{report}"
        );
    }
    world.expect_equal();
    let objects = SpannerTarget::new(world.target_client())
        .schema_objects()
        .await
        .unwrap();
    let (t, f) = ("t".repeat(63), "f".repeat(63));
    let cut = |name: &str| format!("{}_2", &name[..61]);
    assert_eq!(
        objects.tables,
        BTreeSet::from([t.clone(), cut(&t), "x_pg_order".to_owned()])
    );
    assert_eq!(objects.foreign_keys, BTreeSet::from([f.clone(), cut(&f)]));
    // Two of each long table, and one of `pg_order`.
    assert_eq!(objects.indexes.len(), 5, "{:?}", objects.indexes);
}

#[tokio::test(flavor = "multi_thread")]
async fn killer_42_long_names_in_the_postgresql_dialect_mysql() {
    long_names(Engine::MySql).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killer_42_long_names_in_the_postgresql_dialect_mariadb() {
    long_names(Engine::MariaDb).await;
}
