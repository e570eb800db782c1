//! Everything that a developer runs: `cargo xtask demo`, `test`, `bench`, `dist` and `soak`.

#![expect(
    clippy::print_stdout,
    reason = "this program talks to a person at a terminal or to a log of CI"
)]

mod cargo;
mod dist;
mod drive;
mod soak;
mod suite;

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
    /// Migrate a web shop under write load from a real server to the Spanner emulator, before your
    /// eyes.
    Demo(drive::DemoOptions),
    /// Format check, lints and all tests; the last line is `N passed, N failed`.
    Test,
    /// Measure speed, processor time and memory against a null Spanner and the emulator; prints one
    /// table.
    Bench(drive::BenchOptions),
    /// Build what users install: one program that needs only the C library, man pages, completions;
    /// packed with a checksum.
    Dist,
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
}

impl TaskError {
    /// The exit codes are those of `spanferry` itself: 3 refused at the start, otherwise 1.
    fn code(&self) -> u8 {
        match self {
            Self::Missing { .. } => 3,
            Self::Failed(_) | Self::Run { .. } => 1,
        }
    }
}

fn main() -> ExitCode {
    let outcome = match Arguments::parse().task {
        Task::Demo(options) => drive::demo(&options),
        Task::Test => suite::run(),
        Task::Bench(options) => drive::bench(&options),
        Task::Dist => dist::run(),
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
