//! Indexes and foreign keys that the target does not take: 39, 46.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::os::unix::process::ExitStatusExt as _;

use spanferry_core::port::target::{SchemaObjects, SchemaTarget as _};
use spanferry_spanner::SpannerTarget;
use spanferry_spanner_standin::DdlStage;
use spanferry_testkit::patience::until;
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

/// Sixty tables with an index each, and foreign keys between some of them. One index has sixteen
/// parts on top of the table's key.
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

/// Only what the target refuses is left out, each by its own reason; all other indexes and foreign
/// keys are there.
async fn one_refused_statement_costs_no_other(engine: Engine, dialect: &'static str) {
    let servers = bench(engine).await;
    let mut world = servers.as_ref().unwrap().world(dialect, &sixty_tables()).await;
    let interposer = world.interpose("");
    for text in ["t7_ub", "t49_ia", "fk23"] {
        let quoted = spanferry_core::schema::ddl::quote(text, dialect_of(dialect));
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
            text.contains("The stand-in refuses") && text.contains(name),
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

/// An index over the first characters of a long text is left out and named; a value that is longer
/// than a key flows.
async fn prefix_of_a_long_text(engine: Engine, dialect: &'static str) {
    let servers = bench(engine).await;
    let schema = "CREATE TABLE p (id INT PRIMARY KEY, body TEXT, mail VARCHAR(255), KEY ib (body(20)), KEY im (mail(10)));
        INSERT INTO p VALUES (1, 'short', 'a@b'), (2, REPEAT('x', 9000), 'c@d');
        ";
    let world = servers.as_ref().unwrap().world(dialect, schema).await;
    let (status, text) = said(&world.run("check", &world.migrate_options()));
    assert_eq!(status, 0, "{text}");
    assert!(
        text.contains("`p.ib`: the index is not created at the target: its key may take up to"),
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

/// A command that is killed when it comes to a step.
fn expect_killed(world: &World, step: &str) {
    let output = world
        .drain_command()
        .env("SPANFERRY_KILL_AT", step)
        .output()
        .unwrap();
    assert_eq!(output.status.signal(), Some(9), "`{step}`: {}", said(&output).1);
}

/// Rows that a foreign key does not allow, written by sessions that do not check foreign keys: the
/// foreign key goes, by name, and all rows flow. A kill between the record and the drop, and one
/// behind the drop, change nothing of that.
async fn rows_without_a_parent(engine: Engine, dialect: &'static str) {
    let servers = bench(engine).await;
    let schema = "CREATE TABLE parent (id INT PRIMARY KEY, code INT NOT NULL, UNIQUE KEY uc (code));
        CREATE TABLE child (id INT PRIMARY KEY, p INT, CONSTRAINT child_p FOREIGN KEY (p) REFERENCES parent (id));
        CREATE TABLE late (id INT PRIMARY KEY, c INT, CONSTRAINT late_c FOREIGN KEY (c) REFERENCES parent (code));
        CREATE TABLE early (id INT PRIMARY KEY, p INT, CONSTRAINT early_p FOREIGN KEY (p) REFERENCES parent (id));
        INSERT INTO parent VALUES (1, 10), (2, 20);
        INSERT INTO child VALUES (1, 1);
        INSERT INTO late VALUES (1, 20);
        SET foreign_key_checks = 0;
        INSERT INTO early VALUES (1, 99);
        ";
    let world = servers.as_ref().unwrap().world(dialect, schema).await;
    let keys = async || objects(&world).await.foreign_keys.into_iter().collect::<Vec<_>>();
    let named = || {
        let left_out = reported(&world, "SF-4006");
        left_out
            .into_iter()
            .map(|(subject, _)| subject)
            .collect::<Vec<_>>()
    };
    // At the load the target refuses the foreign key over the rows that are there.
    world.expect_drained();
    assert_eq!(keys().await, ["child_p", "late_c"]);
    assert_eq!(named(), ["early.early_p"]);

    // In the stream: a child without its parent, then a parent that leaves a child behind.
    world
        .sql("SET foreign_key_checks = 0;\nINSERT INTO child VALUES (2, 77), (3, 2);\nINSERT INTO early VALUES (2, 98);\n")
        .await;
    expect_killed(&world, "before constraint drop:1");
    assert_eq!(keys().await, ["child_p", "late_c"]);
    expect_killed(&world, "after constraint drop:1");
    assert_eq!(keys().await, ["late_c"]);
    world.expect_drained();
    world.expect_equal();
    world
        .sql("SET foreign_key_checks = 0;\nDELETE FROM parent WHERE id = 2;\n")
        .await;
    world.expect_drained();
    world.expect_equal();
    assert_eq!(keys().await, Vec::<String>::new());
    let all = ["child.child_p", "early.early_p", "late.late_c"];
    assert_eq!(BTreeSet::from_iter(named()), all.map(str::to_owned).into());
    let left_out = reported(&world, "SF-4006");
    let of = |subject: &str| {
        left_out
            .iter()
            .find(|(known, _)| known == subject)
            .unwrap()
            .1
            .clone()
    };
    assert!(
        of("child.child_p").contains("left out: it stood in the way of a change of the source"),
        "{left_out:?}"
    );
    assert!(
        of("early.early_p").contains("left out: the target refuses it"),
        "{left_out:?}"
    );

    // Every later run prints the same reasons, and builds none of them. A person may build one:
    // then its reason is no longer printed.
    world
        .sql("DELETE FROM child WHERE id = 2;\nDELETE FROM child WHERE id = 3;\n")
        .await;
    world.expect_drained();
    assert_eq!(reported(&world, "SF-4006"), left_out);
    let by_hand =
        "ALTER TABLE child ADD CONSTRAINT child_p FOREIGN KEY (p) REFERENCES parent (id)".to_owned();
    world
        .target_client()
        .update_ddl(&[by_hand], "by_hand")
        .await
        .unwrap();
    world.expect_drained();
    assert_eq!(named(), ["early.early_p", "late.late_c"]);
    world
        .sql("SET foreign_key_checks = 0;\nINSERT INTO child VALUES (4, 76);\n")
        .await;
    world.expect_drained();
    world.expect_equal();
    assert_eq!(keys().await, Vec::<String>::new());

    // One that vanishes at the target without a record is built again.
    let vanishes = match dialect {
        "postgresql" => "DROP INDEX \"parent_uc\"",
        _ => "DROP INDEX `parent_uc`",
    };
    world
        .target_client()
        .update_ddl(&[vanishes.to_owned()], "vanishes")
        .await
        .unwrap();
    world.expect_drained();
    assert_eq!(reported(&world, "SF-4011")[0].0, "parent.parent_uc");
    assert!(objects(&world).await.indexes.contains("parent_uc"));
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_without_a_parent_drop_the_foreign_key_mysql() {
    rows_without_a_parent(Engine::MySql, "googlesql").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_without_a_parent_drop_the_foreign_key_mariadb() {
    rows_without_a_parent(Engine::MariaDb, "postgresql").await;
}

/// A process dies while the target builds an index: the next one waits for the target, and does not
/// count the index as built.
#[tokio::test(flavor = "multi_thread")]
async fn an_index_that_is_still_being_built_is_waited_for() {
    let servers = bench(Engine::MySql).await;
    for succeeds in [true, false] {
        let schema = "CREATE TABLE t (id INT PRIMARY KEY, a INT, KEY ia (a));
            CREATE TABLE other (id INT PRIMARY KEY, a INT, KEY ia (a));
            INSERT INTO t VALUES (1, 1), (2, 2);
            ";
        let mut world = servers.as_ref().unwrap().world("googlesql", schema).await;
        let target = world.stand_in();
        target.ddl_rules().hold("t_ia");
        let migrate = world.migrate();
        until("the index is being built", || async {
            !target.held_ddl().is_empty()
        })
        .await;
        migrate.kill();

        let mut migrate = world.migrate();
        world.wait(&mut migrate, "the index was found unfinished", |status| {
            let findings = status["findings"].as_array();
            findings.is_some_and(|findings| findings.iter().any(|finding| finding["code"] == "SF-4012"))
        });
        let status = world.status().unwrap();
        assert_eq!(status["caught_up"], false, "{status}");
        target.finish_ddl("t_ia", succeeds);
        world.wait_caught_up(&mut migrate);
        migrate.kill();
        world.expect_drained();
        world.expect_equal();
        assert_eq!(reported(&world, "SF-4006"), []);
        assert_eq!(target.held_ddl(), Vec::<String>::new());
    }
}

fn dialect_of(name: &str) -> spanferry_core::schema::target::Dialect {
    match name {
        "postgresql" => spanferry_core::schema::target::Dialect::PostgreSql,
        _ => spanferry_core::schema::target::Dialect::GoogleSql,
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

/// A transaction has rows of two groups, and the target rejects the row of one of them: only its
/// group stops. The rest of the transaction is applied, and nothing of the other group gives way.
#[tokio::test(flavor = "multi_thread")]
async fn a_rejected_row_stops_only_its_own_group() {
    let servers = bench(Engine::MySql).await;
    let schema = "CREATE TABLE fits (id INT PRIMARY KEY, v INT, UNIQUE KEY uv (v));
        CREATE TABLE unfit (id INT PRIMARY KEY, v INT, KEY iv (v));
        INSERT INTO fits VALUES (1, 1);
        INSERT INTO unfit VALUES (1, 1);
        ";
    let world = servers.as_ref().unwrap().world("googlesql", schema).await;
    let mut migrate = world.migrate();
    world.wait_caught_up(&mut migrate);
    // A rule that only the target has.
    let rule = "ALTER TABLE unfit ADD CONSTRAINT below CHECK (v < 100)".to_owned();
    world
        .target_client()
        .update_ddl(&[rule], "by_hand")
        .await
        .unwrap();
    world
        .sql(
            "BEGIN;\nINSERT INTO fits VALUES (2, 2);\nINSERT INTO unfit VALUES (2, 500);\nINSERT INTO fits VALUES (3, 3);\n\
             COMMIT;\nINSERT INTO fits VALUES (4, 4);\n",
        )
        .await;
    world.wait(&mut migrate, "one group had stopped", |status| {
        let tables = status["tables"].as_array().into_iter().flatten();
        let phases: Vec<_> = tables.map(|table| (&table["name"], &table["phase"])).collect();
        let is = |name: &str, phase: &str| phases.iter().any(|known| *known.0 == name && *known.1 == phase);
        is("unfit", "stopped") && is("fits", "constrained") && status["caught_up"] == true
    });
    assert_eq!(migrate.interrupt(), 4, "a group has stopped");
    let rows = world.target_rows("fits", &["id"]).await;
    assert_eq!(rows, [["1"], ["2"], ["3"], ["4"]]);
    assert_eq!(world.target_rows("unfit", &["id"]).await, [["1"]]);
    let indexes = ["fits_uv", "unfit_iv"].map(str::to_owned);
    assert_eq!(objects(&world).await.indexes, BTreeSet::from(indexes));
}
