//! The parts of a SET statement.

use crate::mysql::token::{Placed, Token};

/// Whether a value of `time_zone` is UTC. Another value, also one that a variable keeps, is not
/// known.
pub(super) fn is_utc(text: &str, value: &[Placed]) -> bool {
    match value {
        [value] if value.token == Token::Literal => {
            let name = text[value.span.clone()].trim_matches(['\'', '"']);
            name == "+00:00" || name.eq_ignore_ascii_case("UTC")
        }
        _ => false,
    }
}

/// A variable that a statement names.
pub(super) enum Variable<'a> {
    /// One of the server's, in this session.
    Server(&'a str),
    /// `@name`.
    Own(&'a str),
}

/// The variable, if the tokens name one of the session.
pub(super) fn variable(tokens: &[Placed]) -> Option<Variable<'_>> {
    let ats = tokens
        .iter()
        .take_while(|token| token.token == Token::Symbol('@'));
    let ats = ats.count();
    let is_session = |scope: &Placed| scope.token.is_word("SESSION") || scope.token.is_word("LOCAL");
    let name = match &tokens[ats..] {
        [name] => name,
        [scope, name] if ats == 0 && is_session(scope) => name,
        [scope, dot, name] if dot.token == Token::Symbol('.') && is_session(scope) => name,
        _ => return None,
    };
    let name = name.token.identifier()?;
    Some(if ats == 1 {
        Variable::Own(name)
    } else {
        Variable::Server(name)
    })
}

/// The assignments of SET, which commas outside of parentheses separate.
pub(super) fn assignments(tokens: &[Placed]) -> impl Iterator<Item = &[Placed]> {
    let mut depth = 0_usize;
    tokens.split(move |token| {
        match token.token {
            Token::Symbol('(') => depth += 1,
            Token::Symbol(')') => depth = depth.saturating_sub(1),
            _ => {}
        }
        depth == 0 && token.token == Token::Symbol(',')
    })
}
