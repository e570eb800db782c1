//! The request to stop, seen by every task: an interrupt, a drained stream, or a failure elsewhere.

use tokio::sync::watch;

/// Asks tasks to stop. Cloned freely; a request is never taken back.
#[derive(Debug, Clone)]
pub struct StopSignal {
    sender: watch::Sender<bool>,
}

impl Default for StopSignal {
    fn default() -> Self {
        StopSignal::new()
    }
}

impl StopSignal {
    /// A signal that nobody has given yet.
    pub fn new() -> StopSignal {
        StopSignal {
            sender: watch::Sender::new(false),
        }
    }

    /// Asks everybody to stop at the next clean point.
    pub fn request(&self) {
        self.sender.send_replace(true);
    }

    /// Whether it was asked for.
    pub fn is_requested(&self) -> bool {
        *self.sender.borrow()
    }

    /// Waits until it is asked for. Cancellation: safe.
    pub async fn requested(&self) {
        let mut receiver = self.sender.subscribe();
        // The sender lives in `self`, so waiting cannot fail.
        let _seen = receiver.wait_for(|requested| *requested).await;
    }

    /// Waits for `delay`, or less if it is asked for; false if so.
    pub async fn pause(&self, delay: std::time::Duration) -> bool {
        tokio::select! {
            biased;
            () = self.requested() => false,
            () = tokio::time::sleep(delay) => true,
        }
    }
}
