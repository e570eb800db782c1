//! `spanferry-drive`: runs the built `spanferry` against real servers, for `cargo xtask demo` and
//! `cargo xtask bench`.

#![expect(
    clippy::print_stdout,
    reason = "this program talks to a person at a terminal or to a log of CI"
)]

mod bench;
mod demo;
mod migration;
mod terminal;

use std::path::PathBuf;
use std::process::{Command, ExitCode};

use clap::{Parser, Subcommand};
use spanferry_testkit::server::services_directory;

/// Runs the program that lies in a folder against real servers.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    /// The folder of the programs to run.
    #[arg(long, value_name = "FOLDER")]
    programs: PathBuf,
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Migrate a web shop under write load from a real server to the Spanner emulator, before your
    /// eyes.
    Demo(demo::Options),
    /// Measure speed, processor time and memory against a null Spanner and the emulator; prints one
    /// table.
    Bench(bench::Options),
}

/// Why a drive has failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DriveError {
    /// A step ended otherwise than it must.
    #[error("{0}")]
    Failed(String),
    /// A program could not be run at all.
    #[error("`{program}` could not be run: {source}")]
    Run {
        /// Its name.
        program: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// Ctrl-C or SIGTERM; everything that was started has been ended.
    #[error("interrupted")]
    Interrupted,
}

impl DriveError {
    /// The exit codes are those of `spanferry` itself: 130 interrupted, otherwise 1.
    fn code(&self) -> u8 {
        match self {
            Self::Failed(_) | Self::Run { .. } => 1,
            Self::Interrupted => 130,
        }
    }
}

/// A failure with all its causes.
pub(crate) fn failed(what: &str, error: &dyn std::error::Error) -> DriveError {
    let causes = std::iter::successors(Some(error), |error| error.source());
    let texts: Vec<String> = causes.map(ToString::to_string).collect();
    DriveError::Failed(format!("{what}: {}", texts.join(": ")))
}

/// The runtime of a task that talks to servers.
pub(crate) fn runtime() -> Result<tokio::runtime::Runtime, DriveError> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|source| DriveError::Run {
            program: "tokio".into(),
            source,
        })
}

/// A service script of this checkout.
pub(crate) fn service(script: &str) -> Command {
    Command::new(services_directory().join(script))
}

/// Runs `command` with our own terminal; true when it succeeded.
pub(crate) fn succeeds(command: &mut Command) -> Result<bool, DriveError> {
    let program = command.get_program().to_string_lossy().into_owned();
    command
        .status()
        .map(|status| status.success())
        .map_err(|source| DriveError::Run { program, source })
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let outcome = match arguments.task {
        Task::Demo(options) => demo::run(&options, &arguments.programs),
        Task::Bench(options) => bench::run(&options, &arguments.programs),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("error: {error}");
            ExitCode::from(error.code())
        }
    }
}
