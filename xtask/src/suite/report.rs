//! What the output of `cargo test` shows: counts, the failed tests with their output, and the time
//! of each test binary.

use std::collections::BTreeSet;
use std::time::Duration;

use super::excerpt::{Excerpt, cut};

/// Bytes of all failures together, so that the recap fits into what CI keeps of a log.
const FAILURES_BYTES_MAX: usize = 7000;
/// Failures shown with their output; of the others the name.
const FAILURES_SHOWN_MAX: usize = 8;
/// Bytes of the list of names.
const NAMES_BYTES_MAX: usize = 800;
/// Test binaries shown.
const BINARIES_SHOWN_MAX: usize = 10;

/// Counts of everything that was run; a check of the whole source counts as one test.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) passed: u64,
    pub(super) failed: u64,
    pub(super) ignored: u64,
}

impl Tally {
    /// Adds a line `test result: ok. 7 passed; 0 failed; 0 ignored; …`; false for any other line.
    fn read(&mut self, line: &str) -> bool {
        let Some(result) = line.strip_prefix("test result: ") else {
            return false;
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
        true
    }
}

/// Something that failed, with the part of its output that is shown.
#[derive(Debug)]
struct Failure {
    name: String,
    output: Excerpt,
}

/// One test binary, or the documentation tests of a crate.
#[derive(Debug)]
struct Binary {
    name: String,
    began: Duration,
    /// It printed its counts; without them it was killed or has crashed.
    counted: bool,
    output: Excerpt,
    /// Tests that libtest has named as slow and that have not ended.
    slow: BTreeSet<String>,
}

/// Everything that the recap shows.
#[derive(Debug, Default)]
pub(super) struct Report {
    pub(super) tally: Tally,
    failures: Vec<Failure>,
    phases: Vec<(String, Duration)>,
    binaries: Vec<(String, Duration)>,
    binary: Option<Binary>,
    /// The failed test whose output is being read.
    section: Option<Failure>,
}

impl Report {
    /// Notes the time of a phase of the run.
    pub(super) fn phase(&mut self, name: &str, took: Duration) {
        self.phases.push((name.to_owned(), took));
    }

    /// Counts a failure that no line of the output counts.
    pub(super) fn fail(&mut self, name: &str, output: Excerpt) {
        self.tally.failed += 1;
        self.failures.push(Failure {
            name: name.to_owned(),
            output,
        });
    }

    /// Reads the next line of `cargo test`, which came at `now`.
    pub(super) fn read(&mut self, line: &str, now: Duration) {
        if let Some(name) = binary_name(line) {
            self.end(now);
            self.binary = Some(Binary {
                name,
                began: now,
                counted: false,
                output: Excerpt::default(),
                slow: BTreeSet::new(),
            });
            return;
        }
        if self.tally.read(line) {
            self.end_section();
            if let Some(binary) = &mut self.binary {
                binary.counted = true;
            }
            return;
        }
        if let Some(name) = section_name(line) {
            self.end_section();
            self.section = Some(Failure {
                name: name.to_owned(),
                output: Excerpt::default(),
            });
        } else if line == "failures:" {
            self.end_section();
        } else if let Some(section) = &mut self.section {
            section.output.push(line);
        }
        if let Some(binary) = &mut self.binary {
            binary.output.push(line);
            binary.note_slow(line);
        }
    }

    /// Ends the binary that ran last, at `now`.
    pub(super) fn end(&mut self, now: Duration) {
        self.end_section();
        let Some(mut binary) = self.binary.take() else {
            return;
        };
        self.binaries
            .push((binary.name.clone(), now.saturating_sub(binary.began)));
        if !binary.counted {
            for test in &binary.slow {
                binary.output.push(&format!("not ended: {test}"));
            }
            self.fail(
                &format!("{} (ended without a result)", binary.name),
                binary.output,
            );
        }
    }

    fn end_section(&mut self) {
        if let Some(mut section) = self.section.take() {
            if let Some(binary) = &self.binary {
                section.name = format!("{} in {}", section.name, binary.name);
            }
            self.failures.push(section);
        }
    }

    /// The slowest test binaries, the time of each phase, and each failure: a few KB at most.
    pub(super) fn recap(&self) -> String {
        let mut binaries: Vec<&(String, Duration)> = self.binaries.iter().collect();
        binaries.sort_by_key(|(_, took)| std::cmp::Reverse(*took));
        let mut lines = vec!["slowest test binaries:".to_owned()];
        for (name, took) in binaries.into_iter().take(BINARIES_SHOWN_MAX) {
            lines.push(format!("{:>8.1} s  {name}", took.as_secs_f64()));
        }
        let phases: Vec<String> = self
            .phases
            .iter()
            .map(|(name, took)| format!("{name} {:.0} s", took.as_secs_f64()))
            .collect();
        lines.push(format!("phases: {}", phases.join(", ")));
        lines.extend(self.failure_texts());
        lines.join("\n")
    }

    fn failure_texts(&self) -> Vec<String> {
        let shown = self.failures.len().min(FAILURES_SHOWN_MAX);
        let bytes_max = FAILURES_BYTES_MAX / shown.max(1);
        let (first, others) = self.failures.split_at(shown);
        let text = |failure: &Failure| {
            format!(
                "---- FAILED: {} ----\n{}",
                failure.name,
                failure.output.text(bytes_max)
            )
        };
        let mut texts: Vec<String> = first.iter().map(text).collect();
        if !others.is_empty() {
            let names: Vec<&str> = others.iter().map(|failure| failure.name.as_str()).collect();
            let names = cut(&names.join(", "), NAMES_BYTES_MAX);
            texts.push(format!("---- FAILED: {} more ----\n{names}", others.len()));
        }
        texts
    }
}

impl Binary {
    /// Keeps the names of tests that libtest calls slow until they end.
    fn note_slow(&mut self, line: &str) {
        let Some(line) = line.strip_prefix("test ") else {
            return;
        };
        if let Some((name, _)) = line.split_once(" has been running for over ") {
            self.slow.insert(name.to_owned());
        } else if let Some((name, _)) = line.split_once(" ... ") {
            self.slow.remove(name);
        }
    }
}

/// `engine tests/load.rs` from `Running tests/load.rs (target/debug/deps/load-0123456789abcdef)`,
/// or a crate's documentation tests.
fn binary_name(line: &str) -> Option<String> {
    let line = line.trim_start();
    if let Some(name) = line.strip_prefix("Doc-tests ") {
        return Some(format!("{name} doc tests"));
    }
    let (source, program) = line
        .strip_prefix("Running ")?
        .strip_suffix(')')?
        .rsplit_once(" (")?;
    let (_, file) = program.rsplit_once("/deps/")?;
    let (name, _hash) = file.rsplit_once('-')?;
    Some(format!("{name} ({source})"))
}

/// The test's name from `---- NAME stdout ----`.
fn section_name(line: &str) -> Option<&str> {
    line.strip_prefix("---- ")?.strip_suffix(" stdout ----")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Excerpt, Report, Tally};

    /// Reads lines, one a second.
    fn read(output: &str) -> Report {
        let mut report = Report::default();
        let mut second = 0;
        for line in output.lines() {
            report.read(line, Duration::from_secs(second));
            second += 1;
        }
        report.end(Duration::from_secs(second));
        report
    }

    const TWO_BINARIES: &str = "\
   Compiling x v0.1.0
     Running unittests src/lib.rs (target/debug/deps/one-0123456789abcdef)

running 3 tests
test a::passes ... ok
test a::fails ... FAILED
test a::fails_too ... FAILED

failures:

---- a::fails stdout ----
some output

thread 'a::fails' (7) panicked at one/src/a.rs:3:9:
left: 1, right: 2

---- a::fails_too stdout ----
Error: \"no server\"


failures:
    a::fails
    a::fails_too

test result: FAILED. 1 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.10s

error: test failed, to rerun pass `-p one --lib`
     Running tests/two.rs (/somewhere/else/debug/deps/two-0123456789abcdef)

running 1 test
test b ... ok

test result: ok. 1 passed; 0 failed; 0 ignored; 0 measured; 9 filtered out; finished in 1.00s

   Doc-tests one

running 0 tests

test result: ok. 0 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s
";

    #[test]
    fn failed_tests_are_shown_with_their_output() {
        let report = read(TWO_BINARIES);
        assert_eq!(
            report.tally,
            Tally {
                passed: 2,
                failed: 2,
                ignored: 1
            }
        );
        let recap = report.recap();
        let expected = "\
---- FAILED: a::fails in one (unittests src/lib.rs) ----
some output

thread 'a::fails' (7) panicked at one/src/a.rs:3:9:
left: 1, right: 2
---- FAILED: a::fails_too in one (unittests src/lib.rs) ----
Error: \"no server\"";
        assert!(recap.ends_with(expected), "{recap}");
    }

    #[test]
    fn slow_binaries_come_first() {
        let recap = read(TWO_BINARIES).recap();
        let expected = "\
slowest test binaries:
    26.0 s  one (unittests src/lib.rs)
     7.0 s  two (tests/two.rs)
     5.0 s  one doc tests
phases: 
";
        assert!(recap.starts_with(expected), "{recap}");
    }

    #[test]
    fn a_killed_binary_is_a_failure_that_names_its_unfinished_tests() {
        let report = read(
            "\
     Running tests/hangs.rs (target/debug/deps/hangs-0123456789abcdef)
running 3 tests
test slow_but_ends has been running for over 60 seconds
test waits_for_ever has been running for over 60 seconds
test slow_but_ends ... ok
error: no test has ended for 600 s
     Running tests/two.rs (target/debug/deps/two-0123456789abcdef)
test result: ok. 1 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1.00s",
        );
        assert_eq!(
            report.tally,
            Tally {
                passed: 1,
                failed: 1,
                ignored: 0
            }
        );
        let recap = report.recap();
        assert!(
            recap.contains("---- FAILED: hangs (tests/hangs.rs) (ended without a result) ----"),
            "{recap}"
        );
        assert!(recap.ends_with("not ended: waits_for_ever"), "{recap}");
        assert!(!recap.contains("not ended: slow_but_ends"), "{recap}");
    }

    #[test]
    fn phases_are_timed_and_failures_shown() {
        let mut report = Report::default();
        let mut output = Excerpt::default();
        output.push("error: this is wrong");
        report.phase("fmt", Duration::from_secs(2));
        report.phase("clippy", Duration::from_secs(61));
        report.fail("clippy", output);
        assert_eq!(
            report.tally,
            Tally {
                passed: 0,
                failed: 1,
                ignored: 0
            }
        );
        let recap = report.recap();
        assert!(
            recap.ends_with("phases: fmt 2 s, clippy 61 s\n---- FAILED: clippy ----\nerror: this is wrong"),
            "{recap}"
        );
    }

    #[test]
    fn the_recap_is_bounded() {
        let mut report = Report::default();
        for number in 0..300 {
            let mut output = Excerpt::default();
            for _ in 0..1000 {
                output.push(&"x".repeat(1000));
            }
            report.fail(&format!("test {number}"), output);
        }
        let recap = report.recap();
        assert!(recap.len() < 8192 + 600, "{}", recap.len());
        assert!(recap.contains("---- FAILED: 292 more ----"), "{recap}");
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
