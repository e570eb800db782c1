//! Tasks that run beside each other, each with a name: a panic in one is a failure that names it.

use std::collections::HashMap;

use spanferry_core::report::code;
use spanferry_core::report::failure::Failure;
use tokio::task::{Id, JoinError, JoinSet};

use crate::stop::CancellationToken;

/// Running tasks. Dropped, it ends them.
#[derive(Debug)]
pub(crate) struct Tasks<T> {
    running: JoinSet<T>,
    names: HashMap<Id, &'static str>,
}

impl<T: Send + 'static> Tasks<T> {
    pub(crate) fn new() -> Tasks<T> {
        Tasks {
            running: JoinSet::new(),
            names: HashMap::new(),
        }
    }

    /// Starts a task.
    pub(crate) fn spawn(&mut self, name: &'static str, task: impl Future<Output = T> + Send + 'static) {
        let id = self.running.spawn(task).id();
        self.names.insert(id, name);
    }

    /// Waits for the next task that ends: its result, or the failure of one that panicked. None
    /// when all have ended.
    pub(crate) async fn join_next(&mut self) -> Option<Result<T, Failure>> {
        let ended = self.running.join_next_with_id().await?;
        let id = match &ended {
            Ok((id, _)) => *id,
            Err(error) => error.id(),
        };
        let name = self.names.remove(&id).expect("each running task has a name");
        Some(
            ended
                .map(|(_, result)| result)
                .map_err(|error| failure(name, error)),
        )
    }
}

/// Waits for every task; the first failure asks the others to stop and is returned.
pub(crate) async fn settle(
    mut tasks: Tasks<Result<(), Failure>>,
    stop: &CancellationToken,
) -> Option<Failure> {
    let mut first: Option<Failure> = None;
    while let Some(joined) = tasks.join_next().await {
        if let Err(failure) = joined.flatten() {
            stop.cancel();
            if first.as_ref().is_none_or(|known| known.code == code::INTERRUPTED) {
                first = Some(failure);
            }
        }
    }
    first
}

/// The failure of a task that ended without a result.
pub fn failure(name: &str, error: JoinError) -> Failure {
    match error.try_into_panic() {
        Ok(payload) => Failure::panicked(name, payload.as_ref()),
        Err(error) => Failure::bug("", format!("task {name} was ended early")).caused_by(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_is_reported_with_the_name_of_its_task() {
        let mut tasks = Tasks::new();
        tasks.spawn("capture", async { 7 });
        tasks.spawn("apply", async { panic!("boom {}", 1) });
        let mut ended = Vec::new();
        while let Some(result) = tasks.join_next().await {
            ended.push(result.map_err(|failure| failure.to_string()));
        }
        ended.sort();
        assert_eq!(ended, [Ok(7), Err("task apply panicked: boom 1".to_owned())]);
    }
}
