//! A DDL call that outlasts its caller's deadline, as calls at the emulator do. Time passes with
//! each later call and look, so a test waits for nothing.

use bytes::Bytes;
use spanferry_spanner_api::longrunning::Operation;
use tonic::Code;

use super::admin;
use super::state::{SlowDdl, State};
use crate::ddl_rules::DdlRules;
use crate::refusal::Refusal;

/// Answers a DDL call: while another one is at work, it is refused as the emulator does.
pub(super) fn update_ddl(state: &mut State, rules: &DdlRules, message: &Bytes) -> Result<Operation, Refusal> {
    time_passes(state, rules);
    if matches!(state.slow, Some(SlowDdl::AtWork { .. })) {
        let text = "Schema change operation rejected because a concurrent schema change operation or read-write transaction is already in progress.";
        return Err(Refusal::answer(Code::FailedPrecondition, text));
    }
    let Some(how) = rules.take_outlast() else {
        return admin::update_ddl(state, rules, message);
    };
    let message = message.clone();
    state.slow = Some(SlowDdl::AtWork { message, how });
    let text = "The stand-in injected this: the call takes longer.";
    Err(Refusal::answer(Code::DeadlineExceeded, text))
}

/// One step of the call that has outlasted its deadline, if there is one.
pub(super) fn time_passes(state: &mut State, rules: &DdlRules) {
    state.slow = match state.slow.take() {
        Some(SlowDdl::AtWork { message, mut how }) if how.at_work > 0 => {
            how.at_work -= 1;
            Some(SlowDdl::AtWork { message, how })
        }
        Some(SlowDdl::AtWork { message, how }) => {
            // A refusal has nobody to go to.
            let done = admin::update_ddl(state, rules, &message).ok();
            let done = done.and_then(|done| state.operations.entries.remove(done.name.as_bytes()));
            done.map(|operation| SlowDdl::Unknown {
                operation,
                left: how.unknown,
            })
        }
        Some(SlowDdl::Unknown { operation, left }) if left > 0 => Some(SlowDdl::Unknown {
            operation,
            left: left - 1,
        }),
        Some(SlowDdl::Unknown { operation, .. }) => {
            state.operations.insert(operation.name.clone().into(), operation);
            None
        }
        None => None,
    };
}
