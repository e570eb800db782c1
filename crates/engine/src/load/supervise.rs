//! Attempts at a snapshot: opens one for what is missing, runs the workers, and opens another while
//! anything is left.

use std::collections::BTreeSet;
use std::num::NonZeroU64;
use std::sync::Arc;

use spanferry_core::plan::TablePlan;
use spanferry_core::port::change_log::ChangeLog;
use spanferry_core::port::source::{
    ChangeSource, HealthSource, HistorySource, PositionSource, PreparedId, PreparedWait, Snapshot,
    SnapshotMethod, SnapshotRequest, SnapshotSource, SourceHealth,
};
use spanferry_core::port::target::{Committer, Ranges};
use spanferry_core::position::Bookmark;
use spanferry_core::report::code;
use spanferry_core::report::failure::{Class, Failure};
use spanferry_core::report::finding::{Finding, Severity, Subject};

use super::care::watch;
use super::key_ranges::KeyRanges;
use super::loads::{Loads, SOURCE_PATIENCE};
use super::snapshot_check::{expect_strangers, expect_usable};
use crate::control::ControlLane;
use crate::high::{expect_earlier, witnessed};
use crate::history::{SeenHistory, Unproved};
use crate::lane::{FencedLane, LaneShared, interrupted};
use crate::registry::Registry;
use crate::two_phase::PreparedLog;

/// How the source may be read.
#[derive(Debug, Clone, Copy)]
pub struct LoadOptions {
    /// Whether the tables may be locked for the moment in which the sessions open.
    pub lock: bool,
    /// Most bytes a second over all sessions, as they are encoded for the target.
    pub source_rate: Option<NonZeroU64>,
    /// What happens with a source that cannot show what a snapshot saw last.
    pub unproved: Unproved,
}

/// The load of one migration: what it reads from and writes to.
pub struct Load<S, L, T> {
    /// What is loaded.
    pub source: Arc<S>,
    /// Shows how far changes are captured.
    pub log: Arc<L>,
    /// The tables and how far each of them is.
    pub registry: Arc<Registry>,
    /// Where the states of tables are recorded.
    pub control: Arc<ControlLane<T>>,
    /// What all lanes have in common.
    pub shared: LaneShared<T>,
    /// One per worker.
    pub lanes: Vec<FencedLane<T>>,
    /// The key ranges that are recorded.
    pub ranges: Ranges,
    /// How the source may be read.
    pub options: LoadOptions,
}

impl<S, L, T> Load<S, L, T>
where
    S: PositionSource + HealthSource + HistorySource + SnapshotSource + ChangeSource,
    L: ChangeLog,
    T: Committer,
{
    /// Loads every table that is pending or loading, attempt by attempt, until none is left. Gives
    /// the load lanes back.
    pub async fn run(self) -> Result<Vec<FencedLane<T>>, Failure> {
        let LoadOptions {
            lock,
            source_rate,
            unproved,
        } = self.options;
        let prepared = PreparedLog {
            source: Arc::clone(&self.source),
            log: Arc::clone(&self.log),
            plans: self.registry.counted().to_vec(),
            stop: self.shared.stop.clone(),
        };
        let mut loader = Loader {
            loads: Loads::new(
                self.registry,
                self.control,
                self.shared,
                self.lanes,
                self.ranges,
                source_rate,
            ),
            source: self.source,
            log: self.log,
            lock,
            unproved,
            seen: SeenHistory::default(),
            prepared,
            strangers: BTreeSet::new(),
        };
        loader.run().await?;
        Ok(loader.loads.lanes)
    }
}

/// What the attempts at a snapshot have in common.
struct Loader<S, L, T> {
    loads: Loads<T>,
    source: Arc<S>,
    log: Arc<L>,
    /// Whether the tables may be locked for the moment in which the sessions open.
    lock: bool,
    unproved: Unproved,
    seen: SeenHistory,
    /// The change log, for what it shows of prepared transactions.
    prepared: PreparedLog<S, L>,
    /// Prepared transactions that have changed no migrated table.
    strangers: BTreeSet<PreparedId>,
}

impl<
    S: PositionSource + HealthSource + HistorySource + SnapshotSource + ChangeSource,
    L: ChangeLog,
    T: Committer,
> Loader<S, L, T>
{
    async fn run(&mut self) -> Result<(), Failure> {
        loop {
            let tables = self.loads.next_tables().await?;
            if tables.is_empty() {
                return Ok(());
            }
            let lost = match self.open(&tables).await {
                Ok((snapshot, high)) => self.read(&tables, snapshot, &high).await?,
                Err(failure) => Some(failure),
            };
            if let Some(failure) = lost {
                self.resolve(failure).await?;
            }
        }
    }

    /// Opens a snapshot that can be loaded from; with its `high` and what proves that.
    async fn open(&mut self, tables: &[Arc<TablePlan>]) -> Result<(Snapshot<S::Session>, Bookmark), Failure> {
        let request = SnapshotRequest {
            tables,
            sessions: self.loads.lanes.len(),
            lock: self.lock,
            prepared: PreparedWait::AllBut(&self.strangers),
        };
        let snapshot = tokio::select! {
            biased;
            () = self.loads.shared.stop.cancelled() => return Err(interrupted()),
            opened = self.source.open_snapshot(&request) => opened?,
        };
        let (source, log) = (self.source.as_ref(), self.log.as_ref());
        let (
            _,
            Bookmark {
                position: captured, ..
            },
        ) = log.end().await?;
        let (high, accepted) = witnessed(source, &captured, &snapshot.high, self.unproved).await?;
        expect_usable(
            source,
            log,
            &self.loads.registry,
            tables,
            &snapshot.low,
            &mut self.seen,
        )
        .await?;
        let earlier = expect_earlier(source, &captured, &self.loads.registry, tables, self.unproved).await?;
        expect_strangers(&self.prepared, &snapshot.low, &snapshot.passed).await?;
        for finding in accepted.into_iter().chain(earlier) {
            self.loads.shared.progress.report(finding);
        }
        Ok((snapshot, high))
    }

    /// Reads what the snapshot's sessions can, with `low` (recorded once) and `high` made durable
    /// before; the failure that ended one of them, if any did: what is left needs a new snapshot.
    async fn read(
        &mut self,
        tables: &[Arc<TablePlan>],
        snapshot: Snapshot<S::Session>,
        high: &Bookmark,
    ) -> Result<Option<Failure>, Failure> {
        let hand_off = method_text(snapshot.method);
        let progress = Arc::clone(&self.loads.shared.progress);
        progress.update(|state| {
            state.hand_off = Some(hand_off);
            state.snapshot_lost = None;
        });
        let low = snapshot.low;
        let attempt = self
            .loads
            .begin(tables, |row| {
                row.low.get_or_insert_with(|| low.clone());
                row.high = Some(high.clone());
            })
            .await?;
        let readers = snapshot.sessions.into_iter().map(KeyRanges).collect();
        let throttle = Arc::clone(&self.loads.throttle);
        let beside = watch(self.source.as_ref(), &progress, &throttle);
        let lost = self.loads.run(&attempt, readers, beside).await?;
        throttle.strain(None);
        progress.update(|state| state.health = SourceHealth::default());
        Ok(lost)
    }

    /// What becomes of a failed attempt: its table stops, or another attempt follows after a while,
    /// or it is passed on.
    async fn resolve(&mut self, failure: Failure) -> Result<(), Failure> {
        let Some(failure) = self.loads.stop_or_pass(failure).await? else {
            return Ok(());
        };
        let is_prepared = failure.code == code::SOURCE_PREPARED;
        let is_for_operator = is_prepared || failure.code == code::HISTORY_UNPROVED;
        if self.loads.is_out_of_patience() && is_for_operator {
            let class = Class::StopMigration;
            return Err(Failure { class, ..failure });
        }
        if self.loads.is_out_of_patience() {
            let text = "no snapshot could be read for 15 minutes";
            let lost = Failure::new(code::SOURCE_FAILED, Class::StopMigration, "source", text);
            return Err(lost.caused_by(failure));
        }
        tracing::warn!(failure = %failure.for_log(), "the snapshot is lost; opening a new one for the rest");
        self.loads.shared.progress.report(lost_snapshot(&failure));
        self.loads.shared.progress.update(|state| {
            let text = format!(
                "the snapshot is lost, and a new one is tried for {} minutes: {}: {}",
                SOURCE_PATIENCE.as_secs() / 60,
                failure.object,
                failure.reason()
            );
            state.snapshot_lost = Some(text);
        });
        if is_prepared {
            self.strangers = self.prepared.ledger(None).await?.strangers();
        }
        self.loads.wait().await
    }
}

/// How a snapshot was opened, for a person.
fn method_text(method: SnapshotMethod) -> String {
    match method {
        SnapshotMethod::Locked { held } => {
            format!(
                "under a read lock, for which writers waited {} ms at most",
                held.as_millis()
            )
        }
        SnapshotMethod::Exported => "of one exported state, without a lock".to_owned(),
        SnapshotMethod::Unlocked => "without a lock".to_owned(),
    }
}

/// Why a snapshot was lost, for the report: nothing is missing because of it.
fn lost_snapshot(failure: &Failure) -> Finding {
    let text = format!(
        "{}: {}; what is left is read in a new snapshot",
        failure.object,
        failure.reason()
    );
    Finding::new(failure.code, Severity::Notice, Subject::whole(), text)
}
