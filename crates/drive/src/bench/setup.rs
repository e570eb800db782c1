//! What the scenarios run on: a source, a null Spanner and the programs that are measured.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use spanferry_testkit::server::Server;

use super::measure::{Measured, measure};
use crate::error::{DriveError, failed};

/// The schema that is filled and moved.
pub(super) const SCHEMA: &str = "bench";
/// The target of every run; the null server begins empty each time.
pub(super) const DATABASE: &str = "projects/test/instances/test/databases/bench";

/// The two programs, optimised as they are released.
pub(super) struct Programs {
    pub(super) spanferry: PathBuf,
    pub(super) stand_in: PathBuf,
}

/// The programs, the source and the folder of all scenarios.
pub(super) struct Setup {
    pub(super) programs: Programs,
    pub(super) server: Server,
    pub(super) scratch: PathBuf,
    pub(super) runs: usize,
}

impl Setup {
    /// Runs statements on the source, each on its own line end.
    pub(super) async fn execute(&self, statements: &str) -> Result<(), DriveError> {
        for statement in statements
            .split(";;\n")
            .map(str::trim)
            .filter(|text| !text.is_empty())
        {
            self.server
                .execute(None, statement)
                .await
                .map_err(|error| failed("filling the source", &error))?;
        }
        Ok(())
    }

    /// `migrate` until caught up.
    pub(super) fn migrate(&self, address: &str) -> Result<Measured, DriveError> {
        let state = self.scratch.join("state");
        let mut command = Command::new(&self.programs.spanferry);
        command
            .args(["migrate", "--source", &self.server.url(SCHEMA), "--target"])
            .arg(format!("spanner://{DATABASE}"))
            .arg("--state-dir")
            .arg(&state)
            .args([
                "--create-database",
                "--dialect",
                "googlesql",
                "--stop-when",
                "caught-up",
            ])
            .env("SPANNER_EMULATOR_HOST", address)
            .env("SPANFERRY_SOURCE_PASSWORD", self.server.password())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let measured = measure(command)?;
        Ok(measured.with_report(&state.join("report.json")))
    }
}

/// The null Spanner, ended when dropped.
pub(super) struct StandIn {
    child: Child,
    pub(super) address: String,
}

impl StandIn {
    /// Starts it on a port that is free.
    pub(super) fn start(program: &PathBuf) -> Result<StandIn, DriveError> {
        use std::io::BufRead;
        let unrunnable = |source| DriveError::Run {
            program: program.display().to_string(),
            source,
        };
        let mut child = Command::new(program)
            .args(["--listen", "127.0.0.1:0", "--mode", "null", "--check", "fast"])
            .stdout(Stdio::piped())
            .spawn()
            .map_err(unrunnable)?;
        let output = child.stdout.take().expect("stdout is a pipe");
        let mut address = String::new();
        let read = std::io::BufReader::new(output).read_line(&mut address);
        let stand_in = StandIn {
            child,
            address: address.trim().to_owned(),
        };
        read.map(|_| stand_in).map_err(unrunnable)
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
