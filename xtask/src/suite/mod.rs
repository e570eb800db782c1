//! `cargo xtask test`: format check, lints and every test, with a recap of what failed and one
//! closing line.

mod excerpt;
mod output;
mod report;

use std::time::{Duration, Instant};

use crate::cargo::{cargo, emulator_missing, service, succeeds};
use crate::error::TaskError;
use excerpt::Excerpt;
use report::Report;

/// How long no line may come from the tests. The longest of them takes about four minutes on a busy
/// machine.
const SILENCE_MAX: Duration = Duration::from_secs(600);
/// Starts the recap; `.ci/run` prints everything from this line on once more at its own end.
const RECAP: &str = "==> recap of the tests";

/// Runs everything. The last line printed is `N passed, N failed`, alone.
pub(crate) fn run() -> Result<(), TaskError> {
    println!("==> servers: fetching what is missing");
    for script in ["mysql.sh", "mariadb.sh"] {
        if !succeeds(service(script).arg("install"))? {
            return Err(TaskError::Failed(format!(
                "services/{script} install failed, see above"
            )));
        }
    }
    if !succeeds(service("spanner.sh").arg("install"))? {
        return Err(emulator_missing());
    }
    let mut report = Report::default();
    let clippy = ["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"];
    for (name, arguments) in [
        ("fmt", ["fmt", "--all", "--check"].as_slice()),
        ("clippy", &clippy),
    ] {
        let (passed, output) = shown(&mut report, name, arguments)?;
        if passed {
            report.tally.passed += 1;
        } else {
            report.fail(name, output);
        }
    }
    // Built apart, so that the time in which no test ends is not the compiler's.
    match shown(&mut report, "build", &["test", "--workspace", "--no-run"])? {
        (true, _) => tests(&mut report)?,
        (false, output) => report.fail("build", output),
    }
    if report.tally.ignored > 0 {
        let ignored = report.tally.ignored;
        let mut output = Excerpt::default();
        output.push(&format!("{ignored} tests are ignored; this repository has none"));
        report.fail("ignored tests", output);
    }
    println!("{RECAP}");
    println!("{}", report.recap());
    println!("{} passed, {} failed", report.tally.passed, report.tally.failed);
    if report.tally.failed == 0 {
        Ok(())
    } else {
        Err(TaskError::Failed(String::new()))
    }
}

/// Runs a command of cargo and notes its time; true when it succeeded, and the part of its output
/// that a recap shows.
fn shown(report: &mut Report, phase: &str, arguments: &[&str]) -> Result<(bool, Excerpt), TaskError> {
    println!("==> cargo {}", arguments.join(" "));
    let began = Instant::now();
    let mut output = Excerpt::default();
    let succeeded = output::run(cargo().args(arguments), None, |line| {
        if !is_progress(line) {
            output.push(line);
        }
    })?;
    report.phase(phase, began.elapsed());
    Ok((succeeded, output))
}

/// Runs the tests of the workspace, shows their output as it comes, and counts.
fn tests(report: &mut Report) -> Result<(), TaskError> {
    let before = (report.tally.passed + report.tally.failed, report.tally.failed);
    let arguments = ["test", "--workspace", "--no-fail-fast"];
    println!("==> cargo {}", arguments.join(" "));
    let began = Instant::now();
    let mut last = Excerpt::default();
    let succeeded = output::run(cargo().args(arguments), Some(SILENCE_MAX), |line| {
        report.read(line, began.elapsed());
        last.push(line);
    })?;
    report.end(began.elapsed());
    report.phase("tests", began.elapsed());
    if report.tally.passed + report.tally.failed == before.0 {
        report.fail("cargo test: not one test was run", last);
    } else if !succeeded && report.tally.failed == before.1 {
        // A crash that left no count of its own.
        report.fail("cargo test", last);
    }
    Ok(())
}

/// A line with which cargo shows how far it is.
fn is_progress(line: &str) -> bool {
    let words = [
        "Checking ",
        "Compiling ",
        "Downloaded ",
        "Downloading ",
        "Fresh ",
        "Finished ",
        "Blocking ",
        "Updating ",
    ];
    let line = line.trim_start();
    words.iter().any(|word| line.starts_with(word))
}
