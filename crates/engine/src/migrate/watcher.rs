//! The watcher: decides whether apply has caught up, and ends the migration at its stop condition.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use spanferry_core::port::change_log::ChangeLog;
use spanferry_core::port::source::{HistorySource, PositionSource};
use spanferry_core::position::{Bookmark, Position};
use spanferry_core::report::code;
use spanferry_core::report::failure::{Class, Failure};
use tokio::sync::watch;
use tokio::time::Instant;

use super::outcome::{Outcome, StopWhen};
use crate::capture::SOURCE_PATIENCE;
use crate::history::{ASK_INTERVAL, ClaimProof, HistoryWatch};
use crate::order::contains_all;
use crate::progress::Progress;
use crate::registry::Registry;
use crate::stop::{CancellationToken, Pause};

/// How often a stopped group is called to mind.
const STOPPED_WARN_INTERVAL: Duration = Duration::from_secs(60);

/// Why the watcher ended the migration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    /// The stop condition is met.
    CaughtUp,
    /// Every group has stopped, so nothing flows any more.
    AllStopped,
}

/// Finds out whether apply has caught up, and ends the migration at its stop condition.
pub(super) struct Watcher<S, L> {
    pub(super) source: Arc<S>,
    pub(super) log: Arc<L>,
    pub(super) registry: Arc<Registry>,
    pub(super) stop: CancellationToken,
    pub(super) reached: watch::Receiver<Position>,
    /// Whether capture has a stream open.
    pub(super) is_following: watch::Receiver<bool>,
    pub(super) history: HistoryWatch,
    /// The position to be reached.
    pub(super) goal: Option<Position>,
    /// Why it ended the migration; nothing if something else did.
    pub(super) ended: Arc<OnceLock<Ended>>,
    /// What proves that the source's history is the one that was captured.
    pub(super) proof: ClaimProof,
    pub(super) progress: Arc<Progress>,
    /// Since when the source has not said where it stands.
    pub(super) silent_since: Option<Instant>,
}

impl<S, L> Clone for Watcher<S, L> {
    fn clone(&self) -> Self {
        Watcher {
            source: Arc::clone(&self.source),
            log: Arc::clone(&self.log),
            registry: Arc::clone(&self.registry),
            stop: self.stop.clone(),
            reached: self.reached.clone(),
            is_following: self.is_following.clone(),
            history: self.history.clone(),
            goal: self.goal.clone(),
            ended: Arc::clone(&self.ended),
            proof: self.proof.clone(),
            progress: Arc::clone(&self.progress),
            silent_since: self.silent_since,
        }
    }
}

impl<S: PositionSource + HistorySource, L: ChangeLog> Watcher<S, L> {
    pub(super) async fn run(mut self, stop_when: StopWhen) -> Result<(), Failure> {
        let mut changed = self.registry.subscribe();
        let mut warned = tokio::time::Instant::now();
        loop {
            if self.registry.all_stopped() {
                tracing::error!("every group has stopped; nothing flows any more");
                self.end(Ended::AllStopped);
                return Ok(());
            }
            if self.stop.is_cancelled() {
                return Ok(());
            }
            if warned.elapsed() >= STOPPED_WARN_INTERVAL {
                self.warn_of_stopped();
                warned = tokio::time::Instant::now();
            }
            if !self.registry.all_constrained() {
                self.note_reached(false);
                tokio::select! {
                    biased;
                    () = self.stop.cancelled() => return Ok(()),
                    _changed = changed.changed() => {}
                    () = tokio::time::sleep(STOPPED_WARN_INTERVAL) => {}
                }
                continue;
            }
            let asked = tokio::time::Instant::now();
            let is_reached = self.reaches_source(stop_when).await?;
            if self.registry.all_stopped() || !self.registry.all_constrained() {
                // The last group has stopped meanwhile, or one is not exact any more: nothing is
                // caught up.
                continue;
            }
            self.note_reached(is_reached);
            if is_reached && stop_when == StopWhen::CaughtUp {
                self.end(Ended::CaughtUp);
                return Ok(());
            }
            if !self
                .stop
                .pause(ASK_INTERVAL.saturating_sub(asked.elapsed()))
                .await
            {
                return Ok(());
            }
        }
    }

    /// Ends the migration, and says why to a person and to `outcome`.
    fn end(&self, why: Ended) {
        self.progress.update(|state| match why {
            Ended::CaughtUp => state.phase = "drained".into(),
            Ended::AllStopped => {
                state.phase = "stopped".into();
                state.source_reached = false;
            }
        });
        self.ended
            .set(why)
            .expect("one task runs the watcher, and ends once");
        self.stop.cancel();
    }

    /// Shows whether apply has reached the source's position; `Snapshot::is_caught_up` follows from
    /// it.
    fn note_reached(&self, is_reached: bool) {
        self.progress.update(|state| state.source_reached = is_reached);
    }

    /// Whether apply stands, a while from now at the latest, where the source stands now.
    async fn reaches_source(&mut self, stop_when: StopWhen) -> Result<bool, Failure> {
        let Some(position) = self.ask_source(stop_when).await? else {
            return Ok(false);
        };
        let is_there = contains_all("main stream", &self.reached.borrow(), &position)?;
        if !is_there {
            // Until it is reached the earlier answer is out of date.
            self.note_reached(false);
        }
        let set = self.goal.take().filter(|_| stop_when == StopWhen::CaughtUp);
        let goal = next_goal(set, position)?;
        let captured = self.wait_for(&goal).await?;
        self.goal = Some(goal);
        let Some(captured) = captured else {
            return Ok(false);
        };
        // The numbers are the same in a history that was replaced: the stream may still be one of
        // the old one.
        let is_final = stop_when == StopWhen::CaughtUp;
        self.proof
            .expect(self.source.as_ref(), &captured, is_final, &self.progress)
            .await
    }

    /// Where the source stands, if it says so and has what was applied. One that stays behind is
    /// another one.
    async fn ask_source(&mut self, stop_when: StopWhen) -> Result<Option<Position>, Failure> {
        let applied = self.reached.borrow().clone();
        let asked = async {
            let position = self.source.position().await?;
            Ok::<_, Failure>((position, self.source.holds(&applied).await?))
        };
        let (position, holds) = match asked.await {
            Ok(stand) => stand,
            Err(failure) if failure.is_retry() => {
                tracing::warn!(failure = %failure.for_log(), "the source does not say where it stands");
                self.note_silence(failure, stop_when)?;
                return Ok(None);
            }
            Err(failure) => return Err(failure),
        };
        if self.silent_since.take().is_some() {
            self.progress.update(|state| state.source_silent = None);
        }
        let is_it = self.history.accepts(holds)?;
        Ok(is_it.then_some(position))
    }

    /// Shows that the source does not answer. Fails when that has lasted too long for a run that
    /// waits for the answer; changes may still flow, so any other run continues.
    fn note_silence(&mut self, failure: Failure, stop_when: StopWhen) -> Result<(), Failure> {
        let since = *self.silent_since.get_or_insert_with(Instant::now);
        if stop_when == StopWhen::CaughtUp && since.elapsed() > SOURCE_PATIENCE {
            let minutes = SOURCE_PATIENCE.as_secs() / 60;
            let text = format!("it did not say for {minutes} minutes where it stands");
            return Err(
                Failure::new(code::SOURCE_FAILED, Class::StopMigration, "source", text).caused_by(failure),
            );
        }
        let text = format!(
            "the source does not say where it stands, and is asked again: {}: {}",
            failure.object,
            failure.reason()
        );
        self.progress.update(|state| state.source_silent = Some(text));
        Ok(())
    }

    /// Waits a while until the log's end and apply have reached a position, by a stream that the
    /// source has accepted and that is open still. Returns the log's end if they have.
    async fn wait_for(&mut self, position: &Position) -> Result<Option<Bookmark>, Failure> {
        let (mut reached, mut following) = (self.reached.clone(), self.is_following.clone());
        let there = async {
            Ok::<_, Failure>(
                following.wait_for(|following| *following).await.is_ok()
                    && passes(&mut reached, position).await?,
            )
        };
        let is_there = tokio::select! {
            biased;
            () = self.stop.cancelled() => false,
            is_there = there => is_there?,
            () = tokio::time::sleep(ASK_INTERVAL) => false,
        };
        if !is_there || !*self.is_following.borrow() {
            return Ok(None);
        }
        let (_, captured) = self.log.end().await?;
        let is_captured = contains_all("change log", &captured.position, position)?;
        Ok(is_captured.then_some(captured))
    }

    fn warn_of_stopped(&self) {
        for (table, _) in self.registry.stopped() {
            tracing::warn!(
                table = table.table,
                "this table has stopped: `spanferry status` says why, `spanferry resync` and the next `migrate` load it again"
            );
        }
    }

    pub(super) fn is_drained(&self) -> bool {
        self.ended.get() == Some(&Ended::CaughtUp)
    }

    pub(super) fn outcome(&self, interrupted: bool) -> Outcome {
        let created = self.progress.created();
        Outcome {
            interrupted,
            caught_up: self.is_drained(),
            stopped: self.registry.stopped(),
            not_carried: created.tables.into_iter().collect(),
            not_carried_more: created.more,
            position: self.reached.borrow().to_string(),
        }
    }
}

/// What is to be reached once the source stands at `now`: the goal set before stays, however far a
/// busy source moves on, unless the source has lost a part of it in a failover.
fn next_goal(set: Option<Position>, now: Position) -> Result<Position, Failure> {
    match set {
        Some(goal) if contains_all("source", &now, &goal)? => Ok(goal),
        Some(_) | None => Ok(now),
    }
}

/// Waits until the main stream has passed a position; false if the stream has ended before.
async fn passes(reached: &mut watch::Receiver<Position>, position: &Position) -> Result<bool, Failure> {
    loop {
        let at = reached.borrow_and_update().clone();
        if contains_all("main stream", &at, position)? {
            return Ok(true);
        }
        if reached.changed().await.is_err() {
            return Ok(false);
        }
    }
}

#[cfg(test)]
#[path = "watcher_tests.rs"]
mod tests;
