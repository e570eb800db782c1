//! Findings about the defaults of columns: printed from the decisions, nothing is decided here.

use crate::mapping::decision::{ColumnDecision, DefaultOutcome};
use crate::report::code;
use crate::report::finding::{Finding, Severity, Subject};
use crate::schema::source::{QualifiedName, SourceColumn};

/// What is worth knowing about the default of a column. A NOT NULL column without its default has a
/// code of its own: an INSERT that relies on it fails.
pub(super) fn report_default(
    table: &QualifiedName,
    column: &SourceColumn,
    decided: &ColumnDecision,
) -> Option<Finding> {
    let default = column.default.as_ref()?;
    let reason = match &decided.default.as_ref()?.outcome {
        DefaultOutcome::Created(_) => return None,
        DefaultOutcome::LeftOut(reason) => reason,
    };
    let shown = shown(&default.text);
    let (code, loss) = if decided.not_null {
        let loss = "; the column is NOT NULL, so an INSERT without it fails there";
        (code::DEFAULT_NEEDED, loss)
    } else {
        (code::LEFT_OUT, "")
    };
    let text = format!("the default {shown} is not created at the target: {reason}{loss}");
    let subject = Subject::part(table, &column.name);
    Some(Finding::new(code, Severity::Warning, subject, text))
}

/// Both servers write an empty text as a default in a form of their own.
fn shown(default: &str) -> String {
    match default {
        "" | "''" => "(an empty string)".to_owned(),
        other => format!("`{other}`"),
    }
}
