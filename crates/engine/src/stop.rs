//! The request to stop, seen by every task: an interrupt, a drained stream, or a failure elsewhere.

use std::future::Future;
use std::time::Duration;

pub use tokio_util::sync::CancellationToken;

/// A wait that a request to stop ends. Tasks stop at their next clean point.
pub trait Pause {
    /// Waits for `delay`, or until somebody asks to stop; false then. Cancellation: safe.
    fn pause(&self, delay: Duration) -> impl Future<Output = bool> + Send;
}

impl Pause for CancellationToken {
    async fn pause(&self, delay: Duration) -> bool {
        tokio::select! {
            biased;
            () = self.cancelled() => false,
            () = tokio::time::sleep(delay) => true,
        }
    }
}
