//! The supervisor: starts capture, load, apply and constraints, watches them, and says how it ended.

use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::Duration;

use spanferry_core::change_log::ChangeLog;
use spanferry_core::code::{self, Exit};
use spanferry_core::failure::{Failure, ServerWords};
use spanferry_core::finding::{Finding, Severity, Subject};
use spanferry_core::position::Position;
use spanferry_core::source::{ChangeSource, SchemaSource, SnapshotSource};
use spanferry_core::target::{ControlChange, TablePhase, Target};
use spanferry_core::window::WindowLimits;
use tokio::sync::{Mutex, watch};
use tokio::task::JoinSet;

use crate::apply::Apply;
use crate::capture::capture;
use crate::constraint;
use crate::history::{ASK_INTERVAL, HistoryWatch};
use crate::lane::{FencedLane, LaneError};
use crate::load::{LoadOptions, load};
use crate::prepare::Prepared;
use crate::progress::Progress;
use crate::registry::{Registry, Transition};
use crate::retention::Retention;
use crate::stop::StopSignal;

/// How often a stopped group is called to mind.
const STOPPED_WARN_INTERVAL: Duration = Duration::from_secs(60);

/// The lane of control state, shared by load, constraints and resync.
#[derive(Debug)]
pub struct ControlLane<T> {
    lane: Mutex<FencedLane<T>>,
    progress: Arc<Progress>,
}

impl<T: Target> ControlLane<T> {
    /// A control lane.
    pub fn new(lane: FencedLane<T>, progress: Arc<Progress>) -> ControlLane<T> {
        ControlLane {
            lane: Mutex::new(lane),
            progress,
        }
    }

    /// Makes the rows that `rows` chooses durable, then known to the registry; nobody else changes recorded states meanwhile.
    /// No rows, no commit.
    pub async fn record(
        &self,
        registry: &Registry,
        rows: impl FnOnce(&Transition<'_>) -> Vec<ControlChange>,
    ) -> Result<(), Failure> {
        let transition = registry.transition().await;
        let rows = rows(&transition);
        if rows.is_empty() {
            return Ok(());
        }
        let mut lane = self.lane.lock().await;
        match lane.commit_counted(Vec::new(), rows.clone()).await {
            Ok(_) => {
                transition.adopt(&rows);
                Ok(())
            }
            Err(LaneError::Failed(failure)) => Err(failure),
            Err(LaneError::Rejected(rejection, _)) => {
                let text = "the target rejects control rows";
                Err(Failure::bug("control tables", text).caused_by(ServerWords::from(rejection)))
            }
        }
    }

    /// Stops the group of the table that a failure names, unless it has stopped already.
    pub(crate) async fn stop_table(&self, registry: &Registry, failure: &Failure) -> Result<(), Failure> {
        let Some(plan) = registry.named(&failure.object) else {
            return Err(Failure::bug(
                failure.object.clone(),
                "a failure names a table that is not migrated",
            ));
        };
        if registry.phase(plan.id) == TablePhase::Stopped {
            return Ok(());
        }
        let cause = failure
            .cause
            .as_ref()
            .map(|cause| format!(": {cause}"))
            .unwrap_or_default();
        let text = format!("{}{cause}", failure.message);
        let finding = Finding::new(
            failure.code,
            Severity::Blocking,
            Subject::table(failure.object.clone()),
            text,
        )
        .remedy(format!("spanferry resync {}", failure.object));
        tracing::error!(table = failure.object, code = %failure.code, "the group of this table stops");
        self.record(registry, |transition| transition.stop_rows(plan.group, &finding))
            .await?;
        self.progress.find(finding);
        Ok(())
    }

    /// The migration's counters.
    pub fn progress(&self) -> &Progress {
        &self.progress
    }
}

/// When a migration ends by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopWhen {
    /// Never: it follows the changes until interrupted.
    Interrupted,
    /// Once the position that the source had when every group was complete is applied.
    CaughtUp,
}

/// How a migration ended, if it did not fail.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// Whether the operator ended it before its stop condition.
    pub interrupted: bool,
    /// Tables whose group has stopped, with the reason.
    pub stopped: Vec<(String, String)>,
    /// Tables that were created at the source after the migration began, and are not carried.
    pub not_carried: Vec<String>,
    /// The position that was applied.
    pub position: String,
}

impl Outcome {
    /// The exit status it stands for: what is set aside outranks an interruption.
    pub fn exit_status(&self) -> u8 {
        if !self.stopped.is_empty() || !self.not_carried.is_empty() {
            Exit::SetAside.status()
        } else if self.interrupted {
            Exit::Interrupted.status()
        } else {
            0
        }
    }
}

/// Everything a running migration works with.
pub struct Migration<S, L, T> {
    /// The source.
    pub source: Arc<S>,
    /// What `prepare` made.
    pub prepared: Prepared<L, T>,
    /// The request to stop, given by the operator.
    pub interrupt: StopSignal,
    /// Counters.
    pub progress: Arc<Progress>,
    /// When to end.
    pub stop_when: StopWhen,
    /// Whether locks may be taken for the hand-off.
    pub lock: bool,
    /// Most bytes a second that the load reads over all sessions, as they are encoded for the target; no bound if none.
    pub source_rate: Option<NonZeroU64>,
    /// Bounds of windows.
    pub limits: WindowLimits,
    /// How far behind the watermark applied transactions stay in the change log.
    pub log_retention: Duration,
}

impl<S, L, T> Migration<S, L, T>
where
    S: SchemaSource + SnapshotSource + ChangeSource,
    L: ChangeLog,
    T: Target,
{
    /// Runs to its end. A failure is resumable unless its code says otherwise.
    ///
    /// Cancellation: as a crash; the next start resumes.
    pub async fn run(self) -> Result<Outcome, Failure> {
        let Migration {
            source,
            prepared,
            interrupt,
            progress,
            stop_when,
            lock,
            source_rate,
            limits,
            log_retention,
        } = self;
        let Prepared {
            log,
            registry,
            shared,
            control,
            main,
            catch_up,
            load_lanes,
            ranges,
            reached: reached_now,
            dialect,
        } = prepared;
        let stop = shared.stop.clone();
        let apply = Apply::new(
            Arc::clone(&source),
            Arc::clone(&log),
            Arc::clone(&registry),
            shared.clone(),
            limits,
            main,
            catch_up,
            reached_now,
        );
        let reached = apply.reached();
        let retention = Retention::new(
            Arc::clone(&log),
            Arc::clone(&registry),
            apply.watermark(),
            log_retention,
            Arc::clone(&progress),
        );
        progress.update(|state| state.phase = "running".into());

        let (following, is_following) = watch::channel(false);
        let mut tasks = JoinSet::new();
        tasks.spawn(capture(
            Arc::clone(&source),
            Arc::clone(&log),
            stop.clone(),
            Arc::clone(&progress),
            following,
        ));
        tasks.spawn(apply.run());
        tasks.spawn(retention.run(stop.clone()));
        tasks.spawn(constraint::build(
            Arc::clone(&source),
            Arc::clone(&registry),
            Arc::clone(&control),
            shared.clone(),
            dialect,
            reached.clone(),
        ));
        let loading = load(
            Arc::clone(&source),
            Arc::clone(&log),
            Arc::clone(&registry),
            control,
            shared,
            load_lanes,
            ranges,
            LoadOptions { lock, source_rate },
        );
        tasks.spawn(async move { loading.await.map(drop) });
        let watcher = Watcher {
            source,
            log: Arc::clone(&log),
            registry: Arc::clone(&registry),
            stop: stop.clone(),
            reached,
            is_following,
            history: HistoryWatch::default(),
            goal: None,
            progress,
        };
        tasks.spawn(watcher.clone().run(stop_when));
        tasks.spawn(forward(interrupt.clone(), stop.clone()));

        let failure = settle(tasks, &stop).await;
        match failure {
            Some(failure) if failure.code != code::INTERRUPTED => Err(failure),
            Some(_) | None => Ok(watcher.outcome(interrupt.is_requested() && !watcher.is_drained())),
        }
    }
}

/// Waits for every task; the first failure asks the others to stop and is returned.
async fn settle(mut tasks: JoinSet<Result<(), Failure>>, stop: &StopSignal) -> Option<Failure> {
    let mut first: Option<Failure> = None;
    while let Some(joined) = tasks.join_next().await {
        let ended = joined
            .unwrap_or_else(|cause| Err(Failure::bug("task", "a task ended by itself").caused_by(cause)));
        if let Err(failure) = ended {
            stop.request();
            if first.as_ref().is_none_or(|known| known.code == code::INTERRUPTED) {
                first = Some(failure);
            }
        }
    }
    first
}

/// What is to be reached once the source stands at `now`: the goal set before stays, however far a busy source moves on, unless the
/// source has lost a part of it in a failover.
fn next_goal(set: Option<Position>, now: Position) -> Position {
    set.filter(|goal| now.contains_all(goal).unwrap_or(false))
        .unwrap_or(now)
}

async fn forward(interrupt: StopSignal, stop: StopSignal) -> Result<(), Failure> {
    tokio::select! {
        biased;
        () = stop.requested() => {}
        () = interrupt.requested() => stop.request(),
    }
    Ok(())
}

/// Tells whether apply has caught up, and ends the migration at its stop condition.
struct Watcher<S, L> {
    source: Arc<S>,
    log: Arc<L>,
    registry: Arc<Registry>,
    stop: StopSignal,
    reached: watch::Receiver<Position>,
    /// Whether capture has a stream open.
    is_following: watch::Receiver<bool>,
    history: HistoryWatch,
    /// The position to be reached.
    goal: Option<Position>,
    progress: Arc<Progress>,
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
            progress: Arc::clone(&self.progress),
        }
    }
}

impl<S: SchemaSource, L: ChangeLog> Watcher<S, L> {
    async fn run(mut self, stop_when: StopWhen) -> Result<(), Failure> {
        let mut changed = self.registry.subscribe();
        let mut warned = tokio::time::Instant::now();
        loop {
            if self.registry.all_stopped() {
                tracing::error!("every group has stopped; nothing flows any more");
                self.stop.request();
                return Ok(());
            }
            if self.stop.is_requested() {
                return Ok(());
            }
            if warned.elapsed() >= STOPPED_WARN_INTERVAL {
                self.warn_of_stopped();
                warned = tokio::time::Instant::now();
            }
            if !self.registry.all_constrained() {
                tokio::select! {
                    biased;
                    () = self.stop.requested() => return Ok(()),
                    _changed = changed.changed() => {}
                    () = tokio::time::sleep(STOPPED_WARN_INTERVAL) => {}
                }
                continue;
            }
            let asked = tokio::time::Instant::now();
            let caught_up = match self.ask_source().await? {
                Some(position) => {
                    let goal = next_goal(
                        self.goal.take().filter(|_| stop_when == StopWhen::CaughtUp),
                        position,
                    );
                    let there = self.wait_for(&goal).await?;
                    self.goal = Some(goal);
                    there
                }
                None => false,
            };
            self.progress.update(|state| state.caught_up = caught_up);
            if caught_up && stop_when == StopWhen::CaughtUp {
                self.progress.update(|state| state.phase = "drained".into());
                self.stop.request();
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

    /// Where the source stands, if it says so and has what was applied. One that stays behind is another one.
    async fn ask_source(&mut self) -> Result<Option<Position>, Failure> {
        let applied = self.reached.borrow().clone();
        let asked = async {
            let position = self.source.position().await?;
            Ok::<_, Failure>((position, self.source.holds(&applied).await?))
        };
        let (position, holds) = match asked.await {
            Ok(stand) => stand,
            Err(failure) if failure.is_retry() => {
                tracing::warn!(failure = %failure.for_log(), "the source does not say where it stands");
                return Ok(None);
            }
            Err(failure) => return Err(failure),
        };
        let is_it = self.history.accepts(holds)?;
        Ok(is_it.then_some(position))
    }

    /// Waits a while until the log's end and apply have reached a position, by a stream that the source has accepted and that is
    /// open still.
    async fn wait_for(&mut self, position: &Position) -> Result<bool, Failure> {
        let (mut reached, mut following) = (self.reached.clone(), self.is_following.clone());
        let there = async {
            following.wait_for(|following| *following).await.is_ok()
                && reached
                    .wait_for(|at| at.contains_all(position).unwrap_or(false))
                    .await
                    .is_ok()
        };
        let is_there = tokio::select! {
            biased;
            () = self.stop.requested() => false,
            is_there = there => is_there,
            () = tokio::time::sleep(ASK_INTERVAL) => false,
        };
        if !is_there || !*self.is_following.borrow() {
            return Ok(false);
        }
        let (_, captured) = self.log.end().await?;
        Ok(captured.contains_all(position).unwrap_or(false))
    }

    fn warn_of_stopped(&self) {
        for (table, _) in self.stopped() {
            tracing::warn!(
                table,
                "this table has stopped: `spanferry status` says why, `spanferry resync` loads it anew"
            );
        }
    }

    fn stopped(&self) -> Vec<(String, String)> {
        let states = self
            .registry
            .plans()
            .iter()
            .map(|plan| self.registry.state(plan.id).row);
        states
            .filter(|row| row.phase == TablePhase::Stopped)
            .map(|row| (row.table, row.reason))
            .collect()
    }

    fn not_carried(&self) -> Vec<String> {
        let findings = self.progress.snapshot().findings;
        let created = findings
            .into_iter()
            .filter(|finding| finding.code == code::TABLE_CREATED);
        created.filter_map(|finding| finding.subject.table).collect()
    }

    fn is_drained(&self) -> bool {
        self.progress.snapshot().phase == "drained"
    }

    fn outcome(&self, interrupted: bool) -> Outcome {
        Outcome {
            interrupted,
            stopped: self.stopped(),
            not_carried: self.not_carried(),
            position: self.reached.borrow().to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_goal_stays_while_the_source_moves_on_and_falls_with_a_source_that_lacks_it() {
        let at = |text: &str| Position::parse(text).expect("a position");
        let set = at("mariadb:0-1-5");
        let moved_on = next_goal(Some(set.clone()), at("mariadb:0-1-9"));
        assert_eq!(moved_on, set);
        let failed_over = next_goal(Some(set), at("mariadb:0-1-4"));
        assert_eq!(failed_over, at("mariadb:0-1-4"));
        assert_eq!(next_goal(None, at("mariadb:0-1-7")), at("mariadb:0-1-7"));
    }
}
