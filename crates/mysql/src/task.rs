//! Tasks of a connector: each has a name, and its panic is brought to those that depend on it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::task::Poll;

use spanferry_core::report::failure::panic_text;
use tokio::runtime::Handle;
use tokio::task::AbortHandle;

/// Starts a task. When it panics, `lost` gets the text `task NAME panicked: …`.
pub(crate) fn spawn(
    runtime: &Handle,
    name: &'static str,
    task: impl Future<Output = ()> + Send + 'static,
    lost: impl FnOnce(String) + Send + 'static,
) -> AbortHandle {
    let observed = async move {
        let mut task = pin!(task);
        // A task that has panicked is not polled again, so nothing sees its broken state.
        let polled = std::future::poll_fn(|context| {
            match catch_unwind(AssertUnwindSafe(|| task.as_mut().poll(context))) {
                Ok(poll) => poll.map(|()| None),
                Err(payload) => Poll::Ready(Some(panic_text(name, payload.as_ref()))),
            }
        });
        if let Some(text) = polled.await {
            tracing::error!("{text}");
            lost(text);
        }
    };
    runtime.spawn(observed).abort_handle()
}

#[cfg(test)]
mod tests {
    use tokio::runtime::Handle;
    use tokio::sync::oneshot;

    #[tokio::test]
    async fn a_panic_is_brought_to_those_that_depend_on_the_task() {
        let (sender, receiver) = oneshot::channel();
        let task = async {
            tokio::task::yield_now().await;
            panic!("boom");
        };
        super::spawn(&Handle::current(), "pings", task, |text| {
            sender.send(text).unwrap();
        });
        assert_eq!(receiver.await.unwrap(), "task pings panicked: boom");
    }
}
