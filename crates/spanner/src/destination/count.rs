//! The statement by which the database counts the rows of a table in an interval of its keys.

use std::collections::BTreeMap;

use prost_types::value::Kind;
use prost_types::{Struct, Value};
use spanferry_core::plan::TablePlan;
use spanferry_core::port::target::{KeyInterval, ScanKey};
use spanferry_core::schema::ddl;
use spanferry_core::schema::target::{Dialect, TargetColumn, TargetType};
use spanferry_core::wire::list_value::{WireReader, WireValue};
use spanferry_spanner_api::spanner::{ExecuteSqlRequest, Type, TypeCode};

/// `SELECT COUNT(*)` of the rows in an interval; none if SQL cannot compare a key of it as the
/// primary key does.
pub(super) fn count_query(
    plan: &TablePlan,
    keys: KeyInterval<'_>,
    dialect: Dialect,
) -> Option<ExecuteSqlRequest> {
    let mut query = Query {
        plan,
        dialect,
        params: BTreeMap::new(),
        request: ExecuteSqlRequest::default(),
    };
    let after = keys.after.map(|key| query.follows(key));
    let up_to = keys.up_to.map(|key| query.follows(key));
    let mut conditions = Vec::new();
    if let Some(after) = after {
        conditions.push(after?);
    }
    if let Some(up_to) = up_to {
        // The condition is never NULL: each part of it asks for NULL by itself.
        conditions.push(format!("NOT {}", up_to?));
    }
    let mut sql = format!("SELECT COUNT(*) FROM {}", ddl::quote(&plan.target.name, dialect));
    if !conditions.is_empty() {
        sql.push_str(" WHERE ");
        sql.push_str(&conditions.join(" AND "));
    }
    query.request.sql = sql;
    let fields = query.params;
    query.request.params = (!fields.is_empty()).then_some(Struct { fields });
    Some(query.request)
}

/// A statement and its parameters.
struct Query<'a> {
    plan: &'a TablePlan,
    dialect: Dialect,
    params: BTreeMap<String, Value>,
    request: ExecuteSqlRequest,
}

impl Query<'_> {
    /// The condition that a row follows this key, in brackets: a part is greater, or it is equal
    /// and the parts behind it follow.
    fn follows(&mut self, key: &ScanKey) -> Option<String> {
        let target = &self.plan.target;
        let cells: Vec<WireValue<'_>> = WireReader::new(key.payload()).collect::<Result<_, _>>().ok()?;
        if cells.len() != target.primary_key.len() {
            return None;
        }
        let mut condition: Option<String> = None;
        for (column, cell) in target.primary_key.iter().zip(cells).rev() {
            let (greater, equal) = self.compared(&target.columns[*column], cell)?;
            condition = Some(match condition {
                None => format!("({greater})"),
                Some(behind) => format!("({greater} OR ({equal} AND {behind}))"),
            });
        }
        condition
    }

    /// The conditions that a column is greater than a value, and that it is equal to it. NULL
    /// precedes every value.
    fn compared(&mut self, column: &TargetColumn, cell: WireValue<'_>) -> Option<(String, String)> {
        let name = ddl::quote(&column.name, self.dialect);
        let (code, kind) = match (column.ty, cell) {
            (_, WireValue::Null) => {
                return Some((format!("{name} IS NOT NULL"), format!("{name} IS NULL")));
            }
            (TargetType::Bool, WireValue::Bool(value)) => (TypeCode::Bool, Kind::BoolValue(value)),
            (ty, WireValue::String(text)) => {
                let text = std::str::from_utf8(text).ok()?.to_owned();
                (text_code(ty)?, Kind::StringValue(text))
            }
            // SQL and keys order NaN in their own ways.
            (_, WireValue::Number(_) | WireValue::Bool(_) | WireValue::List(_)) => return None,
        };
        let value = self.parameter(code, kind);
        let not_null = if column.not_null {
            String::new()
        } else {
            format!("{name} IS NOT NULL AND ")
        };
        Some((
            format!("({not_null}{name} > {value})"),
            format!("({not_null}{name} = {value})"),
        ))
    }

    /// Adds a parameter and spells it.
    fn parameter(&mut self, code: TypeCode, kind: Kind) -> String {
        let number = self.params.len() + 1;
        let name = format!("p{number}");
        let ty = Type {
            code: code as i32,
            ..Type::default()
        };
        self.request.param_types.insert(name.clone(), ty);
        self.params.insert(name.clone(), Value { kind: Some(kind) });
        match self.dialect {
            Dialect::GoogleSql => format!("@{name}"),
            Dialect::PostgreSql => format!("${number}"),
        }
    }
}

/// The type of a parameter whose value travels as text; none if SQL does not order it as keys are
/// ordered.
fn text_code(ty: TargetType) -> Option<TypeCode> {
    match ty {
        TargetType::Int64 => Some(TypeCode::Int64),
        TargetType::Numeric => Some(TypeCode::Numeric),
        TargetType::String(_) => Some(TypeCode::String),
        TargetType::Bytes(_) => Some(TypeCode::Bytes),
        TargetType::Date => Some(TypeCode::Date),
        TargetType::Timestamp => Some(TypeCode::Timestamp),
        TargetType::Uuid => Some(TypeCode::Uuid),
        TargetType::Bool
        | TargetType::Float32
        | TargetType::Float64
        | TargetType::Json
        | TargetType::Array { .. } => None,
    }
}
