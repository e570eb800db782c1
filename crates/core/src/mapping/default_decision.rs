//! What is decided about the default of a column: a value, from which DDL and findings are made.

use std::fmt;

use crate::mapping::decision::ChosenBy;
use crate::schema::literal::literal;
use crate::schema::source::SourceColumn;
use crate::schema::source_default::DefaultKind;
use crate::schema::target::{ByTarget, Dialect, TargetType};
use crate::value::encode::{ColumnPlan, Encoding, Refusal};
use crate::value::owned::OwnedScalar;
use crate::wire::list_value::WireReader;

/// The default of one column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DefaultDecision {
    /// What becomes of it.
    pub outcome: DefaultOutcome,
    /// Who has chosen so.
    pub chosen_by: ChosenBy,
}

/// What becomes of a default.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DefaultOutcome {
    /// The target has it: a row without the column gets what the source would give it.
    Created(ByTarget),
    /// The target does not have it.
    LeftOut(DefaultReason),
}

/// Why a default is left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DefaultReason {
    /// Its value is one that is refused in a row too.
    Refused(Refusal),
    /// The target's DDL has no literal that gives exactly its value.
    NoLiteral,
    /// The source did not show its value.
    Hidden,
    /// It is an expression that is not translated.
    Expression,
}

impl fmt::Display for DefaultReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DefaultReason::Refused(refusal) => write!(f, "it is {refusal}"),
            DefaultReason::NoLiteral => f.write_str("the target has no literal for exactly this value"),
            DefaultReason::Hidden => f.write_str("the source does not show its value"),
            DefaultReason::Expression => f.write_str("this expression is not one that is translated"),
        }
    }
}

impl DefaultDecision {
    /// What the target has, if it has it.
    pub fn created(&self) -> Option<&ByTarget> {
        match &self.outcome {
            DefaultOutcome::Created(by_target) => Some(by_target),
            DefaultOutcome::LeftOut(_) => None,
        }
    }
}

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
