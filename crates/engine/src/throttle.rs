//! The rate at which a snapshot may be read, over all of its sessions.

use std::num::NonZeroU64;
use std::sync::Mutex;
use std::time::Duration;

use tokio::time::Instant;

/// Spaces batches so that their bytes keep to a rate on the average; one batch may always pass at once.
#[derive(Debug)]
pub(crate) struct Throttle {
    bytes_per_second: Option<NonZeroU64>,
    /// When what was read so far is paid for.
    paid_at: Mutex<Option<Instant>>,
}

impl Throttle {
    /// No rate, no waiting.
    pub(crate) fn new(bytes_per_second: Option<NonZeroU64>) -> Throttle {
        Throttle {
            bytes_per_second,
            paid_at: Mutex::new(None),
        }
    }

    /// Why reading is slow, for people.
    pub(crate) fn reason(&self) -> Option<String> {
        let rate = self.bytes_per_second?;
        Some(format!(
            "the load keeps to {rate} bytes a second (`--source-rate`)"
        ))
    }

    /// How long the caller waits before it reads on, having read `bytes` at `now`.
    pub(crate) fn delay(&self, bytes: u64, now: Instant) -> Duration {
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
        // What was not used while nobody read is not saved up.
        check(500, 10_000, 500);
        assert_eq!(Throttle::new(None).delay(u64::MAX, start), Duration::ZERO);
    }
}
