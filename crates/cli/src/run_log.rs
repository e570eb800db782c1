//! The run's log: `run.log` in the state directory, mode 0600, bounded, without row values or secrets.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use spanferry_core::failure::Failure;
use tracing_subscriber::EnvFilter;

use crate::state_dir::{StateDir, disk_failed};

/// Most bytes of the log before it becomes the old one, which takes the place of an older one: enough for weeks.
const RUN_LOG_BYTES_MAX: u64 = 16 << 20;
const NAME: &str = "run.log";
const OLD_NAME: &str = "run.log.old";

/// Sends everything that is traced to the state directory. `SPANFERRY_LOG` sets the filter, `info` without it.
pub(crate) fn start(state: &StateDir) -> Result<(), Failure> {
    let log = RunLog::open(state.path(), RUN_LOG_BYTES_MAX)
        .map_err(disk_failed(&state.path().join(NAME), "cannot be written"))?;
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
    directory: PathBuf,
    file: File,
    bytes: u64,
    bytes_max: u64,
}

impl RunLog {
    fn open(directory: &Path, bytes_max: u64) -> io::Result<RunLog> {
        let file = append_to(&directory.join(NAME))?;
        Ok(RunLog {
            directory: directory.to_owned(),
            bytes: file.metadata()?.len(),
            file,
            bytes_max,
        })
    }

    fn turn_over(&mut self) -> io::Result<()> {
        let path = self.directory.join(NAME);
        fs::rename(&path, self.directory.join(OLD_NAME))?;
        self.file = append_to(&path)?;
        self.bytes = 0;
        Ok(())
    }
}

impl Write for RunLog {
    /// One event a call, as the subscriber writes them.
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        if self.bytes > 0 && self.bytes + event.len() as u64 > self.bytes_max {
            self.turn_over()?;
        }
        let written = self.file.write(event)?;
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

fn append_to(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_is_bounded_and_keeps_one_old_file() {
        let directory = std::env::temp_dir().join(format!("sf-run-log-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        let read = |name: &str| fs::read_to_string(directory.join(name)).unwrap();
        let mut log = RunLog::open(&directory, 10).unwrap();
        for event in ["one\n", "two\n", "three\n"] {
            log.write_all(event.as_bytes()).unwrap();
        }
        assert_eq!(
            (read(OLD_NAME), read(NAME)),
            ("one\ntwo\n".into(), "three\n".into())
        );
        // The next process goes on where the last one ended.
        let mut log = RunLog::open(&directory, 10).unwrap();
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
