//! The rule for the default of a column, and for its numbering.

use crate::mapping::decision::{ChosenBy, DefaultDecision, DefaultOutcome, DefaultReason};
use crate::schema::literal::literal;
use crate::schema::logical::LogicalType;
use crate::schema::source::SourceColumn;
use crate::schema::source_default::{Clock, DefaultKind, UuidForm};
use crate::schema::target::{ByTarget, Dialect, TargetType};
use crate::value::encode::{ColumnPlan, Encoding};
use crate::value::owned::OwnedScalar;
use crate::wire::list_value::WireReader;

/// Most bits of a number that an identity skips: the numbers with one more are left.
const SKIPPED_BITS_MAX: u8 = 62;

/// Decides by rule about the default of a column, whose type at the target is decided. A value
/// becomes a default as it would become a cell: by the one conversion, or not at all.
pub(super) fn decide_default(
    column: &SourceColumn,
    ty: TargetType,
    encoding: Encoding,
    dialect: Dialect,
) -> Option<DefaultDecision> {
    if column.generated.is_some() {
        return None;
    }
    let logical = column.ty.logical();
    if column.facts.is_numbered() {
        return Some(by_rule(identity(&logical, ty)));
    }
    let default = column.default.as_ref()?;
    let made = match &default.kind {
        DefaultKind::Value(value) => of_value(value, ty, encoding, dialect),
        DefaultKind::Now { fraction, clock } => of_now(*fraction, *clock, &logical, ty, dialect),
        DefaultKind::Today { clock } => of_today(*clock, &logical, ty, dialect),
        DefaultKind::Uuid(form) => of_uuid(*form, ty, dialect).ok_or(DefaultReason::Expression),
        DefaultKind::Expression => Err(DefaultReason::Expression),
        DefaultKind::Hidden => Err(DefaultReason::Hidden),
    };
    Some(by_rule(made.map(ByTarget::Default)))
}

fn by_rule(made: Result<ByTarget, DefaultReason>) -> DefaultDecision {
    DefaultDecision {
        outcome: match made {
            Ok(by_target) => DefaultOutcome::Created(by_target),
            Err(reason) => DefaultOutcome::LeftOut(reason),
        },
        chosen_by: ChosenBy::Rule,
    }
}

/// An identity that never gives a number which a row of the source can have: it skips what the
/// source's type holds. Of a 64-bit type it skips half of all, and more than any counter reaches.
fn identity(logical: &LogicalType, ty: TargetType) -> Result<ByTarget, DefaultReason> {
    let LogicalType::Integer { bits, unsigned } = *logical else {
        return Err(DefaultReason::NotWhole);
    };
    if ty != TargetType::Int64 {
        return Err(DefaultReason::NotWhole);
    }
    let positive_bits = if unsigned { bits } else { bits - 1 };
    let skipped_to = (1_i64 << positive_bits.min(SKIPPED_BITS_MAX)) - 1;
    Ok(ByTarget::Identity { skipped_to })
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

/// The time of writing. The target's clock has more digits than the source's column: they are cut
/// off, so that its values are such as the source's.
fn of_now(
    fraction: u8,
    clock: Clock,
    logical: &LogicalType,
    ty: TargetType,
    dialect: Dialect,
) -> Result<String, DefaultReason> {
    match (logical, clock) {
        (LogicalType::Timestamp, _) | (LogicalType::LocalDateTime, Clock::Utc) => {}
        (LogicalType::LocalDateTime, Clock::Local) => return Err(DefaultReason::LocalTime),
        _ => return Err(DefaultReason::Expression),
    }
    if ty != TargetType::Timestamp {
        return Err(DefaultReason::Expression);
    }
    now(fraction, dialect).ok_or(DefaultReason::Expression)
}

fn now(fraction: u8, dialect: Dialect) -> Option<String> {
    let unit = match fraction {
        0 => Some(("SECOND", "second")),
        3 => Some(("MILLISECOND", "milliseconds")),
        6 => Some(("MICROSECOND", "microseconds")),
        _ => None,
    };
    match (dialect, unit) {
        (Dialect::GoogleSql, Some((unit, _))) => {
            Some(format!("TIMESTAMP_TRUNC(CURRENT_TIMESTAMP(), {unit})"))
        }
        (Dialect::GoogleSql, None) => {
            let step = 10_u32.pow(u32::from(6_u8.checked_sub(fraction)?));
            Some(format!(
                "TIMESTAMP_MICROS(DIV(UNIX_MICROS(CURRENT_TIMESTAMP()), {step}) * {step})"
            ))
        }
        (Dialect::PostgreSql, Some((_, unit))) => Some(format!("date_trunc('{unit}', CURRENT_TIMESTAMP)")),
        (Dialect::PostgreSql, None) => None,
    }
}

/// The day of writing, in UTC: both dialects would take a day of their own zone otherwise.
fn of_today(
    clock: Clock,
    logical: &LogicalType,
    ty: TargetType,
    dialect: Dialect,
) -> Result<String, DefaultReason> {
    match (logical, ty, clock) {
        (LogicalType::Date, TargetType::Date, Clock::Utc) => Ok(match dialect {
            Dialect::GoogleSql => "CURRENT_DATE('UTC')",
            Dialect::PostgreSql => {
                "DATE '1970-01-01' + floor(extract(epoch FROM CURRENT_TIMESTAMP) / 86400)::bigint"
            }
        }
        .to_owned()),
        (LogicalType::Date, TargetType::Date, Clock::Local) => Err(DefaultReason::LocalTime),
        _ => Err(DefaultReason::Expression),
    }
}

/// A new UUID, which is a random one at the target.
fn of_uuid(form: UuidForm, ty: TargetType, dialect: Dialect) -> Option<String> {
    let google = dialect == Dialect::GoogleSql;
    let generate = if google {
        "GENERATE_UUID()"
    } else {
        "spanner.generate_uuid()"
    };
    let digits = || format!("REPLACE({generate}, '-', '')");
    let holds = |limit: Option<u32>, length| limit.is_none_or(|limit| limit >= length);
    match (form, ty) {
        (UuidForm::Text, TargetType::String(limit)) if holds(limit, 36) => Some(generate.to_owned()),
        (UuidForm::Digits, TargetType::String(limit)) if holds(limit, 32) => Some(digits()),
        // The PostgreSQL dialect has no function that makes bytes of digits.
        (UuidForm::Bytes, TargetType::Bytes(limit)) if google && holds(limit, 16) => {
            Some(format!("FROM_HEX({})", digits()))
        }
        (UuidForm::Text | UuidForm::Digits | UuidForm::Bytes, _) => None,
    }
}

#[cfg(test)]
#[path = "default_tests.rs"]
mod tests;
