//! The source's session of a verification: one snapshot for table after table, opened again when it
//! is lost or old.

use std::sync::Arc;
use std::time::Duration;

use spanferry_core::plan::TablePlan;
use spanferry_core::port::source::{
    ChangeSource, HistorySource, PositionSource, PreparedWait, SnapshotRequest, SnapshotSource,
};
use spanferry_core::position::{Bookmark, Position};
use spanferry_core::report::failure::Failure;
use tokio::time::Instant;

use super::at_rest::AtRest;

/// How old a snapshot may be when a table begins. An old one costs the source its undo log, and
/// shows late that writes have begun.
const SNAPSHOT_AGE_MAX: Duration = Duration::from_secs(60);

/// Hands out the one session, which sees the compared tables exactly as the target should hold
/// them.
pub(super) struct Reader<'a, S: SnapshotSource, C> {
    source: &'a S,
    plans: &'a [Arc<TablePlan>],
    at_rest: AtRest<'a, S, C>,
    kept: Option<Opened<S::Session>>,
}

/// A session and when its snapshot was opened.
pub(super) struct Opened<S> {
    pub(super) session: S,
    at: Instant,
}

impl<'a, S: PositionSource + SnapshotSource, C: HistorySource + ChangeSource> Reader<'a, S, C> {
    /// A reader of all tables of `plans`; `applied` is the position that the target holds.
    pub(super) fn new(
        source: &'a S,
        changes: &'a C,
        plans: &'a [Arc<TablePlan>],
        applied: &'a Bookmark,
    ) -> Reader<'a, S, C> {
        Reader {
            source,
            plans,
            at_rest: AtRest::new(source, changes, plans, applied),
            kept: None,
        }
    }

    /// The compared tables must be at rest, from what the target holds to now.
    pub(super) async fn expect_rest(&mut self) -> Result<(), Failure> {
        self.at_rest.look().await
    }

    /// Every transaction since then must be known: a difference is then none that the source made
    /// meanwhile.
    pub(super) fn expect_known(&self) -> Result<(), Failure> {
        self.at_rest.expect_known()
    }

    /// Notes what a witness may have seen; the next look goes at least as far.
    pub(super) fn note_seen(&mut self, seen: Position) {
        self.at_rest.note_seen(seen);
    }

    /// The session, for one table. A caller that has read it to the end gives it back by `keep`;
    /// one that failed is dropped.
    pub(super) async fn take(&mut self) -> Result<Opened<S::Session>, Failure> {
        match self.kept.take() {
            Some(opened) if opened.at.elapsed() < SNAPSHOT_AGE_MAX => Ok(opened),
            Some(_) | None => self.open().await,
        }
    }

    /// Takes a session back that has ended its range.
    pub(super) fn keep(&mut self, opened: Opened<S::Session>) {
        self.kept = Some(opened);
    }

    /// Opens a snapshot in which the compared tables are as they were at the position that the
    /// target holds.
    async fn open(&mut self) -> Result<Opened<S::Session>, Failure> {
        self.at_rest.look().await?;
        let at = Instant::now();
        let request = SnapshotRequest {
            tables: self.plans,
            sessions: 1,
            lock: false,
            prepared: PreparedWait::Nothing,
        };
        let snapshot = self.source.open_snapshot(&request).await?;
        self.at_rest.note_snapshot(&snapshot.low, snapshot.high)?;
        let session = snapshot.sessions.into_iter().next();
        let session = session.ok_or_else(|| Failure::bug("snapshot", "one session was asked for"))?;
        Ok(Opened { session, at })
    }
}
