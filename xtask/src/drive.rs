//! `cargo xtask demo` and `bench`: builds `spanferry` with `spanferry-drive` and hands over to the
//! latter.

use std::net::{TcpStream, ToSocketAddrs};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::cargo::{Profile, build, emulator_missing, service, succeeds};
use crate::error::TaskError;

/// Names a running emulator.
const EMULATOR_VARIABLE: &str = "SPANNER_EMULATOR_HOST";
/// How long the named emulator may take to accept a connection.
const CONNECT_MAX: Duration = Duration::from_secs(5);

/// Options of `demo`. They stand here too, so that a mistake is found before the build.
#[derive(Debug, clap::Args)]
pub(crate) struct DemoOptions {
    /// The server to migrate from.
    #[arg(long, value_parser = ["mysql", "mariadb"], default_value = "mysql", value_name = "SERVER")]
    source: String,
    /// About how many rows the shop starts with.
    #[arg(long, default_value_t = 300_000, value_name = "N")]
    rows: u64,
    /// Leave the servers running at the end, until Ctrl-C.
    #[arg(long)]
    keep: bool,
}

/// Options of `bench`.
#[derive(Debug, clap::Args)]
pub(crate) struct BenchOptions {
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

/// Builds the program and runs the demo. Nothing is built when this machine has no emulator.
pub(crate) fn demo(options: &DemoOptions) -> Result<(), TaskError> {
    let named = named_emulator();
    if !named && !succeeds(service("spanner.sh").arg("install").stderr(Stdio::null()))? {
        return Err(emulator_missing());
    }
    println!("==> building spanferry");
    let folder = build(&["spanferry", "spanferry-drive"], Profile::Dev)?;
    let mut command = drive(&folder, &folder, "demo");
    command.args([
        "--source",
        options.source.as_str(),
        "--rows",
        &options.rows.to_string(),
    ]);
    command.args(options.keep.then_some("--keep"));
    if !named {
        command.env_remove(EMULATOR_VARIABLE);
    }
    Err(replace_us(command))
}

/// Builds the programs as they are released and measures them.
pub(crate) fn bench(options: &BenchOptions) -> Result<(), TaskError> {
    println!("==> building with the release profile");
    let programs = build(&["spanferry", "spanferry-spanner-standin"], Profile::Release)?;
    // Apart: what it adds to the features of dependencies must not be measured.
    let folder = build(&["spanferry", "spanferry-drive"], Profile::Dev)?;
    let mut command = drive(&folder, &programs, "bench");
    command.args([
        "--runs",
        &options.runs.to_string(),
        "--rows",
        &options.rows.to_string(),
    ]);
    if let Some(part) = &options.only {
        command.args(["--only", part]);
    }
    Err(replace_us(command))
}

fn drive(folder: &Path, programs: &Path, task: &str) -> Command {
    let mut command = Command::new(folder.join("spanferry-drive"));
    command.arg("--programs").arg(programs).arg(task);
    command
}

/// Replaces this process by `command`, so that signals reach it and its exit code is ours; returns
/// only when that fails.
fn replace_us(mut command: Command) -> TaskError {
    let source = command.exec();
    TaskError::Run {
        program: command.get_program().to_string_lossy().into_owned(),
        source,
    }
}

/// Whether the environment names an emulator that accepts connections.
fn named_emulator() -> bool {
    let Some(address) = std::env::var(EMULATOR_VARIABLE)
        .ok()
        .filter(|address| !address.is_empty())
    else {
        return false;
    };
    let connected = address.to_socket_addrs().and_then(|mut all| {
        let first = all
            .next()
            .ok_or_else(|| std::io::Error::other("the name has no address"))?;
        TcpStream::connect_timeout(&first, CONNECT_MAX)
    });
    match connected {
        Ok(_) => true,
        Err(error) => {
            println!(
                "==> {EMULATOR_VARIABLE} is set, but {address} does not answer ({error}); looking for an installed emulator"
            );
            false
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use crate::cargo::cargo;

    /// Packages by name and version with the features that a call of cargo builds them with; one
    /// with two sets is built twice.
    fn features(arguments: &[&str]) -> BTreeMap<String, Vec<String>> {
        let mut command = cargo();
        // Without `--no-dedupe` the dependencies of a package would be shown for only one of its
        // uses.
        command.args([
            "tree",
            "--locked",
            "--no-dedupe",
            "--prefix",
            "none",
            "--format",
            "{p}|{f}",
        ]);
        let output = command.args(arguments).output().unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for line in String::from_utf8(output.stdout).unwrap().lines() {
            let Some((package, features)) = line.split_once('|') else {
                continue;
            };
            let sets = found.entry(package.to_owned()).or_default();
            if !sets.iter().any(|set| set == features) {
                sets.push(features.to_owned());
            }
        }
        found
    }

    #[test]
    fn demo_and_tests_share_one_build() {
        let tests = features(&["--workspace", "--edges", "normal,build,dev"]);
        for packages in [
            ["--package", "xtask"].as_slice(),
            &["--package", "spanferry", "--package", "spanferry-drive"],
        ] {
            let found = features(&[packages, &["--edges", "normal,build"]].concat());
            assert!(found.len() > 10, "{found:?}");
            for (package, sets) in found {
                let of_tests = &tests[&package];
                let other: Vec<_> = sets.iter().filter(|set| !of_tests.contains(set)).collect();
                assert!(
                    other.is_empty(),
                    "{packages:?} builds {package} with {other:?}, the tests with {of_tests:?}"
                );
            }
        }
    }
}
