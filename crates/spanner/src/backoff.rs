//! Repeats calls without effects while their failures are passing, within a named bound.

use std::future::Future;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::error::SpannerError;

/// How long one effect-free call is repeated before its failure is the caller's: longer than a
/// failover of Spanner's front end.
pub(crate) const RETRY_BUDGET: Duration = Duration::from_secs(60);
/// Longer than any budget; an instant further away may not be representable.
const BUDGET_MAX: Duration = Duration::from_secs(365 * 24 * 3600);
const DELAY_MIN: Duration = Duration::from_millis(20);
const DELAY_MAX: Duration = Duration::from_secs(5);

/// Delays that double, with jitter so that many clients do not come back at once.
#[derive(Debug)]
pub(crate) struct Backoff {
    next: Duration,
    deadline: Instant,
}

impl Backoff {
    /// Begins to count the budget.
    pub(crate) fn new(budget: Duration) -> Backoff {
        Backoff {
            next: DELAY_MIN,
            deadline: Instant::now() + budget.min(BUDGET_MAX),
        }
    }

    /// Waits as long as the server asks, or as its own turn says; gives the error back when the
    /// budget is used up.
    pub(crate) async fn wait(&mut self, error: SpannerError) -> Result<(), SpannerError> {
        let delay = error.retry_delay().unwrap_or_else(|| jittered(self.next));
        self.next = (self.next * 2).min(DELAY_MAX);
        if Instant::now() + delay >= self.deadline {
            return Err(error);
        }
        tracing::debug!(error = error.for_log(), ?delay, "call to the target is repeated");
        sleep(delay).await;
        Ok(())
    }

    /// Waits for the next look at something that takes its time; never gives up.
    pub(crate) async fn pause(&mut self) {
        let delay = jittered(self.next);
        self.next = (self.next * 2).min(DELAY_MAX);
        sleep(delay).await;
    }
}

/// Repeats a call that has no effect, or whose effect repeats harmlessly.
pub(crate) async fn retry<T, F>(mut call: impl FnMut() -> F) -> Result<T, SpannerError>
where
    F: Future<Output = Result<T, SpannerError>>,
{
    let mut backoff = Backoff::new(RETRY_BUDGET);
    loop {
        match call().await {
            Ok(value) => return Ok(value),
            Err(error) if error.is_passing() => backoff.wait(error).await?,
            Err(error) => return Err(error),
        }
    }
}

/// Half to all of the delay.
fn jittered(delay: Duration) -> Duration {
    delay / 2 + delay / 2 * fastrand::u32(0..=255) / 255
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jitter_stays_in_its_half() {
        let delay = Duration::from_millis(100);
        for _ in 0..100 {
            assert!((delay / 2..=delay).contains(&jittered(delay)));
        }
    }

    fn aborted(retry_delay: Option<Duration>) -> SpannerError {
        SpannerError::Aborted {
            object: "t".to_owned(),
            message: String::new(),
            retry_delay,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_servers_own_delay_is_kept() {
        let (begun, asked) = (Instant::now(), Duration::from_secs(7));
        let mut backoff = Backoff::new(RETRY_BUDGET);
        backoff.wait(aborted(Some(asked))).await.unwrap();
        assert_eq!(begun.elapsed(), asked);
        // The budget ends before that delay does: there is nothing to wait for.
        backoff.wait(aborted(Some(RETRY_BUDGET))).await.unwrap_err();
        assert_eq!(begun.elapsed(), asked);
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_is_repeated_until_the_budget_is_used_up() {
        let (begun, mut calls) = (Instant::now(), 0);
        let ended: Result<(), SpannerError> = retry(|| {
            calls += 1;
            std::future::ready(Err(aborted(None)))
        })
        .await;
        assert!(matches!(ended, Err(SpannerError::Aborted { .. })));
        assert!(begun.elapsed() < RETRY_BUDGET && begun.elapsed() + DELAY_MAX >= RETRY_BUDGET);
        assert!(calls > 10, "{calls}");
    }
}
