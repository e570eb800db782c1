//! `cargo xtask bench`: our own ceiling against a null Spanner, the emulator's, and what the
//! source's tools need beside us.

mod emulator;
mod measure;
mod scenario;
mod setup;
mod table;

use std::path::Path;

use spanferry_testkit::server::{Engine, Server};

use crate::error::{DriveError, failed};
use crate::start::runtime;
use measure::Measured;
use scenario::Scenario;
use setup::{Programs, Setup, StandIn};
use table::Line;

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
    let setup = Setup {
        programs,
        server,
        scratch,
        runs: options.runs.max(1),
    };
    let lines = runtime.block_on(all(&setup, options));
    // What is left of a temporary folder is the system's to clear.
    drop(std::fs::remove_dir_all(&setup.scratch));
    print!("{}", table::render(&lines?));
    Ok(())
}

/// Measures every wanted scenario.
async fn all(setup: &Setup, options: &Options) -> Result<Vec<Line>, DriveError> {
    let wanted = |name: &str| options.only.as_deref().is_none_or(|part| name.contains(part));
    let mut lines = Vec::new();
    for scenario in scenario::all(options.rows) {
        if wanted(scenario.name) {
            println!("==> {}", scenario.name);
            lines.extend(one(setup, &scenario).await?);
        }
    }
    if wanted(emulator::NAME) {
        println!("==> {}", emulator::NAME);
        lines.extend(emulator::lines(setup, options.rows.min(emulator::ROWS_MAX)).await?);
    }
    Ok(lines)
}

/// Our figures for a scenario, then those of the source's own tool.
async fn one(setup: &Setup, scenario: &Scenario) -> Result<[Line; 2], DriveError> {
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for run in 0..setup.runs {
        setup.execute(scenario.before).await?;
        let stand_in = StandIn::start(&setup.programs.stand_in)?;
        let state = setup.scratch.join("state");
        drop(std::fs::remove_dir_all(&state));
        if let Some(backlog) = &scenario.backlog {
            setup.migrate(&stand_in.address)?;
            setup.execute(backlog).await?;
        }
        let tool = tool(setup, scenario).await?;
        ours.push(setup.migrate(&stand_in.address)?);
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

/// What the source's own tool needs for the same data, thrown away.
async fn tool(setup: &Setup, scenario: &Scenario) -> Result<Measured, DriveError> {
    let first: Vec<String> = setup
        .server
        .query(None, "SHOW BINARY LOGS")
        .await
        .map(|rows: Vec<(String, u64, String)>| rows.into_iter().map(|(name, _, _)| name).collect())
        .map_err(|error| failed("SHOW BINARY LOGS", &error))?;
    let folder = setup.scratch.join("binlog");
    drop(std::fs::remove_dir_all(&folder));
    std::fs::create_dir_all(&folder).map_err(|source| DriveError::Run {
        program: folder.display().to_string(),
        source,
    })?;
    measure::measure(scenario.tool.command(&setup.server, &folder, first.last()))
}
