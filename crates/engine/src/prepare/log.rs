//! Where change logs are kept, and which of them belongs to an epoch.

use std::future::Future;

use spanferry_core::port::change_log::{ChangeLog, LogId};
use spanferry_core::port::target::{Epoch, FenceRow, StreamRow};
use spanferry_core::position::{Agreement, Bookmark, Witness};
use spanferry_core::report::code;
use spanferry_core::report::failure::{Class, Failure};
use uuid::Uuid;

use crate::order::contains_all;

/// Where change logs are kept; implemented over a state directory.
pub trait LogStore: Send + Sync + 'static {
    /// Its logs.
    type Log: ChangeLog;

    /// Opens the log that is there, if any.
    fn open(&self) -> impl Future<Output = Result<Option<Self::Log>, Failure>> + Send;

    /// Erases what is there and creates a log with this identity, whose first transaction comes
    /// after `start`. A crash leaves no log or an empty one.
    fn create(
        &self,
        id: &LogId,
        start: &Bookmark,
        source: &str,
    ) -> impl Future<Output = Result<Self::Log, Failure>> + Send;
}

/// The identity of a log that is made with an epoch: known before the log is, so that a start that
/// died before the target had heard of its log leaves one that the next start can distinguish from
/// a foreign one.
pub(super) fn log_id(migration: &str, epoch: Epoch) -> LogId {
    let hash = blake3::hash(format!("change log of {migration} from epoch {}", epoch.0).as_bytes());
    let (id, _rest) = hash.as_bytes().split_first_chunk().expect("a hash has 32 bytes");
    LogId(Uuid::from_bytes(*id).to_string())
}

/// The log in the state directory, if it is the one that the target knows. `next` is the epoch that
/// this start will take.
pub(super) async fn own_log<B: LogStore>(
    logs: &B,
    migration: &str,
    known: &StreamRow,
    next: Epoch,
) -> Result<Option<B::Log>, Failure> {
    match logs.open().await? {
        Some(log) if log.id() == LogId(known.log_id.clone()) => Ok(Some(log)),
        // An earlier start made it and died before it had the epoch, without which nothing is
        // captured: it is empty.
        Some(log) if log.id() == log_id(migration, next) => Ok(None),
        Some(log) => {
            let text = format!("its change log {} belongs to another migration", log.id().0);
            Err(Failure::new(
                code::STATE_FOREIGN,
                Class::StopMigration,
                "state directory",
                text,
            ))
        }
        None => Ok(None),
    }
}

/// The log's record at the watermark must be of the history that the fence row holds: an older copy
/// of the log, or one that continued elsewhere, is refused.
pub(super) async fn compare_log<L: ChangeLog>(
    log: &L,
    old: &FenceRow,
    applied: &Bookmark,
) -> Result<(), Failure> {
    let at = old.key.sequence;
    let (end, _) = log.end().await?;
    if end < at {
        return Err(other_log(format!(
            "the change log ends at {end}, the target has applied {at}"
        )));
    }
    let held = log.bookmark_before(at.next()).await?;
    // A log that was begun again before the watermark's position repeats what is applied; it never
    // lacks anything.
    let lacks_nothing = contains_all("change log", &applied.position, &held.position)?;
    if !lacks_nothing {
        return Err(other_log(format!(
            "at {at} the change log holds another position than the target's fence"
        )));
    }
    let differs = |own: &Witness| {
        let held = held.witnesses.with_id(&own.id);
        held.is_some_and(|held| own.compare(held) == Agreement::Different)
    };
    if applied.witnesses.iter().any(differs) {
        return Err(other_log(format!(
            "at {at} the change log holds another transaction than the target's fence"
        )));
    }
    Ok(())
}

fn other_log(text: String) -> Failure {
    Failure::new(code::LOG_CORRUPT, Class::StopMigration, "change log", text)
}
