//! `cargo xtask demo`: a web shop moves to Spanner while its application writes, and survives a
//! kill on the way.

use std::future::poll_fn;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::task::Poll;
use std::time::Duration;

use clap::ValueEnum;
use mysql_async::Pool;
use spanferry_testkit::server::{Emulator, Engine, Server, ServerOptions};
use spanferry_testkit::workload::{self, Load, LoadOptions, Rows};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::Instant;

use crate::error::{DriveError, failed};
use crate::migration::{Spanferry, interrupt};
use crate::start::{runtime, service, succeeds};
use crate::terminal::TerminalModes;

/// The schema at the source and the database at the target.
const SCHEMA: &str = "shop";
/// Percent of the rows after whose load the migrating process is killed.
const KILL_PERCENT: u64 = 35;
/// Transactions a second of the application: a steady load that leaves the emulator, which commits
/// one transaction at a time, room to catch up.
const TRANSACTIONS_PER_SECOND: u32 = 120;
/// Longest wait for any one state; the whole takes a fraction of it, so this only ends a run that
/// hangs.
const WAIT_MAX: Duration = Duration::from_secs(240);
/// Longest wait for an orderly stop.
const STOP_MAX: Duration = Duration::from_secs(60);

/// Options of `demo`.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// The server to migrate from.
    #[arg(long, value_enum, default_value_t = SourceKind::Mysql)]
    source: SourceKind,
    /// About how many rows the shop starts with.
    #[arg(long, default_value_t = 300_000, value_name = "N")]
    rows: u64,
    /// Leave the servers running at the end, until Ctrl-C.
    #[arg(long)]
    keep: bool,
}

/// The servers that a demo can start from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum SourceKind {
    /// MySQL 8 or later: an installed one, or fetched.
    Mysql,
    /// MariaDB of this machine's own release.
    Mariadb,
}

/// The whole demo; whatever was started is ended when this returns, also after Ctrl-C.
pub(crate) fn run(options: &Options, programs: &Path) -> Result<(), DriveError> {
    // The process that is killed on the way cannot give them back.
    let _terminal = TerminalModes::remember();
    let runtime = runtime()?;
    runtime.block_on(async {
        let failed = |source| DriveError::Run {
            program: "signal handler".into(),
            source,
        };
        let mut interrupts = signal(SignalKind::interrupt()).map_err(failed)?;
        let mut terminations = signal(SignalKind::terminate()).map_err(failed)?;
        // Dropping the demo's future drops its children, servers and folder.
        let outcome = tokio::select! {
            biased;
            _ = interrupts.recv() => Err(DriveError::Interrupted),
            _ = terminations.recv() => Err(DriveError::Interrupted),
            outcome = demo(options, programs) => outcome,
        };
        // A step that held this thread, such as the start of a server, was sent the same signal and
        // failed of it.
        if outcome.is_err() && (has_come(&mut interrupts).await || has_come(&mut terminations).await) {
            return Err(DriveError::Interrupted);
        }
        outcome
    })
}

/// Whether a signal has come meanwhile.
async fn has_come(signal: &mut Signal) -> bool {
    poll_fn(|context| Poll::Ready(signal.poll_recv(context).is_ready())).await
}

async fn demo(options: &Options, programs: &Path) -> Result<(), DriveError> {
    let started = Instant::now();
    let emulator = emulator().await?;
    print(&format!("Spanner emulator at {}", emulator.host_port()));
    let server = start_source(options.source)?;

    let scratch = Scratch::new()?;
    let rows = Rows::about(options.rows);
    let pool = fill(&server, &rows).await?;
    let load_options = LoadOptions {
        connections: 4,
        transactions_per_second: Some(TRANSACTIONS_PER_SECOND),
        seed: 1,
    };
    let load = Load::start(&pool, &rows, &load_options);
    print(&format!(
        "the shop's application writes from now on, {TRANSACTIONS_PER_SECOND} transactions a second"
    ));

    let spanferry = Spanferry {
        program: scratch.copy(&programs.join("spanferry"))?,
        source: server.url(SCHEMA),
        password: server.password().to_owned(),
        target: format!(
            "spanner://{}",
            emulator.database(&format!("{SCHEMA}-{}", std::process::id()))
        ),
        emulator: emulator.host_port().to_owned(),
        state: scratch.path.join("state"),
    };
    let outcome = migrate(&spanferry, &rows, load).await;
    if let Err(error) = outcome {
        scratch.keep();
        return Err(error);
    }
    print(&format!("done in {} s", started.elapsed().as_secs()));
    if options.keep {
        print(&format!(
            "source {} (password {}), target {}",
            spanferry.source, spanferry.password, spanferry.target
        ));
        print(&format!(
            "SPANNER_EMULATOR_HOST={}; Ctrl-C ends both",
            spanferry.emulator
        ));
        println!("verify: equal");
        return std::future::pending().await;
    }
    // A connection that the server closes first is no concern any more.
    drop(pool.disconnect().await);
    drop((server, emulator, scratch));
    println!("verify: equal");
    Ok(())
}

/// From the first start of `migrate` to a verified end.
async fn migrate(spanferry: &Spanferry, rows: &Rows, load: Load) -> Result<(), DriveError> {
    print(&format!("migrating live: {}", spanferry.migrate_text()));
    let mut first = spanferry.migrate()?;
    let threshold = rows.total() * KILL_PERCENT / 100;
    let middle = format!("{threshold} rows were loaded");
    let status = spanferry
        .wait(&mut first, &middle, WAIT_MAX, |status| {
            status.rows_loaded >= threshold
        })
        .await?;
    first.kill().await.map_err(|source| DriveError::Run {
        program: "kill".into(),
        source,
    })?;
    print(&format!(
        "killed the migrating process (SIGKILL) after {} loaded rows",
        status.rows_loaded
    ));

    print("the same command line resumes");
    let mut second = spanferry.migrate()?;
    spanferry
        .wait(&mut second, "the migration had caught up", WAIT_MAX, |status| {
            status.caught_up
        })
        .await?;
    print("caught up while the application writes; stopping the application");
    let report = load
        .stop()
        .await
        .map_err(|error| failed("the application's writes", &error))?;
    print(&format!(
        "the application committed {} transactions, rolled back {}, repeated {} after deadlocks, had {} refused",
        report.committed, report.rolled_back, report.retried, report.refused
    ));
    let ended = interrupt(&mut second, STOP_MAX).await?;
    expect_code("`migrate` after Ctrl-C", ended, 130)?;

    print("draining: spanferry migrate … --stop-when caught-up");
    expect_code("`migrate --stop-when caught-up`", spanferry.drain().await?, 0)?;
    print("comparing every row and column: spanferry verify");
    let (status, text) = spanferry.verify().await?;
    for line in text.lines().filter(|line| *line != "verify: equal") {
        println!("{line}");
    }
    expect_code("`verify`", status, 0)
}

fn expect_code(what: &str, status: std::process::ExitStatus, code: i32) -> Result<(), DriveError> {
    if status.code() == Some(code) {
        return Ok(());
    }
    Err(DriveError::Failed(format!(
        "{what} ended with {status}, expected exit code {code}"
    )))
}

/// The emulator that `SPANNER_EMULATOR_HOST` names, or one of our own.
async fn emulator() -> Result<Emulator, DriveError> {
    let named = std::env::var("SPANNER_EMULATOR_HOST").ok();
    if let Some(address) = named.filter(|address| !address.is_empty()) {
        let attached = Emulator::attach(&address).await;
        return attached.map_err(|error| failed("the emulator that SPANNER_EMULATOR_HOST names", &error));
    }
    Emulator::start().map_err(|error| failed("starting the emulator", &error))
}

/// The source: what was asked for, or MariaDB where MySQL cannot be had.
fn start_source(kind: SourceKind) -> Result<Server, DriveError> {
    if kind == SourceKind::Mysql {
        print("starting MySQL (an installed one of version 8 or later, else fetched from Debian)");
        // An installed server may be confined to its own folders (AppArmor); the fetched one is
        // not.
        for installed in [true, false] {
            let flag = if installed { "1" } else { "0" };
            if succeeds(
                service("mysql.sh")
                    .arg("install")
                    .env("MYSQL_INSTALLED", flag)
                    .stdout(Stdio::null()),
            )? {
                let options = ServerOptions {
                    installed,
                    ..ServerOptions::default()
                };
                return Server::start_with(Engine::MySql, &options)
                    .map_err(|error| failed("starting MySQL", &error));
            }
        }
        print("MySQL cannot be had on this machine: MariaDB takes its place");
    }
    print("starting MariaDB");
    Server::start(Engine::MariaDb).map_err(|error| failed("starting MariaDB", &error))
}

async fn fill(server: &Server, rows: &Rows) -> Result<Pool, DriveError> {
    print(&format!(
        "source {}: creating a web shop of 14 tables and {} rows",
        server.url(SCHEMA),
        rows.total()
    ));
    let began = Instant::now();
    let lost = |error: mysql_async::Error| failed("filling the shop", &error);
    workload::create(&server.pool(None), SCHEMA).await.map_err(lost)?;
    let pool = server.pool(Some(SCHEMA));
    workload::fill(&pool, rows, 1).await.map_err(lost)?;
    print(&format!("filled in {:.1} s", began.elapsed().as_secs_f32()));
    Ok(pool)
}

fn print(text: &str) {
    println!("==> {text}");
}

/// A temporary folder, removed when dropped unless something went wrong.
struct Scratch {
    path: PathBuf,
    kept: std::cell::Cell<bool>,
}

impl Scratch {
    fn new() -> Result<Self, DriveError> {
        let path = std::env::temp_dir().join(format!("spanferry-demo-{}", std::process::id()));
        std::fs::create_dir_all(&path).map_err(|source| DriveError::Run {
            program: path.display().to_string(),
            source,
        })?;
        Ok(Self {
            path,
            kept: std::cell::Cell::new(false),
        })
    }

    /// A copy of the program, so that a build beside us does not replace it on the way.
    fn copy(&self, program: &Path) -> Result<PathBuf, DriveError> {
        let copy = self.path.join("spanferry");
        std::fs::copy(program, &copy).map_err(|source| DriveError::Run {
            program: program.display().to_string(),
            source,
        })?;
        Ok(copy)
    }

    /// Leaves the folder for a person to look at.
    fn keep(&self) {
        self.kept.set(true);
        print(&format!(
            "the state directory is left for you in {}",
            self.path.join("state").display()
        ));
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if !self.kept.get() {
            // What is left of a temporary folder is the system's to clear.
            drop(std::fs::remove_dir_all(&self.path));
        }
    }
}
