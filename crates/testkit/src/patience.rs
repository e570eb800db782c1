//! Waiting for a state, with a deadline: a test that waits for what never comes says so instead of
//! hanging.

use std::time::{Duration, Instant};

/// How long a step of a test may take before it counts as stuck.
pub const PATIENCE: Duration = Duration::from_secs(300);
/// Time between two looks.
const PACE: Duration = Duration::from_millis(5);

/// Looks until `reached` is true.
///
/// # Panics
/// With `what` when that has not come within [`PATIENCE`].
pub async fn until(what: &str, mut reached: impl AsyncFnMut() -> bool) {
    let since = Instant::now();
    while !reached().await {
        assert!(
            since.elapsed() < PATIENCE,
            "{what}: did not come within {} seconds",
            PATIENCE.as_secs()
        );
        tokio::time::sleep(PACE).await;
    }
}

/// The result of `step`.
///
/// # Panics
/// With `what` when it has not ended within [`PATIENCE`].
pub async fn within<T>(what: &str, step: impl Future<Output = T>) -> T {
    let Ok(ended) = tokio::time::timeout(PATIENCE, step).await else {
        panic!("{what}: did not end within {} seconds", PATIENCE.as_secs());
    };
    ended
}
