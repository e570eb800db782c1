//! `spanferry-drive`: runs the built `spanferry` against real servers, for `cargo xtask demo` and
//! `cargo xtask bench`.

#![expect(
    clippy::print_stdout,
    reason = "this program talks to a person at a terminal or to a log of CI"
)]

mod bench;
mod demo;
mod error;
mod migration;
mod start;
mod terminal;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

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
