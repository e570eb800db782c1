//! The `spanferry` program as a child process: started, watched through `status`, ended.

use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use serde_json::Value;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep};

use crate::error::DriveError;

/// How often `status` is asked while something is waited for.
const ASK_PERIOD: Duration = Duration::from_millis(400);

/// Everything that each call of the program has in common.
#[derive(Debug)]
pub(crate) struct Spanferry {
    /// The program file.
    pub(crate) program: PathBuf,
    /// `mysql://…`.
    pub(crate) source: String,
    /// The source's password, given in the environment.
    pub(crate) password: String,
    /// `spanner://…`.
    pub(crate) target: String,
    /// `HOST:PORT` of the emulator.
    pub(crate) emulator: String,
    /// State directory.
    pub(crate) state: PathBuf,
}

/// What `status --output json` says, as far as it matters here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Status {
    /// Rows of all tables that are durable at the target by the load.
    pub(crate) rows_loaded: u64,
    /// Everything that the source had is applied.
    pub(crate) caught_up: bool,
}

impl Status {
    /// Reads one JSON object; none when it is not one, which is so before the first progress was
    /// saved.
    fn read(json: &[u8]) -> Option<Self> {
        let status: Value = serde_json::from_slice(json).ok()?;
        let tables = status.get("tables")?.as_array()?;
        let rows = tables
            .iter()
            .filter_map(|table| table.get("rows_loaded")?.as_u64())
            .sum();
        Some(Self {
            rows_loaded: rows,
            caught_up: status.get("caught_up")?.as_bool()?,
        })
    }
}

impl Spanferry {
    /// The whole command line of `verb`.
    fn command(&self, verb: &str, more: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command
            .args([
                verb,
                "--source",
                &self.source,
                "--target",
                &self.target,
                "--state-dir",
            ])
            .arg(&self.state)
            .args(more)
            .env("SPANNER_EMULATOR_HOST", &self.emulator)
            .env("SPANFERRY_SOURCE_PASSWORD", &self.password)
            .stdin(Stdio::null())
            .kill_on_drop(true);
        command
    }

    /// The options of every `migrate`.
    const MIGRATE: [&str; 3] = ["--create-database", "--dialect", "googlesql"];

    /// The command line of `migrate` as a person would type it.
    pub(crate) fn migrate_text(&self) -> String {
        format!(
            "spanferry migrate --source {} --target {} --state-dir {} {}",
            self.source,
            self.target,
            self.state.display(),
            Self::MIGRATE.join(" ")
        )
    }

    /// Starts `migrate`, which writes to our terminal and follows until it is stopped.
    pub(crate) fn migrate(&self) -> Result<Child, DriveError> {
        self.command("migrate", &Self::MIGRATE)
            .spawn()
            .map_err(|source| self.unrunnable(source))
    }

    /// Runs `migrate` to the end of what the source has.
    pub(crate) async fn drain(&self) -> Result<ExitStatus, DriveError> {
        let mut more = Self::MIGRATE.to_vec();
        more.extend(["--stop-when", "caught-up"]);
        self.command("migrate", &more)
            .status()
            .await
            .map_err(|source| self.unrunnable(source))
    }

    /// Runs `verify`; its exit status and what it printed.
    pub(crate) async fn verify(&self) -> Result<(ExitStatus, String), DriveError> {
        let output = self
            .command("verify", &[])
            .stderr(Stdio::inherit())
            .output()
            .await
            .map_err(|source| self.unrunnable(source))?;
        Ok((
            output.status,
            String::from_utf8_lossy(&output.stdout).into_owned(),
        ))
    }

    /// Asks again and again until `wanted`; `migrate` must keep running meanwhile.
    pub(crate) async fn wait(
        &self,
        migrate: &mut Child,
        what: &str,
        limit: Duration,
        wanted: impl Fn(&Status) -> bool,
    ) -> Result<Status, DriveError> {
        let deadline = Instant::now() + limit;
        let mut last = None;
        loop {
            if let Some(status) = migrate.try_wait().map_err(|source| self.unrunnable(source))? {
                return Err(DriveError::Failed(format!(
                    "`migrate` ended ({status}) before {what}; `status` said {last:?}"
                )));
            }
            last = self.status().await?.or(last);
            if let Some(status) = last.clone().filter(&wanted) {
                return Ok(status);
            }
            if Instant::now() > deadline {
                return Err(DriveError::Failed(format!(
                    "{what} did not come within {} s; `status` said {last:?}",
                    limit.as_secs()
                )));
            }
            sleep(ASK_PERIOD).await;
        }
    }

    /// What `status` says now; none when it has nothing to say yet.
    async fn status(&self) -> Result<Option<Status>, DriveError> {
        let output = self
            .command("status", &["--output", "json"])
            .stderr(Stdio::null())
            .output()
            .await
            .map_err(|source| self.unrunnable(source))?;
        Ok(Status::read(&output.stdout))
    }

    fn unrunnable(&self, source: std::io::Error) -> DriveError {
        DriveError::Run {
            program: self.program.display().to_string(),
            source,
        }
    }
}

/// Asks a child to stop, as Ctrl-C does, and waits for its end.
pub(crate) async fn interrupt(child: &mut Child, limit: Duration) -> Result<ExitStatus, DriveError> {
    if let Some(process) = child
        .id()
        .and_then(|id| i32::try_from(id).ok())
        .and_then(rustix::process::Pid::from_raw)
    {
        // A child that has just ended by itself needs no signal.
        rustix::process::kill_process(process, rustix::process::Signal::INT).ok();
    }
    match tokio::time::timeout(limit, child.wait()).await {
        Ok(ended) => ended.map_err(|source| DriveError::Run {
            program: "spanferry migrate".into(),
            source,
        }),
        Err(_) => Err(DriveError::Failed(format!(
            "`migrate` did not stop within {} s of Ctrl-C",
            limit.as_secs()
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::Status;

    #[test]
    fn status_is_read() {
        let json = br#"{"phase": "loading", "caught_up": false, "tables": [
            {"name": "a", "phase": "loading", "rows_loaded": 3}, {"name": "b", "rows_loaded": 4}]}"#;
        assert_eq!(
            Status::read(json),
            Some(Status {
                rows_loaded: 7,
                caught_up: false
            })
        );
        assert_eq!(Status::read(b""), None);
        assert_eq!(Status::read(b"{}"), None);
    }
}
