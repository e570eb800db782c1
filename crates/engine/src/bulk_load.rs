//! A load without a stream: rows of files, or of anything else that does not change meanwhile, into
//! the target, with everything that makes its tables complete (docs/design/load.md).

use std::num::NonZeroU64;
use std::sync::Arc;

use spanferry_core::port::row_source::RowSet;
use spanferry_core::port::target::{Committer, SchemaTarget};
use spanferry_core::record::StopReason;
use spanferry_core::report::code::{self, Exit};
use spanferry_core::report::failure::Failure;
use spanferry_core::schema::source::QualifiedName;

use crate::constraint;
use crate::load::load_rows;
use crate::prepare::PreparedLoad;
use crate::stop::CancellationToken;
use crate::task::{Tasks, settle};

/// Everything a load without a stream works with.
pub struct BulkLoad<R, T> {
    /// The rows.
    pub rows: Arc<R>,
    /// What `prepare_load` made. Its counters show how far the load is.
    pub load: PreparedLoad<T>,
    /// The request to stop, given by the operator.
    pub interrupt: CancellationToken,
    /// Most bytes a second over all readers, as they are encoded for the target; no bound if none.
    pub rate: Option<NonZeroU64>,
}

/// How a load without a stream ended, if it did not fail.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct LoadOutcome {
    /// Whether the operator ended it before it was complete.
    pub interrupted: bool,
    /// Tables whose group has stopped, with the reason.
    pub stopped: Vec<(QualifiedName, StopReason)>,
}

impl LoadOutcome {
    /// The exit status it stands for: what is set aside outranks an interruption.
    pub fn exit_status(&self) -> u8 {
        match (self.stopped.is_empty(), self.interrupted) {
            (false, _) => Exit::SetAside.status(),
            (true, true) => Exit::Interrupted.status(),
            (true, false) => 0,
        }
    }
}

impl<R: RowSet, T: Committer + SchemaTarget> BulkLoad<R, T> {
    /// Runs until every table is complete or has stopped. A failure is resumable unless its code
    /// says otherwise: the next start continues with what is not recorded as finished.
    ///
    /// Cancellation: as a crash; the next start resumes.
    pub async fn run(self) -> Result<LoadOutcome, Failure> {
        let BulkLoad {
            rows,
            load,
            interrupt,
            rate,
        } = self;
        let (registry, stop) = (Arc::clone(&load.registry), load.shared.stop.clone());
        load.shared
            .progress
            .update(|state| state.phase = "running".into());
        let mut tasks = Tasks::new();
        let building = constraint::build_loaded(
            Arc::clone(&registry),
            Arc::clone(&load.control),
            load.shared.clone(),
            load.dialect,
        );
        tasks.spawn("constraints", building);
        tasks.spawn("load", load_rows(rows, load, rate));
        let mut ended = std::pin::pin!(settle(tasks, &stop));
        let failure = tokio::select! {
            biased;
            failure = &mut ended => failure,
            () = interrupt.cancelled() => {
                stop.cancel();
                ended.await
            }
        };
        match failure {
            Some(failure) if failure.code != code::INTERRUPTED => Err(failure),
            Some(_) | None => Ok(LoadOutcome {
                interrupted: interrupt.is_cancelled() && !registry.all_constrained(),
                stopped: registry.stopped(),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use spanferry_core::fixture::qualified;
    use spanferry_core::report::finding::{Finding, Severity, Subject};

    use super::*;

    #[test]
    fn what_is_set_aside_outranks_an_interruption() {
        let finding = Finding::new(
            code::KEY_TWICE,
            Severity::Blocking,
            Subject::table(&qualified("t")),
            "5",
        );
        let stopped = vec![(qualified("t"), StopReason::from(&finding))];
        let check = |stopped: &[(QualifiedName, StopReason)], interrupted, expected: u8| {
            let outcome = LoadOutcome {
                interrupted,
                stopped: stopped.to_vec(),
            };
            assert_eq!(outcome.exit_status(), expected, "{outcome:?}");
        };
        check(&[], false, 0);
        check(&[], true, Exit::Interrupted.status());
        check(&stopped, false, Exit::SetAside.status());
        check(&stopped, true, Exit::SetAside.status());
    }
}
