//! Bounds at their edge: many tables, large rows and a large transaction, with bounded memory.

#![allow(clippy::unwrap_used, reason = "a failed step is a failed test")]

mod support;

use std::fmt::Write as _;

use spanferry_core::wire::list_value;
use spanferry_core::wire::rows::RowBatch;
use spanferry_spanner::commit::Mutations;
use spanferry_spanner_standin::{Mode, Options, StandIn, parse_rates};
use spanferry_testkit::server::Engine;
use support::{World, bench};

/// What the program may take at its peak, apart from the rows.
const MEMORY_BYTES: u64 = 128 << 20;
/// How many of the largest row it may hold beside that.
const LARGEST_ROWS: u64 = 4;

/// The last `migrate` of this world kept to the memory bound.
fn expect_within_memory_bound(world: &World, largest_row_bytes: u64) {
    let bound = MEMORY_BYTES + LARGEST_ROWS * largest_row_bytes;
    let text = std::fs::read_to_string(world.state.join("report.json")).unwrap();
    let report: serde_json::Value = serde_json::from_str(&text).unwrap();
    let peak = report["process"]["memory_peak_bytes"].as_u64().unwrap();

    assert!(peak <= bound, "peak memory {peak} bytes, the bound is {bound}");
}

const TABLES: u64 = 1_000;

/// A thousand tables of three rows under writes that reach each of them, across an interruption.
#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_small_tables() {
    let servers = bench(Engine::MySql).await;
    let mut schema = String::new();
    for table in 0..TABLES {
        writeln!(
            schema,
            "CREATE TABLE t{table:04} (id INT PRIMARY KEY, v VARCHAR(20) NOT NULL);
             INSERT INTO t{table:04} VALUES (1, 'a'), (2, 'b'), (3, 'c');"
        )
        .unwrap();
    }
    let mut world = servers.as_ref().unwrap().world("googlesql", &schema).await;
    // The emulator takes minutes to create them.
    let stand_in = StandIn::start(Options::new(Mode::Keep)).unwrap();
    world.target_address = Some(stand_in.address());
    let writer = world.writer(|step| {
        let table = step * 7 % TABLES;
        vec![
            format!("UPDATE t{table:04} SET v = CONCAT(v, 'x') WHERE id = 1 AND LENGTH(v) < 20"),
            format!("DELETE FROM t{table:04} WHERE id = 2"),
            format!("INSERT INTO t{table:04} VALUES ({}, 'new')", 10 + step),
        ]
    });
    let mut migrate = world.migrate();
    world.wait_caught_up(&mut migrate);
    writer.write_more(TABLES).await;
    assert_eq!(migrate.interrupt(), 130);
    expect_within_memory_bound(&world, 0);
    writer.write_more(100).await;
    writer.stop().await;
    world.expect_drained();
    expect_within_memory_bound(&world, 0);
    assert!(stand_in.violations().is_empty(), "{:?}", stand_in.violations());
    world.expect_equal();
}

const LARGE: u64 = 8 << 20;

/// Rows of 8 MiB, bytes and text, from the snapshot and from the stream. The text is of four-byte
/// characters: Spanner counts those of a STRING, and takes fewer than 2^22.
async fn large_rows(engine: Engine) {
    let servers = bench(engine).await;
    let rows = |first: u64| {
        format!(
            "INSERT INTO bytes VALUES ({first}, REPEAT(0x00FF10, {LARGE} DIV 3)), ({}, REPEAT('b', {LARGE}));
             INSERT INTO texts VALUES ({first}, REPEAT('🍐', {LARGE} DIV 4)), ({}, REPEAT('ü', 2000000));
             ",
            first + 1,
            first + 1
        )
    };
    let schema = "CREATE TABLE bytes (id INT PRIMARY KEY, v LONGBLOB NOT NULL);
        CREATE TABLE texts (id INT PRIMARY KEY, v LONGTEXT CHARACTER SET utf8mb4 NOT NULL);
        ";
    let world = servers
        .as_ref()
        .unwrap()
        .world("googlesql", &format!("{schema}{}", rows(1)))
        .await;
    world.expect_drained();
    expect_within_memory_bound(&world, LARGE);
    world.sql(&rows(3)).await;
    world
        .sql("UPDATE bytes SET v = REVERSE(v) WHERE id = 1;\nUPDATE texts SET id = 9 WHERE id = 1;\nDELETE FROM bytes WHERE id = 2;\n")
        .await;
    world.expect_drained();
    expect_within_memory_bound(&world, LARGE);
    world.expect_equal();
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_of_eight_mebibytes_mysql() {
    large_rows(Engine::MySql).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_of_eight_mebibytes_mariadb() {
    large_rows(Engine::MariaDb).await;
}

/// One transaction of a million changes, each of which meets the unique value of the row before.
#[tokio::test(flavor = "multi_thread")]
async fn one_transaction_of_a_million_changes() {
    let servers = bench(Engine::MySql).await;
    let schema = "CREATE TABLE t (id INT PRIMARY KEY, pos INT NOT NULL, UNIQUE KEY pos (pos));
        SET SESSION cte_max_recursion_depth = 1000000;
        INSERT INTO t WITH RECURSIVE n AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM n WHERE i < 1000000) SELECT i, i FROM n;
        ";
    let mut world = servers.as_ref().unwrap().world("googlesql", schema).await;
    let stand_in = StandIn::start(Options::new(Mode::Keep)).unwrap();
    world.target_address = Some(stand_in.address());
    world.expect_drained();
    expect_within_memory_bound(&world, 0);
    world.sql("UPDATE t SET pos = pos + 1 ORDER BY pos DESC;\n").await;
    world.expect_drained();
    expect_within_memory_bound(&world, 0);
    assert!(stand_in.violations().is_empty(), "{:?}", stand_in.violations());
    world.expect_equal();
}

/// Rows of a table that is verified in pieces: the stand-in ends a read behind 500 rows.
const IN_PIECES: u64 = 3_000;

/// The target drops the version of every read behind its first rows. `verify` reads the table in
/// pieces, by a key of several columns, and sees one row that is missing.
#[tokio::test(flavor = "multi_thread")]
async fn a_table_whose_versions_are_dropped_while_it_is_read() {
    let servers = bench(Engine::MySql).await;
    let schema = format!(
        "CREATE TABLE t (a INT NOT NULL, b VARBINARY(9) NOT NULL, v INT NOT NULL, PRIMARY KEY (b, a));
        SET SESSION cte_max_recursion_depth = {IN_PIECES};
        INSERT INTO t WITH RECURSIVE n AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM n WHERE i < {IN_PIECES})
            SELECT i, CONCAT('k', i % 7), i FROM n;
        "
    );
    let mut world = servers.as_ref().unwrap().world("googlesql", &schema).await;
    let stand_in = world.stand_in();
    world.expect_drained();
    let reads_under = |fault: &str| {
        let before = stand_in.faults().injected();
        stand_in.faults().set_rates(parse_rates(fault).unwrap());
        world.expect_equal();
        stand_in.faults().injected() - before
    };
    let whole = reads_under("StreamingRead.latency=1:0ms");
    let in_pieces = reads_under("StreamingRead.version-gone=1");
    let more = IN_PIECES / 500 - 1;
    assert!(in_pieces >= whole + more, "{whole} reads, then {in_pieces}");
    // `azM=` is `k3`.
    let mut key = RowBatch::new();
    let cells = key.begin_row();
    list_value::put_string(cells, b"azM=");
    list_value::put_string(cells, b"2005");
    key.end_row();
    let mut mutations = Mutations::new();
    mutations.delete("t", &key);
    let client = world.client_at(&stand_in.address().to_string());
    client.commit("meddling", mutations).await.unwrap();
    let (status, text) = world.verify();
    assert!(status == 4 && text.contains("1 missing"), "exit {status}: {text}");
    assert!(stand_in.violations().is_empty(), "{:?}", stand_in.violations());
}
