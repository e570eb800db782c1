//! One instance of a service script: its directory, its life, and the guard that ends it with us.

use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};

/// Why a server could not be used.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// A script, its guard or its directory could not be set up.
    #[error("`{what}` could not be run")]
    Run {
        /// The program or path.
        what: String,
        /// What the system said.
        source: io::Error,
    },
    /// A service script ended with an error.
    #[error("`{script} {command}` failed: {message}")]
    Script {
        /// The script's name.
        script: &'static str,
        /// Its sub-command.
        command: String,
        /// What it wrote on stderr.
        message: String,
    },
    /// A script's answer, or a file it keeps, was not of the expected form.
    #[error("`{script}` gave {what} as `{text}`")]
    Answer {
        /// The script's name.
        script: &'static str,
        /// What was asked for.
        what: &'static str,
        /// The answer.
        text: String,
    },
    /// The database server refused a statement or a connection.
    #[error("the database server refused `{statement}`")]
    Sql {
        /// The statement, shortened.
        statement: String,
        /// What the server said.
        source: mysql_async::Error,
    },
    /// The emulator could not be reached.
    #[error("the emulator at {endpoint} does not answer")]
    Connect {
        /// Host and port.
        endpoint: String,
        /// What the transport said.
        source: tonic::transport::Error,
    },
    /// The emulator refused a call.
    #[error("the emulator refused `{call}`")]
    Call {
        /// The call, with its object.
        call: String,
        /// The answer.
        source: Box<tonic::Status>,
    },
}

/// The checkout that we belong to: the one whose program or test cargo runs, which names its
/// manifest's folder; by hand, the one that we were built in. It may have moved with its `target/`
/// since it was built.
pub fn workspace_directory() -> PathBuf {
    let built_in = Path::new(env!("CARGO_MANIFEST_DIR"));
    let run_in = std::env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
    run_in
        .as_deref()
        .and_then(enclosing_workspace)
        .or_else(|| enclosing_workspace(built_in))
        .unwrap_or(built_in)
        .to_owned()
}

/// The nearest folder from `folder` upwards that holds the service scripts.
fn enclosing_workspace(folder: &Path) -> Option<&Path> {
    folder
        .ancestors()
        .find(|folder| folder.join("services/guard.sh").is_file())
}

/// The folder of service scripts of this checkout.
pub fn services_directory() -> PathBuf {
    workspace_directory().join("services")
}

/// A running (or killed, or paused) instance. Dropping it ends the server and removes its
/// directory.
#[derive(Debug)]
pub(super) struct Instance {
    script: &'static str,
    directory: PathBuf,
    environment: Vec<(&'static str, String)>,
    guard: Option<(Child, ChildStdin)>,
}

impl Instance {
    /// A directory for `script` with its guard; nothing is started yet. `environment` goes to every
    /// call of the script.
    pub(super) fn new(
        script: &'static str,
        environment: Vec<(&'static str, String)>,
    ) -> Result<Self, ServerError> {
        let directory = scratch_directory()?;
        let guard_script = services_directory().join("guard.sh");
        let mut guard = Command::new("setsid")
            .arg(&guard_script)
            .arg(services_directory().join(script))
            .arg(&directory)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|source| ServerError::Run {
                what: guard_script.display().to_string(),
                source,
            })?;
        let input = guard.stdin.take().expect("the guard was given a pipe");
        Ok(Self {
            script,
            directory,
            environment,
            guard: Some((guard, input)),
        })
    }

    /// Runs the script with `arguments`; its stdout without the last line end.
    pub(super) fn run(&self, arguments: &[&str]) -> Result<String, ServerError> {
        let path = services_directory().join(self.script);
        let output = Command::new(&path)
            .args(arguments)
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .output()
            .map_err(|source| ServerError::Run {
                what: path.display().to_string(),
                source,
            })?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).trim_end().to_owned());
        }
        Err(ServerError::Script {
            script: self.script,
            command: arguments.join(" "),
            message: String::from_utf8_lossy(&output.stderr).trim_end().to_owned(),
        })
    }

    /// Runs a sub-command that takes the directory alone.
    pub(super) fn signal(&self, command: &str) -> Result<(), ServerError> {
        self.run(&[command, &self.directory_text()]).map(|_| ())
    }

    /// Starts the server, on the port it had before if it had one; waits until it answers.
    pub(super) fn up(&self) -> Result<(), ServerError> {
        self.run(&["up", "0", &self.directory_text()]).map(|_| ())
    }

    /// A number that the script keeps in a file of the directory.
    pub(super) fn number(&self, file: &'static str) -> Result<u16, ServerError> {
        let path = self.directory.join(file);
        let text = std::fs::read_to_string(&path).map_err(|source| ServerError::Run {
            what: path.display().to_string(),
            source,
        })?;
        text.trim().parse().map_err(|_| ServerError::Answer {
            script: self.script,
            what: file,
            text,
        })
    }

    /// The directory that holds the instance's whole state.
    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    /// The directory as an argument; its path is made by us and plain.
    pub(super) fn directory_text(&self) -> String {
        self.directory.display().to_string()
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        if let Some((mut guard, input)) = self.guard.take() {
            drop(input);
            // The guard kills the server and removes the directory; should it be gone itself there
            // is nothing left to do.
            drop(guard.wait());
        }
    }
}

/// A new directory with a short path (a server's socket lives in it), readable by us alone.
fn scratch_directory() -> Result<PathBuf, ServerError> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let temporary = std::env::temp_dir();
    loop {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = temporary.join(format!("spanferry-{}-{number}", std::process::id()));
        match std::fs::create_dir(&path) {
            Ok(()) => return Ok(path),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(source) => {
                return Err(ServerError::Run {
                    what: path.display().to_string(),
                    source,
                });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checkout_that_has_moved_is_found_by_what_runs_in_it() {
        let moved = std::env::temp_dir().join(format!("spanferry-moved-{}", std::process::id()));
        for folder in ["services", "crates/cli"] {
            std::fs::create_dir_all(moved.join(folder)).unwrap();
        }
        std::fs::write(moved.join("services/guard.sh"), "").unwrap();
        let package = moved.join("crates/cli");
        let found = enclosing_workspace(&package).map(Path::to_owned);
        let elsewhere = enclosing_workspace(Path::new("/proc/self")).map(Path::to_owned);
        std::fs::remove_dir_all(&moved).unwrap();
        assert_eq!(found, Some(moved));
        assert_eq!(elsewhere, None);
    }
}
