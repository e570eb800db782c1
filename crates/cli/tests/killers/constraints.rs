//! Indexes and foreign keys that the target does not take: 39, 46.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use spanferry_core::target::{SchemaObjects, Target as _};
use spanferry_spanner::SpannerTarget;
use spanferry_testkit::interposer::DdlStage;
use spanferry_testkit::server::Engine;

use crate::support::{World, bench, said};

/// What is at the target now.
async fn objects(world: &World) -> SchemaObjects {
    let target = SpannerTarget::new(world.target_client());
    target.schema_objects().await.unwrap()
}

/// The subjects of the findings of one code in the last report, each with its text.
fn reported(world: &World, code: &str) -> Vec<(String, String)> {
    let report = std::fs::read(world.state.join("report.json")).unwrap();
    let report: serde_json::Value = serde_json::from_slice(&report).unwrap();
    let findings = report["findings"].as_array().unwrap().iter();
    let of_code = findings.filter(|finding| finding["code"] == code);
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    of_code
        .map(|finding| {
            let subject = format!("{}.{}", text(&finding["table"]), text(&finding["part"]));
            (subject, text(&finding["text"]))
        })
        .collect()
}

const TABLES: usize = 60;

/// Sixty tables with an index each, and foreign keys between some of them. One index has sixteen parts on top of the table's key.
fn sixty_tables() -> String {
    let columns: Vec<String> = (0..16).map(|column| format!("w{column} INT")).collect();
    let parts: Vec<String> = (0..16).map(|column| format!("w{column}")).collect();
    let mut sql = String::new();
    for number in 0..TABLES {
        let wide = if number == 31 {
            format!(", {}, KEY wide ({})", columns.join(", "), parts.join(", "))
        } else {
            String::new()
        };
        let parent = if number % 6 == 5 {
            format!(
                ", CONSTRAINT fk{number} FOREIGN KEY (a) REFERENCES t{} (id)",
                number - 1
            )
        } else {
            String::new()
        };
        writeln!(
            sql,
            "CREATE TABLE t{number} (id INT PRIMARY KEY, a INT, b INT, UNIQUE KEY ub (b), KEY ia (a){wide}{parent});"
        )
        .unwrap();
        writeln!(
            sql,
            "INSERT INTO t{number} (id, a, b) VALUES (1, 1, 1), (2, 2, 2);"
        )
        .unwrap();
    }
    sql
}

/// Only what the target refuses is left out, each by its own reason; all other indexes and foreign keys are there.
async fn one_refused_statement_costs_no_other(engine: Engine, dialect: &'static str) {
    let servers = bench(engine).await;
    let mut world = servers.as_ref().unwrap().world(dialect, &sixty_tables()).await;
    let interposer = world.interpose("");
    for text in ["t7_ub", "t49_ia", "fk23"] {
        let quoted = spanferry_core::ddl::quote(text, dialect_of(dialect));
        interposer.ddl_rules().refuse(&quoted, DdlStage::Call);
    }
    world.expect_drained();
    world.expect_equal();
    let by_definition = reported(&world, "SF-4004");
    let wide = by_definition.iter().find(|(subject, _)| subject == "t31.wide");
    assert!(wide.unwrap().1.contains("its key has 17 parts"), "{wide:?}");
    let left_out = reported(&world, "SF-4006");
    let subjects: BTreeSet<&str> = left_out.iter().map(|(subject, _)| subject.as_str()).collect();
    assert_eq!(subjects, BTreeSet::from(["t7.t7_ub", "t49.t49_ia", "t23.fk23"]));
    for (subject, text) in &left_out {
        let name = subject.split_once('.').unwrap().1;
        assert!(
            text.contains("The interposer refuses") && text.contains(name),
            "{text}"
        );
    }
    let objects = objects(&world).await;
    let indexes: BTreeSet<String> = (0..TABLES)
        .flat_map(|number| [format!("t{number}_ia"), format!("t{number}_ub")])
        .filter(|name| name != "t7_ub" && name != "t49_ia")
        .collect();
    assert_eq!(objects.indexes, indexes);
    let keys: BTreeSet<String> = (0..TABLES)
        .filter(|number| number % 6 == 5 && *number != 23)
        .map(|number| format!("fk{number}"))
        .collect();
    assert_eq!(objects.foreign_keys, keys);
}

/// An index over the first characters of a long text is left out and named; a value that is longer than a key flows.
async fn prefix_of_a_long_text(engine: Engine, dialect: &'static str) {
    let servers = bench(engine).await;
    let schema = "CREATE TABLE p (id INT PRIMARY KEY, body TEXT, mail VARCHAR(255), KEY ib (body(20)), KEY im (mail(10)));
        INSERT INTO p VALUES (1, 'short', 'a@b'), (2, REPEAT('x', 9000), 'c@d');
        ";
    let world = servers.as_ref().unwrap().world(dialect, schema).await;
    let (status, text) = said(&world.run("check", &world.migrate_options()));
    assert_eq!(status, 0, "{text}");
    assert!(
        text.contains("`p.ib`: the index is not carried: its key may take up to"),
        "{text}"
    );
    let mut migrate = world.migrate();
    world.wait_caught_up(&mut migrate);
    world
        .sql("INSERT INTO p VALUES (3, REPEAT('y', 20000), REPEAT('m', 255));\nUPDATE p SET body = REPEAT('z', 30000) WHERE id = 1;\n")
        .await;
    migrate.kill();
    world.expect_drained();
    world.expect_equal();
    assert_eq!(objects(&world).await.indexes, BTreeSet::from(["p_im".to_owned()]));
}

#[tokio::test(flavor = "multi_thread")]
async fn killer_46_an_index_over_the_prefix_of_a_long_text_mysql() {
    prefix_of_a_long_text(Engine::MySql, "postgresql").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killer_46_an_index_over_the_prefix_of_a_long_text_mariadb() {
    prefix_of_a_long_text(Engine::MariaDb, "googlesql").await;
}

fn dialect_of(name: &str) -> spanferry_core::target_schema::Dialect {
    match name {
        "postgresql" => spanferry_core::target_schema::Dialect::PostgreSql,
        _ => spanferry_core::target_schema::Dialect::GoogleSql,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn killer_39_one_refused_statement_costs_no_other_mysql() {
    one_refused_statement_costs_no_other(Engine::MySql, "googlesql").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killer_39_one_refused_statement_costs_no_other_mariadb_postgresql_dialect() {
    one_refused_statement_costs_no_other(Engine::MariaDb, "postgresql").await;
}
