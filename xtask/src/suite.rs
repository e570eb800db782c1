//! `cargo xtask test`: format check, lints and every test, with one closing line.

use std::io::{BufRead, BufReader, Read};
use std::process::Stdio;
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::TaskError;
use crate::cargo::{cargo, emulator_missing, service, succeeds};

/// How long no line may come from the tests. The longest of them takes about four minutes on a busy machine.
const SILENCE_MAX: Duration = Duration::from_secs(600);
/// Lines that wait to be printed.
const LINES_WAITING: usize = 1024;

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
    // Built apart, so that the time in which no test ends is not the compiler's.
    succeeds(cargo().args(["test", "--workspace", "--no-run"]))?;
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
    for line in lines(output, child.id()) {
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

/// The lines of `output`, as they come. Where none comes for `SILENCE_MAX`, the programs that process `cargo` has started are
/// ended: a test that hangs fails the run, and the tests after it still run.
fn lines(output: impl Read + Send + 'static, cargo: u32) -> impl Iterator<Item = String> {
    let (sender, receiver) = sync_channel::<String>(LINES_WAITING);
    // Ends with the pipe, or with the receiver.
    std::thread::spawn(move || {
        for line in BufReader::new(output).split(b'\n').map_while(Result::ok) {
            if sender.send(String::from_utf8_lossy(&line).into_owned()).is_err() {
                break;
            }
        }
    });
    std::iter::from_fn(move || {
        loop {
            match receiver.recv_timeout(SILENCE_MAX) {
                Ok(line) => return Some(line),
                Err(RecvTimeoutError::Disconnected) => return None,
                Err(RecvTimeoutError::Timeout) => end_children(cargo),
            }
        }
    })
}

/// Kills what a process has started; what that has started in turn ends by itself, as after any kill.
fn end_children(of: u32) {
    let seconds = SILENCE_MAX.as_secs();
    for child in children(of) {
        println!(
            "error: no test has ended for {seconds} s: process {child} is killed; tests without a result above hang"
        );
        // An error means that it is gone by itself: as good.
        let _gone = Pid::from_raw(child).map(|child| kill_process(child, Signal::KILL));
    }
}

/// The processes whose parent is `of`. Source: proc(5), `/proc/PID/task/TID/children`.
fn children(of: u32) -> Vec<i32> {
    let threads = std::fs::read_dir(format!("/proc/{of}/task"));
    let lists = threads.into_iter().flatten().flatten();
    lists
        .filter_map(|thread| std::fs::read_to_string(thread.path().join("children")).ok())
        .flat_map(|list| {
            list.split_whitespace()
                .filter_map(|child| child.parse().ok())
                .collect::<Vec<_>>()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{Tally, children};

    #[test]
    fn children_are_found() {
        let mut child = std::process::Command::new("cat")
            .stdin(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let found = children(std::process::id());
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(found.contains(&i32::try_from(child.id()).unwrap()), "{found:?}");
    }

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
