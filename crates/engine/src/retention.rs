//! Retention: the change log is trimmed below what anybody may still need, and its budget is
//! watched.
//!
//! Why nothing is trimmed that is needed: docs/design/retention.md.

use std::sync::Arc;
use std::time::Duration;

use spanferry_core::port::change_log::{ChangeLog, ChangeLogReader, LogUsage, Sequence};
use spanferry_core::report::amount::{bytes, span};
use spanferry_core::report::code;
use spanferry_core::report::failure::Failure;
use spanferry_core::report::finding::{Finding, Severity, Subject};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::capture::note_usage;
use crate::progress::Progress;
use crate::registry::Registry;
use crate::stop::{CancellationToken, Pause};

/// How a change log is trimmed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetentionOptions {
    /// How far behind the watermark, by the source's commit times, applied transactions are kept.
    pub keep: Duration,
    /// How often the log is looked at: a look without anything to trim reads one transaction.
    pub look_interval: Duration,
}

impl RetentionOptions {
    /// How often the log is looked at, unless a test needs it more often.
    pub const LOOK_INTERVAL: Duration = Duration::from_secs(10);

    /// The options that keep what was committed less than `keep` before the watermark.
    pub fn keeping(keep: Duration) -> RetentionOptions {
        RetentionOptions {
            keep,
            look_interval: Self::LOOK_INTERVAL,
        }
    }
}

/// The same while capture may be waiting for room.
const FULL_INTERVAL: Duration = Duration::from_secs(1);
/// Share of the budget at which a finding is reported, in percent; from here on nothing that is
/// applied is kept on purpose.
const ALARM_PERCENT: u64 = 70;
/// Room that capture needs in any case: an append of it may be larger than 30 % of a very small
/// budget.
const ROOM_BYTES_MIN: u64 = 4 << 20;
/// Share below which the alarm may be given again, in percent: the distance keeps it from being
/// given over and over.
const QUIET_PERCENT: u64 = 60;
/// Tables that an alarm names as the reason why nothing can be trimmed.
const HOLDING_NAMED_MAX: usize = 5;

/// Where the main stream is durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Watermark {
    /// Everything up to it is applied.
    pub sequence: Sequence,
    /// When the source committed it: microseconds since 1970, 0 if this process has not applied
    /// anything yet.
    pub committed_at_us: u64,
}

/// Trims one change log.
pub struct Retention<L> {
    log: Arc<L>,
    registry: Arc<Registry>,
    watermark: watch::Receiver<Watermark>,
    options: RetentionOptions,
    progress: Arc<Progress>,
    /// When the log was last looked at, and the bytes it had afterwards.
    last_look: Option<(Instant, u64)>,
    /// Whether the finding was reported.
    alarmed: bool,
}

impl<L: ChangeLog> Retention<L> {
    /// A trimmer.
    pub fn new(
        log: Arc<L>,
        registry: Arc<Registry>,
        watermark: watch::Receiver<Watermark>,
        options: RetentionOptions,
        progress: Arc<Progress>,
    ) -> Retention<L> {
        Retention {
            log,
            registry,
            watermark,
            options,
            progress,
            last_look: None,
            alarmed: false,
        }
    }

    /// Looks again and again until the stop signal. A log that cannot be trimmed is reported and
    /// tried again: nothing else depends on it.
    pub async fn run(mut self, stop: CancellationToken) -> Result<(), Failure> {
        loop {
            let usage = self.log.usage();
            let is_full = usage.budget_bytes.saturating_sub(usage.bytes) < ROOM_BYTES_MIN;
            let interval = if is_full {
                FULL_INTERVAL.min(self.options.look_interval)
            } else {
                self.options.look_interval
            };
            if !stop.pause(interval).await {
                return Ok(());
            }
            if let Err(failure) = self.look().await {
                tracing::warn!(failure = %failure.for_log(), "the change log is not trimmed");
            }
        }
    }

    /// Gives the alarm if it is due, then trims.
    ///
    /// Cancellation: safe.
    pub async fn look(&mut self) -> Result<(), Failure> {
        let usage = self.log.usage();
        let room = usage.budget_bytes.saturating_sub(usage.bytes);
        let is_tight = percent(&usage) >= ALARM_PERCENT || room < ROOM_BYTES_MIN;
        self.watch_budget(&usage);
        if self.registry.holding_log_count() == 0 {
            let below = self.unneeded_below(usage.oldest, is_tight).await?;
            if below > usage.oldest {
                self.log.trim(below).await?;
            }
        }
        let usage = self.log.usage();
        self.last_look = Some((Instant::now(), usage.bytes));
        self.progress.update(|state| note_usage(state, &usage));
        Ok(())
    }

    /// The first sequence that is to be kept.
    async fn unneeded_below(&self, oldest: Sequence, is_tight: bool) -> Result<Sequence, Failure> {
        let watermark = *self.watermark.borrow();
        let applied_below = watermark.sequence.next();
        let keep = self.options.keep;
        if is_tight || keep.is_zero() {
            return Ok(applied_below);
        }
        let keep_us = u64::try_from(keep.as_micros()).unwrap_or(u64::MAX);
        let kept_from_us = watermark.committed_at_us.saturating_sub(keep_us);
        self.first_committed_at(kept_from_us, oldest, applied_below).await
    }

    /// The first sequence from `oldest` on that was committed at `from_us` or later, at most
    /// `below`. Where times do not rise with the sequence it is one of several such; any of them is
    /// safe.
    async fn first_committed_at(
        &self,
        from_us: u64,
        oldest: Sequence,
        below: Sequence,
    ) -> Result<Sequence, Failure> {
        let (mut old_below, mut kept_from) = (oldest, below);
        // The oldest decides first: most of the time it is still to be kept, and nothing else has
        // to be read.
        let mut probe = oldest;
        while old_below < kept_from {
            if self.is_older(probe, from_us).await? {
                old_below = probe.next();
            } else {
                kept_from = probe;
            }
            probe = Sequence(old_below.0 + kept_from.0.saturating_sub(old_below.0) / 2);
        }
        Ok(kept_from)
    }

    /// Whether the first transaction from `at` on was committed before `from_us`; one without a
    /// time counts as young.
    async fn is_older(&self, at: Sequence, from_us: u64) -> Result<bool, Failure> {
        let piece = self.log.reader(at).await?.try_next().await?;
        Ok(piece.is_some_and(|piece| (1..from_us).contains(&piece.committed_at_us)))
    }

    fn watch_budget(&mut self, usage: &LogUsage) {
        let full = percent(usage);
        if full < QUIET_PERCENT {
            self.alarmed = false;
        }
        if full < ALARM_PERCENT || self.alarmed {
            return;
        }
        self.alarmed = true;
        let text = format!(
            "the change log takes {} of its {} ({full} %); {}; {}",
            bytes(usage.bytes),
            bytes(usage.budget_bytes),
            self.time_left(usage),
            self.why_held()
        );
        tracing::warn!(text, "the change log nears its budget");
        let finding = Finding::new(code::LOG_BUDGET, Severity::Warning, Subject::whole(), text);
        self.progress
            .report(finding.remedy("Stop `migrate` and start it with a larger --log-budget, on a larger disk if needed. Where the lag grows, give the target more nodes."));
    }

    /// When the log is full if it continues to grow as since the last look.
    fn time_left(&self, usage: &LogUsage) -> String {
        let Some((looked_at, bytes)) = self.last_look else {
            return "how fast it grows is not known yet".to_owned();
        };
        let grown = usage.bytes.saturating_sub(bytes);
        if grown == 0 {
            return "it does not grow now".to_owned();
        }
        let room = u128::from(usage.budget_bytes.saturating_sub(usage.bytes));
        let millis = room * looked_at.elapsed().as_millis() / u128::from(grown);
        let left = Duration::from_millis(u64::try_from(millis).unwrap_or(u64::MAX));
        if left.is_zero() {
            return "it is full".to_owned();
        }
        format!("if it grows on as now, it is full in about {}", span(left))
    }

    fn why_held(&self) -> String {
        let named: Vec<_> = self.registry.holding_log().take(HOLDING_NAMED_MAX).collect();
        let more = self
            .registry
            .holding_log_count()
            .saturating_sub(HOLDING_NAMED_MAX);
        match (named.is_empty(), more) {
            (true, _) => "applied changes are deleted at once, however new they are".to_owned(),
            (false, 0) => format!(
                "nothing is deleted while these tables are loading: {}",
                named.join(", ")
            ),
            (false, more) => format!(
                "nothing is deleted while these tables are loading: {} and {more} more",
                named.join(", ")
            ),
        }
    }
}

/// How full a log is.
fn percent(usage: &LogUsage) -> u64 {
    let share = u128::from(usage.bytes) * 100 / u128::from(usage.budget_bytes.max(1));
    u64::try_from(share).unwrap_or(u64::MAX)
}

#[cfg(test)]
#[path = "retention_tests.rs"]
mod tests;
