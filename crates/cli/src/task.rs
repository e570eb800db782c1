//! A named task beside the migration: when it panics, the migration is asked to stop, and the panic
//! is its failure.

use spanferry_core::report::failure::Failure;
use spanferry_engine::stop::CancellationToken;
use spanferry_engine::task::failure;
use tokio::task::JoinHandle;

/// A running task.
#[derive(Debug)]
pub(crate) struct Task<T> {
    name: &'static str,
    running: JoinHandle<T>,
}

impl<T: Send + 'static> Task<T> {
    /// Starts it. `stop` is requested when it panics.
    pub(crate) fn spawn(
        name: &'static str,
        stop: CancellationToken,
        task: impl Future<Output = T> + Send + 'static,
    ) -> Task<T> {
        let running = tokio::spawn(async move {
            let _guard = StopOnPanic(stop);
            task.await
        });
        Task { name, running }
    }

    /// Waits for its result.
    pub(crate) async fn join(self) -> Result<T, Failure> {
        self.running.await.map_err(|error| failure(self.name, error))
    }

    /// Ends it. An error only when it has panicked.
    pub(crate) async fn end(self) -> Result<(), Failure> {
        self.running.abort();
        match self.running.await {
            Err(error) if error.is_panic() => Err(failure(self.name, error)),
            Ok(_) | Err(_) => Ok(()),
        }
    }
}

/// Dropped by a panic, it requests the stop.
struct StopOnPanic(CancellationToken);

impl Drop for StopOnPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.cancel();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_stops_the_migration_and_is_its_failure() {
        for ended in [true, false] {
            let stop = CancellationToken::new();
            let task: Task<()> = Task::spawn("progress", stop.clone(), async { panic!("boom") });
            stop.cancelled().await;
            let result = if ended {
                task.end().await
            } else {
                task.join().await
            };
            assert_eq!(result.unwrap_err().to_string(), "task progress panicked: boom");
        }
    }

    #[tokio::test]
    async fn a_task_that_is_ended_is_no_failure() {
        let stop = CancellationToken::new();
        let task: Task<()> = Task::spawn("signals", stop.clone(), std::future::pending());
        task.end().await.unwrap();
        assert!(!stop.is_cancelled());
        let task = Task::spawn("progress", stop.clone(), async { 7 });
        assert_eq!(task.join().await.unwrap(), 7);
    }
}
