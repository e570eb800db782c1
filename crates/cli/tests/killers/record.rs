//! What the target was built from is recorded and used: names, keys, indexes and foreign keys stay
//! when the source's catalog or the selection changes, and a table that cannot continue stops for
//! its own reason.

use spanferry_testkit::server::Engine;

use crate::support::{World, bench, said};

const ENGINES: [Engine; 2] = [Engine::MySql, Engine::MariaDb];

/// What `resync` and its options say, with the exit status.
fn resync(world: &World, more: &[&str]) -> (i32, String) {
    said(&world.run("resync", more))
}

/// Rows of a table at the target.
async fn count(world: &World, table: &str) -> usize {
    world.target_rows(table, &["id"]).await.len()
}

/// Killer 38: a table that is created or dropped at the source moves no name of another, and the
/// legal name stays with its table.
#[tokio::test(flavor = "multi_thread")]
async fn killer_38_names_stay_when_tables_come_and_go() {
    for engine in ENGINES {
        let servers = bench(engine).await;
        let schema = "CREATE TABLE `a.b` (id INT PRIMARY KEY, v INT);
             CREATE TABLE a_b (id INT PRIMARY KEY, v INT);
             CREATE TABLE other (id INT PRIMARY KEY);
             INSERT INTO `a.b` VALUES (1, 1);
             INSERT INTO a_b VALUES (2, 2), (3, 3);
             ";
        let world = servers.as_ref().unwrap().world("googlesql", schema).await;
        world.expect_drained();
        assert_eq!(
            count(&world, "a_b").await,
            2,
            "the legal name stays with its table"
        );
        world
            .sql("CREATE TABLE `a-b` (id INT PRIMARY KEY, v INT);\nINSERT INTO `a.b` VALUES (5, 5);\nINSERT INTO a_b VALUES (6, 6);\n")
            .await;
        let (status, text) = world.drain();
        assert!(
            status == 4 && text.contains("not migrated: `a-b`"),
            "{status}: {text}"
        );
        assert_eq!((count(&world, "a_b").await, count(&world, "a_b_2").await), (3, 2));

        // The new table is taken in under a name that is free.
        let (status, text) = resync(&world, &["a-b", "--yes"]);
        assert_eq!(status, 0, "{text}");
        world.sql("INSERT INTO `a-b` VALUES (7, 7);\n").await;
        world.expect_drained();
        world.expect_equal();
        assert_eq!(count(&world, "a_b_3").await, 1);

        // A table that is dropped at the source is given up; the others keep their names.
        world
            .sql("DROP TABLE `a.b`;\nINSERT INTO a_b VALUES (8, 8);\n")
            .await;
        let (status, text) = world.drain();
        assert!(status == 4 && text.contains("stopped: `a.b`"), "{status}: {text}");
        let (status, text) = world.drain();
        assert!(status == 4 && text.contains("--forget a.b"), "{status}: {text}");
        let (status, text) = resync(&world, &["a.b", "--yes"]);
        assert!(status == 4 && text.contains("SF-5027"), "{status}: {text}");
        let (status, text) = resync(&world, &["a.b", "--forget", "--yes"]);
        assert_eq!(status, 0, "{text}");
        world.expect_drained();
        world.expect_equal();
        assert_eq!(count(&world, "a_b").await, 4);
    }
}

/// One transaction that takes several commits: rows of `y`, between rows of `x`, which has stopped.
fn huge_transaction(engine: Engine, first: u32) -> String {
    let insert = |table: &str, from: u32, count: u32| {
        let numbers = format!(
            "WITH RECURSIVE n AS (SELECT {from} AS i UNION ALL SELECT i + 1 FROM n WHERE i < {})",
            from + count - 1
        );
        format!("INSERT INTO {table} (id, v) {numbers} SELECT i, 1 FROM n;\n")
    };
    let parts = [
        insert("x", first, 2_500),
        insert("y", first, 2_500),
        insert("x", first + 2_500, 2_500),
        insert("y", first + 2_500, 4_000),
    ];
    let depth = match engine {
        Engine::MySql => "cte_max_recursion_depth",
        Engine::MariaDb => "max_recursive_iterations",
    };
    let parts = parts.concat();
    format!("SET SESSION {depth} = 10000;\nSTART TRANSACTION;\n{parts}COMMIT;\n")
}

/// A crash inside a transaction that takes several commits, while a table of it has stopped: the
/// next process counts the changes that are applied over the recorded tables, also if that table is
/// excluded, or altered, meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn a_cut_transaction_is_counted_over_the_recorded_tables() {
    for engine in ENGINES {
        let servers = bench(engine).await;
        let schema = "CREATE TABLE x (id INT PRIMARY KEY, v INT);
             CREATE TABLE y (id INT PRIMARY KEY, v INT);
             INSERT INTO x VALUES (0, 0);
             INSERT INTO y VALUES (0, 0);
             ";
        let world = servers.as_ref().unwrap().world("googlesql", schema).await;
        world.expect_drained();
        for (turn, more, change) in [
            (0, &["--exclude", "x"][..], ""),
            (1, &[][..], "ALTER TABLE x ADD COLUMN late INT;\n"),
        ] {
            world
                .sql(&format!("ALTER TABLE x ADD COLUMN w{turn} INT;\n"))
                .await;
            let (status, text) = world.drain();
            assert!(status == 4 && text.contains("stopped: `x`"), "{status}: {text}");
            world.sql(&huge_transaction(engine, 1 + turn * 10_000)).await;
            let killed = world
                .drain_command()
                .env("SPANFERRY_KILL_AT", "after commit apply:1")
                .output()
                .unwrap();
            assert_eq!(killed.status.code(), None, "it was to be killed");
            let (_, text) = said(&world.run("end", &["--yes"]));
            assert!(text.contains("applied only in part"), "{text}");

            world.sql(change).await;
            let (status, text) = said(&world.drain_command().args(more).output().unwrap());
            assert!(status == 4 && text.contains("stopped: `x`"), "{status}: {text}");
            let loaded = 1 + 6_500 * (turn as usize + 1);
            assert_eq!(count(&world, "y").await, loaded, "turn {turn}");
            if !more.is_empty() {
                // The selection is remembered until another one is given.
                let (status, text) = said(&world.drain_command().args(["--include", "*"]).output().unwrap());
                assert!(
                    status == 4 && text.contains("continued without it"),
                    "{status}: {text}"
                );
            }
            let (status, text) = resync(&world, &["x", "--yes"]);
            assert_eq!(status, 0, "{text}");
            world.expect_drained();
            world.expect_equal();
        }
    }
}

/// The key of a table without a primary key is the recorded one, whatever index is added while it
/// is loaded.
#[tokio::test(flavor = "multi_thread")]
async fn the_key_that_was_chosen_stays() {
    for engine in ENGINES {
        let servers = bench(engine).await;
        let rows = (0..3_000).map(|row| format!("({row}, {}, {row})", row / 3));
        let rows: Vec<String> = rows.collect();
        let schema = format!(
            "CREATE TABLE t (a INT NOT NULL, b INT NOT NULL, c INT NOT NULL, UNIQUE KEY pair (a, b));
             INSERT INTO t VALUES {};
             ",
            rows.join(", ")
        );
        let world = servers.as_ref().unwrap().world("googlesql", &schema).await;
        let killed = world
            .drain_command()
            .env("SPANFERRY_KILL_AT", "after commit load:1")
            .output()
            .unwrap();
        assert_eq!(killed.status.code(), None, "it was to be killed");
        // A shorter key, which a start would choose today.
        world.sql("ALTER TABLE t ADD UNIQUE KEY short (c);\n").await;
        let (status, text) = world.drain();
        assert!(
            status == 0 || (status == 4 && text.contains("SF-50")),
            "{status}: {text}"
        );
        if status == 4 {
            let (status, text) = resync(&world, &["t", "--yes"]);
            assert_eq!(status, 0, "{text}");
            world.expect_drained();
        }
        world.expect_equal();
    }
}

/// `resync` finds its way where an index and a foreign key were dropped or renamed at the source.
#[tokio::test(flavor = "multi_thread")]
async fn resync_drops_what_is_there_not_what_the_source_has() {
    for engine in ENGINES {
        let servers = bench(engine).await;
        let schema = "CREATE TABLE parent (id INT PRIMARY KEY, v INT, UNIQUE KEY one (v));
             CREATE TABLE child (id INT PRIMARY KEY, parent INT, KEY p (parent), CONSTRAINT fk FOREIGN KEY (parent) REFERENCES parent (id));
             INSERT INTO parent VALUES (1, 1), (2, 2);
             INSERT INTO child VALUES (1, 1);
             ";
        let world = servers.as_ref().unwrap().world("googlesql", schema).await;
        world.expect_drained();
        world
            .sql(
                "ALTER TABLE child DROP FOREIGN KEY fk;\nALTER TABLE child ADD CONSTRAINT renamed FOREIGN KEY (parent) REFERENCES parent (id);\n\
                 ALTER TABLE parent DROP INDEX one;\nALTER TABLE parent ADD COLUMN w INT;\n",
            )
            .await;
        let (status, text) = world.drain();
        assert_eq!(status, 4, "{text}");
        let (status, text) = resync(&world, &["child", "--yes"]);
        assert_eq!(status, 0, "{text}");
        world.expect_drained();
        world.expect_equal();
        // A foreign key that is not recorded stands in the way of the next one.
        let by_hand =
            "ALTER TABLE `child` ADD CONSTRAINT `by_hand` FOREIGN KEY (`id`) REFERENCES `parent` (`id`)";
        let client = world.target_client();
        client.update_ddl(&[by_hand.to_owned()], "by_hand").await.unwrap();
        let (status, text) = resync(&world, &["parent", "--yes"]);
        assert_eq!(status, 0, "{text}");
        world.expect_drained();
        world.expect_equal();
    }
}

/// Killer 37: a cascade or another engine that comes while migrating stops the table by that
/// finding, and a reload is refused.
#[tokio::test(flavor = "multi_thread")]
async fn killer_37_a_blocking_finding_of_its_own_stops_a_table() {
    for (engine, change, fix) in [
        (
            Engine::MariaDb,
            "ALTER TABLE child DROP FOREIGN KEY fk, ADD CONSTRAINT fk2 FOREIGN KEY (parent) REFERENCES parent (id) ON DELETE CASCADE",
            "ALTER TABLE child DROP FOREIGN KEY fk2;\nALTER TABLE child ADD CONSTRAINT fk3 FOREIGN KEY (parent) REFERENCES parent (id)",
        ),
        (
            Engine::MySql,
            "ALTER TABLE alone ENGINE = MyISAM",
            "ALTER TABLE alone ENGINE = InnoDB",
        ),
    ] {
        let servers = bench(engine).await;
        let schema = "CREATE TABLE parent (id INT PRIMARY KEY);
             CREATE TABLE child (id INT PRIMARY KEY, parent INT, CONSTRAINT fk FOREIGN KEY (parent) REFERENCES parent (id));
             CREATE TABLE alone (id INT PRIMARY KEY);
             CREATE TABLE free (id INT PRIMARY KEY);
             INSERT INTO parent VALUES (1), (2);
             INSERT INTO child VALUES (1, 1);
             ";
        let world = servers.as_ref().unwrap().world("googlesql", schema).await;
        world.expect_drained();
        world
            .sql(&format!("{change};\nINSERT INTO free VALUES (1);\n"))
            .await;
        let table = if change.contains("alone") {
            "alone"
        } else {
            "child"
        };
        let (status, text) = world.drain();
        assert!(
            status == 4 && text.contains(&format!("stopped: `{table}`")),
            "{status}: {text}"
        );
        // The reload is refused, with the reason and the fix; the next run does not load it either.
        let (status, text) = resync(&world, &[table, "--yes"]);
        assert!(
            status == 3 && text.contains("SF-2007") && text.contains("ALTER TABLE"),
            "{status}: {text}"
        );
        let (status, text) = world.drain();
        assert!(
            status == 4 && text.contains(&format!("stopped: `{table}`")),
            "{status}: {text}"
        );
        world.sql(&format!("{fix};\n")).await;
        let (status, text) = resync(&world, &[table, "--yes"]);
        assert_eq!(status, 0, "{text}");
        world.expect_drained();
        world.expect_equal();
    }
}
