//! An application that writes to the source in the background, at a steady pace.

use std::time::Duration;

use mysql_async::prelude::Queryable;
use spanferry_testkit::patience::PATIENCE;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::World;

/// Time between two steps: some 200 a second, which leaves the emulator of a debug build room to
/// catch up.
const PACE: Duration = Duration::from_millis(5);

/// A background writer; stopped by `stop`, or by its runtime's end.
pub struct Writer {
    stop: watch::Sender<bool>,
    steps: watch::Receiver<u64>,
    task: JoinHandle<()>,
}

impl Writer {
    /// Steps written so far.
    pub fn steps(&self) -> u64 {
        *self.steps.borrow()
    }

    /// Waits until this many more steps were written.
    pub async fn write_more(&self, more: u64) {
        let (mut steps, end) = (self.steps.clone(), self.steps() + more);
        let written = timeout(PATIENCE, steps.wait_for(|steps| *steps >= end)).await;
        let written = written.expect("the source takes no writes");
        assert!(written.is_ok(), "the writer has failed, see above");
    }

    /// Ends after the step under way; how many there were.
    pub async fn stop(self) -> u64 {
        self.stop.send_replace(true);
        let ended = timeout(PATIENCE, self.task).await;
        ended.expect("the source takes no writes").unwrap();
        *self.steps.borrow()
    }
}

impl World {
    /// Runs the statements that `step` gives for 0, 1, 2, …, on one connection. None of them may be
    /// refused.
    pub fn writer(&self, mut step: impl FnMut(u64) -> Vec<String> + Send + 'static) -> Writer {
        let (stop, stopped) = watch::channel(false);
        let (told, steps) = watch::channel(0);
        let pool = self.server.pool(Some(&self.schema));
        let task = tokio::spawn(async move {
            let mut connection = pool.get_conn().await.unwrap();
            let mut pace = tokio::time::interval(PACE);
            pace.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            while !*stopped.borrow() {
                pace.tick().await;
                let number = *told.borrow();
                for statement in step(number) {
                    let done = connection.query_drop(&statement).await;
                    done.unwrap_or_else(|error| panic!("{statement}: {error}"));
                }
                told.send_modify(|steps| *steps += 1);
            }
            drop(connection);
            pool.disconnect().await.unwrap();
        });
        Writer { stop, steps, task }
    }
}
