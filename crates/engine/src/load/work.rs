//! The work of one attempt: what is left of each table, who takes it, what it has become.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use spanferry_core::plan::{TableId, TablePlan};
use spanferry_core::port::row_source::Boundary;
use spanferry_core::port::target::{Committer, ControlChange, RangeRow, Ranges, TablePhase, TableRow};
use spanferry_core::report::amount;
use spanferry_core::report::code;
use spanferry_core::report::failure::Failure;
use spanferry_core::report::finding::Finding;
use spanferry_core::schema::source::QualifiedName;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::control::ControlLane;
use crate::lane::{LaneShared, interrupted};
use crate::registry::{Registry, Transition};
use crate::stop::Pause;
use crate::throttle::Throttle;

/// Rows of a table's first range; later ones are sized by time.
const RANGE_ROWS_FIRST: u64 = 20_000;
/// Bounds of a range's rows.
const RANGE_ROWS: (u64, u64) = (1_000, 2_000_000);
/// How long a range should take: what a crash may cost, and how long a DDL at the source may wait.
const RANGE_TIME: Duration = Duration::from_secs(2);

/// Refused rows that are named; the rest is counted.
pub(super) const REFUSED_NAMED_MAX: usize = 100;

/// A piece of work: one range, or the yet undivided rest of a table.
#[derive(Debug, Clone)]
pub(super) struct Work {
    pub(super) number: u64,
    pub(super) after: Option<Boundary>,
    /// `Some(end)`: a range with this end. `None`: the undivided rest.
    pub(super) up_to: Option<Option<Boundary>>,
    /// Rows at its beginning that are at the target and are not written again.
    pub(super) rows_in: u64,
}

/// A range that was begun by rows that are inserted.
fn begun(row: &RangeRow) -> Work {
    Work {
        number: row.number,
        after: row.after.clone().map(Boundary),
        up_to: Some(row.up_to.clone().map(Boundary)),
        rows_in: row.rows,
    }
}

/// How a range ended.
pub(super) struct RangeDone {
    pub(super) rows: u64,
    pub(super) refused: u64,
    pub(super) named: Vec<Finding>,
}

/// What is left of one table.
#[derive(Debug)]
pub(super) struct TableLoad {
    pub(super) plan: Arc<TablePlan>,
    pub(super) waiting: Vec<Work>,
    pub(super) outstanding: usize,
    pub(super) rows_per_range: u64,
    pub(super) refused: u64,
    pub(super) named: Vec<Finding>,
}

impl TableLoad {
    /// What is left of a table after the recorded ranges.
    pub(super) fn new(plan: Arc<TablePlan>, ranges: &Ranges) -> TableLoad {
        let table = plan.name().clone();
        let mut waiting = Vec::new();
        let (mut number, mut after, mut open) = (0, None, true);
        for row in ranges
            .range((table.clone(), 0)..=(table, u64::MAX))
            .map(|(_, row)| row)
        {
            if row.after != after {
                let up_to = Some(row.after.clone().map(Boundary));
                waiting.push(Work {
                    number,
                    after: after.take().map(Boundary),
                    up_to,
                    rows_in: 0,
                });
            }
            if !row.is_finished {
                waiting.push(begun(row));
            }
            number = row.number + 1;
            after.clone_from(&row.up_to);
            open = row.up_to.is_some();
        }
        if open {
            waiting.push(Work {
                number,
                after: after.map(Boundary),
                up_to: None,
                rows_in: 0,
            });
        }
        waiting.reverse();
        TableLoad {
            plan,
            waiting,
            outstanding: 0,
            rows_per_range: RANGE_ROWS_FIRST,
            refused: 0,
            named: Vec::new(),
        }
    }

    pub(super) fn is_done(&self) -> bool {
        self.waiting.is_empty() && self.outstanding == 0
    }
}

/// What the workers of an attempt share.
pub(super) struct Attempt<T> {
    pub(super) tables: Mutex<Vec<TableLoad>>,
    pub(super) registry: Arc<Registry>,
    pub(super) control: Arc<ControlLane<T>>,
    pub(super) shared: LaneShared<T>,
    pub(super) ranges: Mutex<Ranges>,
    /// A session was lost: the others finish their range, then a new snapshot with all sessions
    /// takes the rest.
    pub(super) lost: AtomicBool,
    /// One permit: batches of large rows are committed one at a time, whatever the number of
    /// workers.
    pub(super) large: Semaphore,
    pub(super) throttle: Arc<Throttle>,
}

impl<T: Committer> Attempt<T> {
    pub(super) fn with<R>(&self, table: TableId, change: impl FnOnce(&mut TableLoad) -> R) -> R {
        let mut tables = self
            .tables
            .lock()
            .expect("no worker panics while it holds the work");
        let load = tables
            .iter_mut()
            .find(|load| load.plan.id == table)
            .expect("the table is of this attempt");
        change(load)
    }

    /// The next piece of work, of the largest table that has any; nothing once a session was lost.
    pub(super) fn take(&self) -> Option<(TableId, Work)> {
        if self.lost.load(Ordering::Relaxed) {
            return None;
        }
        let mut tables = self
            .tables
            .lock()
            .expect("no worker panics while it holds the work");
        for load in tables.iter_mut() {
            if self.registry.phase(load.plan.id) != TablePhase::Loading {
                load.waiting.clear();
            }
            if let Some(work) = load.waiting.pop() {
                load.outstanding += 1;
                return Some((load.plan.id, work));
            }
        }
        None
    }

    /// Whether no work is left, or what is left needs a new snapshot.
    pub(super) fn is_over(&self) -> bool {
        if self.lost.load(Ordering::Relaxed) {
            return true;
        }
        let tables = self
            .tables
            .lock()
            .expect("no worker panics while it holds the work");
        tables.iter().all(TableLoad::is_done)
    }

    pub(super) fn rows_per_range(&self, table: TableId) -> u64 {
        self.with(table, |load| load.rows_per_range)
    }

    pub(super) fn leave_rest(&self, table: TableId, rest: Work) {
        self.with(table, |load| load.waiting.push(rest));
        self.registry.touch();
    }

    pub(super) fn give_back(&self, table: TableId, work: Work) {
        self.with(table, |load| {
            load.outstanding -= 1;
            load.waiting.push(work);
        });
    }

    /// Counts a finished range; the last one makes the table loaded, or stops its group if a value
    /// was refused.
    pub(super) async fn finish(
        &self,
        table: TableId,
        done: RangeDone,
        took: Duration,
    ) -> Result<(), Failure> {
        let (over, refused, named) = self.with(table, |load| {
            load.rows_per_range = next_range_rows(load.rows_per_range, done.rows, took);
            load.refused += done.refused;
            let room = REFUSED_NAMED_MAX - load.named.len();
            load.named.extend(done.named.into_iter().take(room));
            let over = load.waiting.is_empty() && load.outstanding == 1;
            (
                over,
                load.refused,
                if over {
                    std::mem::take(&mut load.named)
                } else {
                    Vec::new()
                },
            )
        });
        if over && refused > 0 {
            for finding in &named {
                self.shared.progress.report(finding.clone());
            }
            let verb = if refused == 1 { "has" } else { "have" };
            let rows = amount::rows(refused);
            let text =
                format!("{rows} {verb} values that the target cannot hold; the first are in the findings");
            let name = self.registry.plans()[table.0 as usize].name();
            let failure = Failure::of_table(code::VALUE_REFUSED, name, text);
            self.control.stop_table(&self.registry, &failure).await?;
        } else if over {
            let loaded = |transition: &Transition<'_>| {
                let ranges = self.lock_ranges();
                let row = (self.registry.phase(table) == TablePhase::Loading)
                    .then(|| loaded_row(&self.registry, transition, table, &ranges));
                row.into_iter().map(ControlChange::Table).collect()
            };
            self.control.record(&self.registry, loaded).await?;
        }
        self.with(table, |load| load.outstanding -= 1);
        self.registry.touch();
        Ok(())
    }

    /// Waits until what was read keeps to the operator's rate.
    pub(super) async fn pace(&self, bytes: u64) -> Result<(), Failure> {
        let delay = self.throttle.delay(bytes, Instant::now());
        if delay.is_zero() {
            return Ok(());
        }
        let reason = self.throttle.reason();
        self.shared.progress.update(|state| state.load_throttled = reason);
        if self.shared.stop.pause(delay).await {
            Ok(())
        } else {
            Err(interrupted())
        }
    }

    /// The ranges that are finished or begun.
    pub(super) fn ranges(&self) -> Ranges {
        self.lock_ranges().clone()
    }

    fn lock_ranges(&self) -> MutexGuard<'_, Ranges> {
        let ranges = self.ranges.lock();
        ranges.expect("no worker panics while it holds the ranges")
    }

    /// Takes over what has become durable of a range.
    pub(super) fn record(&self, row: Option<RangeRow>) {
        let rows = row.into_iter();
        self.lock_ranges()
            .extend(rows.map(|row| ((row.table.clone(), row.number), row)));
    }

    pub(super) fn loaded(&self, table: TableId, rows: u64, bytes: u64) {
        self.shared.progress.update_table(table, |progress| {
            progress.rows_loaded += rows;
            progress.bytes_loaded += bytes;
        });
    }
}

/// The row of a table that is loaded.
pub(super) fn loaded_row(
    registry: &Registry,
    transition: &Transition<'_>,
    table: TableId,
    ranges: &Ranges,
) -> TableRow {
    transition.row_with(table, |row| {
        row.phase = registry.loaded_phase();
        row.rows_loaded = rows_at_target(&row.table, ranges);
    })
}

/// Rows of a table's ranges that are at the target.
pub(crate) fn rows_at_target(table: &QualifiedName, ranges: &Ranges) -> u64 {
    let own = ranges.range((table.clone(), 0)..=(table.clone(), u64::MAX));
    own.map(|(_, range)| range.rows).sum()
}

/// The next range's rows: what took `took` is scaled to `RANGE_TIME`, at most fourfold at a time.
pub(super) fn next_range_rows(planned: u64, rows: u64, took: Duration) -> u64 {
    let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX).max(1);
    let target = u64::try_from(RANGE_TIME.as_micros()).unwrap_or(u64::MAX);
    let ideal = rows.max(1).saturating_mul(target) / micros;
    ideal
        .clamp(planned / 4, planned.saturating_mul(4))
        .clamp(RANGE_ROWS.0, RANGE_ROWS.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is left of a table, as `number: after..up_to +rows_in`; `?` is not divided yet.
    fn left(ranges: &[(u64, Option<&str>, Option<&str>, bool)]) -> Vec<String> {
        let plan = crate::fixture::table("t");
        let text = |text: Option<&str>| text.map(str::to_owned);
        let rows = ranges.iter().map(|(number, after, up_to, is_finished)| RangeRow {
            table: plan.name().clone(),
            number: *number,
            after: text(*after),
            up_to: text(*up_to),
            rows: 9,
            is_finished: *is_finished,
        });
        let ranges = rows.map(|row| ((row.table.clone(), row.number), row)).collect();
        let load = TableLoad::new(Arc::clone(&plan), &ranges);
        let name = |place: Option<&Boundary>| place.map_or("", |place| &place.0).to_owned();
        let told = |work: &Work| {
            let up_to = work.up_to.as_ref();
            let up_to = up_to.map_or("?".to_owned(), |up_to| name(up_to.as_ref()));
            let after = name(work.after.as_ref());
            format!("{}: {after}..{up_to} +{}", work.number, work.rows_in)
        };
        load.waiting.iter().rev().map(told).collect()
    }

    #[test]
    fn what_is_left_is_what_no_range_has_finished() {
        let (a, b, c) = (Some("a"), Some("b"), Some("c"));
        let check = |ranges: &[_], expected: &[&str]| assert_eq!(left(ranges), expected, "{ranges:?}");
        check(&[], &["0: ..? +0"]);
        check(&[(0, None, None, true)], &[]);
        check(&[(0, None, a, true)], &["1: a..? +0"]);
        check(&[(1, a, b, true)], &["0: ..a +0", "2: b..? +0"]);
        check(&[(0, None, a, true), (3, c, None, true)], &["1: a..c +0"]);
        // Ranges that were begun continue behind their rows.
        check(&[(0, None, None, false)], &["0: .. +9"]);
        check(&[(0, None, a, false)], &["0: ..a +9", "1: a..? +0"]);
        let both = [(0, None, a, true), (1, a, b, false), (3, c, None, false)];
        check(&both, &["1: a..b +9", "2: b..c +0", "3: c.. +9"]);
    }

    #[test]
    fn ranges_grow_and_shrink_towards_their_time() {
        let check = |planned, rows, ms, expected| {
            assert_eq!(
                next_range_rows(planned, rows, Duration::from_millis(ms)),
                expected
            );
        };
        check(20_000, 20_000, 2_000, 20_000);
        check(20_000, 20_000, 10, 80_000);
        check(20_000, 20_000, 60_000, 5_000);
        check(1_000, 1_000, 60_000, 1_000);
        check(2_000_000, 2_000_000, 1, 2_000_000);
    }
}
