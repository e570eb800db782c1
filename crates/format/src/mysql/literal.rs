//! Literals as the catalogs write them.

use spanferry_core::schema::mysql::MysqlType;

/// The content of a literal as MariaDB writes it: a text in quotes, a number, bits, or the bytes of
/// a BLOB; none of any other expression. MariaDB computes constant expressions when the table is
/// created, and shows their value as its column holds it.
pub fn literal(text: &str, ty: &MysqlType) -> Option<Vec<u8>> {
    if text.starts_with('\'') {
        return unquoted(text).map(String::into_bytes);
    }
    if let (MysqlType::Blob { .. }, Some(hex)) = (ty, hex_digits(text)) {
        return bytes_of_hex(hex);
    }
    let digits = text.strip_prefix('-').unwrap_or(text);
    let is_number = digits.starts_with(|first: char| first.is_ascii_digit())
        && digits.parse::<f64>().is_ok_and(f64::is_finite);
    let is_bits = text
        .strip_prefix("b'")
        .and_then(|rest| rest.strip_suffix('\''))
        .is_some_and(|bits| bits.bytes().all(|bit| matches!(bit, b'0' | b'1')));
    (is_number || is_bits).then(|| text.as_bytes().to_vec())
}

/// The digits of `0x00ff` or `X'00ff'`.
fn hex_digits(text: &str) -> Option<&str> {
    let quoted = || {
        text.strip_prefix("X'")
            .or_else(|| text.strip_prefix("x'"))?
            .strip_suffix('\'')
    };
    text.strip_prefix("0x").or_else(quoted)
}

/// The bytes of pairs of hexadecimal digits.
pub fn bytes_of_hex(digits: &str) -> Option<Vec<u8>> {
    let pairs = digits.as_bytes().chunks(2);
    let byte = |pair: &[u8]| match pair {
        [_, _] => u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok(),
        _ => None,
    };
    pairs.map(byte).collect()
}

/// A text without its quotes; none if it is more than one text.
pub fn unquoted(text: &str) -> Option<String> {
    let mut content = String::new();
    let mut rest = text.strip_prefix('\'')?.chars();
    loop {
        match rest.next()? {
            '\'' if rest.as_str().is_empty() => return Some(content),
            '\'' if rest.next() == Some('\'') => content.push('\''),
            '\'' => return None,
            '\\' => content.push(match rest.next()? {
                '0' => '\0',
                'n' => '\n',
                'r' => '\r',
                't' => '\t',
                'Z' => '\u{1a}',
                other => other,
            }),
            other => content.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_mariadb_writes_is_a_literal_or_an_expression() {
        let check = |text: &str, expected: Option<&str>| {
            let blob = MysqlType::Blob { bytes_max: 255 };
            let expected = expected.map(str::as_bytes);
            assert_eq!(literal(text, &blob).as_deref(), expected, "{text}");
        };
        check("5", Some("5"));
        check("-3", Some("-3"));
        check("00042", Some("00042"));
        check("1e300", Some("1e300"));
        check("b'101'", Some("b'101'"));
        check("''", Some(""));
        check(r#"'a''b\\c\nd"'"#, Some("a'b\\c\nd\""));
        check(r"'\0'", Some("\0"));
        check("'a' 'b'", None);
        check("'a''", None);
        check("'a\\'", None);
        check("current_timestamp()", None);
        check("(1 + 2)", None);
        check("1 + 2", None);
        check("X'6162'", Some("ab"));
        check("0x61", Some("a"));
        check("x'616'", None);
        check("-", None);
        check("inf", None);
        check("uuid()", None);
        check("b'1' + 1", None);
        check("concat('a','b')", None);
    }
}
