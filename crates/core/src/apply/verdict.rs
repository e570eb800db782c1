//! How apply words what it cannot apply: stops of groups, and failures of the whole stream.

use std::sync::Arc;

use crate::plan::{GroupId, TablePlan};
use crate::port::target::Rejection;
use crate::position::PositionError;
use crate::report::code;
use crate::report::failure::{Class, Failure, ServerWords};
use crate::report::finding::{Finding, Severity, Subject};
use crate::report::remedy::Remedy;

use super::action::StreamId;
use super::search::Search;
use super::window::Stop;

/// The stop of a group whose rows the target rejects.
pub(super) fn rejected_change(search: &Search, group: GroupId, tables: &[Arc<TablePlan>]) -> Stop {
    let first = tables.iter().find(|plan| plan.group == group);
    let table = first.expect("a group has at least one table").name();
    let sequence = search.window.sequence;
    let (at, transaction) = match search.origin {
        StreamId::Main => (
            format!("at sequence {sequence}"),
            Some(search.transaction().id.to_string()),
        ),
        StreamId::CatchUp => ("while catching up".to_owned(), None),
    };
    let Rejection { status, message, .. } = &search.rejection;
    let text = format!("the target rejects a change {at}: {status}: {message}");
    let finding = Finding::new(
        code::CHANGE_REJECTED,
        Severity::Blocking,
        Subject::table(table),
        text,
    );
    Stop {
        group,
        sequence,
        transaction,
        finding: finding.remedy(Remedy::resync(table)),
    }
}

/// The failure of a commit in which nothing but control rows can be at fault.
pub fn rejects_control(rejection: Rejection) -> Failure {
    let text = "the target rejects control rows";
    Failure::new(code::TARGET_FAILED, Class::StopMigration, "control tables", text)
        .caused_by(ServerWords::from(rejection))
}

/// The failure of positions that do not follow one another.
pub fn misplaced(error: PositionError) -> Failure {
    let text = "the source's history does not continue";
    Failure::new(code::HISTORY_CHANGED, Class::StopMigration, "change stream", text).caused_by(error)
}
