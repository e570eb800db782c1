//! What an event means for the migrated tables, other than changes of rows. The decoder carries it
//! out.

use spanferry_core::plan::TablePlan;
use spanferry_core::port::change::SchemaChangeKind;
use spanferry_core::report::code::{self, Code};
use spanferry_core::report::finding::{Finding, Severity, Subject};
use spanferry_core::report::remedy::Remedy;

/// One consequence. Those of an event are carried out in their order.
#[derive(Debug)]
pub(super) enum Consequence {
    /// This table stops.
    Stop(usize, Finding),
    /// Every table stops.
    StopAll(Code, String),
    /// The tables stop whose rows the transaction has changed so far.
    StopChanged(String),
    /// A statement changed this whole table.
    SchemaChange(usize, SchemaChangeKind, Finding),
    /// Something is reported and no table stops.
    Notice(Finding),
    /// The transaction is being prepared: its rows count only if a later XA COMMIT says so.
    Prepared,
}

impl Consequence {
    /// Every table stops, because an event cannot be used.
    pub(super) fn unusable(text: impl Into<String>) -> Consequence {
        Consequence::StopAll(code::EVENT_UNSUPPORTED, text.into())
    }
}

/// The finding that stops a table; `part` is what of the table it is about.
pub(super) fn blocking(plan: &TablePlan, code: Code, text: &str, part: Option<String>) -> Finding {
    let table = plan.name();
    let subject = part.map_or_else(|| Subject::table(table), |part| Subject::part(table, part));
    Finding::new(code, Severity::Blocking, subject, text).remedy(Remedy::resync(table))
}
