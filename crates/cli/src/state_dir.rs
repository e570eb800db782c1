//! The state directory: the change log, the run's log, status, findings and report; no secrets.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};
use spanferry_core::port::change_log::LogId;
use spanferry_core::position::Bookmark;
use spanferry_core::report::code;
use spanferry_core::report::failure::{Class, Failure};
use spanferry_engine::prepare::LogStore;
use spanferry_log::{DEFAULT_SEGMENT_BYTES, DiskLog, LogOptions};
use spanferry_private_dir::{PrivateDir, PrivateError};

use crate::run_file;

/// Share of the free space that the change log may take unless the operator says otherwise, in
/// percent.
const BUDGET_PERCENT: u64 = 80;

/// Segments that a budget has room for, at least.
const SEGMENTS_PER_BUDGET: u64 = 16;
/// Smallest segment, whatever the budget: a few blocks.
const SEGMENT_BYTES_MIN: u64 = 64 << 10;

/// Bytes that a change log below `path` may take if the operator says nothing; the directory need
/// not be there yet.
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
/// How the last run ended.
pub(crate) const REPORT: &str = "report.json";
/// Files in it that describe a run which has not been ended.
const RUN_FILES: [&str; 2] = [STATUS, run_file::NAME];

/// The lock's file in it.
const LOCK: &str = "lock";
/// How long a lock is tried for: `status` holds it for an instant when it looks whether anybody
/// does.
const LOCK_PATIENCE: Duration = Duration::from_millis(500);
const LOCK_PAUSE: Duration = Duration::from_millis(10);

/// Who holds a state directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Owner {
    /// Its process id; 0 if it has not written it yet.
    pub(crate) process_id: u32,
    /// Its verb; empty if it has not written it yet.
    pub(crate) verb: String,
    /// What it is doing before it writes `status.json`; empty afterwards.
    pub(crate) step: String,
}

/// A locked state directory. The lock goes with the process.
#[derive(Debug)]
pub(crate) struct StateDir {
    directory: PrivateDir,
    /// Closing it would give the lock up. It holds who we are, for `status`.
    lock: File,
    verb: String,
}

impl StateDir {
    /// Makes the directory if it is missing (mode 0700) and locks it for `verb` against a second
    /// process.
    pub(crate) fn lock(path: &Path, verb: &str) -> Result<StateDir, Failure> {
        let unlocked = "the state directory cannot be locked";
        let directory = PrivateDir::create(path).map_err(|error| match error {
            PrivateError::Io { .. } => {
                Failure::from(error).hint("Name one that this user may write with `--state-dir`.")
            }
            PrivateError::Unsafe { .. } => error.into(),
        })?;
        let lock = directory.open_or_create(LOCK)?;
        match lock_patiently(&lock) {
            Ok(()) => {
                let state = StateDir {
                    directory,
                    lock,
                    verb: verb.to_owned(),
                };
                state.note_owner("").map_err(disk_failed(path, unlocked))?;
                Ok(state)
            }
            Err(rustix::io::Errno::WOULDBLOCK) => {
                let owner = Self::owner(&directory).ok().flatten();
                let text = match owner.filter(|owner| owner.process_id != 0) {
                    Some(owner) => format!(
                        "process {}, `{}`, is using this state directory",
                        owner.process_id, owner.verb
                    ),
                    None => "another process is using this state directory".to_owned(),
                };
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
    pub(crate) fn owner(directory: &PrivateDir) -> Result<Option<Owner>, Failure> {
        let Some(mut lock) = directory.open_to_read(LOCK)? else {
            return Ok(None);
        };
        // Shared, so that two who look do not take each other for an owner.
        if flock(&lock, FlockOperation::NonBlockingLockShared) != Err(rustix::io::Errno::WOULDBLOCK) {
            return Ok(None);
        }
        let mut text = String::new();
        lock.read_to_string(&mut text)
            .map_err(disk_failed(&directory.path().join(LOCK), "cannot be read"))?;
        let mut words = text.trim().splitn(3, ' ');
        let process_id = words.next().and_then(|word| word.parse().ok());
        Ok(Some(Owner {
            process_id: process_id.unwrap_or(0),
            verb: words.next().unwrap_or_default().to_owned(),
            step: words.next().unwrap_or_default().to_owned(),
        }))
    }

    /// Shows `status` what this process is doing; empty once `status.json` says it.
    pub(crate) fn note_step(&self, step: &str) {
        if let Err(error) = self.note_owner(step) {
            tracing::warn!(%error, "the step cannot be written into the lock file");
        }
    }

    fn note_owner(&self, step: &str) -> std::io::Result<()> {
        let text = format!("{} {} {step}", std::process::id(), self.verb);
        // Never empty, so that a look in between finds the process.
        self.lock.write_all_at(text.as_bytes(), 0)?;
        self.lock.set_len(text.len() as u64)
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    /// The directory itself.
    pub(crate) fn directory(&self) -> &PrivateDir {
        &self.directory
    }

    /// Replaces a small file at once, mode 0600.
    pub(crate) fn write(&self, name: &str, content: &[u8]) -> Result<(), Failure> {
        Ok(self.directory.replace(name, content)?)
    }

    /// Removes a file that is there.
    pub(crate) fn remove(&self, name: &str) -> Result<(), Failure> {
        Ok(self.directory.remove(name)?)
    }

    /// The change logs in it.
    pub(crate) fn logs(&self, budget: Option<u64>) -> Result<Logs, Failure> {
        let budget_bytes = budget.unwrap_or_else(|| default_budget(self.path()));
        Ok(Logs {
            directory: self.directory.try_clone()?,
            options: LogOptions {
                budget_bytes,
                // Only whole segments are trimmed: a small budget needs small ones to become free
                // again.
                segment_bytes: (budget_bytes / SEGMENTS_PER_BUDGET)
                    .clamp(SEGMENT_BYTES_MIN, DEFAULT_SEGMENT_BYTES),
            },
        })
    }

    /// Whether there is a change log.
    pub(crate) fn has_log(&self) -> bool {
        self.directory.contains(LOG)
    }

    /// Whether there is a change log or anything else that [`StateDir::erase`] removes.
    pub(crate) fn has_run(&self) -> bool {
        let mut names = RUN_FILES.iter().chain([&LOG]);
        names.any(|name| self.directory.contains(name))
    }

    /// Removes the change log and what describes the run; the report, the run log and the lock file
    /// stay.
    pub(crate) fn erase(&self) -> Result<(), Failure> {
        self.directory.remove_directory(LOG)?;
        for name in RUN_FILES {
            if self.directory.contains(name) {
                self.remove(name)?;
            }
        }
        Ok(())
    }
}

/// Takes the lock, trying for a moment.
fn lock_patiently(lock: &File) -> Result<(), rustix::io::Errno> {
    let since = Instant::now();
    loop {
        match flock(lock, FlockOperation::NonBlockingLockExclusive) {
            Err(rustix::io::Errno::WOULDBLOCK) if since.elapsed() < LOCK_PATIENCE => {
                std::thread::sleep(LOCK_PAUSE);
            }
            locked => return locked,
        }
    }
}

/// What a file operation that fails becomes: `what` happened to `path`.
pub(crate) fn disk_failed(path: &Path, what: &'static str) -> impl Fn(std::io::Error) -> Failure {
    let object = path.display().to_string();
    move |cause| Failure::new(code::DISK_FAILED, Class::StopMigration, object.clone(), what).caused_by(cause)
}

/// Whether a file of a log is a whole segment: one under another ending was being made when a
/// process died.
fn is_segment(name: &str) -> bool {
    name.starts_with("segment-") && name.strip_suffix(".log").is_some()
}

/// Change logs under a state directory.
#[derive(Debug)]
pub(crate) struct Logs {
    directory: PrivateDir,
    options: LogOptions,
}

impl Logs {
    fn path(&self) -> PathBuf {
        self.directory.path().join(LOG)
    }
}

impl LogStore for Logs {
    type Log = DiskLog;

    async fn open(&self) -> Result<Option<DiskLog>, Failure> {
        let path = self.path();
        let Some(log) = PrivateDir::open(&path)? else {
            return Ok(None);
        };
        if !log.names()?.iter().any(|name| is_segment(name)) {
            return Ok(None);
        }
        Ok(Some(
            DiskLog::open(&path, self.options).await.map_err(Failure::from)?,
        ))
    }

    async fn create(&self, id: &LogId, start: &Bookmark, source: &str) -> Result<DiskLog, Failure> {
        self.directory.remove_directory(LOG)?;
        DiskLog::create(&self.path(), id, source, start, self.options)
            .await
            .map_err(Failure::from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scratch(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("sf-state-{}-{name}", std::process::id()));
        assert!(!path.exists());
        path
    }

    #[test]
    fn a_look_at_the_owner_does_not_hinder_a_start() {
        let path = scratch("look");
        drop(StateDir::lock(&path, "end").unwrap());
        let directory = PrivateDir::open(&path).unwrap().unwrap();
        let looking = directory.open_to_read(LOCK).unwrap().unwrap();
        flock(&looking, FlockOperation::NonBlockingLockShared).unwrap();
        let (begun, is_begun) = std::sync::mpsc::channel();
        let starting = std::thread::spawn({
            let path = path.clone();
            move || {
                begun.send(()).unwrap();
                StateDir::lock(&path, MIGRATE)
            }
        });
        is_begun.recv().unwrap();
        drop(looking);
        let held = starting.join().unwrap().unwrap();
        let owner = StateDir::owner(&directory).unwrap().unwrap();
        assert_eq!(
            (owner.process_id, owner.verb.as_str(), owner.step.as_str()),
            (std::process::id(), MIGRATE, "")
        );
        held.note_step("creating tables, 50 of 900");
        let owner = StateDir::owner(&directory).unwrap().unwrap();
        assert_eq!(
            (owner.verb.as_str(), owner.step.as_str()),
            (MIGRATE, "creating tables, 50 of 900")
        );
        // One that is held is refused after a moment.
        let second = StateDir::lock(&path, MIGRATE).unwrap_err();
        assert_eq!(second.code, code::STATE_LOCKED);
        drop(held);
        assert_eq!(StateDir::owner(&directory).unwrap(), None);
        std::fs::remove_dir_all(&path).unwrap();
    }

    /// Every file that is read or written in place; what is replaced takes the place of a link.
    #[test]
    fn links_are_refused_or_replaced_and_never_followed() {
        let (path, victim) = (scratch("links"), scratch("victim"));
        std::fs::write(&victim, "kept").unwrap();
        let link = |name: &str| std::os::unix::fs::symlink(&victim, path.join(name)).unwrap();
        let unlink = |name: &str| std::fs::remove_file(path.join(name)).unwrap();
        let refused = |done: Result<(), Failure>| assert_eq!(done.unwrap_err().code, code::STATE_UNSAFE);
        drop(StateDir::lock(&path, MIGRATE).unwrap());
        unlink(LOCK);
        link(LOCK);
        refused(StateDir::lock(&path, MIGRATE).map(drop));
        let directory = PrivateDir::open(&path).unwrap().unwrap();
        refused(StateDir::owner(&directory).map(drop));
        unlink(LOCK);
        let state = StateDir::lock(&path, MIGRATE).unwrap();
        for name in [STATUS, run_file::NAME, REPORT] {
            link(name);
            link(&format!("{name}.new"));
            state.write(name, b"new").unwrap();
            assert_eq!(directory.read(name).unwrap().unwrap(), b"new");
            unlink(name);
        }
        link(run_file::NAME);
        refused(run_file::RunFile::read(&path).map(drop));
        link(LOG);
        refused(state.erase());
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let logs = state.logs(None).unwrap();
        refused(runtime.block_on(logs.open()).map(drop));
        assert_eq!(std::fs::read_to_string(&victim).unwrap(), "kept");
        std::fs::remove_dir_all(&path).unwrap();
        std::fs::remove_file(&victim).unwrap();
    }
}
