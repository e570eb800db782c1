//! What an operator meets: the state directory remembers the run, programs read every line, options
//! say what they take.

#![allow(
    clippy::unwrap_used,
    clippy::needless_pass_by_value,
    reason = "a failed step is a failed test"
)]

mod support;

use serde_json::Value;
use spanferry_testkit::server::{Dialect, Engine};
use support::schema::expect_documented;
use support::{World, said};

fn check(found: (i32, String), status: i32, words: &[&str]) {
    assert_eq!(found.0, status, "{}", found.1);
    for word in words {
        assert!(found.1.contains(word), "`{word}` is missing in: {}", found.1);
    }
}

/// What a program reads of a command: its lines, all as the page says, and the exit status.
fn read(world: &World, verb: &str, more: &[&str]) -> (Option<i32>, Vec<Value>) {
    let mut options = vec!["--output", "json"];
    options.extend(more);
    let output = world.run(verb, &options);
    let text = String::from_utf8(output.stdout).unwrap();
    (output.status.code(), expect_documented(verb, &text))
}

const TWO_TABLES: &str = "CREATE TABLE good (id INT PRIMARY KEY, v INT DEFAULT (RAND()));
INSERT INTO good VALUES (1, 1), (2, 2);
CREATE TABLE bad (v INT);
";

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_start_binds_nothing_and_a_begun_one_is_remembered() {
    let world = World::new(Engine::MySql, TWO_TABLES).await;
    let create = world.migrate_options();
    let drain = |more: &[&str]| {
        let mut options = create.to_vec();
        options.extend(["--stop-when", "caught-up"]);
        options.extend(more);
        said(&world.run("migrate", &options))
    };
    let elsewhere = "spanner://projects/test/instances/test/databases/elsewhere";
    // Refused by its check: for another target, with the wrong selection.
    check(
        drain(&["--target", elsewhere]),
        2,
        &["cannot be used multiple times"],
    );
    let mut refused = world.bare_command("migrate", &create);
    refused.args(["--source", &world.source_url(), "--target", elsewhere]);
    check(
        said(&refused.output().unwrap()),
        3,
        &["SF-2007", "nothing was changed"],
    );
    // Stopped on its way, when the check had passed: that database cannot be created.
    let nowhere = "spanner://projects/test/instances/nowhere/databases/shop";
    let mut failed = world.bare_command("migrate", &create);
    failed.args([
        "--source",
        &world.source_url(),
        "--target",
        nowhere,
        "--exclude",
        "bad",
    ]);
    let (status, text) = said(&failed.output().unwrap());
    assert!(status != 0, "{text}");
    assert!(!world.state.join("run.json").exists(), "{text}");
    check(drain(&[]), 3, &["SF-2007"]);
    check(drain(&["--exclude", "bad"]), 0, &["migrate: ended"]);
    // From here on it is bound, and the other verbs find everything there but the password.
    let mut other = world.bare_command("migrate", &create);
    other.args(["--source", &world.source_url(), "--target", elsewhere]);
    check(
        said(&other.output().unwrap()),
        2,
        &["SF-1003", "belongs to the migration into"],
    );
    let bare = |verb: &str, more: &[&str]| said(&world.bare_command(verb, more).output().unwrap());
    check(bare("verify", &[]), 0, &["verify: equal"]);
    check(bare("status", &[]), 0, &["/shop -> projects/"]);
    check(bare("resync", &["good", "--yes"]), 0, &["resync: good emptied"]);
    let remembered = std::fs::read_to_string(world.state.join("run.json")).unwrap();
    assert!(
        !remembered.contains(&format!(":{}@", world.server.password())),
        "{remembered}"
    );
    // What is given must agree.
    for (verb, given) in [
        ("verify", ["--target", elsewhere]),
        ("status", ["--source", "mysql://root@127.0.0.1:1/shop"]),
        ("end", ["--target", elsewhere]),
    ] {
        check(bare(verb, &given), 2, &["SF-1003", "Leave `--", given[0]]);
    }
    check(
        bare("resync", &["good", "--exclude", "other"]),
        2,
        &["SF-1003", "another `--exclude`: `bad`"],
    );
    // Refused by what the target holds: what is remembered stays, and another directory remembers
    // nothing.
    let wrong = world.source_url().replace("/shop", "/wrong");
    world
        .sql(
            "CREATE DATABASE wrong;\nCREATE TABLE wrong.good (id INT PRIMARY KEY, v INT DEFAULT (RAND()));\n",
        )
        .await;
    check(
        bare("migrate", &["--source", &wrong]),
        2,
        &["SF-1003", "another schema"],
    );
    assert_eq!(
        std::fs::read_to_string(world.state.join("run.json")).unwrap(),
        remembered
    );
    let unused = world.state.with_extension("unused");
    let target = format!("spanner://{}", world.emulator.database("shop"));
    let ends = ["--source", &wrong, "--target", &target];
    let refused = world.command_in(&unused, "migrate", &ends).output().unwrap();
    check(said(&refused), 2, &["SF-1003", "another schema"]);
    assert!(unused.exists() && !unused.join("run.json").exists());
    std::fs::remove_dir_all(&unused).unwrap();
    // `migrate` finds everything there too.
    check(
        bare("migrate", &["--stop-when", "caught-up"]),
        0,
        &["migrate: ended"],
    );
    check(bare("verify", &[]), 0, &["verify: equal"]);
    check(
        bare("end", &["--yes"]),
        0,
        &["control tables of `projects/", "dropped", "erased"],
    );
    check(bare("verify", &[]), 2, &["SF-1001", "--state-dir"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_can_read_every_line() {
    let world = World::new(Engine::MySql, TWO_TABLES).await;
    let create = world.migrate_options();
    let migrate = |more: &[&str]| {
        let mut options = create.to_vec();
        options.extend(["--stop-when", "caught-up"]);
        options.extend(more);
        read(&world, "migrate", &options)
    };
    let names = |lines: &[Value]| -> Vec<String> {
        let mut names: Vec<String> = lines
            .iter()
            .map(|line| line["event"].as_str().unwrap().to_owned())
            // As many as the time allows.
            .filter(|name| name != "preparing" && name != "progress")
            .collect();
        names.dedup();
        names
    };
    // Refused by the check, by its own options, by the login: the last line says why.
    let (status, lines) = migrate(&[]);
    assert_eq!(
        (status, names(&lines)),
        (Some(3), vec!["check".into(), "end".into()])
    );
    let error = &lines.last().unwrap()["error"];
    assert_eq!(
        (&error["code"], &error["object"]),
        (&"SF-2007".into(), &"bad".into())
    );
    assert!(error["hint"].as_str().unwrap().contains("ALTER TABLE"), "{error}");
    let (status, lines) = migrate(&["--accept", "SF-2007"]);
    assert_eq!((status, names(&lines)), (Some(2), vec!["end".into()]));
    assert_eq!(lines[0]["error"]["code"], "SF-1001");
    for (option, glob, hint) in [
        ("--exclude", "*", "`--exclude` takes away all"),
        (
            "--include",
            "god",
            "`--include god` matches no table of the source; did you mean `good`?",
        ),
    ] {
        let (status, lines) = migrate(&[option, glob]);
        assert_eq!((status, names(&lines)), (Some(3), vec!["end".into()]));
        let end = lines.last().unwrap();
        let error = &end["error"];
        assert_eq!(
            (&end["exit_status"], &error["code"]),
            (&3.into(), &"SF-2006".into())
        );
        assert!(error["hint"].as_str().unwrap().contains(hint), "{error}");
    }
    let (status, lines) = migrate(&["--exclude", "bad", "--dry-run"]);
    let expected = vec!["check".to_owned(), "plan".to_owned(), "end".to_owned()];
    assert_eq!((status, names(&lines)), (Some(0), expected));
    // A real run: every finding once, progress, and an end without an error.
    let (status, lines) = migrate(&["--exclude", "bad"]);
    assert_eq!(status, Some(0));
    let expected = vec!["check".to_owned(), "status".to_owned(), "end".to_owned()];
    assert_eq!(names(&lines), expected);
    let left_out = |finding: &&Value| finding["code"] == "SF-4004";
    let checked = lines.iter().find(|line| line["event"] == "check").unwrap();
    let told = checked["findings"]
        .as_array()
        .unwrap()
        .iter()
        .filter(left_out)
        .count();
    assert_eq!(told, 1, "{checked}");
    let report = std::fs::read_to_string(world.state.join("report.json")).unwrap();
    assert_eq!(expect_documented("migrate", &report)[0]["exit_status"], 0);
    // The other verbs.
    let ended = &read(&world, "status", &[]).1[0];
    assert_eq!(
        (&ended["state"], &ended["end"]["exit_status"]),
        (&"ended".into(), &0.into())
    );
    check(
        said(&world.run("status", &[])),
        0,
        &[
            "not running: it ended at 20",
            "because it had caught up, as asked for; exit status 0",
        ],
    );
    assert_eq!(read(&world, "verify", &[]).1[0]["equal"], true);
    assert_eq!(read(&world, "check", &["--exclude", "bad"]).0, Some(0));
    let (_, lines) = read(&world, "resync", &["good", "--yes"]);
    assert_eq!(lines[0]["emptied"][0], "good");
    let (_, lines) = read(&world, "status", &[]);
    assert_eq!(
        (&lines[0]["caught_up"], &lines[0]["tables"][0]["phase"]),
        (&false.into(), &"pending".into())
    );
    let output = world.run("resync", &["goood", "--yes", "--output", "json"]);
    let text = String::from_utf8(output.stdout).unwrap();
    let error = &expect_documented("error", &text)[0]["error"];
    assert_eq!(
        (&error["code"], &error["object"]),
        (&"SF-1001".into(), &"goood".into())
    );
    assert!(
        error["hint"]
            .as_str()
            .unwrap()
            .starts_with("Did you mean `good`?"),
        "{error}"
    );
    // A name that matches nothing is reported, as what was meant may be carried or not carried
    // unnoticed.
    let (_, lines) = read(&world, "check", &["--exclude", "bat", "--exclude", "bad"]);
    let findings = lines[0]["findings"].as_array().unwrap();
    let told = findings
        .iter()
        .find(|finding| finding["code"] == "SF-1005")
        .unwrap();
    assert_eq!(
        told["text"],
        "`--exclude bat` matches no table of the source; did you mean `bad`?"
    );
    // `resync` has emptied a table: the migration ends only if that table is abandoned by name.
    let refused = said(&world.run("end", &["--yes"]));
    check(
        refused,
        4,
        &[
            "SF-1011",
            "1 of its 1 tables not complete: `good` is pending",
            "--abandon",
        ],
    );
    let output = world.run("end", &["--yes", "--output", "json"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(expect_documented("error", &text)[0]["error"]["code"], "SF-1011");
    let (_, lines) = read(&world, "end", &["--yes", "--abandon"]);
    let abandoned = &lines[0]["abandoned"][0];
    assert_eq!(
        (&abandoned["name"], &abandoned["phase"], &abandoned["code"]),
        (&"good".into(), &"pending".into(), &Value::Null)
    );
    assert!(lines[0]["dropped"].as_str().unwrap().ends_with("/databases/shop"));
    assert_eq!(lines[0]["erased"], world.state.to_str().unwrap());
}

/// Before the migration runs, `status` and the program that reads along know what is being done,
/// and an interrupt is followed.
#[tokio::test(flavor = "multi_thread")]
async fn a_start_that_takes_long_shows_its_step() {
    let mut world = World::new(Engine::MySql, TWO_TABLES).await;
    // A target that takes connections and never answers.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    world.target_address = Some(silent.local_addr().unwrap());
    let mut migrate = world.migrate();
    world.wait(&mut migrate, "its step is shown", |status| {
        status["state"] == "starting" && status["phase"] == "looking at the target"
    });
    let (status, text) = said(&world.run("status", &[]));
    let told = "a new `migrate` is starting: looking at the target; there are no figures yet";
    check((status, text), 0, &[told]);
    let json = read(&world, "status", &[]).1;
    assert_eq!(json[0]["running"], true);
    assert_eq!(migrate.interrupt(), 130);
    let told = [
        "there is no migration in this state directory",
        "the last start ended at 20",
        "by an interrupt",
    ];
    check(said(&world.run("status", &[])), 2, &told);
}

/// `end` says what it found, and never claims to have dropped what was not there.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_to_end_is_no_success() {
    let world = World::new(Engine::MySql, TWO_TABLES).await;
    let mut drain = world.drain_command();
    let (status, text) = said(&drain.args(["--exclude", "bad"]).output().unwrap());
    assert_eq!(status, 0, "{text}");
    // Another database, with a state directory of its own that is not there and must not be made.
    let nowhere = world.state.with_extension("nowhere");
    let end = |database: &str, output: &str| {
        let target = format!("spanner://{}", world.emulator.database(database));
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_spanferry"));
        command.args([
            "end",
            "--yes",
            "--target",
            &target,
            "--output",
            output,
            "--state-dir",
        ]);
        command.env("SPANNER_EMULATOR_HOST", world.emulator.host_port());
        said(&command.arg(&nowhere).output().unwrap())
    };
    check(end("empty", "text"), 3, &["error[SF-3003]"]);
    world
        .emulator
        .create_database("empty", Dialect::GoogleSql)
        .await
        .unwrap();
    check(
        end("empty", "text"),
        2,
        &["error[SF-1003]", "nothing was ended", "hint: "],
    );
    let (status, text) = end("empty", "json");
    assert_eq!(status, 2, "{text}");
    assert_eq!(expect_documented("error", &text)[0]["error"]["code"], "SF-1003");
    assert!(!nowhere.exists());
    // The real one, from a directory that knows nothing of it; then what is left of the run.
    check(end("shop", "text"), 0, &["dropped; there was no change log"]);
    check(
        said(&world.run("end", &["--yes"])),
        0,
        &["erased; ", "had no control tables"],
    );
    check(said(&world.run("end", &["--yes"])), 2, &["error[SF-1003]"]);
}

/// A finding is printed once at a first start. A table that is left out afterwards stops, and every
/// command prints the same ways out.
#[tokio::test(flavor = "multi_thread")]
async fn a_finding_is_told_once_and_an_excluded_table_has_ways_that_work() {
    let world = World::new(Engine::MySql, TWO_TABLES).await;
    world.sql("CREATE TABLE later (id INT PRIMARY KEY);\n").await;
    let mut drain = world.drain_command();
    let (status, text) = said(&drain.args(["--exclude", "bad"]).output().unwrap());
    assert_eq!(status, 0, "{text}");
    assert_eq!(
        text.matches("the default `rand()` is not created at the target")
            .count(),
        1,
        "{text}"
    );
    let drain = |more: &[&str]| said(&world.drain_command().args(more).output().unwrap());
    // A slip in the selection stops nothing.
    let narrowed = ["--exclude", "bad", "--exclude", "later"];
    let (status, text) = drain(&narrowed);
    assert!(
        !text.contains("--forget"),
        "it would drop a table that is wanted: {text}"
    );
    check((status, text), 3, &["`later`", "SF-5035", "`--accept SF-5035`"]);
    check(drain(&["--exclude", "bad"]), 0, &["migrate: ended"]);
    let accepted = [&narrowed[..], &["--accept", "SF-5035:later"]].concat();
    let (status, text) = drain(&accepted);
    let directory = format!("--state-dir {}", world.state.display());
    let forget = format!("spanferry resync {directory} --forget later");
    let again = format!("spanferry migrate {directory} --include '*' --stop-when caught-up");
    check(
        (status, text.clone()),
        4,
        &["stopped: `later`: SF-5028", &forget, &again],
    );
    assert!(!text.contains("SF-5004"), "{text}");
    check(
        said(&world.run("resync", &["later", "--yes"])),
        4,
        &["error[SF-5028]", &forget, &again],
    );
    // What is printed works.
    let resync = format!("spanferry resync {directory} later");
    check(
        drain(&["--include", "*", "--exclude", "bad"]),
        4,
        &["stopped: `later`: SF-5004", &resync],
    );
    check(
        said(
            &world
                .bare_command("resync", &["later", "--yes"])
                .output()
                .unwrap(),
        ),
        0,
        &["resync: later emptied"],
    );
    check(
        drain(&["--include", "*", "--exclude", "bad"]),
        0,
        &["migrate: ended"],
    );
}

#[test]
fn options_say_what_they_take() {
    let run = |options: &[&str]| {
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_spanferry"))
            .args(options)
            .output()
            .unwrap();
        said(&output)
    };
    for (option, value, words) in [
        ("--log-budget", "64Gib", "`Gib` is no known unit"),
        ("--source-rate", "0", "a rate of 0 would read nothing"),
        ("--source-rate", "fast", "such as `64GiB`, found `fast`"),
    ] {
        check(run(&["check", option, value]), 2, &[words]);
    }
    let target = "projects/p/instances/i/databases/Shop";
    let create = [
        "check",
        "--create-database",
        "--dialect",
        "googlesql",
        "--target",
        target,
    ];
    check(
        run(&create),
        2,
        &["no database of the id `Shop`", "hint: It takes 2 to 30"],
    );
    for (finding, words) in [
        ("SF-1", "expected a known code"),
        ("SF-2007", "`SF-2007` cannot be accepted"),
    ] {
        let hint = "These can be accepted: `SF-2008`";
        check(run(&["check", "--accept", finding]), 2, &["SF-1001", words, hint]);
    }
    // Taken, so that the next thing that is missing is reported.
    let given = [
        "check",
        "--accept",
        "sf-2008:t",
        "--log-budget",
        "1.5 GiB",
        "--source-rate",
        "2MB/s",
    ];
    check(
        run(&given),
        2,
        &[
            "--source and --target: not given",
            "`--source mysql://user@host:port/schema`",
            "`--target spanner://",
        ],
    );
    // `end` has no `--source`.
    check(run(&["end"]), 2, &["error[SF-1001]: --target: not given"]);
    check(
        run(&["explain", "sf-2004"]),
        0,
        &["SF-2004: a setting of the source"],
    );
    let (_, help) = run(&["status", "--help"]);
    assert!(help.contains("State:") && !help.contains("Source:"), "{help}");
    let (_, help) = run(&["migrate", "--help"]);
    for heading in [
        "Source:",
        "Target:",
        "Tables and findings:",
        "State:",
        "Output:",
        "Run:",
    ] {
        assert!(help.contains(&format!("\n{heading}\n")), "{heading} {help}");
    }
    check(run(&["--help"]), 0, &["SPANFERRY_LOG"]);
}

/// The statement that `check` prints for a table without a key makes it one that is carried.
async fn a_key_is_given(engine: Engine) {
    let world = World::new(
        engine,
        "CREATE TABLE `a b` (v INT);\nINSERT INTO `a b` VALUES (1), (1);\n",
    )
    .await;
    let (_, lines) = read(&world, "check", &world.migrate_options());
    let keyless = |finding: &&Value| finding["code"] == "SF-2007";
    let finding = lines[0]["findings"].as_array().unwrap().iter().find(keyless);
    let remedy = finding.unwrap()["remedy"].as_str().unwrap();
    world.server.paste(remedy).unwrap();
    world.expect_drained();
    world.sql("INSERT INTO `a b` VALUES (1), (2);\n").await;
    world.expect_drained();
    world.expect_equal();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_given_mysql() {
    a_key_is_given(Engine::MySql).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_given_mariadb() {
    a_key_is_given(Engine::MariaDb).await;
}

const ODD_NAMES: &str = "CREATE TABLE `zero date` (id INT PRIMARY KEY, d DATE);
CREATE TABLE `it's` (id INT PRIMARY KEY);
CREATE TABLE `$HOME` (id INT PRIMARY KEY, v INT, w INT);
INSERT INTO `$HOME` VALUES (1, 1, 1);
CREATE TABLE `-dash` (id INT PRIMARY KEY, u INT UNIQUE);
CREATE TABLE `a b` (id INT PRIMARY KEY);
";

/// A group that has stopped, for each cause: the printed command is run as it stands, in a shell
/// with a terminal.
#[tokio::test(flavor = "multi_thread")]
async fn each_group_that_stopped_is_loaded_by_the_printed_command() {
    let world = World::new(Engine::MySql, ODD_NAMES).await;
    world.expect_drained();
    let mut migrate = world.migrate();
    world.wait_caught_up(&mut migrate);
    world
        .sql(
            "SET SESSION sql_mode = '';\nINSERT INTO `zero date` VALUES (1, '0000-00-00');
             ALTER TABLE `it's` ADD COLUMN v INT;
             SET SESSION binlog_row_image = MINIMAL;\nUPDATE `$HOME` SET v = 2;
             ALTER TABLE `-dash` ADD COLUMN v INT;\n",
        )
        .await;
    world.wait(&mut migrate, "four groups have stopped", |status| {
        let stopped = |table: &&Value| table["phase"] == "stopped";
        status["tables"]
            .as_array()
            .unwrap()
            .iter()
            .filter(stopped)
            .count()
            == 4
    });
    let told = said(&world.run("status", &[]));
    check(
        told,
        0,
        &["when `migrate` has stopped, fix: spanferry resync --state-dir "],
    );
    assert_eq!(migrate.interrupt(), 4);
    world
        .sql("UPDATE `zero date` SET d = '2020-01-01';\nALTER TABLE `a b` ADD COLUMN v INT;\n")
        .await;
    let (status, text) = world.drain();
    assert_eq!(status, 4, "{text}");
    for code in ["SF-4001", "SF-5001", "SF-5002", "SF-5004"] {
        assert!(text.contains(&format!(": {code}: ")), "{code} in {text}");
    }
    // It is not ended by mistake while tables have stopped.
    let (status, refused) = said(&world.run("end", &["--yes"]));
    assert_eq!(status, 4, "{refused}");
    for words in [
        "SF-1011",
        "5 of its 5 tables",
        "`it's` is stopped (SF-5001)",
        "`-dash` is stopped",
    ] {
        assert!(refused.contains(words), "`{words}` is missing in: {refused}");
    }
    let commands: Vec<&str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("  fix: "))
        .collect();
    assert_eq!(commands.len(), 5, "{text}");
    for command in commands {
        let (status, told) = world.type_in(command, "resync\n");
        assert!(
            status == 0 && told.contains("emptied"),
            "{command}: {status} {told}"
        );
    }
    world.expect_drained();
    world.expect_equal();
}

/// When every group has stopped, the migration ends by itself, says so, and claims nowhere that it
/// has caught up.
#[tokio::test(flavor = "multi_thread")]
async fn a_migration_of_which_every_group_has_stopped_claims_nothing() {
    let schema = "CREATE TABLE a (id INT PRIMARY KEY);\nCREATE TABLE b (id INT PRIMARY KEY);\n";
    let world = World::new(Engine::MySql, schema).await;
    let mut migrate = world.migrate();
    world.wait_caught_up(&mut migrate);
    world
        .sql("ALTER TABLE a ADD COLUMN v INT;\nALTER TABLE b ADD COLUMN v INT;\nINSERT INTO a VALUES (1, 1);\n")
        .await;
    assert_eq!(migrate.ended(), Some(4));
    let claims_nothing = || {
        let (_, lines) = read(&world, "status", &[]);
        let status = &lines[0];
        assert_eq!(
            (
                &status["state"],
                &status["caught_up"],
                &status["end"]["exit_status"]
            ),
            (&"ended".into(), &false.into(), &4.into())
        );
        let phases: Vec<&Value> = status["tables"]
            .as_array()
            .unwrap()
            .iter()
            .map(|table| &table["phase"])
            .collect();
        assert_eq!(phases, ["stopped", "stopped"]);
        let (shown, text) = said(&world.run("status", &[]));
        assert!(shown == 0 && !text.contains("caught up"), "{text}");
        check((shown, text), 0, &["exit status 4", "SF-5001"]);
    };
    claims_nothing();
    // So does a start that finds all of them stopped.
    let (status, text) = world.drain();
    assert!(!text.contains("caught up"), "{text}");
    check((status, text), 4, &["stopped: `a`", "stopped: `b`"]);
    claims_nothing();
}

/// A row that the target rejects is named where the operator looks, and never in the run's log.
#[tokio::test(flavor = "multi_thread")]
async fn a_rejected_row_is_named_and_not_logged() {
    let schema = "CREATE TABLE t (id VARCHAR(20) PRIMARY KEY, u VARCHAR(20) UNIQUE);\nINSERT INTO t VALUES ('a', 'a');\n";
    let world = World::new(Engine::MySql, schema).await;
    world.expect_drained();
    world
        .meddle("t", &["id", "u"], &[&["s3cret-1", "s3cret-2"]])
        .await;
    world
        .sql("INSERT INTO t VALUES ('s3cret-3', 's3cret-2');\n")
        .await;
    // The unique index gives way to the source's row, and the reason names it; the next start knows
    // the reason.
    let named = [
        "SF-4006",
        "s3cret-",
        "create it at the target by hand: CREATE UNIQUE",
    ];
    check(world.drain(), 0, &named);
    check(said(&world.run("status", &[])), 0, &["SF-4006", "s3cret-"]);
    check(world.drain(), 0, &["migrate: ended"]);
    let log = std::fs::read_to_string(world.state.join("run.log")).unwrap();
    assert!(log.contains("a commit is rejected"), "{log}");
    assert!(!log.contains("s3cret"), "{log}");
}
