//! A key of the target as literals of the source, so that the server itself finds the row.

use spanferry_core::schema::mysql::MysqlType;
use spanferry_core::wire::list_value::WireValue;

use super::plain::{base64, moment};
use crate::sql;

/// The condition that a column has the target's value; `None` if no value of the column can be
/// meant.
pub(super) fn condition(name: &str, ty: &MysqlType, held: WireValue<'_>) -> Option<String> {
    let WireValue::String(text) = held else {
        return None;
    };
    Some(format!("{} = {}", sql::identifier(name), literal(ty, text)?))
}

fn literal(ty: &MysqlType, held: &[u8]) -> Option<String> {
    match ty {
        MysqlType::Integer { .. } | MysqlType::Year => plain(held, "-"),
        MysqlType::Decimal { .. } => plain(held, "-."),
        MysqlType::Date => plain(held, "-").map(|text| quoted(&text)),
        MysqlType::Time { .. } => plain(held, "-:.").map(|text| quoted(&text)),
        MysqlType::DateTime { .. } | MysqlType::Timestamp { .. } => {
            Some(quoted(&moment(held)?.text_of_server()))
        }
        MysqlType::Uuid | MysqlType::Inet4 | MysqlType::Inet6 => {
            plain(held, "-:.abcdefABCDEF").map(|text| quoted(&text))
        }
        MysqlType::Bit { .. } => number(&base64(held)?).map(|number| number.to_string()),
        MysqlType::Binary { .. } | MysqlType::Varbinary { .. } | MysqlType::Blob { .. } => {
            Some(format!("X'{}'", sql::hex(&base64(held)?)))
        }
        MysqlType::Varchar {
            charset, collation, ..
        }
        | MysqlType::Text { charset, collation } => Some(format!(
            "CONVERT(_utf8mb4 X'{}' USING {}) COLLATE {collation}",
            sql::hex(held),
            charset.name()
        )),
        MysqlType::Enum { charset, .. } | MysqlType::Set { charset, .. } => Some(format!(
            "CONVERT(_utf8mb4 X'{}' USING {})",
            sql::hex(held),
            charset.name()
        )),
        // None of them can be a key.
        MysqlType::Float
        | MysqlType::Double
        | MysqlType::Json
        | MysqlType::JsonText { .. }
        | MysqlType::Geometry
        | MysqlType::Vector { .. }
        | MysqlType::Unknown { .. } => None,
    }
}

/// Text of digits and some more letters, as it is.
fn plain(held: &[u8], more: &str) -> Option<String> {
    let text = std::str::from_utf8(held).ok()?;
    let is_plain = |letter: char| letter.is_ascii_digit() || more.contains(letter);
    (!text.is_empty() && text.chars().all(is_plain)).then(|| text.to_owned())
}

fn quoted(text: &str) -> String {
    format!("'{text}'")
}

/// Big-endian bytes as a number.
fn number(bytes: &[u8]) -> Option<u64> {
    let mut wide = [0; 8];
    let start = wide.len().checked_sub(bytes.len())?;
    wide[start..].copy_from_slice(bytes);
    Some(u64::from_be_bytes(wide))
}

#[cfg(test)]
mod tests {
    use super::*;
    use spanferry_core::schema::charset::Charset;

    #[test]
    fn keys_are_found_by_the_server() {
        let check = |ty: MysqlType, held: &str, expected: Option<&str>| {
            let found = condition("a`b", &ty, WireValue::String(held.as_bytes()));
            let expected = expected.map(|literal| format!("`a``b` = {literal}"));
            assert_eq!(found, expected, "{held}");
        };
        let bigint = MysqlType::Integer {
            bits: 64,
            unsigned: false,
        };
        check(bigint.clone(), "-7", Some("-7"));
        check(bigint.clone(), "7 OR 1", None);
        check(bigint, "", None);
        check(MysqlType::Year, "2024", Some("2024"));
        check(MysqlType::Bit { bits: 12 }, "AgE=", Some("513"));
        check(MysqlType::Binary { bytes: 2 }, "AP8=", Some("X'00FF'"));
        check(MysqlType::Binary { bytes: 2 }, "AP8", None);
        let latin = MysqlType::Varchar {
            characters: 9,
            charset: Charset::Latin1,
            collation: "latin1_bin".into(),
        };
        check(
            latin,
            "é'",
            Some("CONVERT(_utf8mb4 X'C3A927' USING latin1) COLLATE latin1_bin"),
        );
        check(
            MysqlType::DateTime { fraction: 3 },
            "2024-01-02T03:04:05.120Z",
            Some("'2024-01-02 03:04:05.120000'"),
        );
        check(
            MysqlType::Time { fraction: 0 },
            "-838:59:59",
            Some("'-838:59:59'"),
        );
        check(MysqlType::Json, "{}", None);
        assert_eq!(condition("a", &MysqlType::Year, WireValue::Null), None);
    }
}
