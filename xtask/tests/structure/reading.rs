//! What one source file says of others: the paths it uses, the names it gives on, its length.

use crate::tokens::{Token, tokens};

/// A path such as `crate::schema::table`.
pub(crate) type Path = Vec<String>;

/// One `use` of one name.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Use {
    pub(crate) path: Path,
    /// The name under which it is known here.
    pub(crate) name: String,
    /// Whether others may use it from here.
    pub(crate) is_public: bool,
}

/// One file without its tests.
#[derive(Debug, Default)]
pub(crate) struct Reading {
    pub(crate) uses: Vec<Use>,
    /// Paths of two words or more outside of `use`.
    pub(crate) paths: Vec<Path>,
    /// Lines that are not in an item under `#[cfg(test)]`.
    pub(crate) lines: usize,
}

/// Reads a file.
pub(crate) fn read(source: &str) -> Reading {
    let tokens = tokens(source);
    let mut reading = Reading {
        lines: source.lines().count(),
        ..Reading::default()
    };
    let mut at = 0;
    // The modules within the file that are open, each with the depth of its braces.
    let mut modules: Vec<(&str, usize)> = Vec::new();
    let mut depth = 0;
    while at < tokens.len() {
        if starts_with(&tokens[at..], &["#", "[", "cfg", "(", "test", ")", "]"]) {
            let end = item_end(&tokens, at);
            reading.lines -= tokens[end - 1].line - tokens[at].line + 1;
            at = end;
            continue;
        }
        let inside: Vec<&str> = modules.iter().map(|(name, _)| *name).collect();
        match tokens[at].text {
            "{" => depth += 1,
            "}" => {
                depth -= 1;
                modules.pop_if(|(_, outside)| *outside == depth);
            }
            "mod" if tokens.get(at + 2).is_some_and(|token| token.text == "{") => {
                modules.push((tokens[at + 1].text, depth));
            }
            "use" if tokens.get(at + 1).is_some_and(Token::is_word) => {
                let mut found = Vec::new();
                let end = use_tree(&tokens, at + 1, &[], &mut found);
                let is_public = is_public(&tokens[..at]);
                let uses = found.into_iter().map(|(path, name)| Use {
                    path: from_file(path, &inside),
                    name,
                    is_public,
                });
                reading.uses.extend(uses);
                at = end;
                continue;
            }
            _ if tokens[at].is_word() => {
                let (path, end) = path(&tokens, at);
                if path.len() > 1 {
                    reading.paths.push(from_file(path, &inside));
                }
                at = end;
                continue;
            }
            _ => {}
        }
        at += 1;
    }
    reading
}

fn starts_with(tokens: &[Token<'_>], texts: &[&str]) -> bool {
    let first = tokens.iter().map(|token| token.text).take(texts.len());
    first.eq(texts.iter().copied())
}

/// The index behind the item at `at`, which may have attributes before it.
fn item_end(tokens: &[Token<'_>], mut at: usize) -> usize {
    while starts_with(&tokens[at..], &["#", "["]) {
        at = closing(tokens, at + 1) + 1;
    }
    let is_use = tokens[at..]
        .iter()
        .take_while(|token| token.text != "{")
        .any(|token| token.text == "use");
    while at < tokens.len() {
        match tokens[at].text {
            ";" => return at + 1,
            "{" if !is_use => return closing(tokens, at) + 1,
            "(" | "[" | "{" => at = closing(tokens, at) + 1,
            _ => at += 1,
        }
    }
    tokens.len()
}

/// The index of the bracket that closes the one at `at`.
fn closing(tokens: &[Token<'_>], at: usize) -> usize {
    let mut depth = 0_usize;
    for (index, token) in tokens.iter().enumerate().skip(at) {
        match token.text {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return index;
        }
    }
    tokens.len() - 1
}

/// Whether what comes before `use` is `pub` or `pub(…)`.
fn is_public(before: &[Token<'_>]) -> bool {
    match before {
        [.., open, _, close] if close.text == ")" => open.text == "(",
        [.., last] => last.text == "pub",
        [] => false,
    }
}

/// Reads what follows `use` or a `::` in it; the index behind it.
fn use_tree(tokens: &[Token<'_>], at: usize, before: &[String], found: &mut Vec<(Path, String)>) -> usize {
    let mut path = before.to_vec();
    let mut at = at;
    while let Some(token) = tokens.get(at) {
        match token.text {
            "{" => {
                let end = closing(tokens, at);
                at += 1;
                while at < end {
                    at = use_tree(tokens, at, &path, found);
                    at += usize::from(at < end && tokens[at].text == ",");
                }
                return end + 1;
            }
            "as" => {
                found.push((path, tokens[at + 1].text.to_owned()));
                return at + 2;
            }
            "," | ";" | "}" => break,
            "::" => {}
            "self" if !path.is_empty() => {}
            text => path.push(text.to_owned()),
        }
        at += 1;
    }
    let name = path.last().cloned().unwrap_or_default();
    found.push((path, name));
    at
}

/// The path that begins at the word `at`, and the index behind it.
fn path(tokens: &[Token<'_>], mut at: usize) -> (Path, usize) {
    let mut path = vec![tokens[at].text.to_owned()];
    while let [_, separator, word, ..] = &tokens[at..]
        && separator.text == "::"
        && word.is_word()
    {
        path.push(word.text.to_owned());
        at += 2;
    }
    (path, at + 1)
}

/// `path` as the file would write it that holds the modules `inside`.
fn from_file(mut path: Path, inside: &[&str]) -> Path {
    let mut inside = inside.to_vec();
    while !inside.is_empty() && path.first().is_some_and(|first| first == "super") {
        inside.pop();
        path[0] = "self".to_owned();
        if path.get(1).is_some_and(|second| second == "super") {
            path.remove(0);
        }
    }
    if path.first().is_some_and(|first| first == "self") {
        path.splice(1..1, inside.into_iter().map(str::to_owned));
    }
    path
}

#[test]
fn every_use_is_read_with_its_name() {
    let reading = read("pub(crate) use a::{b, c::{self, d as e}}; use super::f;");
    let uses: Vec<String> = reading
        .uses
        .iter()
        .map(|found| format!("{} {} {}", found.path.join("::"), found.name, found.is_public))
        .collect();
    assert_eq!(
        uses,
        ["a::b b true", "a::c c true", "a::c::d e true", "super::f f false"]
    );
}

#[test]
fn what_is_under_cfg_test_is_left_out() {
    let reading = read(
        "use a::b;\n#[cfg(test)]\nuse c::{d, e};\n#[cfg(test)]\nmod tests {\n    use f::g;\n}\nh::i();\n",
    );
    assert_eq!(reading.uses.len(), 1, "{reading:?}");
    assert_eq!(reading.paths, [["h", "i"]]);
    assert_eq!(reading.lines, 2);
}

#[test]
fn super_in_a_module_within_the_file_is_the_file() {
    let reading = read("mod a { use super::b; use super::super::c; } use super::d;");
    let paths: Vec<String> = reading.uses.iter().map(|found| found.path.join("::")).collect();
    assert_eq!(paths, ["self::b", "super::c", "super::d"]);
}
