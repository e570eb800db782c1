//! Findings about indexes and foreign keys: printed from the decisions, nothing is decided here.

use crate::mapping::decision::{ChosenBy, NameDecision, NameReason};
use crate::mapping::findings::{NAMED, named};
use crate::mapping::index::INDEXES_MAX;
use crate::mapping::index_decision::{
    ForeignKeyChange, ForeignKeyDecision, ForeignKeyOutcome, ForeignKeyReason, IndexChange, IndexCountExcess,
    IndexDecision, IndexOutcome, IndexReason, KeyExcess,
};
use crate::mapping::key_limits::{KEY_BYTES_MAX, KEY_PARTS_MAX};
use crate::mapping::override_error::OverrideError;
use crate::report::code::{self, Code};
use crate::report::finding::{Finding, Severity, Subject};
use crate::schema::source::{ForeignKeyAction, SourceIndex, SourceTable};

/// Why something is left out that the rules would keep.
const BY_PERSON: &str = "a person has left it out";
/// What [`excess_words`] mean, whichever the numbers are.
const KEY_TOO_LONG: &str = "its key is above a limit";

/// Prints what becomes of an index, but for its name.
pub(super) fn report_index(table: &SourceTable, decision: &IndexDecision, findings: &mut Vec<Finding>) {
    let index = &table.indexes[decision.source];
    match &decision.outcome {
        IndexOutcome::Kept(kept) => findings.extend(kept.changes.iter().map(|change| {
            let text = change_words(change);
            finding(table, &index.name, code::CONVERTED, Severity::Warning, text)
        })),
        IndexOutcome::LeftOut(reason) => {
            findings.push(index_left_out(table, index, Some(reason), ChosenBy::Rule));
            findings.extend(name_refused(table, &index.name, decision.name.as_ref()));
        }
        IndexOutcome::Excluded(reason) => {
            findings.push(index_left_out(table, index, reason.as_ref(), ChosenBy::Person));
        }
    }
}

/// Prints what becomes of a foreign key, but for its name.
pub(super) fn report_foreign_key(
    table: &SourceTable,
    decision: &ForeignKeyDecision,
    findings: &mut Vec<Finding>,
) {
    let name = &table.foreign_keys[decision.source].name;
    let left_out = |text| finding(table, name, code::LEFT_OUT, Severity::Warning, text);
    let not_created =
        |reason: &str| left_out(format!("the foreign key is not created at the target: {reason}"));
    match &decision.outcome {
        ForeignKeyOutcome::Kept(kept) => {
            let texts = kept.changes.iter().map(|change| match change {
                ForeignKeyChange::DeleteActionDropped(action) => action_words("DELETE", *action),
                ForeignKeyChange::UpdateActionDropped(action) => action_words("UPDATE", *action),
            });
            findings.extend(texts.map(left_out));
        }
        ForeignKeyOutcome::LeftOut(reason) => {
            let meaning = format!(
                "the foreign key is not created at the target: {}",
                foreign_key_meaning(reason)
            );
            findings.push(not_created(&foreign_key_reason(reason)).meaning_of(meaning));
            findings.extend(name_refused(table, name, decision.name.as_ref()));
        }
        ForeignKeyOutcome::Excluded => findings.push(not_created(BY_PERSON)),
    }
}

/// A name that a person has asked for an object that the rules leave out: the choice has no effect,
/// so it is refused.
fn name_refused(table: &SourceTable, part: &str, name: Option<&NameDecision>) -> Option<Finding> {
    let refused = |_: &NameDecision| OverrideError::NotCreated(table.name.clone(), part.to_owned()).finding();
    name.map(refused)
}

/// Prints the name of an index or a foreign key that the target gets, where it is not the usual
/// one.
pub(super) fn report_name(table: &SourceTable, part: &str, name: &NameDecision, findings: &mut Vec<Finding>) {
    if name.reason != NameReason::Own {
        let text = named(name);
        findings.push(finding(table, part, code::CONVERTED, Severity::Notice, text).meaning_of(NAMED));
    }
}

/// Prints that a table would have more indexes than the target takes.
pub(super) fn report_index_count(excess: &IndexCountExcess, findings: &mut Vec<Finding>) {
    let IndexCountExcess { table, own, behind } = excess;
    let text =
        format!("{own} indexes, and {behind} behind foreign keys, Spanner takes {INDEXES_MAX} of a table");
    let meaning = format!(
        "more indexes, with those behind foreign keys, than the {INDEXES_MAX} that Spanner takes of a table"
    );
    let subject = Subject::table(table);
    let finding = Finding::new(code::TARGET_LIMIT, Severity::Blocking, subject, text);
    findings.push(finding.meaning_of(meaning));
}

/// The message about an index that is left out, with the rules' reason if they have one. A missing
/// unique index has other effects than the others.
fn index_left_out(
    table: &SourceTable,
    index: &SourceIndex,
    reason: Option<&IndexReason>,
    chosen_by: ChosenBy,
) -> Finding {
    let by_person = (chosen_by == ChosenBy::Person).then(|| BY_PERSON.to_owned());
    let joined = |words: fn(&IndexReason) -> String| {
        let reasons: Vec<String> = reason.map(words).into_iter().chain(by_person.clone()).collect();
        reasons.join(", and ")
    };
    let (reasons, meanings) = (joined(index_reason), joined(index_meaning));
    let message = |code, severity, text: &str| {
        finding(table, &index.name, code, severity, format!("{text}: {reasons}"))
            .meaning_of(format!("{text}: {meanings}"))
    };
    let plain = "the index is not created at the target";
    if reason.is_some_and(IndexReason::loses_nothing) {
        message(code::LEFT_OUT, Severity::Notice, plain)
    } else if index.unique {
        let text = "the unique index is not created at the target, where nothing keeps its values unique";
        message(code::UNIQUE_LEFT_OUT, Severity::Warning, text)
    } else {
        message(code::LEFT_OUT, Severity::Warning, plain)
    }
}

fn finding(table: &SourceTable, part: &str, code: Code, severity: Severity, text: String) -> Finding {
    let subject = Subject::part(&table.name, part);
    Finding::new(code, severity, subject, text)
}

fn change_words(change: &IndexChange) -> String {
    match change {
        IndexChange::WholeColumn => "an index over a prefix becomes one over the whole column".to_owned(),
        IndexChange::Folding(folding) => format!(
            "at the source the {} decides which values are equal; the target compares their bytes, so its index accepts values that the source refuses as equal",
            folding.words()
        ),
        IndexChange::NullFiltered => {
            "the unique index has nullable columns: rows with a NULL are not in the index at the target"
                .to_owned()
        }
    }
}

fn index_reason(reason: &IndexReason) -> String {
    match reason {
        IndexReason::Kind(kind) => format!("a {kind} index"),
        IndexReason::Expression(text) => format!("it is over the expression `{text}`"),
        IndexReason::UniqueOverPrefix => "unique over a prefix".to_owned(),
        IndexReason::ColumnLeftOut => "a column of it is left out".to_owned(),
        IndexReason::UniqueOver(why) => format!("unique over {}", why.words()),
        IndexReason::TypeNotIndexable => "a type that cannot be indexed".to_owned(),
        IndexReason::NumericInDialect => "numeric cannot be indexed in this dialect".to_owned(),
        IndexReason::SameAsPrimaryKey => "the primary key does the same".to_owned(),
        IndexReason::Excess(excess) => excess_words(*excess),
    }
}

/// The reason without what belongs to one index alone.
fn index_meaning(reason: &IndexReason) -> String {
    match reason {
        IndexReason::Expression(_) => "it is over an expression".to_owned(),
        IndexReason::Excess(_) => KEY_TOO_LONG.to_owned(),
        IndexReason::Kind(_)
        | IndexReason::UniqueOverPrefix
        | IndexReason::ColumnLeftOut
        | IndexReason::UniqueOver(_)
        | IndexReason::TypeNotIndexable
        | IndexReason::NumericInDialect
        | IndexReason::SameAsPrimaryKey => index_reason(reason),
    }
}

fn foreign_key_reason(reason: &ForeignKeyReason) -> String {
    match reason {
        ForeignKeyReason::ParentNotMigrated(parent) => format!("the table `{parent}` is not migrated"),
        ForeignKeyReason::NoColumn(column) => format!("there is no column `{column}`"),
        ForeignKeyReason::Folding(folding) => {
            format!("text of the {} may be equal in other bytes", folding.words())
        }
        ForeignKeyReason::ParentNotUnique => "the columns it refers to are not unique".to_owned(),
        ForeignKeyReason::ColumnLeftOut(column) => format!("the column `{column}` is left out"),
        ForeignKeyReason::TypesDiffer => "its two sides have different types at the target".to_owned(),
        ForeignKeyReason::IndexExcess { table, excess } => {
            let reason = excess_words(*excess);
            format!("the index behind it at `{table}` is above a limit: {reason}")
        }
    }
}

/// The reason without what belongs to one foreign key alone.
fn foreign_key_meaning(reason: &ForeignKeyReason) -> String {
    let words = match reason {
        ForeignKeyReason::ParentNotMigrated(_) => "the table that it refers to is not migrated",
        ForeignKeyReason::NoColumn(_) => "a column that it refers to is missing",
        ForeignKeyReason::ColumnLeftOut(_) => "a column of it is left out",
        ForeignKeyReason::IndexExcess { .. } => "the index behind it is above a limit",
        ForeignKeyReason::Folding(_) => "its text may be equal in other bytes at the source",
        ForeignKeyReason::ParentNotUnique | ForeignKeyReason::TypesDiffer => {
            return foreign_key_reason(reason);
        }
    };
    words.to_owned()
}

fn excess_words(excess: KeyExcess) -> String {
    match excess {
        KeyExcess::Parts(parts) => format!(
            "its key has {parts} parts with those of the table's own key, Spanner takes {KEY_PARTS_MAX}"
        ),
        KeyExcess::Bytes(bytes) => format!(
            "its key may take up to {bytes} bytes with the table's own key, Spanner takes {KEY_BYTES_MAX}"
        ),
    }
}

fn action_words(event: &str, action: ForeignKeyAction) -> String {
    let words = action.words();
    format!("ON {event} {words} is not created at the target: there the foreign key has no action")
}
