//! The rate at which a snapshot may be read, over all of its sessions.

use std::num::NonZeroU64;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

/// How long each session waits between two batches while the source has to recover: slow, and never
/// at a stand, because the source's trouble may have another reason.
const STRAINED_DELAY: Duration = Duration::from_secs(1);

/// Spaces batches so that their bytes keep to a rate on the average; one batch may always pass at
/// once.
#[derive(Debug)]
pub(crate) struct Throttle {
    bytes_per_second: Option<NonZeroU64>,
    /// By how many seconds a replica that is read is behind, while that is too much; 0 otherwise.
    lag_seconds: AtomicU64,
    /// When what was read so far is paid for.
    paid_at: Mutex<Option<Instant>>,
}

impl Throttle {
    /// No rate, no waiting.
    pub(crate) fn new(bytes_per_second: Option<NonZeroU64>) -> Throttle {
        Throttle {
            bytes_per_second,
            lag_seconds: AtomicU64::new(0),
            paid_at: Mutex::new(None),
        }
    }

    /// Why reading is slow, for people.
    pub(crate) fn reason(&self) -> Option<String> {
        let lag_seconds = self.lag_seconds.load(Ordering::Relaxed);
        if lag_seconds > 0 {
            return Some(format!(
                "the source is a replica that is {lag_seconds} s behind: the load is slowed down"
            ));
        }
        let rate = self.bytes_per_second?;
        Some(format!(
            "the load keeps to {rate} bytes a second (`--source-rate`)"
        ))
    }

    /// How long the caller waits before it reads on, having read `bytes` at `now`.
    pub(crate) fn delay(&self, bytes: u64, now: Instant) -> Duration {
        let is_strained = self.lag_seconds.load(Ordering::Relaxed) > 0;
        let least = if is_strained {
            STRAINED_DELAY
        } else {
            Duration::ZERO
        };
        least.max(self.delay_by_rate(bytes, now))
    }

    /// A replica that is read is so far behind that it must recover; `None`: not any more.
    pub(crate) fn strain(&self, lag: Option<Duration>) {
        let seconds = lag.map_or(0, |lag| lag.as_secs().max(1));
        self.lag_seconds.store(seconds, Ordering::Relaxed);
    }

    fn delay_by_rate(&self, bytes: u64, now: Instant) -> Duration {
        let Some(rate) = self.bytes_per_second else {
            return Duration::ZERO;
        };
        let nanos = u128::from(bytes) * 1_000_000_000 / u128::from(rate.get());
        let cost = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
        let mut paid_at = self.paid_at.lock().expect("no worker panics while it counts");
        let paid = paid_at.map_or(now, |at| at.max(now)) + cost;
        *paid_at = Some(paid);
        paid - now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_keep_to_the_rate() {
        let throttle = Throttle::new(NonZeroU64::new(1_000));
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let check = |bytes, ms, expected| {
            assert_eq!(
                throttle.delay(bytes, at(ms)),
                Duration::from_millis(expected),
                "{bytes} at {ms}"
            );
        };
        check(500, 0, 500);
        // Another session, at the same time, stands behind the first one.
        check(500, 0, 1_000);
        check(100, 1_000, 100);
        // What was not used while nothing was read is not saved up.
        check(500, 10_000, 500);
        assert_eq!(Throttle::new(None).delay(u64::MAX, start), Duration::ZERO);
    }

    #[test]
    fn a_strained_source_is_read_slowly_and_not_slower_than_that() {
        for rate in [None, NonZeroU64::new(1_000)] {
            let (throttle, now) = (Throttle::new(rate), Instant::now());
            throttle.strain(Some(Duration::from_secs(90)));
            assert_eq!(throttle.delay(1, now), STRAINED_DELAY);
            assert!(throttle.reason().expect("a reason").contains("90 s behind"));
            throttle.strain(None);
            assert!(throttle.delay(1, now) < STRAINED_DELAY);
            assert_eq!(throttle.reason().is_some(), rate.is_some());
        }
    }
}
