//! The rule for the default of a column.

use crate::mapping::decision::{ChosenBy, DefaultDecision, DefaultOutcome, DefaultReason};
use crate::schema::literal::literal;
use crate::schema::source::SourceColumn;
use crate::schema::source_default::DefaultKind;
use crate::schema::target::{ByTarget, Dialect, TargetType};
use crate::value::encode::{ColumnPlan, Encoding};
use crate::value::owned::OwnedScalar;
use crate::wire::list_value::WireReader;

/// Decides by rule about the default of a column, whose type at the target is decided. A value
/// becomes a default as it would become a cell: by the one conversion, or not at all.
pub(super) fn decide_default(
    column: &SourceColumn,
    ty: TargetType,
    encoding: Encoding,
    dialect: Dialect,
) -> Option<DefaultDecision> {
    let default = column.default.as_ref().filter(|_| column.generated.is_none())?;
    let made = match &default.kind {
        DefaultKind::Value(value) => of_value(value, ty, encoding, dialect),
        DefaultKind::Expression => Err(DefaultReason::Expression),
        DefaultKind::Hidden => Err(DefaultReason::Hidden),
    };
    Some(DefaultDecision {
        outcome: match made {
            Ok(expression) => DefaultOutcome::Created(ByTarget::Default(expression)),
            Err(reason) => DefaultOutcome::LeftOut(reason),
        },
        chosen_by: ChosenBy::Rule,
    })
}

/// The literal of a value.
fn of_value(
    value: &OwnedScalar,
    ty: TargetType,
    encoding: Encoding,
    dialect: Dialect,
) -> Result<String, DefaultReason> {
    let mut cell = Vec::new();
    let plan = ColumnPlan::of_source(0, 0, encoding, false);
    plan.encode(value.scalar(), &mut cell)
        .map_err(DefaultReason::Refused)?;
    let encoded = WireReader::new(&cell).next();
    let encoded = encoded.and_then(Result::ok).expect("one cell was just written");
    literal(encoded, ty, dialect).ok_or(DefaultReason::NoLiteral)
}

#[cfg(test)]
#[path = "default_tests.rs"]
mod tests;
