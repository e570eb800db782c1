//! Defaults of columns: which of them are values, and which values.
//!
//! The catalog shows a value as text, and for some types less than the value: a FLOAT in six
//! digits, `?` for a character outside the BMP, bytes up to the first zero (MySQL) or with `?`
//! (MariaDB), and MySQL a TIMESTAMP in the zone of the session that created it. Such a value is
//! hidden, and the connector asks for it.

use spanferry_core::schema::charset::Charset;
use spanferry_core::schema::mysql::MysqlType;
use spanferry_core::schema::source_default::{Clock, DefaultKind, SourceDefault};
use spanferry_core::value::owned::OwnedScalar;
use spanferry_core::value::scalar::Scalar;

use super::cell;
use super::default_expression;
use super::literal::literal;

/// What the catalog shows of a column whose default is not NULL.
#[derive(Debug, Clone, Copy)]
pub struct Shown<'a> {
    /// Its type.
    pub ty: &'a MysqlType,
    /// `COLUMN_TYPE`, such as `double(10,3)`.
    pub column_type: &'a str,
    /// Whether the server is MariaDB.
    pub is_mariadb: bool,
    /// Whether MySQL says that the default is an expression; of MariaDB the text tells.
    pub is_expression: bool,
    /// The clock of a session that chooses no time zone.
    pub clock: Clock,
}

impl Shown<'_> {
    /// The default with this text. A value that the text may not show exactly is hidden.
    pub fn default(self, text: String) -> SourceDefault {
        let literal = if self.is_mariadb {
            literal(&text, self.ty)
        } else {
            (!self.is_expression).then(|| text.clone().into_bytes())
        };
        let kind = match literal {
            None => default_expression::kind(&text, self.ty, self.clock),
            Some(literal) => match value(self.ty, &literal) {
                Some(value) if self.is_exact(&text) => DefaultKind::Value(value),
                Some(_) | None => DefaultKind::Hidden,
            },
        };
        SourceDefault { text, kind }
    }

    /// Whether the text shows the value exactly.
    fn is_exact(self, text: &str) -> bool {
        let is_whole = !text.contains(['?', char::REPLACEMENT_CHARACTER]);
        let is_zero = text.bytes().all(|byte| matches!(byte, b'0' | b'.'));
        match self.ty {
            MysqlType::Integer { .. }
            | MysqlType::Decimal { .. }
            | MysqlType::Bit { .. }
            | MysqlType::Date
            | MysqlType::DateTime { .. }
            | MysqlType::Time { .. }
            | MysqlType::Year
            | MysqlType::Uuid
            | MysqlType::Inet4
            | MysqlType::Inet6 => true,
            MysqlType::Varchar { charset, .. }
            | MysqlType::Text { charset, .. }
            | MysqlType::Enum { charset, .. }
            | MysqlType::Set { charset, .. }
            | MysqlType::JsonText { charset } => *charset != Charset::Binary && is_whole,
            MysqlType::Float => is_zero,
            // With a number of digits it is printed in as many.
            MysqlType::Double => is_zero || !self.column_type.contains('('),
            MysqlType::Timestamp { .. } => self.is_mariadb,
            MysqlType::Binary { .. } | MysqlType::Varbinary { .. } | MysqlType::Blob { .. } => {
                if self.is_mariadb {
                    is_whole
                } else {
                    text.is_empty()
                }
            }
            MysqlType::Json | MysqlType::Geometry | MysqlType::Vector { .. } | MysqlType::Unknown { .. } => {
                false
            }
        }
    }
}

/// The value of a literal's text: as the server prints a cell, but text in UTF-8, and BIT as
/// `b'101'`.
pub fn value(ty: &MysqlType, text: &[u8]) -> Option<OwnedScalar> {
    let utf8 = || std::str::from_utf8(text).ok();
    let mut scratch = Vec::new();
    let scalar = match ty {
        MysqlType::Varchar { charset, .. }
        | MysqlType::Text { charset, .. }
        | MysqlType::Enum { charset, .. }
        | MysqlType::Set { charset, .. }
            if *charset != Charset::Binary =>
        {
            Scalar::Text(utf8()?)
        }
        MysqlType::JsonText { .. } => Scalar::Json(utf8()?),
        MysqlType::Bit { .. } => {
            let digits = utf8()?.strip_prefix("b'")?.strip_suffix('\'')?;
            let bits = u64::from_str_radix(digits, 2).ok()?.to_be_bytes();
            let start = bits.iter().take_while(|byte| **byte == 0).count();
            return OwnedScalar::of(cell::scalar(ty, &bits[start..], &mut scratch).ok()?);
        }
        _ => cell::scalar(ty, text, &mut scratch).ok()?,
    };
    OwnedScalar::of(scalar)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_that_may_be_less_than_the_value_are_hidden() {
        let varchar = |charset| MysqlType::Varchar {
            characters: 9,
            charset,
            collation: String::new(),
        };
        let integer = MysqlType::Integer {
            bits: 32,
            unsigned: true,
        };
        let shown = |text: &str, ty: &MysqlType, column_type: &str, is_mariadb| {
            let shown = Shown {
                ty,
                column_type,
                is_mariadb,
                is_expression: false,
                clock: Clock::Utc,
            };
            shown.default(text.to_owned()).kind
        };
        let check = |text: &str, ty: &MysqlType, expected: Option<Scalar<'_>>| {
            let expected = expected.and_then(OwnedScalar::of);
            let expected = expected.map_or(DefaultKind::Hidden, DefaultKind::Value);
            assert_eq!(shown(text, ty, "", false), expected, "{text}");
        };
        check("00042", &integer, Some(Scalar::Digits(b"42")));
        check(
            "b'101'",
            &MysqlType::Bit { bits: 10 },
            Some(Scalar::Bytes(b"\0\x05")),
        );
        check("b'0'", &MysqlType::Bit { bits: 1 }, Some(Scalar::Bytes(b"\0")));
        check("it's", &varchar(Charset::Utf8mb4), Some(Scalar::Text("it's")));
        check("é", &varchar(Charset::Latin1), Some(Scalar::Text("é")));
        check("NULL", &varchar(Charset::Utf8mb4), Some(Scalar::Text("NULL")));
        check("why?", &varchar(Charset::Utf8mb4), None);
        check("0x61", &varchar(Charset::Binary), None);
        check("0x6162", &MysqlType::Binary { bytes: 4 }, None);
        check("0x", &MysqlType::Binary { bytes: 4 }, None);
        check("", &MysqlType::Varbinary { bytes: 4 }, Some(Scalar::Bytes(b"")));
        check("0.1", &MysqlType::Float, None);
        check("0.00", &MysqlType::Float, Some(Scalar::Float32(0.0)));
        check("0.1", &MysqlType::Double, Some(Scalar::Float64(0.1)));
        check("2020-01-02 03:04:05", &MysqlType::Timestamp { fraction: 0 }, None);
        check("no year", &MysqlType::Year, None);
        let digits = shown("1.234", &MysqlType::Double, "double(10,3)", false);
        assert_eq!(digits, DefaultKind::Hidden);
        let is_hidden = |text: &str, ty: MysqlType| shown(text, &ty, "", true) == DefaultKind::Hidden;
        assert!(!is_hidden(
            "'2020-01-02 03:04:05'",
            MysqlType::Timestamp { fraction: 0 }
        ));
        assert!(!is_hidden(r"'ab\0\0'", MysqlType::Binary { bytes: 4 }));
        assert!(is_hidden(r"'\0?'", MysqlType::Varbinary { bytes: 4 }));
    }
}
