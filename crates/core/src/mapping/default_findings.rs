//! Findings about the defaults of columns and their numbering: printed from the decisions, nothing
//! is decided here.

use crate::mapping::decision::{ColumnDecision, DefaultOutcome};
use crate::report::code;
use crate::report::finding::{Finding, Severity, Subject};
use crate::schema::logical::LogicalType;
use crate::schema::source::{QualifiedName, SourceColumn};
use crate::schema::target::ByTarget;

/// What is worth knowing about the default of a column. A NOT NULL column without its default has a
/// code of its own: an INSERT that relies on it fails.
pub(super) fn report_default(
    table: &QualifiedName,
    column: &SourceColumn,
    decided: &ColumnDecision,
) -> Option<Finding> {
    let reason = match &decided.default.as_ref()?.outcome {
        DefaultOutcome::Created(ByTarget::Identity { skipped_to }) => {
            return Some(identity(table, column, *skipped_to));
        }
        DefaultOutcome::Created(ByTarget::Default(_) | ByTarget::Generated(_)) => return None,
        DefaultOutcome::LeftOut(reason) => reason,
    };
    let (what, of_any) = match &column.default {
        Some(default) => (format!("the default {}", shown(&default.text)), "its default"),
        None => ("AUTO_INCREMENT".to_owned(), "AUTO_INCREMENT"),
    };
    let (code, loss) = if decided.not_null {
        let loss = "; the column is NOT NULL, so an INSERT without it fails there";
        (code::DEFAULT_NEEDED, loss)
    } else {
        (code::LEFT_OUT, "")
    };
    let text = format!("{what} is not created at the target: {reason}{loss}");
    let meaning = format!("{of_any} is not created at the target{loss}");
    let subject = Subject::part(table, &column.name);
    Some(Finding::new(code, Severity::Warning, subject, text).meaning_of(meaning))
}

/// What is different about numbers that the target gives.
fn identity(table: &QualifiedName, column: &SourceColumn, skipped_to: i64) -> Finding {
    let is_narrow = matches!(
        column.ty.logical(),
        LogicalType::Integer { bits, .. } if bits < 64
    );
    let higher = if is_narrow {
        ""
    } else {
        "; if rows have higher ones, give it another range to skip before the application inserts"
    };
    let text = format!(
        "AUTO_INCREMENT is an identity column at the target: values that are given are kept, new ones are above {skipped_to} and in no order{higher}"
    );
    let subject = Subject::part(table, &column.name);
    let meaning = "AUTO_INCREMENT is an identity column at the target: values that are given are kept, new ones are in no order";
    Finding::new(code::CONVERTED, Severity::Warning, subject, text).meaning_of(meaning)
}

/// Both servers write an empty text as a default in a form of their own.
fn shown(default: &str) -> String {
    match default {
        "" | "''" => "(an empty string)".to_owned(),
        other => format!("`{other}`"),
    }
}
