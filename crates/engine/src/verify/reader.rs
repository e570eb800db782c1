//! The source's session of a verification: one snapshot for table after table, opened anew when it is lost or old.

use std::sync::Arc;
use std::time::Duration;

use spanferry_core::code;
use spanferry_core::failure::{Class, Failure};
use spanferry_core::plan::TablePlan;
use spanferry_core::position::{Position, PositionError};
use spanferry_core::source::SnapshotSource;
use tokio::time::Instant;

use crate::history::under_way;

/// How old a snapshot may be when a table begins. An old one costs the source its undo log, and tells late that writes have begun.
const SNAPSHOT_AGE_MAX: Duration = Duration::from_secs(60);

/// Hands out the one session, which sees exactly what the target holds.
pub(super) struct Reader<'a, S: SnapshotSource> {
    source: &'a S,
    plans: &'a [Arc<TablePlan>],
    applied: &'a Position,
    kept: Option<Opened<S::Session>>,
}

/// A session and when its snapshot was opened.
pub(super) struct Opened<S> {
    pub(super) session: S,
    at: Instant,
}

impl<'a, S: SnapshotSource> Reader<'a, S> {
    /// A reader of all tables of `plans`; `applied` is the position that the target holds.
    pub(super) fn new(source: &'a S, plans: &'a [Arc<TablePlan>], applied: &'a Position) -> Reader<'a, S> {
        Reader {
            source,
            plans,
            applied,
            kept: None,
        }
    }

    /// The session, for one table. Whoever has read it to the end gives it back by `keep`; one that failed is dropped.
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

    /// Opens a snapshot of exactly the position that the target holds.
    async fn open(&self) -> Result<Opened<S::Session>, Failure> {
        let at = Instant::now();
        let snapshot = self.source.open(self.plans, 1, false).await?;
        expect_not_ahead(&snapshot.high, self.applied)?;
        expect_not_behind(&snapshot.low, self.applied)?;
        let session = snapshot.sessions.into_iter().next();
        let session = session.ok_or_else(|| Failure::bug("snapshot", "one session was asked for"))?;
        Ok(Opened { session, at })
    }
}

/// The source must not have gone beyond what the target holds.
pub(super) fn expect_not_ahead(source: &Position, applied: &Position) -> Result<(), Failure> {
    let ahead = source.count_beyond(applied).map_err(foreign)?;
    if ahead == 0 {
        return Ok(());
    }
    let text = format!("source is {ahead} transactions ahead");
    Err(Failure::new(code::SOURCE_AHEAD, Class::StopMigration, "", text))
}

/// A snapshot must see everything that the target holds. MariaDB counts a transaction to its position before a session sees it:
/// another snapshot may.
fn expect_not_behind(source: &Position, applied: &Position) -> Result<(), Failure> {
    if source.contains_all(applied).map_err(foreign)? {
        return Ok(());
    }
    Err(Failure {
        class: Class::Retry { after: None },
        ..under_way()
    })
}

fn foreign(cause: PositionError) -> Failure {
    Failure::bug("source", "it holds a history that cannot be compared").caused_by(cause)
}
