//! Column types as INFORMATION_SCHEMA's `spanner_type` spells them: the way back from
//! `spanferry_core::schema::ddl::type_name`.

use spanferry_core::schema::target::{Dialect, TargetType};

/// The type that INFORMATION_SCHEMA's `spanner_type` names, if we create such.
pub(crate) fn parse_type(dialect: Dialect, text: &str) -> Option<TargetType> {
    match dialect {
        Dialect::GoogleSql => parse_google_type(text),
        Dialect::PostgreSql => parse_postgres_type(text),
    }
}

fn parse_google_type(text: &str) -> Option<TargetType> {
    let sized = |prefix: &str| text.strip_prefix(prefix)?.strip_suffix(')');
    let length = |text: &str| {
        if text == "MAX" {
            Some(None)
        } else {
            text.parse().ok().map(Some)
        }
    };
    Some(match text {
        "BOOL" => TargetType::Bool,
        "INT64" => TargetType::Int64,
        "FLOAT32" => TargetType::Float32,
        "FLOAT64" => TargetType::Float64,
        "NUMERIC" => TargetType::Numeric,
        "DATE" => TargetType::Date,
        "TIMESTAMP" => TargetType::Timestamp,
        "JSON" => TargetType::Json,
        "UUID" => TargetType::Uuid,
        _ => {
            if let Some(text) = sized("STRING(") {
                TargetType::String(length(text)?)
            } else if let Some(text) = sized("BYTES(") {
                TargetType::Bytes(length(text)?)
            } else {
                parse_google_array(text)?
            }
        }
    })
}

/// `ARRAY<type>`, and `(vector_length=>n)` behind it.
fn parse_google_array(text: &str) -> Option<TargetType> {
    let (element, length) = text.strip_prefix("ARRAY<")?.rsplit_once('>')?;
    // The arrow of `vector_length=>n` is the last `>`.
    let (element, dimensions) = match element.strip_suffix(">(vector_length=") {
        Some(element) => (element, Some(length.strip_suffix(')')?.parse().ok()?)),
        None if length.is_empty() => (element, None),
        None => return None,
    };
    let element = parse_google_type(element)?.element()?;
    Some(TargetType::Array { element, dimensions })
}

fn parse_postgres_type(text: &str) -> Option<TargetType> {
    Some(match text {
        "boolean" => TargetType::Bool,
        "bigint" => TargetType::Int64,
        "real" => TargetType::Float32,
        "double precision" => TargetType::Float64,
        "numeric" => TargetType::Numeric,
        "text" | "character varying" => TargetType::String(None),
        "bytea" => TargetType::Bytes(None),
        "date" => TargetType::Date,
        "timestamp with time zone" => TargetType::Timestamp,
        "jsonb" => TargetType::Json,
        "uuid" => TargetType::Uuid,
        _ => {
            if let Some((element, length)) = text.rsplit_once("[]") {
                let dimensions = match length.strip_prefix(" vector length ") {
                    Some(length) => Some(length.parse().ok()?),
                    None if length.is_empty() => None,
                    None => return None,
                };
                let element = parse_postgres_type(element)?.element()?;
                TargetType::Array { element, dimensions }
            } else {
                let length = text.strip_prefix("character varying(")?;
                TargetType::String(Some(length.strip_suffix(')')?.parse().ok()?))
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use spanferry_core::schema::ddl::type_name;
    use spanferry_core::schema::target::ElementType;

    use super::*;

    #[test]
    fn google_types_parse_back() {
        use TargetType::{
            Bool, Bytes, Date, Float32, Float64, Int64, Json, Numeric, String, Timestamp, Uuid,
        };
        let sized = [
            String(None),
            String(Some(7)),
            Bytes(None),
            Bytes(Some(7)),
            TargetType::vector(Some(3)),
        ];
        let plain = [
            Bool, Int64, Float32, Float64, Numeric, Date, Timestamp, Json, Uuid,
        ];
        let array = |ty: TargetType| TargetType::Array {
            element: ty.element().unwrap(),
            dimensions: None,
        };
        let arrays = plain.into_iter().chain(sized[..4].iter().copied()).map(array);
        for ty in plain.into_iter().chain(sized).chain(arrays) {
            assert_eq!(
                parse_type(Dialect::GoogleSql, &type_name(ty, Dialect::GoogleSql)),
                Some(ty)
            );
        }
        for other in [
            "ARRAY<ARRAY<INT64>>",
            "ARRAY<STRUCT<a INT64>>",
            "ARRAY<INT64",
            "PROTO<a.B>",
        ] {
            assert_eq!(parse_type(Dialect::GoogleSql, other), None, "{other}");
        }
    }

    #[test]
    fn postgres_types_parse() {
        let check = |text, expected| assert_eq!(parse_type(Dialect::PostgreSql, text), expected, "{text}");
        check("character varying(7)", Some(TargetType::String(Some(7))));
        check("character varying", Some(TargetType::String(None)));
        check("timestamp with time zone", Some(TargetType::Timestamp));
        check("real[] vector length 3", Some(TargetType::vector(Some(3))));
        check("real[]", Some(TargetType::vector(None)));
        let array = |element| {
            Some(TargetType::Array {
                element,
                dimensions: None,
            })
        };
        check("boolean", Some(TargetType::Bool));
        check("bigint[]", array(ElementType::Int64));
        check("timestamp with time zone[]", array(ElementType::Timestamp));
        check("character varying(7)[]", array(ElementType::String(Some(7))));
        check("bigint[][]", None);
        check("spanner.commit_timestamp", None);
    }
}
