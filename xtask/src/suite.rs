//! `cargo xtask test`: format check, lints and every test, with one closing line.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use crate::TaskError;
use crate::cargo::{cargo, emulator_missing, service, succeeds};

/// Counts of everything that was run; a check of the whole source counts as one test.
#[derive(Debug, Default, PartialEq, Eq)]
struct Tally {
    passed: u64,
    failed: u64,
    ignored: u64,
}

impl Tally {
    fn note(&mut self, passed: bool) {
        if passed {
            self.passed += 1;
        } else {
            self.failed += 1;
        }
    }

    /// Adds a line `test result: ok. 7 passed; 0 failed; 0 ignored; …`; any other line is nothing to count.
    fn read(&mut self, line: &str) {
        let Some(result) = line.strip_prefix("test result: ") else {
            return;
        };
        let (_, counts) = result.split_once(". ").unwrap_or(("", result));
        for count in counts.split("; ") {
            let Some((number, what)) = count.split_once(' ') else {
                continue;
            };
            let Ok(number) = number.parse::<u64>() else {
                continue;
            };
            match what {
                "passed" => self.passed += number,
                "failed" => self.failed += number,
                "ignored" => self.ignored += number,
                _ => {}
            }
        }
    }
}

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
    let mut tally = Tally::default();
    println!("==> cargo fmt --check");
    tally.note(succeeds(cargo().args(["fmt", "--all", "--check"]))?);
    println!("==> cargo clippy --workspace --all-targets -- -D warnings");
    tally.note(succeeds(cargo().args([
        "clippy",
        "--workspace",
        "--all-targets",
        "--",
        "-D",
        "warnings",
    ]))?);
    println!("==> cargo test --workspace");
    let before = tally.passed + tally.failed;
    tests(&mut tally)?;
    if tally.passed + tally.failed == before {
        println!("error: not one test was run");
        tally.failed += 1;
    }
    if tally.ignored > 0 {
        println!(
            "error: {} tests are ignored; this repository has none",
            tally.ignored
        );
        tally.failed += tally.ignored;
    }
    println!("{} passed, {} failed", tally.passed, tally.failed);
    if tally.failed == 0 {
        Ok(())
    } else {
        Err(TaskError::Failed(String::new()))
    }
}

/// Runs the tests of the workspace, shows their output as it comes, and counts.
fn tests(tally: &mut Tally) -> Result<(), TaskError> {
    let failed_before = tally.failed;
    let run = |source| TaskError::Run {
        program: "cargo test".into(),
        source,
    };
    let mut child = cargo()
        .args(["test", "--workspace", "--no-fail-fast"])
        .stdout(Stdio::piped())
        .spawn()
        .map_err(run)?;
    let output = child.stdout.take().expect("stdout is a pipe");
    let mut lines = BufReader::new(output).split(b'\n');
    while let Some(line) = lines.next().transpose().map_err(run)? {
        let line = String::from_utf8_lossy(&line);
        println!("{line}");
        tally.read(&line);
    }
    let succeeded = child.wait().map_err(run)?.success();
    // A crash or a build failure leaves no count of its own.
    if !succeeded && tally.failed == failed_before {
        tally.failed += 1;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::Tally;

    #[test]
    fn results_add_up() {
        let mut tally = Tally::default();
        for line in [
            "running 7 tests",
            "test result: ok. 7 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.10s",
            "test result: FAILED. 2 passed; 3 failed; 0 ignored; 0 measured; 9 filtered out; finished in 1.00s",
        ] {
            tally.read(line);
        }
        assert_eq!(
            tally,
            Tally {
                passed: 9,
                failed: 3,
                ignored: 1
            }
        );
    }
}
