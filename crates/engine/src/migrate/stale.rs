//! Whether an open stream still follows the source: one that brings nothing while the source moves
//! on may belong to a history that was replaced.
//!
//! Servers keep a stream open over a reset of their binary log for as long as the new log is
//! shorter than the old one was, and continue with their heartbeats (docs/design/history.md, step
//! 8).

use std::sync::Arc;
use std::time::Duration;

use spanferry_core::apply::verdict::misplaced;
use spanferry_core::port::change_log::{ChangeLog, Sequence};
use spanferry_core::port::source::{HistorySource, PositionSource};
use spanferry_core::position::Bookmark;
use spanferry_core::report::failure::Failure;
use tokio::sync::watch;

use crate::history::{Unproved, prove};
use crate::progress::Progress;
use crate::stop::{CancellationToken, Pause};

/// How long an open stream may bring nothing, while the source stands elsewhere, before its history
/// is looked for.
const STILL_MAX: Duration = Duration::from_secs(15);

/// Looks for streams that follow no longer.
pub(super) struct StaleStream<S, L> {
    pub(super) source: Arc<S>,
    pub(super) log: Arc<L>,
    pub(super) stop: CancellationToken,
    /// Whether capture has a stream open.
    pub(super) is_following: watch::Receiver<bool>,
    pub(super) progress: Arc<Progress>,
    pub(super) unproved: Unproved,
}

impl<S: PositionSource + HistorySource, L: ChangeLog> StaleStream<S, L> {
    /// Looks until the stop signal. Ends with a failure only if the source's history is another
    /// one.
    pub(super) async fn run(self) -> Result<(), Failure> {
        let mut seen = Sequence::ZERO;
        while self.stop.pause(STILL_MAX).await {
            let (end, captured) = self.log.end().await?;
            let is_still = end == std::mem::replace(&mut seen, end);
            if !is_still || !*self.is_following.borrow() {
                continue;
            }
            match self.look(&captured).await {
                Err(failure) if failure.is_retry() => {
                    tracing::warn!(failure = %failure.for_log(), "the source does not say where it stands");
                }
                looked => looked?,
            }
        }
        Ok(())
    }

    /// Proves the history if the source stands beyond what was captured, or behind it.
    async fn look(&self, captured: &Bookmark) -> Result<(), Failure> {
        let now = self.source.position().await?;
        if captured.position.contains_all(&now).map_err(misplaced)?
            && now.contains_all(&captured.position).map_err(misplaced)?
        {
            return Ok(());
        }
        // A source that lacks something only lags; if it is another one, the tasks that ask what it
        // holds report that.
        if !self.source.holds(&captured.position).await? {
            return Ok(());
        }
        let accepted = prove(self.source.as_ref(), captured, self.unproved).await?;
        if let Some(finding) = accepted {
            self.progress.report(finding);
        }
        Ok(())
    }
}
