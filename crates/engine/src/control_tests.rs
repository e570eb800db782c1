//! What becomes of control rows that the target rejects.

use std::error::Error as _;

use spanferry_core::port::change_log::Sequence;
use spanferry_core::port::target::{
    CommitError, CommitTimestamp, Epoch, FenceKey, FenceRow, FencedCommit, Lane, Rejection,
    TargetCapabilities,
};
use spanferry_core::report::code;
use spanferry_core::report::failure::Class;
use tokio::sync::Semaphore;

use super::*;
use crate::fixture::{row, table};
use crate::lane::LaneShared;
use crate::stop::CancellationToken;

const KEY: FenceKey = FenceKey {
    epoch: Epoch(1),
    sequence: Sequence::ZERO,
    piece: 0,
};

/// A target that rejects every commit.
struct Unwilling;

impl Committer for Unwilling {
    async fn commit(&self, _commit: &FencedCommit) -> Result<CommitTimestamp, CommitError> {
        Err(CommitError::Rejected(Rejection {
            named: Vec::new(),
            status: "NOT_FOUND".to_owned(),
            message: "no such table".to_owned(),
            too_large: false,
            of_value: false,
            transient: false,
        }))
    }

    async fn read_fence(&self, _lane: Lane) -> Result<Option<FenceRow>, Failure> {
        Ok(Some(FenceRow {
            key: KEY,
            reached: None,
        }))
    }

    fn capabilities(&self) -> TargetCapabilities {
        TargetCapabilities::EMULATOR
    }
}

/// The failure is the one that apply ends with, and the registry keeps what is recorded.
#[tokio::test(start_paused = true)]
async fn rejected_control_rows_end_the_migration_as_they_do_in_apply() {
    let progress = Arc::new(Progress::default());
    let shared = LaneShared {
        ddl: Arc::default(),
        target: Arc::new(Unwilling),
        gate: Arc::new(Semaphore::new(1)),
        stop: CancellationToken::new(),
        progress: Arc::clone(&progress),
    };
    let plan = table("a");
    let states = vec![row("a", TablePhase::Pending, None)];
    let registry = Registry::new(vec![Arc::clone(&plan)], states, Arc::clone(&progress));
    let control = ControlLane::new(FencedLane::new(shared, Lane::Load(0), KEY), progress);
    let changes = |transition: &Transition<'_>| {
        let next = transition.row_with(plan.id, |row| row.phase = TablePhase::Loading);
        vec![ControlChange::Table(next)]
    };
    let failure = control.record(&registry, changes).await.unwrap_err();
    assert_eq!(
        (failure.code, failure.class),
        (code::TARGET_FAILED, Class::StopMigration)
    );
    assert_eq!(failure.object, "control tables");
    let cause = failure.source().expect("the target's words are the cause");
    assert!(cause.to_string().contains("no such table"), "{cause}");
    assert_eq!(registry.phase(plan.id), TablePhase::Pending);
}
