//! The run's log: `run.log` in the state directory, mode 0600, bounded, without row values or
//! secrets.

use std::fs::File;
use std::io::{self, Write};
use std::sync::Mutex;

use spanferry_core::report::amount::counted;
use spanferry_core::report::failure::Failure;
use spanferry_private_dir::{PrivateDir, PrivateError};
use tracing_subscriber::EnvFilter;

use crate::clock::{now_us, utc};
use crate::state_dir::StateDir;

/// Most bytes of the log before it becomes the old one, which takes the place of an older one:
/// enough for weeks.
const RUN_LOG_BYTES_MAX: u64 = 16 << 20;
const NAME: &str = "run.log";
const OLD_NAME: &str = "run.log.old";

/// Sends everything that is traced to the state directory. `SPANFERRY_LOG` sets the filter, `info`
/// without it.
pub(crate) fn start(state: &StateDir) -> Result<(), Failure> {
    let log = RunLog::open(state.directory().try_clone()?, RUN_LOG_BYTES_MAX)?;
    let filter = EnvFilter::try_from_env("SPANFERRY_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(false)
        .with_target(false)
        // Its own words would come between the lines of a screen.
        .log_internal_errors(false)
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
    /// Events that could not be written since the last one that was.
    lost: usize,
}

impl RunLog {
    fn open(directory: PrivateDir, bytes_max: u64) -> Result<RunLog, PrivateError> {
        let file = directory.open_to_append(NAME)?;
        Ok(RunLog {
            bytes: file.metadata().map_or(0, |found| found.len()),
            directory,
            file,
            bytes_max,
            lost: 0,
        })
    }

    fn turn_over(&mut self) -> Result<(), PrivateError> {
        self.directory.rename(NAME, OLD_NAME)?;
        self.file = self.directory.open_to_append(NAME)?;
        self.bytes = 0;
        Ok(())
    }
}

impl RunLog {
    /// Appends one event; before it, how many could not be written.
    fn append(&mut self, event: &[u8]) -> io::Result<()> {
        if self.bytes > 0 && self.bytes + event.len() as u64 > self.bytes_max {
            self.turn_over().map_err(PrivateError::into_io)?;
        }
        if self.lost > 0 {
            let lost = counted(self.lost, "event");
            let line = format!(
                "{} WARN {lost} before this one could not be written\n",
                utc(now_us())
            );
            self.file.write_all(line.as_bytes())?;
            self.bytes += line.len() as u64;
            self.lost = 0;
        }
        self.file.write_all(event)?;
        self.bytes += event.len() as u64;
        Ok(())
    }
}

impl Write for RunLog {
    /// One event a call, as the subscriber writes them. A disk that takes nothing is no error of
    /// the caller: capture and the status say it where a person looks, and the event is counted.
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        if self.append(event).is_err() {
            self.lost += 1;
            // A part of it may be there; where that cannot be taken back either, a line is cut.
            let _cut = self.file.set_len(self.bytes);
        }
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// A full disk is an error of no caller, and what is missing is said once there is room.
    #[test]
    fn a_full_disk_is_noted_when_there_is_room_again() {
        let directory = std::env::temp_dir().join(format!("sf-run-log-full-{}", std::process::id()));
        let private = PrivateDir::create(&directory).unwrap();
        let mut log = RunLog::open(private.try_clone().unwrap(), 1_000).unwrap();
        let room = std::mem::replace(
            &mut log.file,
            File::options().write(true).open("/dev/full").unwrap(),
        );
        for event in ["one\n", "two\n"] {
            assert_eq!(log.write(event.as_bytes()).unwrap(), event.len());
        }
        log.file = room;
        log.write_all(b"three\n").unwrap();
        log.write_all(b"four\n").unwrap();
        let text = fs::read_to_string(directory.join(NAME)).unwrap();
        let (told, rest) = text.split_once('\n').unwrap();
        assert!(
            told.ends_with("Z WARN 2 events before this one could not be written"),
            "{told}"
        );
        assert_eq!(rest, "three\nfour\n");
        fs::remove_dir_all(&directory).unwrap();
    }

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
        // The next process continues where the last one ended.
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
