//! Where change logs are kept, and which of them belongs to an epoch.

use std::future::Future;

use spanferry_core::port::change_log::{ChangeLog, LogId};
use spanferry_core::port::target::{Epoch, FenceRow, StreamRow};
use spanferry_core::position::{Agreement, Bookmark, Witness};
use spanferry_core::report::code;
use spanferry_core::report::failure::{Class, Failure};
use uuid::Uuid;

use crate::order::contains_all;

/// How many earlier epochs a log is looked for in, to say whose it is.
const EARLIER_EPOCHS_MAX: usize = 100_000;

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
        Some(log) => Err(unknown_log(&log.id(), migration, next)),
        None => Ok(None),
    }
}

/// The failure of a log that the target does not know. It may be one of this migration, which has
/// continued with another log since; then its changes can still be fetched again.
fn unknown_log(id: &LogId, migration: &str, next: Epoch) -> Failure {
    let refused = |text| {
        let class = Class::StopMigration;
        Failure::new(code::STATE_FOREIGN, class, "state directory", text)
    };
    let mut earlier = (0..=next.0).rev().take(EARLIER_EPOCHS_MAX);
    if earlier.any(|epoch| *id == log_id(migration, Epoch(epoch))) {
        let text = format!(
            "its change log {} is an old one of this migration, which has continued with another change log since",
            id.0
        );
        return refused(text).hint(
            "Use the state directory with which the migration went on. If it is lost, move the folder `log` of this one away: changes are fetched again while the source still has them.",
        );
    }
    refused(format!("its change log {} belongs to another migration", id.0))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_log_of_the_migration_is_told_from_a_foreign_one() {
        let check = |id: &LogId, expected: &str, is_own: bool| {
            let refused = unknown_log(id, "ours", Epoch(7));
            assert_eq!(refused.code, code::STATE_FOREIGN);
            assert!(refused.message.contains(expected), "{refused}");
            assert_eq!(refused.hint.is_some(), is_own, "{refused}");
        };
        check(&log_id("ours", Epoch(1)), "an old one of this migration", true);
        check(&log_id("ours", Epoch(6)), "an old one of this migration", true);
        check(&log_id("theirs", Epoch(1)), "belongs to another migration", false);
        check(&LogId("no log".to_owned()), "belongs to another migration", false);
    }
}
