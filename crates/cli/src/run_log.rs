//! The run's log: `run.log` in the state directory, mode 0600, bounded, without row values or secrets.

use std::fs::File;
use std::io::{self, Write};
use std::sync::Mutex;

use spanferry_core::failure::Failure;
use spanferry_private_dir::{PrivateDir, PrivateError};
use tracing_subscriber::EnvFilter;

use crate::state_dir::StateDir;

/// Most bytes of the log before it becomes the old one, which takes the place of an older one: enough for weeks.
const RUN_LOG_BYTES_MAX: u64 = 16 << 20;
const NAME: &str = "run.log";
const OLD_NAME: &str = "run.log.old";

/// Sends everything that is traced to the state directory. `SPANFERRY_LOG` sets the filter, `info` without it.
pub(crate) fn start(state: &StateDir) -> Result<(), Failure> {
    let log = RunLog::open(state.directory().try_clone()?, RUN_LOG_BYTES_MAX)?;
    let filter = EnvFilter::try_from_env("SPANFERRY_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(false)
        .with_target(false)
        .with_writer(Mutex::new(log))
        .finish();
    // A second start within one process keeps the first subscriber.
    let _already = tracing::subscriber::set_global_default(subscriber);
    Ok(())
}

/// A file that is appended to, and turned over when it is full.
struct RunLog {
    directory: PrivateDir,
    file: File,
    bytes: u64,
    bytes_max: u64,
}

impl RunLog {
    fn open(directory: PrivateDir, bytes_max: u64) -> Result<RunLog, PrivateError> {
        let file = directory.open_to_append(NAME)?;
        Ok(RunLog {
            bytes: file.metadata().map_or(0, |found| found.len()),
            directory,
            file,
            bytes_max,
        })
    }

    fn turn_over(&mut self) -> Result<(), PrivateError> {
        self.directory.rename(NAME, OLD_NAME)?;
        self.file = self.directory.open_to_append(NAME)?;
        self.bytes = 0;
        Ok(())
    }
}

impl Write for RunLog {
    /// One event a call, as the subscriber writes them.
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        if self.bytes > 0 && self.bytes + event.len() as u64 > self.bytes_max {
            self.turn_over().map_err(PrivateError::into_io)?;
        }
        let written = self.file.write(event)?;
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn the_log_is_bounded_and_keeps_one_old_file() {
        let directory = std::env::temp_dir().join(format!("sf-run-log-{}", std::process::id()));
        let private = PrivateDir::create(&directory).unwrap();
        let read = |name: &str| fs::read_to_string(directory.join(name)).unwrap();
        let mut log = RunLog::open(private.try_clone().unwrap(), 10).unwrap();
        for event in ["one\n", "two\n", "three\n"] {
            log.write_all(event.as_bytes()).unwrap();
        }
        assert_eq!(
            (read(OLD_NAME), read(NAME)),
            ("one\ntwo\n".into(), "three\n".into())
        );
        // The next process goes on where the last one ended.
        let mut log = RunLog::open(private.try_clone().unwrap(), 10).unwrap();
        log.write_all(b"four\n").unwrap();
        assert_eq!((read(OLD_NAME), read(NAME)), ("three\n".into(), "four\n".into()));
        // An event larger than the bound is kept whole.
        log.write_all(b"a long event\n").unwrap();
        log.write_all(b"five\n").unwrap();
        assert_eq!(
            (read(OLD_NAME), read(NAME)),
            ("a long event\n".into(), "five\n".into())
        );
        assert_eq!(fs::read_dir(&directory).unwrap().count(), 2);
        fs::remove_dir_all(&directory).unwrap();
    }
}
