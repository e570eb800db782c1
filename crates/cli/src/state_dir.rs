//! The state directory: the change log, the run's log, status, findings and report; no secrets.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use spanferry_core::change_log::LogId;
use spanferry_core::code;
use spanferry_core::failure::{Class, Failure};
use spanferry_core::position::Position;
use spanferry_engine::prepare::LogStore;
use spanferry_log::{DEFAULT_SEGMENT_BYTES, DiskLog, LogOptions};

use crate::run_file;

/// Share of the free space that the change log may take unless the operator says otherwise, in percent.
const BUDGET_PERCENT: u64 = 80;

/// Segments that a budget has room for, at least.
const SEGMENTS_PER_BUDGET: u64 = 16;
/// Smallest segment, whatever the budget: a few blocks.
const SEGMENT_BYTES_MIN: u64 = 64 << 10;

/// Bytes that a change log below `path` may take if the operator says nothing; the directory need not be there yet.
pub(crate) fn default_budget(path: &Path) -> u64 {
    let place = path
        .ancestors()
        .find(|place| place.exists())
        .unwrap_or(Path::new("."));
    rustix::fs::statvfs(place).map_or(u64::MAX, |space| {
        space.f_bavail.saturating_mul(space.f_frsize) / 100 * BUDGET_PERCENT
    })
}

/// The verb whose process writes `status.json`.
pub(crate) const MIGRATE: &str = "migrate";

/// The change log's folder in the state directory.
const LOG: &str = "log";
/// Figures of the last run in it, for `status`.
pub(crate) const STATUS: &str = "status.json";
/// Files in it that describe a run which has not been ended.
const RUN_FILES: [&str; 2] = [STATUS, run_file::NAME];

/// Who holds a state directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Owner {
    /// Its process id; 0 if it has not written it yet.
    pub(crate) process_id: u32,
    /// What it does; empty if it has not written it yet.
    pub(crate) verb: String,
}

/// A locked state directory. The lock goes with the process.
#[derive(Debug)]
pub(crate) struct StateDir {
    path: PathBuf,
    /// Held, never read: closing it would give the lock up.
    _lock: File,
}

impl StateDir {
    /// Makes the directory if it is missing (mode 0700) and locks it for `verb` against a second process.
    pub(crate) fn lock(path: &Path, verb: &str) -> Result<StateDir, Failure> {
        let unlocked = "the state directory cannot be locked";
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)
            .map_err(disk_failed(path, "the state directory cannot be made"))
            .map_err(|failure| failure.hint("Name one that this user may write with `--state-dir`."))?;
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(path.join("lock"))
            .map_err(disk_failed(path, unlocked))?;
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {
                note_owner(&lock, verb).map_err(disk_failed(path, unlocked))?;
                Ok(StateDir {
                    path: path.to_owned(),
                    _lock: lock,
                })
            }
            Err(rustix::io::Errno::WOULDBLOCK) => {
                let text = "another process is using this state directory";
                Err(Failure::new(
                    code::STATE_LOCKED,
                    Class::StopMigration,
                    path.display().to_string(),
                    text,
                ))
            }
            Err(cause) => Err(disk_failed(path, unlocked)(cause.into())),
        }
    }

    /// Who holds the lock of a directory, if anybody does.
    pub(crate) fn owner(path: &Path) -> Option<Owner> {
        let lock = File::open(path.join("lock")).ok()?;
        // Shared, so that two who look do not take each other for an owner.
        if flock(&lock, FlockOperation::NonBlockingLockShared) != Err(rustix::io::Errno::WOULDBLOCK) {
            return None;
        }
        let text = fs::read_to_string(path.join("lock")).ok()?;
        let (process_id, verb) = text.trim().split_once(' ').unwrap_or_default();
        Some(Owner {
            process_id: process_id.parse().unwrap_or(0),
            verb: verb.to_owned(),
        })
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Replaces a small file at once, mode 0600.
    pub(crate) fn write(&self, name: &str, content: &[u8]) -> Result<(), Failure> {
        let target = self.path.join(name);
        let draft = self.path.join(format!("{name}.new"));
        let write = || -> std::io::Result<()> {
            let mut file = OpenOptions::new()
                .create(true)
                .truncate(true)
                .write(true)
                .mode(0o600)
                .open(&draft)?;
            file.write_all(content)?;
            fs::rename(&draft, &target)
        };
        write().map_err(disk_failed(&target, "cannot be written"))
    }

    /// Removes a file that is there.
    pub(crate) fn remove(&self, name: &str) -> Result<(), Failure> {
        let path = self.path.join(name);
        fs::remove_file(&path).map_err(disk_failed(&path, "cannot be erased"))
    }

    /// The change logs in it.
    pub(crate) fn logs(&self, budget: Option<u64>) -> Logs {
        let budget_bytes = budget.unwrap_or_else(|| default_budget(&self.path));
        Logs {
            path: self.path.join(LOG),
            options: LogOptions {
                budget_bytes,
                // Only whole segments are trimmed: a small budget needs small ones to become free again.
                segment_bytes: (budget_bytes / SEGMENTS_PER_BUDGET)
                    .clamp(SEGMENT_BYTES_MIN, DEFAULT_SEGMENT_BYTES),
            },
        }
    }

    /// Whether there is a change log or anything else that [`StateDir::erase`] removes.
    pub(crate) fn has_run(&self) -> bool {
        let mut names = RUN_FILES.iter().chain([&LOG]);
        names.any(|name| self.path.join(name).exists())
    }

    /// Removes the change log and what describes the run; the report, the run log and the lock file stay.
    pub(crate) fn erase(&self) -> Result<(), Failure> {
        let log = self.path.join(LOG);
        if log.exists() {
            fs::remove_dir_all(&log).map_err(disk_failed(&self.path, "cannot be erased"))?;
        }
        for name in RUN_FILES {
            if self.path.join(name).exists() {
                self.remove(name)?;
            }
        }
        Ok(())
    }
}

/// What a file operation that fails becomes: `what` happened to `path`.
pub(crate) fn disk_failed(path: &Path, what: &'static str) -> impl Fn(std::io::Error) -> Failure {
    let object = path.display().to_string();
    move |cause| Failure::new(code::DISK_FAILED, Class::StopMigration, object.clone(), what).caused_by(cause)
}

/// Writes who we are into the lock file, for `status`.
fn note_owner(mut lock: &File, verb: &str) -> std::io::Result<()> {
    lock.set_len(0)?;
    lock.write_all(format!("{} {verb}", std::process::id()).as_bytes())
}

/// Whether a file of a log is a whole segment: one under another ending was being made when a process died.
fn is_segment(name: &str) -> bool {
    name.starts_with("segment-") && name.strip_suffix(".log").is_some()
}

/// Change logs under a state directory.
#[derive(Debug)]
pub(crate) struct Logs {
    path: PathBuf,
    options: LogOptions,
}

impl LogStore for Logs {
    type Log = DiskLog;

    async fn open(&self) -> Result<Option<DiskLog>, Failure> {
        let segments = fs::read_dir(&self.path).map_or(0, |entries| {
            entries
                .flatten()
                .filter(|entry| is_segment(&entry.file_name().to_string_lossy()))
                .count()
        });
        if segments == 0 {
            return Ok(None);
        }
        Ok(Some(
            DiskLog::open(&self.path, self.options)
                .await
                .map_err(Failure::from)?,
        ))
    }

    async fn create(&self, id: &LogId, start: &Position, source: &str) -> Result<DiskLog, Failure> {
        if self.path.exists() {
            fs::remove_dir_all(&self.path).map_err(disk_failed(&self.path, "cannot be erased"))?;
        }
        DiskLog::create(&self.path, id, source, start, self.options)
            .await
            .map_err(Failure::from)
    }
}
