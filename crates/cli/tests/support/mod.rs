//! A source, a target and the `spanferry` program, for end-to-end tests.

#![allow(
    clippy::unwrap_used,
    dead_code,
    unused_imports,
    unreachable_pub,
    missing_docs,
    reason = "each test binary uses its part of this kit"
)]

mod bench;
pub mod schema;
mod target;
mod writer;

pub use bench::bench;
pub use target::HELD_UP;
pub use writer::Writer;

use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use mysql_async::prelude::Queryable;
use spanferry_testkit::patience::PATIENCE;
use spanferry_testkit::server::{Emulator, Engine, Server, ServerOptions};

/// The account of the test kit's servers.
const ADMINISTRATOR: &str = "admin";

/// One source schema and one target database of the same name.
pub struct World {
    pub server: Arc<Server>,
    pub emulator: Arc<Emulator>,
    pub state: PathBuf,
    pub dialect: &'static str,
    pub schema: String,
    /// How the source's URL spells the schema, if otherwise.
    pub schema_spelled: Option<&'static str>,
    /// What stands before the source (a proxy, a replica), if the program is not to reach it
    /// directly.
    pub source_address: Option<SocketAddr>,
    /// Who logs in to the source; the password is the same word.
    pub account: &'static str,
    /// What follows the schema in the source's URL, with its `?`; empty for TLS with a verified
    /// certificate.
    pub source_query: &'static str,
    /// What stands before the target (a proxy, an interposer).
    pub target_address: Option<SocketAddr>,
    /// Options that every command of this world gets.
    pub options: Vec<String>,
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
        let emulator = Arc::new(Emulator::start().unwrap());
        World::on(Arc::new(server), emulator, "shop", dialect, schema_sql).await
    }

    /// A schema of its own on servers that other worlds use too, one after another.
    pub async fn on(
        server: Arc<Server>,
        emulator: Arc<Emulator>,
        schema: &str,
        dialect: &'static str,
        schema_sql: &str,
    ) -> World {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        server
            .execute(None, &format!("CREATE DATABASE `{schema}`"))
            .await
            .unwrap();
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let state = std::env::temp_dir().join(format!("sf-e2e-{}-{number}", std::process::id()));
        let world = World {
            server,
            emulator,
            state,
            dialect,
            schema: schema.to_owned(),
            schema_spelled: None,
            source_address: None,
            account: ADMINISTRATOR,
            source_query: "",
            target_address: None,
            options: Vec::new(),
        };
        world.sql(schema_sql).await;
        world
    }

    /// Runs statements separated by semicolons at line ends, on one connection.
    pub async fn sql(&self, statements: &str) {
        let pool = self.server.pool(Some(&self.schema));
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
        let target = format!("spanner://{}", self.emulator.database(&self.schema));
        let source = self.source_url();
        let mut options = vec!["--source", &source, "--target", &target];
        options.extend(self.options.iter().map(String::as_str));
        options.extend(more);
        self.bare_command(verb, &options)
    }

    /// A command that knows its state directory and nothing of either end.
    pub fn bare_command(&self, verb: &str, more: &[&str]) -> Command {
        self.command_in(&self.state, verb, more)
    }

    /// The same with another state directory.
    pub fn command_in(&self, state: &Path, verb: &str, more: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_spanferry"));
        command
            .arg(verb)
            .args(["--state-dir".as_ref(), state.as_os_str()])
            .args(more)
            .env("SPANNER_EMULATOR_HOST", self.target_host_port())
            .env("SPANFERRY_SOURCE_PASSWORD", self.account)
            .env("NO_COLOR", "1")
            .stdin(Stdio::null());
        command
    }

    /// A printed command as a person types it: in a shell with a terminal, with this answer to its
    /// question; the exit status and everything that was shown.
    pub fn type_in(&self, command: &str, answer: &str) -> (i32, String) {
        let program = Path::new(env!("CARGO_BIN_EXE_spanferry"));
        let path = std::env::var_os("PATH").unwrap();
        let folders = std::iter::once(program.parent().unwrap().to_owned());
        let path = std::env::join_paths(folders.chain(std::env::split_paths(&path))).unwrap();
        let mut terminal = Command::new("script")
            .args(["--quiet", "--return", "--command", command, "/dev/null"])
            .env("PATH", path)
            .env("SHELL", "/bin/sh")
            .env("SPANNER_EMULATOR_HOST", self.target_host_port())
            .env("SPANFERRY_SOURCE_PASSWORD", self.account)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut keyboard = terminal.stdin.take().unwrap();
        keyboard.write_all(answer.as_bytes()).unwrap();
        // An end of input would be typed as well.
        let shown = terminal.wait_with_output().unwrap();
        drop(keyboard);
        said(&shown)
    }

    pub fn source_url(&self) -> String {
        let verified = self.server.url(self.schema_spelled.unwrap_or(&self.schema));
        let direct = match verified.split_once('?') {
            Some((plain, _)) if !self.source_query.is_empty() => format!("{plain}{}", self.source_query),
            _ => verified,
        };
        let direct = direct.replace(&format!("//{ADMINISTRATOR}@"), &format!("//{}@", self.account));
        match self.source_address {
            Some(address) => direct.replace(
                &format!("127.0.0.1:{}/", self.server.port()),
                &format!("{address}/"),
            ),
            None => direct,
        }
    }

    fn target_host_port(&self) -> String {
        match self.target_address {
            Some(address) => address.to_string(),
            None => self.emulator.host_port().to_owned(),
        }
    }

    pub fn run(&self, verb: &str, more: &[&str]) -> Output {
        self.command(verb, more).output().unwrap()
    }

    pub fn migrate_options(&self) -> [&'static str; 3] {
        ["--create-database", "--dialect", self.dialect]
    }

    /// Starts `migrate` without a stop condition.
    pub fn migrate(&self) -> Running {
        self.migrate_with(&[])
    }

    /// The same with further options.
    pub fn migrate_with(&self, more: &[&str]) -> Running {
        self.forget_status();
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

    /// What an earlier process said must not be taken for the next one's word.
    fn forget_status(&self) {
        let status = self.state.join("status.json");
        if status.exists() {
            std::fs::remove_file(status).unwrap();
        }
    }

    /// What `status` says now, if anything.
    pub fn status(&self) -> Option<serde_json::Value> {
        let output = self.run("status", &["--output", "json"]);
        serde_json::from_slice(&output.stdout).ok()
    }

    /// A `migrate` that ends when caught up, yet to be started.
    pub fn drain_command(&self) -> Command {
        let mut more = self.migrate_options().to_vec();
        more.extend(["--stop-when", "caught-up"]);
        self.command("migrate", &more)
    }

    /// Migrates until caught up; the exit status and everything printed.
    pub fn drain(&self) -> (i32, String) {
        said(&self.drain_command().output().unwrap())
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
            let status = self.status();
            if status.as_ref().is_some_and(&wanted) {
                return;
            }
            assert!(
                since.elapsed() < PATIENCE,
                "{what} did not come; `status` said {status:?}"
            );
        }
    }

    /// Waits until everything the source had is applied, constraints included.
    pub fn wait_caught_up(&self, running: &mut Running) {
        self.wait(running, "it had caught up", |status| {
            status["running"] == true && status["caught_up"] == true
        });
    }

    /// Waits until every table is complete. Beside a writer that never rests, changes may wait at
    /// every look.
    pub fn wait_complete(&self, running: &mut Running) {
        self.wait(running, "every table was complete", |status| {
            let tables = status["tables"].as_array();
            let is_complete = |tables: &Vec<serde_json::Value>| {
                !tables.is_empty() && tables.iter().all(|table| table["phase"] == "constrained")
            };
            status["running"] == true && tables.is_some_and(is_complete)
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

/// Whether a table is in its load, and some of its rows are in.
pub fn is_loading(status: &serde_json::Value) -> bool {
    let tables = status["tables"].as_array();
    tables.is_some_and(|tables| {
        tables
            .iter()
            .any(|table| table["phase"] == "loading" && table["rows_loaded"].as_u64() > Some(0))
    })
}

/// A running `migrate`; killed when dropped.
pub struct Running(pub Child);

impl Running {
    /// SIGKILL, and the end of the process.
    pub fn kill(mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }

    /// Waits for its end by itself: the exit status, or none if a signal ended it.
    pub fn ended(mut self) -> Option<i32> {
        self.0.wait().unwrap().code()
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
