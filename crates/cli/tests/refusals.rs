//! Bad input: one clear message with code and hint, and the documented exit status.

#![allow(
    clippy::unwrap_used,
    clippy::needless_pass_by_value,
    reason = "a failed step is a failed test"
)]

mod support;

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use spanferry_testkit::server::Engine;
use support::{World, said};

fn check(found: (i32, String), status: i32, words: &[&str]) {
    assert_eq!(found.0, status, "{}", found.1);
    for word in words {
        assert!(found.1.contains(word), "`{word}` is missing in: {}", found.1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_input_is_refused_with_its_reason() {
    let world = World::new(Engine::MySql, "CREATE TABLE t (id INT PRIMARY KEY);\n").await;
    let run = |verb: &str, more: &[&str]| said(&world.run(verb, more));
    check(
        run("migrate", &[]),
        3,
        &["blocking[SF-3003]", "--create-database"],
    );
    // The source's findings come with it, not after it.
    check(
        run("check", &["--log-budget", "4096"]),
        3,
        &["blocking[SF-3003]", "warning[SF-6002]"],
    );
    check(
        run("migrate", &["--sourse-connections", "2"]),
        2,
        &["--source-connections"],
    );
    check(
        run("migrate", &["--create-database"]),
        2,
        &["SF-1001", "--dialect"],
    );
    let mut wrong = world.command("migrate", &[]);
    check(
        said(
            &wrong
                .env("SPANFERRY_SOURCE_PASSWORD", "s3cr3t-wrong")
                .output()
                .unwrap(),
        ),
        3,
        &["SF-2002"],
    );
    let mut silent = world.command("check", &[]);
    let text = said(
        &silent
            .env("SPANFERRY_SOURCE_PASSWORD", "s3cr3t-wrong")
            .output()
            .unwrap(),
    )
    .1;
    assert!(!text.contains("s3cr3t"), "{text}");
    assert!(
        text.contains("source TLS: ok") && text.contains("source login: failed"),
        "{text}"
    );
    let mut other = world.bare_command("check", &["--source", "postgres://a:s3cr3t-wrong@h/s"]);
    let other = said(&other.output().unwrap());
    assert!(!other.1.contains("s3cr3t"), "{}", other.1);
    check(
        other,
        2,
        &["SF-1001", "`postgres://`", "`mysql://` or `mariadb://`"],
    );
    // Both ends are tested, each step by itself.
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_spanferry"))
        .args(["check", "--output", "json"])
        .args(["--source", "mysql://a@no-such-host.invalid/s"])
        .args([
            "--target",
            "spanner://projects/test/instances/test/databases/shop",
        ])
        .env("SPANNER_EMULATOR_HOST", "127.0.0.1:1")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(3));
    let found: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let failed = |end: usize| {
        let step = found["reached"][end]["steps"].as_array().unwrap().last().unwrap();
        (step["step"].clone(), step["error"]["code"].clone())
    };
    assert_eq!(failed(0), ("name".into(), "SF-2001".into()));
    assert_eq!(failed(1), ("route".into(), "SF-3001".into()));
    assert_eq!(found["connections"][1]["port"], 1);
    check(
        run(
            "check",
            &[
                "--create-database",
                "--dialect",
                "googlesql",
                "--log-budget",
                "4096",
            ],
        ),
        0,
        &["warning[SF-6002]", "expected at least", "--log-budget"],
    );
    for dialect in ["googlesql", "postgresql"] {
        let options = ["--dry-run", "--create-database", "--dialect", dialect];
        let (status, text) = run("migrate", &options);
        check(
            (status, text),
            0,
            &["CREATE TABLE", &format!("is created, dialect {dialect}")],
        );
    }
    // Neither `check` nor `--dry-run` has created it.
    check(run("check", &[]), 3, &["SF-3003"]);
    check(run("check", &["--accept", "SF-1"]), 2, &["SF-1001"]);
    check(run("status", &[]), 2, &["SF-1001"]);
    check(
        run("verify", &["--create-database", "--dialect", "googlesql"]),
        3,
        &["error[SF-3003]"],
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_cannot_be_followed_is_refused() {
    let arguments = [
        "--gtid-mode=OFF",
        "--enforce-gtid-consistency=OFF",
        "--binlog-row-metadata=MINIMAL",
    ];
    let world = World::with_arguments(
        Engine::MySql,
        &arguments,
        "CREATE TABLE t (v INT);
         CREATE TABLE f (id FLOAT PRIMARY KEY);
         CREATE TABLE m (id INT PRIMARY KEY) ENGINE=MyISAM;
         ",
    )
    .await;
    let found = said(&world.run("check", &["--create-database", "--dialect", "googlesql"]));
    check(
        found,
        3,
        &[
            "gtid_mode",
            "binlog_row_metadata",
            "SET PERSIST",
            "`t`",
            "`f.id`",
            "MyISAM",
        ],
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_process_and_a_foreign_target_are_refused() {
    let world = World::new(
        Engine::MySql,
        "CREATE TABLE t (id INT PRIMARY KEY);\nINSERT INTO t VALUES (1);\n",
    )
    .await;
    let mut migrate = world.migrate();
    world.wait_caught_up(&mut migrate);
    check(world.drain(), 2, &["SF-1002"]);
    assert_eq!(migrate.interrupt(), 130);
    // A lost state directory is detected; the log is fetched again from the source.
    std::fs::remove_dir_all(&world.state).unwrap();
    world.sql("INSERT INTO t VALUES (2);\n").await;
    world.expect_drained();
    world.expect_equal();
    // A source that lacks what was captured is refused.
    world.sql("INSERT INTO t VALUES (3);\n").await;
    check(
        world.verify(),
        5,
        &["the source is ahead of the target", "changes `t`"],
    );
    let (status, text) = said(&world.run("end", &[]));
    assert_eq!(status, 2, "{text}");
    check(said(&world.run("end", &["--yes"])), 0, &["dropped"]);
    check(said(&world.run("migrate", &[])), 3, &["SF-3004"]);
}

/// A finding of each severity, the worst first, each with its remedy.
#[tokio::test(flavor = "multi_thread")]
async fn check_prints_findings_by_weight_with_their_remedies() {
    let world = World::new(
        Engine::MySql,
        "CREATE TABLE a (id INT PRIMARY KEY, v INT DEFAULT (RAND()));\nCREATE TABLE b (v INT);\n",
    )
    .await;
    let output = world.run("check", &["--create-database", "--dialect", "googlesql"]);
    assert_eq!(output.status.code(), Some(3));
    let text = String::from_utf8(output.stdout).unwrap();
    let (_, findings) = text
        .split_once("target login: ok, none needed, the emulator\n")
        .unwrap();
    let expected = "\
blocking[SF-2007]: `b`: there is no primary key and no unique index over NOT NULL columns: give it one, or leave it out with `--exclude`
  fix: ALTER TABLE `shop`.`b` ADD COLUMN `spanferry_id` BIGINT UNSIGNED NOT NULL INVISIBLE AUTO_INCREMENT PRIMARY KEY;
       -- this rebuilds the table, which takes long for a large one
warning[SF-4004]: `a.v`: the default `rand()` is not created at the target: this expression is not one that is translated
notice[SF-2009]: `sync_binlog` is 0: after a crash of the source's machine the binary log may lack transactions that the source \
has, or the other way round
  fix: SET PERSIST sync_binlog = 1;
notice[SF-2009]: `innodb_flush_log_at_trx_commit` is 2: after a crash of the source's machine committed transactions may be gone \
that were already captured
  fix: SET PERSIST innodb_flush_log_at_trx_commit = 1;
check: 2 tables, about 0 rows; 1 blocking, 1 warning, 2 notices
";
    assert_eq!(findings, expected);
}

/// What a command without servers prints on standard error, and nothing anywhere else.
fn refused(arguments: &[&str]) -> String {
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_spanferry"))
        .args(arguments)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "");
    String::from_utf8(output.stderr).unwrap()
}

/// A failure is printed with its code, object, cause and the next step, on standard error.
#[test]
fn a_failure_tells_cause_and_hint() {
    assert_eq!(
        refused(&["check", "--config", "/no/such/spanferry.toml"]),
        "error[SF-1001]: /no/such/spanferry.toml: the configuration cannot be read\n  \
         caused by: No such file or directory (os error 2)\n  \
         hint: Correct the named option; `spanferry help VERB` lists them all.\n"
    );
}

/// A configuration that can be read and not understood: the place, and what is expected there.
#[test]
fn a_configuration_that_is_not_understood_is_refused() {
    let path = std::env::temp_dir().join(format!("sf-refused-{}.toml", std::process::id()));
    let file = path.to_str().unwrap();
    let correct = "Correct the named option";
    let meant = "Did you mean `source`? The keys are";
    for (text, place, expected, hint) in [
        ("source = 'mysql://a@h/s\n", "line 1", "invalid", correct),
        (
            "dry-run = true\nsourse = 'mysql://a@h/s'\n",
            "line 2",
            "`source`",
            meant,
        ),
        ("nothing-known = 1\n", "line 1", "`source`", "The keys are"),
        ("source-connections = 'four'\n", "line 1", "expected u32", correct),
        ("stop-when = 'done'\n", "line 1", "`caught-up`", correct),
    ] {
        std::fs::write(&path, text).unwrap();
        let told = refused(&["migrate", "--config", file]);
        let head = format!("error[SF-1001]: {file}: the configuration is not understood\n  caused by: ");
        assert!(told.starts_with(&head), "{text}: {told}");
        assert_eq!(
            told.matches("error").count(),
            2,
            "the head, and the parser's own word: {told}"
        );
        for word in [place, expected, &format!("  hint: {hint}")] {
            assert!(told.contains(word), "`{word}` is missing in: {told}");
        }
    }
    std::fs::remove_file(&path).unwrap();
}

/// An account that may not do what is needed: the statement that grants it stands beside what it
/// lacks.
async fn a_missing_privilege(engine: Engine) {
    let schema = "CREATE TABLE t (id INT PRIMARY KEY);
        CREATE USER 'nobody'@'%' IDENTIFIED BY 'nobody';
        CREATE USER 'reader'@'%' IDENTIFIED BY 'reader';
        GRANT SELECT ON shop.* TO 'reader'@'%';
        CREATE USER 'follower'@'%' IDENTIFIED BY 'follower';
        GRANT SELECT, REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO 'follower'@'%';
        ";
    let mut world = World::new(engine, schema).await;
    let options = world.migrate_options();
    for verb in ["check", "migrate"] {
        world.account = "nobody";
        check(
            said(&world.run(verb, &options)),
            3,
            &[
                "error[SF-2003]",
                "Check the spelling of the schema first",
                "run GRANT SELECT ON `shop`.* TO 'nobody'@'%'",
                "hint: ",
            ],
        );
        world.account = "reader";
        let lacking = [
            "blocking[SF-2003]",
            "lacks REPLICATION SLAVE",
            "fix: GRANT REPLICATION SLAVE ON *.* TO 'reader'@'%'",
        ];
        check(said(&world.run(verb, &options)), 3, &lacking);
    }
    // No lock is needed, unless it is asked for.
    world.account = "follower";
    let unasked = world.run("check", &options);
    let text = String::from_utf8_lossy(&unasked.stdout).into_owned();
    assert!(
        !text.contains("LOCK TABLES") && !text.contains("RELOAD"),
        "{text}"
    );
    check(said(&unasked), 0, &["notice[SF-2009]"]);
    let asking = [options.as_slice(), &["--lock"]].concat();
    let lacking = [
        "lacks LOCK TABLES",
        "fix: GRANT LOCK TABLES ON `shop`.* TO 'follower'@'%'",
    ];
    check(said(&world.run("check", &asking)), 0, &lacking);
    world.expect_drained();
    world.expect_equal();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_privilege_mysql() {
    a_missing_privilege(Engine::MySql).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_privilege_mariadb() {
    a_missing_privilege(Engine::MariaDb).await;
}

/// Global settings under which the binary log does not hold what is needed.
async fn a_setting_that_forbids(engine: Engine, argument: &str, remedy: &str) {
    let world = World::with_arguments(engine, &[argument], "CREATE TABLE t (id INT PRIMARY KEY);\n").await;
    let name = argument
        .split_once('=')
        .unwrap()
        .0
        .trim_start_matches('-')
        .replace('-', "_");
    for verb in ["check", "migrate"] {
        let found = said(&world.run(verb, &world.migrate_options()));
        assert_eq!(found.1.matches("blocking[").count(), 1, "{}", found.1);
        check(
            found,
            3,
            &[
                "blocking[SF-2004]",
                &format!("`{name}`"),
                &format!("fix: {remedy}"),
            ],
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn statement_format_is_refused_mysql() {
    a_setting_that_forbids(
        Engine::MySql,
        "--binlog-format=STATEMENT",
        "SET PERSIST binlog_format = ROW",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn statement_format_is_refused_mariadb() {
    a_setting_that_forbids(
        Engine::MariaDb,
        "--binlog-format=MIXED",
        "SET GLOBAL binlog_format = ROW",
    )
    .await;
}

/// MariaDB always has GTIDs; only strict mode makes them a history.
#[tokio::test(flavor = "multi_thread")]
async fn gtids_without_strict_mode_are_refused_mariadb() {
    a_setting_that_forbids(
        Engine::MariaDb,
        "--gtid-strict-mode=OFF",
        "SET GLOBAL gtid_strict_mode = ON",
    )
    .await;
}

/// Every verb that uses the state directory: what another user may have put there chooses no
/// server, and no link is followed.
#[test]
fn a_state_directory_that_others_can_reach_is_refused() {
    let place = std::env::temp_dir().join(format!("sf-refused-state-{}", std::process::id()));
    let state = place.join("state");
    std::fs::create_dir_all(&state).unwrap();
    let planted = state.join("run.json");
    std::fs::write(&planted, "{}").unwrap();
    let link = place.join("link");
    std::os::unix::fs::symlink(&state, &link).unwrap();
    let mode = |path: &Path, mode| std::fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    let ends = [
        "--source",
        "mysql://a@127.0.0.1:1/s",
        "--target",
        "projects/p/instances/i/databases/d",
    ];
    let verbs: [&[&str]; 5] = [
        &["migrate"],
        &["status"],
        &["verify"],
        &["resync", "t", "--yes"],
        &["end", "--yes"],
    ];
    let expect = |path: &Path, words: &[&str]| {
        for verb in verbs {
            let mut arguments = vec![verb[0], "--state-dir", path.to_str().unwrap()];
            arguments.extend(&verb[1..]);
            arguments.extend(ends);
            let told = refused(&arguments);
            for word in words {
                assert!(told.contains(word), "`{word}` is missing in: {told}");
            }
        }
    };
    mode(&state, 0o777);
    let fix = format!("hint: Run `chmod -R go= {}`", state.display());
    expect(&state, &["error[SF-1015]", "has mode 0777", &fix]);
    expect(&link, &["error[SF-1015]", "is a symbolic link to"]);
    mode(&state, 0o700);
    mode(&planted, 0o604);
    // `migrate` looks at it once the directory is its own.
    expect(
        &state,
        &["error[SF-1015]", "run.json: has mode 0604", "chmod go= "],
    );
    std::fs::remove_dir_all(&place).unwrap();
}

#[test]
fn help_of_a_verb_is_one_screen() {
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_spanferry"))
        .args(["help", "explain"])
        .output()
        .unwrap();
    assert_eq!(
        String::from_utf8(output.stdout).unwrap(),
        "Explain an error code\n\nUsage: spanferry explain [CODE]\n\nArguments:\n  [CODE]  `SF-1234` in any case, or nothing for the whole list\n\n\
         Options:\n  -h, --help     Print help\n  -V, --version  Print version\n"
    );
}
