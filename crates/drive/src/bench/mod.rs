//! `cargo xtask bench`: our own ceiling against a null Spanner, the emulator's, and what the
//! source's tools need beside us.

mod emulator;
mod measure;
mod scenario;
mod table;

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use spanferry_testkit::server::{Engine, Server};

use crate::{DriveError, failed, runtime};
use measure::Measured;
use scenario::Scenario;
use table::Line;

/// The schema that is filled and moved.
const SCHEMA: &str = "bench";
/// The target of every run; the null server begins empty each time.
const DATABASE: &str = "projects/test/instances/test/databases/bench";

/// Options of `bench`.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// How often each scenario is measured.
    #[arg(long, default_value_t = 3, value_name = "N")]
    runs: usize,
    /// Rows of the sysbench table; the other scenarios follow from it.
    #[arg(long, default_value_t = 1_000_000, value_name = "N")]
    rows: u64,
    /// Only scenarios whose name contains this.
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
}

/// Starts what is needed, measures, prints the table, and ends everything.
pub(crate) fn run(options: &Options, programs: &Path) -> Result<(), DriveError> {
    let programs = Programs {
        spanferry: programs.join("spanferry"),
        stand_in: programs.join("spanferry-spanner-standin"),
    };
    let runtime = runtime()?;
    let server = Server::start(Engine::MySql).map_err(|error| failed("starting MySQL", &error))?;
    let scratch = std::env::temp_dir().join(format!("spanferry-bench-{}", std::process::id()));
    let bench = Bench {
        programs,
        server,
        scratch,
        runs: options.runs.max(1),
    };
    let lines = runtime.block_on(bench.all(options));
    // What is left of a temporary folder is the system's to clear.
    drop(std::fs::remove_dir_all(&bench.scratch));
    print!("{}", table::render(&lines?));
    Ok(())
}

/// The two programs, optimised as they are released.
struct Programs {
    spanferry: PathBuf,
    stand_in: PathBuf,
}

struct Bench {
    programs: Programs,
    server: Server,
    scratch: PathBuf,
    runs: usize,
}

impl Bench {
    async fn all(&self, options: &Options) -> Result<Vec<Line>, DriveError> {
        let wanted = |name: &str| options.only.as_deref().is_none_or(|part| name.contains(part));
        let mut lines = Vec::new();
        for scenario in scenario::all(options.rows) {
            if wanted(scenario.name) {
                println!("==> {}", scenario.name);
                lines.extend(self.one(&scenario).await?);
            }
        }
        if wanted(emulator::NAME) {
            println!("==> {}", emulator::NAME);
            lines.extend(emulator::lines(self, options.rows.min(emulator::ROWS_MAX)).await?);
        }
        Ok(lines)
    }

    /// Our figures for a scenario, then those of the source's own tool.
    async fn one(&self, scenario: &Scenario) -> Result<[Line; 2], DriveError> {
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for run in 0..self.runs {
            self.server_runs(scenario.before).await?;
            let stand_in = StandIn::start(&self.programs.stand_in)?;
            let state = self.scratch.join("state");
            drop(std::fs::remove_dir_all(&state));
            if let Some(backlog) = &scenario.backlog {
                self.migrate(&stand_in.address)?;
                self.server_runs(backlog).await?;
            }
            let tool = self.tool(scenario).await?;
            ours.push(self.migrate(&stand_in.address)?);
            theirs.push(tool);
            println!(
                "    run {}: {:.2} s, theirs {:.2} s",
                run + 1,
                ours[run].seconds,
                theirs[run].seconds
            );
        }
        Ok([
            Line::new(scenario.name, scenario.units, scenario.unit, ours),
            Line::new(scenario.tool.name(), scenario.units, scenario.unit, theirs),
        ])
    }

    /// Runs statements on the source, each on its own line end.
    async fn server_runs(&self, statements: &str) -> Result<(), DriveError> {
        for statement in statements
            .split(";;\n")
            .map(str::trim)
            .filter(|text| !text.is_empty())
        {
            self.server
                .execute(None, statement)
                .await
                .map_err(|error| failed("filling the source", &error))?;
        }
        Ok(())
    }

    /// `migrate` until caught up.
    fn migrate(&self, address: &str) -> Result<Measured, DriveError> {
        let state = self.scratch.join("state");
        let mut command = Command::new(&self.programs.spanferry);
        command
            .args(["migrate", "--source", &self.server.url(SCHEMA), "--target"])
            .arg(format!("spanner://{DATABASE}"))
            .arg("--state-dir")
            .arg(&state)
            .args([
                "--create-database",
                "--dialect",
                "googlesql",
                "--stop-when",
                "caught-up",
            ])
            .env("SPANNER_EMULATOR_HOST", address)
            .env("SPANFERRY_SOURCE_PASSWORD", self.server.password())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let measured = measure::measure(command)?;
        Ok(measured.with_report(&state.join("report.json")))
    }

    /// What the source's own tool needs for the same data, thrown away.
    async fn tool(&self, scenario: &Scenario) -> Result<Measured, DriveError> {
        let first: Vec<String> = self
            .server
            .query(None, "SHOW BINARY LOGS")
            .await
            .map(|rows: Vec<(String, u64, String)>| rows.into_iter().map(|(name, _, _)| name).collect())
            .map_err(|error| failed("SHOW BINARY LOGS", &error))?;
        let folder = self.scratch.join("binlog");
        drop(std::fs::remove_dir_all(&folder));
        std::fs::create_dir_all(&folder).map_err(|source| DriveError::Run {
            program: folder.display().to_string(),
            source,
        })?;
        measure::measure(scenario.tool.command(&self.server, &folder, first.last()))
    }
}

/// The null Spanner, ended when dropped.
struct StandIn {
    child: Child,
    address: String,
}

impl StandIn {
    fn start(program: &PathBuf) -> Result<StandIn, DriveError> {
        use std::io::BufRead;
        let unrunnable = |source| DriveError::Run {
            program: program.display().to_string(),
            source,
        };
        let mut child = Command::new(program)
            .args(["--listen", "127.0.0.1:0", "--mode", "null", "--check", "fast"])
            .stdout(Stdio::piped())
            .spawn()
            .map_err(unrunnable)?;
        let output = child.stdout.take().expect("stdout is a pipe");
        let mut address = String::new();
        let read = std::io::BufReader::new(output).read_line(&mut address);
        let stand_in = StandIn {
            child,
            address: address.trim().to_owned(),
        };
        read.map(|_| stand_in).map_err(unrunnable)
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
