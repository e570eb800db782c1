//! Care for the source: what an open snapshot costs it is watched and told, and the load slows down
//! where that helps.

use std::convert::Infallible;
use std::time::Duration;

use spanferry_core::port::source::{HealthSource, SourceHealth};
use spanferry_core::report::amount::{count, span};
use spanferry_core::report::code;
use spanferry_core::report::finding::{Finding, Severity, Subject};

use crate::progress::Progress;
use crate::throttle::Throttle;

/// Time between two looks.
const LOOK_INTERVAL: Duration = Duration::from_secs(10);
/// Transactions in the undo history from which on a finding is reported: the servers' own readers
/// slow down about there.
const UNDO_ALARM: u64 = 1_000_000;
/// Lag of a replica source from which on the load slows down, and below which it continues at full
/// speed.
const LAG_ALARM: Duration = Duration::from_secs(60);
const LAG_QUIET: Duration = Duration::from_secs(20);

/// Watches the source as long as it is polled; what it found is forgotten with the next call.
/// Cancellation: safe.
pub(super) async fn watch<S: HealthSource>(
    source: &S,
    progress: &Progress,
    throttle: &Throttle,
) -> Infallible {
    let mut care = Care::default();
    loop {
        match source.health().await {
            Ok(health) => {
                progress.update(|state| state.health = health);
                let findings = care.judge(&health);
                throttle.strain(care.slowed_by);
                if care.slowed_by.is_none() {
                    progress.update(|state| state.load_throttled = throttle.reason());
                }
                for finding in findings {
                    tracing::warn!(text = finding.text, "the source is under strain");
                    progress.report(finding);
                }
            }
            Err(failure) => {
                tracing::debug!(failure = %failure.for_log(), "the source does not report its health");
            }
        }
        tokio::time::sleep(LOOK_INTERVAL).await;
    }
}

/// What was seen of one snapshot.
#[derive(Debug, Default)]
struct Care {
    undo_told: bool,
    lag_told: bool,
    /// The lag for which the load is slow.
    slowed_by: Option<Duration>,
}

impl Care {
    /// What is reported now: each thing once.
    fn judge(&mut self, health: &SourceHealth) -> Vec<Finding> {
        let mut findings = Vec::new();
        if let Some(undo) = health.versions_kept.filter(|undo| *undo >= UNDO_ALARM)
            && !std::mem::replace(&mut self.undo_told, true)
        {
            findings.push(long_undo(undo));
        }
        let lag = health.replica_lag.unwrap_or_default();
        let is_too_far = lag >= LAG_ALARM || self.slowed_by.is_some() && lag >= LAG_QUIET;
        self.slowed_by = is_too_far.then_some(lag);
        if is_too_far && !std::mem::replace(&mut self.lag_told, true) {
            findings.push(far_behind(lag));
        }
        findings
    }
}

fn long_undo(undo: u64) -> Finding {
    let text = format!(
        "the source keeps old row versions of {} transactions while the snapshot is read, which may slow down its own queries",
        count(undo)
    );
    let finding = Finding::new(code::SOURCE_STRAINED, Severity::Warning, Subject::whole(), text);
    finding.remedy("Stop `migrate` and start it again: that opens a new snapshot. A higher --source-rate or more --source-connections end the load sooner; a replica as source takes it off this server.")
}

fn far_behind(lag: Duration) -> Finding {
    let text = format!(
        "the source is a replica and {} behind its own source: the load is slowed down until it has caught up",
        span(lag)
    );
    let finding = Finding::new(code::SOURCE_STRAINED, Severity::Warning, Subject::whole(), text);
    finding.remedy("Start `migrate` with a lower --source-rate, or with a replica that has less to do.")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lag(seconds: u64) -> SourceHealth {
        SourceHealth {
            replica_lag: Some(Duration::from_secs(seconds)),
            ..SourceHealth::default()
        }
    }

    #[test]
    fn a_lagging_replica_slows_the_load_down_until_it_has_recovered() {
        let mut care = Care::default();
        let mut told = 0;
        for (seconds, is_slow) in [
            (0, false),
            (59, false),
            (60, true),
            (30, true),
            (19, false),
            (59, false),
            (200, true),
        ] {
            told += care.judge(&lag(seconds)).len();
            assert_eq!(care.slowed_by.is_some(), is_slow, "{seconds}");
        }
        assert_eq!(told, 1);
        care.judge(&SourceHealth::default());
        assert!(care.slowed_by.is_none(), "no longer a replica");
    }

    #[test]
    fn a_long_undo_history_is_told_once() {
        let mut care = Care::default();
        let undo = |transactions| SourceHealth {
            versions_kept: Some(transactions),
            ..SourceHealth::default()
        };
        assert_eq!(care.judge(&undo(UNDO_ALARM - 1)).len(), 0);
        assert_eq!(care.judge(&undo(UNDO_ALARM)).len(), 1);
        assert_eq!(care.judge(&undo(UNDO_ALARM + 1)).len(), 0);
        assert!(care.slowed_by.is_none());
    }
}
