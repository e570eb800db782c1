//! The doors to demo, tests and soak runs: `cargo xtask demo`, `test`, `bench` and `soak`.

#![expect(
    clippy::print_stdout,
    reason = "this program talks to a person at a terminal or to a log of CI"
)]

mod bench;
mod cargo;
mod demo;
mod migration;
mod soak;
mod suite;
mod terminal;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Everything a developer runs in this repository.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Migrate a web shop under write load from a real server to the Spanner emulator, before your eyes.
    Demo(demo::Options),
    /// Format check, lints and all tests; the last line is `N passed, N failed`.
    Test,
    /// Measure speed, processor time and memory against a null Spanner and the emulator; prints one table.
    Bench(bench::Options),
    /// Repeat the random tests with new seeds.
    Soak(soak::Options),
}

/// What a person runs next, and the exit code that goes with it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TaskError {
    /// Something that has to be installed first; nothing was started.
    #[error("{what}\n{remedy}")]
    Missing {
        /// What is not there.
        what: String,
        /// The commands that install it.
        remedy: String,
    },
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

impl TaskError {
    /// The exit codes are those of `spanferry` itself: 3 refused at the start, 130 interrupted, otherwise 1.
    fn code(&self) -> u8 {
        match self {
            Self::Missing { .. } => 3,
            Self::Failed(_) | Self::Run { .. } => 1,
            Self::Interrupted => 130,
        }
    }
}

/// A failure with all its causes.
pub(crate) fn failed(what: &str, error: &dyn std::error::Error) -> TaskError {
    let causes = std::iter::successors(Some(error), |error| error.source());
    let texts: Vec<String> = causes.map(ToString::to_string).collect();
    TaskError::Failed(format!("{what}: {}", texts.join(": ")))
}

/// The runtime of a task that talks to servers.
pub(crate) fn runtime() -> Result<tokio::runtime::Runtime, TaskError> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|source| TaskError::Run {
            program: "tokio".into(),
            source,
        })
}

fn main() -> ExitCode {
    let outcome = match Arguments::parse().task {
        Task::Demo(options) => demo::run(&options),
        Task::Test => suite::run(),
        Task::Bench(options) => bench::run(&options),
        Task::Soak(options) => soak::run(&options),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let text = error.to_string();
            // The closing line of the tests was printed already and stays the last.
            if !text.is_empty() {
                println!("error: {text}");
            }
            ExitCode::from(error.code())
        }
    }
}
