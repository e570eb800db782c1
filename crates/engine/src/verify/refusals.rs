//! Rows of the source that have no exact form at the target: all are counted, the first are named.

use spanferry_core::plan::TablePlan;
use spanferry_core::port::source::RefusedRow;
use spanferry_core::verify::canonical;

/// Refused rows named per table; more are only counted.
const REFUSED_NAMED_MAX: usize = 100;

/// A row of the source that has no exact form at the target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedRefusal {
    /// The row's key, as JSON list of its converted values; as the source prints it if the key
    /// itself is refused.
    pub key: String,
    /// The source's name of the column that is refused.
    pub column: String,
    /// Why, as a sentence fragment.
    pub reason: String,
}

/// The refused rows of one table.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Refusals {
    /// All of them.
    pub(super) count: u64,
    /// Those whose key is refused: they are in no bucket.
    pub(super) keyless: u64,
    /// At most `REFUSED_NAMED_MAX` of them.
    pub(super) named: Vec<NamedRefusal>,
}

impl Refusals {
    pub(super) fn note(&mut self, plan: &TablePlan, row: &RefusedRow) {
        self.count += 1;
        self.keyless += u64::from(row.encoded_key.is_empty());
        if self.named.len() < REFUSED_NAMED_MAX {
            self.named.push(named(plan, row));
        }
    }
}

fn named(plan: &TablePlan, row: &RefusedRow) -> NamedRefusal {
    let key = if row.encoded_key.is_empty() {
        row.key.clone()
    } else {
        canonical::render(plan, &row.encoded_key)
    };
    NamedRefusal {
        key,
        column: plan.column_title(row.cell.column).to_owned(),
        reason: row.cell.refusal.to_string(),
    }
}
