//! Rates, lag and times to go, from two looks at the counters.

use std::collections::VecDeque;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use spanferry_core::target::TablePhase;
use spanferry_engine::progress::Snapshot;

/// Looks that a rate spans: short enough to follow, long enough to be calm.
const LOOKS: usize = 15;

/// Rates at one moment; `None` where there is nothing to tell yet.
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
    /// Transactions applied a second.
    pub(crate) applied: f64,
    /// Transactions captured and not applied.
    pub(crate) lag_transactions: u64,
    /// Age of what was applied last while there is a lag.
    pub(crate) lag_seconds: Option<u64>,
    /// Seconds until apply has caught up at the present rates.
    pub(crate) catch_up_seconds: Option<u64>,
    tables: Vec<(f64, Option<u64>)>,
}

impl Rates {
    /// Rows a second of a table.
    pub(crate) fn table_rows(&self, table: usize) -> f64 {
        self.tables.get(table).map_or(0.0, |(rows, _)| *rows)
    }

    /// Seconds until a table is loaded.
    pub(crate) fn table_eta(&self, table: usize) -> Option<u64> {
        self.tables.get(table).and_then(|(_, eta)| *eta)
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
    /// Takes one more look and tells the rates since the oldest one kept.
    pub(crate) fn look(&mut self, now: &Snapshot) -> Rates {
        let at = Instant::now();
        let since = self.looks.front().cloned();
        self.looks.push_back((at, now.clone()));
        if self.looks.len() > LOOKS {
            self.looks.pop_front();
        }
        let Some((then_at, then)) = since else {
            return Rates {
                lag_transactions: lag(now),
                ..Rates::default()
            };
        };
        rates(&then, now, at - then_at)
    }
}

fn lag(now: &Snapshot) -> u64 {
    now.captured_sequence.saturating_sub(now.applied_sequence)
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

fn rates(then: &Snapshot, now: &Snapshot, span: Duration) -> Rates {
    let seconds = span.as_secs_f64();
    let sum = |snapshot: &Snapshot, of: fn(&spanferry_engine::progress::TableProgress) -> u64| {
        snapshot.tables.iter().map(of).sum::<u64>()
    };
    let tables: Vec<(f64, Option<u64>)> = now
        .tables
        .iter()
        .zip(&then.tables)
        .map(|(now, then)| {
            let rate = per_second(then.rows_loaded, now.rows_loaded, seconds);
            let loading = matches!(now.phase, TablePhase::Pending | TablePhase::Loading);
            let left = now.rows_estimate.saturating_sub(now.rows_loaded);
            (rate, loading.then(|| time_for(left, rate)).flatten())
        })
        .collect();
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
    let behind = lag(now);
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
        lag_seconds: (behind > 0 && now.applied_at_us > 0).then(|| age_seconds(now.applied_at_us)),
        catch_up_seconds: if behind == 0 {
            Some(0)
        } else {
            time_for(behind, applied - captured)
        },
        tables,
    }
}

fn age_seconds(at_us: u64) -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    now.saturating_sub(Duration::from_micros(at_us)).as_secs()
}

#[cfg(test)]
mod tests {
    use super::*;
    use spanferry_engine::progress::TableProgress;

    fn table(rows_loaded: u64) -> TableProgress {
        TableProgress {
            name: "t".into(),
            phase: TablePhase::Loading,
            rows_estimate: 1_000,
            rows_loaded,
            bytes_loaded: rows_loaded * 10,
            group: 0,
            stopped: None,
        }
    }

    #[test]
    fn rates_span_the_time_between_looks() {
        let then = Snapshot {
            tables: vec![table(100)],
            ..Snapshot::default()
        };
        let now = Snapshot {
            tables: vec![table(300)],
            captured_transactions: 40,
            applied_transactions: 60,
            captured_sequence: 90,
            applied_sequence: 60,
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
    }
}
