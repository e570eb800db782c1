//! Words of a shell command, quoted so that a command can be printed and run as it stands.

use std::borrow::Cow;

/// The text as one word of a POSIX shell: in single quotes unless it consists of characters that
/// mean nothing to a shell.
pub fn quoted(text: &str) -> Cow<'_, str> {
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "_-./:,@%+=".contains(letter);
    // A word that begins with a hyphen or an equals sign can mean something else.
    if !text.is_empty() && text.chars().all(is_plain) && !text.starts_with(['-', '=']) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(format!("'{}'", text.replace('\'', r"'\''")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_stay_whole() {
        let check = |text: &str, expected: &str| assert_eq!(quoted(text), expected);
        check("orders", "orders");
        check("/data/spanferry-state", "/data/spanferry-state");
        check("a b", "'a b'");
        check("$HOME", "'$HOME'");
        check("it's", r"'it'\''s'");
        check("", "''");
        check("-x", "'-x'");
        check("größe", "'größe'");
    }
}
