//! Column types as INFORMATION_SCHEMA's `spanner_type` spells them: the way back from `spanferry_core::schema::ddl::type_name`.

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
        "INT64" => TargetType::Int64,
        "FLOAT32" => TargetType::Float32,
        "FLOAT64" => TargetType::Float64,
        "NUMERIC" => TargetType::Numeric,
        "DATE" => TargetType::Date,
        "TIMESTAMP" => TargetType::Timestamp,
        "JSON" => TargetType::Json,
        "UUID" => TargetType::Uuid,
        "ARRAY<FLOAT32>" => TargetType::Float32Array(None),
        _ => {
            if let Some(text) = sized("STRING(") {
                TargetType::String(length(text)?)
            } else if let Some(text) = sized("BYTES(") {
                TargetType::Bytes(length(text)?)
            } else {
                TargetType::Float32Array(Some(sized("ARRAY<FLOAT32>(vector_length=>")?.parse().ok()?))
            }
        }
    })
}

fn parse_postgres_type(text: &str) -> Option<TargetType> {
    Some(match text {
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
        "real[]" => TargetType::Float32Array(None),
        _ => {
            if let Some(length) = text.strip_prefix("character varying(") {
                TargetType::String(Some(length.strip_suffix(')')?.parse().ok()?))
            } else {
                TargetType::Float32Array(Some(text.strip_prefix("real[] vector length ")?.parse().ok()?))
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use spanferry_core::schema::ddl::type_name;

    use super::*;

    #[test]
    fn google_types_parse_back() {
        use TargetType::{
            Bytes, Date, Float32, Float32Array, Float64, Int64, Json, Numeric, String, Timestamp, Uuid,
        };
        let sized = [
            String(None),
            String(Some(7)),
            Bytes(None),
            Bytes(Some(7)),
            Float32Array(None),
            Float32Array(Some(3)),
        ];
        for ty in [Int64, Float32, Float64, Numeric, Date, Timestamp, Json, Uuid]
            .into_iter()
            .chain(sized)
        {
            assert_eq!(
                parse_type(Dialect::GoogleSql, &type_name(ty, Dialect::GoogleSql)),
                Some(ty)
            );
        }
        assert_eq!(parse_type(Dialect::GoogleSql, "ARRAY<INT64>"), None);
    }

    #[test]
    fn postgres_types_parse() {
        let check = |text, expected| assert_eq!(parse_type(Dialect::PostgreSql, text), expected, "{text}");
        check("character varying(7)", Some(TargetType::String(Some(7))));
        check("character varying", Some(TargetType::String(None)));
        check("timestamp with time zone", Some(TargetType::Timestamp));
        check("real[] vector length 3", Some(TargetType::Float32Array(Some(3))));
        check("real[]", Some(TargetType::Float32Array(None)));
        check("bigint[]", None);
    }
}
