//! Rates, lag and times to go, from two looks at the counters.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use spanferry_core::port::target::TablePhase;
use spanferry_engine::progress::{Snapshot, TableProgress};

use crate::clock::now_us;

/// Looks that a rate spans: short enough to follow, long enough to be calm.
const LOOKS: usize = 15;

/// Rates at one moment; `None` where there is nothing to show yet.
#[derive(Debug, Clone, Default)]
pub(crate) struct Rates {
    /// Rows loaded a second.
    pub(crate) rows: f64,
    /// Bytes loaded a second.
    pub(crate) bytes: f64,
    /// Seconds until the load ends.
    pub(crate) eta_seconds: Option<u64>,
    /// Transactions captured a second.
    pub(crate) captured: f64,
    /// Bytes of the change stream captured a second.
    pub(crate) captured_bytes: f64,
    /// Transactions applied a second.
    pub(crate) applied: f64,
    /// Transactions captured and not applied.
    pub(crate) lag_transactions: u64,
    /// Age of what was applied last while there is a lag.
    pub(crate) lag_seconds: Option<u64>,
    /// Bytes of the change log that are not applied, by the mean size of its transactions.
    pub(crate) lag_bytes: u64,
    /// Seconds until the change log is at its budget, if it keeps growing as now.
    pub(crate) budget_seconds: Option<u64>,
    /// Seconds until apply has caught up at the present rates.
    pub(crate) catch_up_seconds: Option<u64>,
    tables: Vec<TableRates>,
}

/// Rates of one table.
#[derive(Debug, Clone, Copy, Default)]
struct TableRates {
    rows: f64,
    bytes: f64,
    eta_seconds: Option<u64>,
}

impl Rates {
    /// Rows a second of a table.
    pub(crate) fn table_rows(&self, table: usize) -> f64 {
        self.tables.get(table).map_or(0.0, |rates| rates.rows)
    }

    /// Bytes a second of a table.
    pub(crate) fn table_bytes(&self, table: usize) -> f64 {
        self.tables.get(table).map_or(0.0, |rates| rates.bytes)
    }

    /// Seconds until a table is loaded.
    pub(crate) fn table_eta(&self, table: usize) -> Option<u64> {
        self.tables.get(table).and_then(|rates| rates.eta_seconds)
    }

    /// Apply rate over capture rate.
    pub(crate) fn ratio(&self) -> Option<f64> {
        (self.captured > 0.0).then(|| self.applied / self.captured)
    }
}

/// The last looks at the counters.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    looks: VecDeque<(Instant, Snapshot)>,
}

impl Meter {
    /// Takes one more look and returns the rates since the oldest one kept.
    pub(crate) fn look(&mut self, now: &Snapshot) -> Rates {
        let at = Instant::now();
        let since = self.looks.front().cloned();
        self.looks.push_back((at, now.clone()));
        if self.looks.len() > LOOKS {
            self.looks.pop_front();
        }
        let Some((then_at, then)) = since else {
            return Rates {
                lag_transactions: now.lag_transactions(),
                lag_seconds: lag_seconds(now),
                lag_bytes: lag_bytes(now),
                ..Rates::default()
            };
        };
        rates(&then, now, at - then_at)
    }
}

/// It is not known what the source has beyond what is captured while capture waits or the source is
/// lost.
fn lag_seconds(now: &Snapshot) -> Option<u64> {
    if is_blind(now) {
        return None;
    }
    if now.lag_transactions() == 0 {
        return Some(0);
    }
    (now.applied_at_us > 0).then(|| age_seconds(now.applied_at_us))
}

fn is_blind(now: &Snapshot) -> bool {
    now.throttled.is_some() || now.source_lost.is_some()
}

/// The log's bytes, shared out among its transactions: exact sizes would have to be read from disk.
fn lag_bytes(now: &Snapshot) -> u64 {
    let behind = u128::from(now.lag_transactions().min(now.log_transactions));
    let share = u128::from(now.log_bytes) * behind / u128::from(now.log_transactions.max(1));
    u64::try_from(share).unwrap_or(u64::MAX)
}

/// What a resumed process finds in the log when it opens it has not grown since the look before.
fn budget_seconds(then: &Snapshot, now: &Snapshot, seconds: f64) -> Option<u64> {
    let was_open = then.log_bytes > 0;
    let growth = per_second(then.log_bytes, now.log_bytes, seconds);
    was_open
        .then(|| time_for(now.log_budget_bytes.saturating_sub(now.log_bytes), growth))
        .flatten()
}

#[expect(clippy::cast_precision_loss, reason = "a rate is shown, not reckoned with")]
fn per_second(then: u64, now: u64, seconds: f64) -> f64 {
    if seconds > 0.0 {
        now.saturating_sub(then) as f64 / seconds
    } else {
        0.0
    }
}

#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a time to go is an estimate, never negative"
)]
fn time_for(left: u64, rate: f64) -> Option<u64> {
    (rate > 0.0).then(|| (left as f64 / rate).ceil() as u64)
}

fn table_rates(then: &TableProgress, now: &TableProgress, seconds: f64) -> TableRates {
    let rows = per_second(then.rows_loaded, now.rows_loaded, seconds);
    let loading = matches!(now.phase, TablePhase::Pending | TablePhase::Loading);
    let left = now.rows_estimate.saturating_sub(now.rows_loaded);
    TableRates {
        rows,
        bytes: per_second(then.bytes_loaded, now.bytes_loaded, seconds),
        eta_seconds: loading.then(|| time_for(left, rows)).flatten(),
    }
}

fn rates(then: &Snapshot, now: &Snapshot, span: Duration) -> Rates {
    let seconds = span.as_secs_f64();
    let sum =
        |snapshot: &Snapshot, of: fn(&TableProgress) -> u64| snapshot.tables.iter().map(of).sum::<u64>();
    let pairs = now.tables.iter().zip(&then.tables);
    let tables = pairs.map(|(now, then)| table_rates(then, now, seconds)).collect();
    let rows = per_second(
        sum(then, |table| table.rows_loaded),
        sum(now, |table| table.rows_loaded),
        seconds,
    );
    let left: u64 = now
        .tables
        .iter()
        .filter(|table| matches!(table.phase, TablePhase::Pending | TablePhase::Loading))
        .map(|table| table.rows_estimate.saturating_sub(table.rows_loaded))
        .sum();
    let captured = per_second(then.captured_transactions, now.captured_transactions, seconds);
    let applied = per_second(then.applied_transactions, now.applied_transactions, seconds);
    let behind = now.lag_transactions();
    Rates {
        rows,
        bytes: per_second(
            sum(then, |table| table.bytes_loaded),
            sum(now, |table| table.bytes_loaded),
            seconds,
        ),
        eta_seconds: if left > 0 { time_for(left, rows) } else { None },
        captured,
        applied,
        lag_transactions: behind,
        captured_bytes: per_second(then.captured_bytes, now.captured_bytes, seconds),
        lag_seconds: lag_seconds(now),
        lag_bytes: lag_bytes(now),
        budget_seconds: budget_seconds(then, now, seconds),
        catch_up_seconds: if is_blind(now) {
            None
        } else if behind == 0 {
            Some(0)
        } else {
            time_for(behind, applied - captured)
        },
        tables,
    }
}

fn age_seconds(at_us: u64) -> u64 {
    now_us().saturating_sub(at_us) / 1_000_000
}

#[cfg(test)]
mod tests {
    use spanferry_core::schema::source::QualifiedName;

    use super::*;

    fn table(rows_loaded: u64) -> TableProgress {
        TableProgress {
            name: QualifiedName::new("shop", "t"),
            phase: TablePhase::Loading,
            rows_estimate: 1_000,
            rows_loaded,
            bytes_loaded: rows_loaded * 10,
            group: 0,
            stopped: None,
        }
    }

    #[test]
    fn how_far_the_source_is_ahead_is_unknown_while_capture_waits() {
        let open = Snapshot::default();
        let waiting = Snapshot {
            throttled: Some("capture waits".to_owned()),
            ..Snapshot::default()
        };
        let lost = Snapshot {
            source_lost: Some("source lost".to_owned()),
            ..Snapshot::default()
        };
        for (now, expected) in [(open, Some(0)), (waiting, None), (lost, None)] {
            let rates = rates(&Snapshot::default(), &now, Duration::from_secs(2));
            assert_eq!((rates.lag_seconds, rates.catch_up_seconds), (expected, expected));
        }
    }

    #[test]
    fn rates_span_the_time_between_looks() {
        let then = Snapshot {
            tables: vec![table(100)],
            log_bytes: 300,
            ..Snapshot::default()
        };
        let now = Snapshot {
            tables: vec![table(300)],
            captured_transactions: 40,
            applied_transactions: 60,
            captured_sequence: 90,
            applied_sequence: 60,
            captured_bytes: 500,
            log_bytes: 900,
            log_transactions: 90,
            log_budget_bytes: 1_800,
            ..Snapshot::default()
        };
        let rates = rates(&then, &now, Duration::from_secs(2));
        assert_eq!(
            (rates.rows, rates.bytes, rates.eta_seconds),
            (100.0, 1_000.0, Some(7))
        );
        assert_eq!(
            (rates.table_rows(0), rates.table_eta(0), rates.table_eta(1)),
            (100.0, Some(7), None)
        );
        assert_eq!(
            (rates.ratio(), rates.lag_transactions, rates.catch_up_seconds),
            (Some(1.5), 30, Some(3))
        );
        assert_eq!(
            (rates.captured_bytes, rates.lag_bytes, rates.budget_seconds),
            (250.0, 300, Some(3))
        );
        let opened_since = Snapshot { log_bytes: 0, ..then };
        assert_eq!(budget_seconds(&opened_since, &now, 2.0), None);
    }
}
