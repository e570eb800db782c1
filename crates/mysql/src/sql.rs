//! SQL text: identifiers and literals that no session setting can change.

/// An identifier in backticks.
pub(crate) fn identifier(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

/// A string as a literal; sql_mode is pinned, so backslashes escape.
pub(crate) fn text(value: &str) -> String {
    format!("'{}'", value.replace('\\', "\\\\").replace('\'', "''"))
}

/// A query of the information schema, in which `$in(column)` stands for the condition that the
/// column names this schema.
///
/// MariaDB compares there without regard to letter case, also where `Shop` and `shop` are two
/// schemas; the first half of the condition is the one by which both servers find the schema at
/// once.
pub(crate) fn in_schema(sql: &str, schema: &str) -> String {
    let mut parts = sql.split("$in(");
    let mut whole = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (column, rest) = part.split_once(')').unwrap_or((part, ""));
        let (name, bytes) = (text(schema), hex(schema.as_bytes()));
        whole.push_str(&format!("{column} = {name} AND HEX({column}) = '{bytes}'"));
        whole.push_str(rest);
    }
    whole
}

/// Upper-case hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    let mut out = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        out.push(char::from(DIGITS[usize::from(byte >> 4)]));
        out.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
    out
}
