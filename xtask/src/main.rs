//! Everything that a developer runs: `cargo xtask demo`, `test`, `bench`, `dist` and `soak`.

#![expect(
    clippy::print_stdout,
    reason = "this program talks to a person at a terminal or to a log of CI"
)]

mod cargo;
mod dist;
mod drive;
mod error;
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
