//! How the server is asked to print a cell: in another way than a snapshot reads it, exact for each
//! type.
//!
//! | type | printed as | why |
//! |---|---|---|
//! | FLOAT, DOUBLE | the 8 bytes of the double, out of a POINT's WKB | no decimal text in between |
//! | text, ENUM, SET | HEX of the server's own conversion to UTF-8; length and SHA-256 where long | the server decodes, not we |
//! | bytes | HEX; length and SHA-256 where long | |
//! | BIT | HEX of the number | |
//! | TIMESTAMP | seconds since 1970 | no time zone takes part |
//! | TIME | sign, seconds, microseconds | |
//! | JSON | HEX of its text; the number of its members where long | |
//!
//! All of it is ASCII. NULL is NULL.

use spanferry_core::schema::mysql::MysqlType;

use crate::sql;

/// Bytes of text or bytes that are printed whole: HEX doubles them, and what exceeds
/// `max_allowed_packet` would become NULL.
const WHOLE_BYTES_MAX: usize = 64 << 10;
/// The same for JSON text, which no digest can stand for: its spelling differs.
const JSON_BYTES_MAX: usize = 256 << 10;

/// No printed cell is longer.
pub(super) const PRINTED_CHARACTERS_MAX: usize = 1_000_000;

/// The expression for a column.
pub(super) fn expression(name: &str, ty: &MysqlType) -> String {
    let column = sql::identifier(name);
    let text = format!("CONVERT({column} USING utf8mb4)");
    match ty {
        MysqlType::Integer { .. } | MysqlType::Decimal { .. } => format!("CAST({column} AS CHAR)"),
        MysqlType::Year => format!("CAST({column} + 0 AS CHAR)"),
        // WKB of a point: order of bytes (1), type (4), x (8), y (8).
        MysqlType::Float | MysqlType::Double => {
            format!("SUBSTR(HEX(ST_AsBinary(POINT({column}, 0))), 11, 16)")
        }
        MysqlType::Bit { .. } => format!("HEX({column} + 0)"),
        MysqlType::Varchar { .. }
        | MysqlType::Text { .. }
        | MysqlType::Enum { .. }
        | MysqlType::Set { .. } => whole_or_digest(&text),
        MysqlType::Binary { .. }
        | MysqlType::Varbinary { .. }
        | MysqlType::Blob { .. }
        | MysqlType::Geometry
        | MysqlType::Vector { .. } => whole_or_digest(&column),
        MysqlType::Json => whole_or_length(&format!("CAST({column} AS CHAR)"), &column),
        MysqlType::JsonText { .. } => whole_or_length(&text, &column),
        MysqlType::Date => format!("DATE_FORMAT({column}, '%Y-%m-%d')"),
        MysqlType::DateTime { .. } => format!("DATE_FORMAT({column}, '%Y-%m-%d %H:%i:%s.%f')"),
        MysqlType::Timestamp { .. } => format!("CAST(UNIX_TIMESTAMP({column}) AS CHAR)"),
        MysqlType::Time { .. } => format!(
            "CONCAT(IF({column} < '00:00:00', '-', ''), FLOOR(ABS(TIME_TO_SEC({column}))), '.', \
             LPAD(MICROSECOND({column}), 6, '0'))"
        ),
        MysqlType::Uuid | MysqlType::Inet4 | MysqlType::Inet6 => format!("CAST({column} AS CHAR)"),
        MysqlType::Unknown { .. } => format!("HEX({column})"),
    }
}

fn whole_or_digest(value: &str) -> String {
    format!(
        "IF(OCTET_LENGTH({value}) <= {WHOLE_BYTES_MAX}, HEX({value}), CONCAT(OCTET_LENGTH({value}), ':', SHA2({value}, 256)))"
    )
}

fn whole_or_length(text: &str, column: &str) -> String {
    format!("IF(OCTET_LENGTH({text}) <= {JSON_BYTES_MAX}, HEX({text}), CONCAT(JSON_LENGTH({column}), ':'))")
}
