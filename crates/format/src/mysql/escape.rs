//! What a backslash means in a text of SQL.

/// The byte that `\x` stands for; none for the two that keep their backslash.
pub(crate) fn unescaped(escape: u8) -> Option<u8> {
    Some(match escape {
        b'0' => 0,
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'b' => 0x08,
        b'Z' => 0x1a,
        b'%' | b'_' => return None,
        other => other,
    })
}

/// The value of a text with its quotes.
pub(crate) fn literal(text: &str, no_backslash: bool) -> String {
    let Some(quote) = text.chars().next() else {
        return String::new();
    };
    let mut value = String::with_capacity(text.len());
    let mut rest = text[quote.len_utf8()..].chars();
    while let Some(next) = rest.next() {
        if next == '\\' && !no_backslash {
            let Some(escape) = rest.next() else { break };
            match u8::try_from(escape).map(unescaped) {
                Ok(Some(byte)) => value.push(char::from(byte)),
                Ok(None) => value.extend(['\\', escape]),
                Err(_) => value.push(escape),
            }
        } else if next != quote {
            value.push(next);
        } else if rest.next() == Some(quote) {
            value.push(quote);
        } else {
            break;
        }
    }
    value
}
