//! A source, a target and the `spanferry` program, for end-to-end tests.

#![allow(
    clippy::unwrap_used,
    dead_code,
    unreachable_pub,
    missing_docs,
    reason = "each test binary uses its part of this kit"
)]

use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};

use mysql_async::prelude::Queryable;
use spanferry_testkit::server::{Emulator, Engine, Server, ServerOptions};

/// How long a migration of a test may take before it counts as stuck.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(300);

/// One source schema and one target database.
pub struct World {
    pub server: Server,
    pub emulator: Emulator,
    pub state: PathBuf,
    pub dialect: &'static str,
}

impl World {
    pub async fn new(engine: Engine, schema_sql: &str) -> World {
        World::with(Server::start(engine).unwrap(), "googlesql", schema_sql).await
    }

    pub async fn with_arguments(engine: Engine, arguments: &[&str], schema_sql: &str) -> World {
        let arguments = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        let options = ServerOptions {
            arguments,
            ..ServerOptions::default()
        };
        World::with(
            Server::start_with(engine, &options).unwrap(),
            "googlesql",
            schema_sql,
        )
        .await
    }

    pub async fn with(server: Server, dialect: &'static str, schema_sql: &str) -> World {
        let emulator = Emulator::start().unwrap();
        server.execute(None, "CREATE DATABASE shop").await.unwrap();
        let state = std::env::temp_dir().join(format!("sf-e2e-{}-{}", std::process::id(), server.port()));
        let world = World {
            server,
            emulator,
            state,
            dialect,
        };
        world.sql(schema_sql).await;
        world
    }

    /// Runs statements separated by semicolons at line ends, on one connection.
    pub async fn sql(&self, statements: &str) {
        let pool = self.server.pool(Some("shop"));
        let mut connection = pool.get_conn().await.unwrap();
        for statement in statements
            .split(";\n")
            .map(str::trim)
            .filter(|statement| !statement.is_empty())
        {
            connection
                .query_drop(statement.trim_end_matches(';'))
                .await
                .unwrap_or_else(|error| panic!("{statement}: {error}"));
        }
        drop(connection);
        pool.disconnect().await.unwrap();
    }

    pub fn command(&self, verb: &str, more: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_spanferry"));
        command
            .args([
                verb,
                "--source",
                &self.server.url("shop"),
                "--target",
                "spanner://projects/test/instances/test/databases/shop",
            ])
            .args(["--state-dir".as_ref(), self.state.as_os_str()])
            .args(more)
            .env("SPANNER_EMULATOR_HOST", self.emulator.host_port())
            .env("SPANFERRY_SOURCE_PASSWORD", self.server.password())
            .env("NO_COLOR", "1")
            .stdin(Stdio::null());
        command
    }

    pub fn run(&self, verb: &str, more: &[&str]) -> Output {
        self.command(verb, more).output().unwrap()
    }

    fn migrate_options(&self) -> [&'static str; 3] {
        ["--create-database", "--dialect", self.dialect]
    }

    /// Starts `migrate` without a stop condition.
    pub fn migrate(&self) -> Running {
        self.migrate_with(&[])
    }

    /// The same with further options.
    pub fn migrate_with(&self, more: &[&str]) -> Running {
        let mut options = self.migrate_options().to_vec();
        options.extend(more);
        let mut command = self.command("migrate", &options);
        Running(
            command
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .unwrap(),
        )
    }

    /// Migrates until caught up; the exit status and everything printed.
    pub fn drain(&self) -> (i32, String) {
        let mut more = self.migrate_options().to_vec();
        more.extend(["--stop-when", "caught-up"]);
        said(&self.run("migrate", &more))
    }

    pub fn expect_drained(&self) {
        let (status, text) = self.drain();
        assert_eq!(status, 0, "{text}");
    }

    pub fn verify(&self) -> (i32, String) {
        said(&self.run("verify", &[]))
    }

    pub fn expect_equal(&self) {
        let (status, text) = self.verify();
        assert!(
            status == 0 && text.contains("verify: equal"),
            "exit {status}: {text}"
        );
    }

    /// Asks `status` until it says what is wanted.
    pub fn wait(&self, running: &mut Running, what: &str, wanted: impl Fn(&serde_json::Value) -> bool) {
        let since = std::time::Instant::now();
        loop {
            if let Some(ended) = running.0.try_wait().unwrap() {
                panic!("migrate ended ({ended}) before {what}");
            }
            let output = self.run("status", &["--output", "json"]);
            if let Ok(status) = serde_json::from_slice::<serde_json::Value>(&output.stdout)
                && wanted(&status)
            {
                return;
            }
            assert!(since.elapsed() < PATIENCE, "{what} did not come");
        }
    }

    /// Waits until the change stream has captured this many transactions since the process started, or caught up.
    pub fn wait_caught_up(&self, running: &mut Running) {
        self.wait(running, "it had caught up", |status| {
            status["running"] == true && status["caught_up"] == true
        });
    }
}

impl Drop for World {
    fn drop(&mut self) {
        // Kept after a failure, for a look at the run's log.
        if !std::thread::panicking() && self.state.exists() {
            std::fs::remove_dir_all(&self.state).unwrap();
        }
    }
}

/// A running `migrate`; killed when dropped.
pub struct Running(pub Child);

impl Running {
    /// SIGKILL, and the end of the process.
    pub fn kill(mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }

    /// SIGINT, and the exit status.
    pub fn interrupt(mut self) -> i32 {
        let status = Command::new("kill")
            .args(["-INT", &self.0.id().to_string()])
            .status()
            .unwrap();
        assert!(status.success());
        self.0.wait().unwrap().code().unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _gone = self.0.kill();
        let _reaped = self.0.wait();
    }
}

/// Exit status and everything that was printed.
pub fn said(output: &Output) -> (i32, String) {
    let text = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    (output.status.code().unwrap_or(-1), text)
}
