//! What the value of a VIRTUAL column depends on besides its row, by a look at the words of its
//! expression.
//!
//! A VIRTUAL column is computed whenever it is read, with the settings of the session that reads
//! it: a snapshot sees it with ours, a change brings it as the writing session computed it. What
//! each word depends on was measured on MySQL 9.7 and MariaDB 10.11, which allow more or less of
//! these words in such a column.

use std::collections::BTreeSet;

use crate::schema::mysql::MysqlType;
use crate::schema::source::{SourceColumn, SourceTable};

/// What a value depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Dependence {
    /// The moment, chance, or the session as such: two reads of one row may differ.
    Moment,
    /// A session variable of this name.
    Setting(&'static str),
}

const TIME_ZONE: Dependence = Dependence::Setting("time_zone");
const MONTH_NAMES: Dependence = Dependence::Setting("lc_time_names");
const SQL_MODE: Dependence = Dependence::Setting("sql_mode");
const DIVISION: Dependence = Dependence::Setting("div_precision_increment");
const WEEKS: Dependence = Dependence::Setting("default_week_format");
const REGEX_FLAGS: Dependence = Dependence::Setting("default_regex_flags");
const ENCRYPTION: Dependence = Dependence::Setting("block_encryption_mode");

/// Functions and operators whose result depends on more than their arguments, in lower case.
const WORDS: &[(&str, Dependence)] = &[
    ("aes_decrypt", ENCRYPTION),
    ("aes_encrypt", ENCRYPTION),
    ("benchmark", Dependence::Moment),
    ("connection_id", Dependence::Moment),
    ("curdate", Dependence::Moment),
    ("current_date", Dependence::Moment),
    ("current_role", Dependence::Moment),
    ("current_time", Dependence::Moment),
    ("current_timestamp", Dependence::Moment),
    ("current_user", Dependence::Moment),
    ("curtime", Dependence::Moment),
    ("database", Dependence::Moment),
    ("dayname", MONTH_NAMES),
    ("encrypt", Dependence::Moment),
    ("found_rows", Dependence::Moment),
    ("from_unixtime", TIME_ZONE),
    ("get_lock", Dependence::Moment),
    ("is_free_lock", Dependence::Moment),
    ("is_used_lock", Dependence::Moment),
    ("last_insert_id", Dependence::Moment),
    ("lastval", Dependence::Moment),
    ("load_file", Dependence::Moment),
    ("localtime", Dependence::Moment),
    ("localtimestamp", Dependence::Moment),
    ("monthname", MONTH_NAMES),
    ("nextval", Dependence::Moment),
    ("now", Dependence::Moment),
    ("rand", Dependence::Moment),
    ("random_bytes", Dependence::Moment),
    ("regexp", REGEX_FLAGS),
    ("regexp_instr", REGEX_FLAGS),
    ("regexp_replace", REGEX_FLAGS),
    ("regexp_substr", REGEX_FLAGS),
    ("release_lock", Dependence::Moment),
    ("rlike", REGEX_FLAGS),
    ("row_count", Dependence::Moment),
    ("schema", Dependence::Moment),
    ("session_user", Dependence::Moment),
    ("setval", Dependence::Moment),
    ("sleep", Dependence::Moment),
    ("str_to_date", SQL_MODE),
    ("sys_guid", Dependence::Moment),
    ("sysdate", Dependence::Moment),
    ("system_user", Dependence::Moment),
    ("to_char", MONTH_NAMES),
    ("unix_timestamp", TIME_ZONE),
    ("user", Dependence::Moment),
    ("utc_date", Dependence::Moment),
    ("utc_time", Dependence::Moment),
    ("utc_timestamp", Dependence::Moment),
    ("uuid", Dependence::Moment),
    ("uuid_short", Dependence::Moment),
    ("version", Dependence::Moment),
];

/// Functions that print a time by a pattern.
const PATTERN_FUNCTIONS: [&str; 3] = ["date_format", "time_format", "from_unixtime"];
/// What of a pattern prints a name.
const NAME_PATTERNS: [&str; 4] = ["%M", "%b", "%W", "%a"];
/// The types of which a text may be read with more or less strictness.
const TEMPORAL_WORDS: [&str; 3] = ["date", "datetime", "time"];

/// One word, name, text or sign of an expression.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    /// A bare word or number, in lower case.
    Word(String),
    /// A name in back-quotes.
    Name(String),
    /// A text in quotes.
    Text(String),
    /// Any other character.
    Sign(char),
}

/// Everything that the values of a VIRTUAL column depend on besides its row; nothing for other
/// columns.
pub(crate) fn dependences(table: &SourceTable, column: &SourceColumn) -> BTreeSet<Dependence> {
    let Some(expression) = column.generated.as_deref().filter(|_| !column.generated_stored) else {
        return BTreeSet::new();
    };
    let tokens = tokens(expression);
    let mut found: BTreeSet<Dependence> = words(&tokens).filter_map(by_word).collect();
    let used: Vec<&SourceColumn> = used_columns(table, &tokens).collect();
    let is_copy = tokens.len() == 1;
    let rules = [
        (uses_time_zone(column, &used, is_copy), TIME_ZONE),
        (prints_names(&tokens), MONTH_NAMES),
        (tokens.contains(&Token::Sign('/')), DIVISION),
        (has_week_of_one_argument(&tokens), WEEKS),
        (reads_text_as_time(column, &used, &tokens), SQL_MODE),
        (shortens_fraction(column, &used), SQL_MODE),
        (tokens.contains(&Token::Sign('@')), Dependence::Moment),
    ];
    found.extend(
        rules
            .into_iter()
            .filter(|(holds, _)| *holds)
            .map(|(_, found)| found),
    );
    found
}

fn words(tokens: &[Token]) -> impl Iterator<Item = &str> {
    tokens.iter().filter_map(|token| match token {
        Token::Word(word) => Some(word.as_str()),
        Token::Name(_) | Token::Text(_) | Token::Sign(_) => None,
    })
}

fn by_word(word: &str) -> Option<Dependence> {
    let place = WORDS.binary_search_by_key(&word, |(known, _)| known).ok()?;
    Some(WORDS[place].1)
}

/// The columns that an expression names; both servers print them in back-quotes.
fn used_columns<'a>(table: &'a SourceTable, tokens: &'a [Token]) -> impl Iterator<Item = &'a SourceColumn> {
    let names = tokens.iter().filter_map(|token| match token {
        Token::Name(name) => Some(name),
        Token::Word(_) | Token::Text(_) | Token::Sign(_) => None,
    });
    names.filter_map(|name| table.column_index(name).map(|place| &table.columns[place]))
}

fn is_timestamp(column: &SourceColumn) -> bool {
    matches!(column.ty.mysql(), Some(MysqlType::Timestamp { .. }))
}

/// A TIMESTAMP is a moment; as soon as it becomes a date, a number or a text, or they become one,
/// the session's zone decides.
fn uses_time_zone(column: &SourceColumn, used: &[&SourceColumn], is_copy: bool) -> bool {
    let reads_moment = used.iter().any(|used| is_timestamp(used));
    if is_timestamp(column) {
        return !(is_copy && reads_moment);
    }
    reads_moment
}

fn prints_names(tokens: &[Token]) -> bool {
    if !words(tokens).any(|word| PATTERN_FUNCTIONS.contains(&word)) {
        return false;
    }
    let mut patterns = tokens.iter().filter_map(|token| match token {
        Token::Text(text) => Some(text),
        Token::Word(_) | Token::Name(_) | Token::Sign(_) => None,
    });
    let is_open = words(tokens).any(|word| word == "date_format" || word == "time_format");
    match patterns.clone().next() {
        // The pattern comes from a column.
        None => is_open,
        Some(_) => patterns.any(|pattern| NAME_PATTERNS.iter().any(|name| pattern.contains(name))),
    }
}

/// `WEEK(date)`: with a second argument no setting matters.
fn has_week_of_one_argument(tokens: &[Token]) -> bool {
    let starts = tokens.windows(2).enumerate();
    let mut starts =
        starts.filter(|(_, pair)| pair[0] == Token::Word("week".to_owned()) && pair[1] == Token::Sign('('));
    starts.any(|(start, _)| {
        let mut depth = 0_usize;
        for token in &tokens[start + 1..] {
            match token {
                Token::Sign('(') => depth += 1,
                Token::Sign(')') if depth == 1 => return true,
                Token::Sign(')') => depth -= 1,
                Token::Sign(',') if depth == 1 => return false,
                Token::Sign(_) | Token::Word(_) | Token::Name(_) | Token::Text(_) => {}
            }
        }
        false
    })
}

/// `sql_mode` decides whether `2024-02-31` and `2024-00-00` are dates.
fn reads_text_as_time(column: &SourceColumn, used: &[&SourceColumn], tokens: &[Token]) -> bool {
    let reads_text = used.iter().any(|used| {
        matches!(
            used.ty.mysql(),
            Some(MysqlType::Varchar { .. } | MysqlType::Text { .. })
        )
    });
    let casts = tokens.windows(2).any(|pair| {
        pair[0] == Token::Word("as".to_owned())
            && matches!(&pair[1], Token::Word(word) if TEMPORAL_WORDS.contains(&word.as_str()))
    });
    reads_text && (casts || is_temporal(column))
}

fn is_temporal(column: &SourceColumn) -> bool {
    column.ty.mysql() == Some(&MysqlType::Date) || fraction(column).is_some()
}

fn fraction(column: &SourceColumn) -> Option<u8> {
    match column.ty.mysql()? {
        MysqlType::DateTime { fraction }
        | MysqlType::Timestamp { fraction }
        | MysqlType::Time { fraction } => Some(*fraction),
        _ => None,
    }
}

/// `sql_mode` decides whether a fraction that has no room is rounded or cut.
fn shortens_fraction(column: &SourceColumn, used: &[&SourceColumn]) -> bool {
    let room = fraction(column);
    let longest = used.iter().filter_map(|used| fraction(used)).max();
    room.zip(longest).is_some_and(|(room, longest)| room < longest)
}

fn tokens(expression: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut rest = expression.chars().peekable();
    while let Some(first) = rest.next() {
        if first.is_whitespace() {
            continue;
        }
        tokens.push(match first {
            '`' => Token::Name(quoted(first, &mut rest)),
            '\'' | '"' => Token::Text(quoted(first, &mut rest)),
            _ if is_word(first) => {
                let mut word = String::from(first.to_ascii_lowercase());
                while let Some(next) = rest.next_if(|next| is_word(*next)) {
                    word.push(next.to_ascii_lowercase());
                }
                Token::Word(word)
            }
            _ => Token::Sign(first),
        });
    }
    tokens
}

fn is_word(character: char) -> bool {
    character.is_alphanumeric() || matches!(character, '_' | '$')
}

/// The content up to the closing quote: a doubled quote stands for itself, and so does what follows
/// a backslash in a text.
fn quoted(quote: char, rest: &mut std::iter::Peekable<std::str::Chars<'_>>) -> String {
    let mut content = String::new();
    while let Some(next) = rest.next() {
        if next == quote {
            if rest.next_if_eq(&quote).is_none() {
                break;
            }
        } else if next == '\\' && quote != '`' {
            content.extend(rest.next());
            continue;
        }
        content.push(next);
    }
    content
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{BIGINT, column, table};
    use crate::schema::charset::Charset;

    fn varchar() -> MysqlType {
        MysqlType::Varchar {
            characters: 20,
            charset: Charset::Utf8mb4,
            collation: "utf8mb4_bin".to_owned(),
        }
    }

    const DATETIME: MysqlType = MysqlType::DateTime { fraction: 0 };
    const TIMESTAMP: MysqlType = MysqlType::Timestamp { fraction: 0 };
    const DATE: MysqlType = MysqlType::Date;

    #[track_caller]
    fn check(expression: &str, ty: MysqlType, expected: &[&str]) {
        let mut columns = vec![
            column("ts", TIMESTAMP),
            column("dt", DATETIME),
            column("dt6", MysqlType::DateTime { fraction: 6 }),
            column("n", BIGINT),
            column("s", varchar()),
            column("week", BIGINT),
        ];
        columns.push(SourceColumn {
            generated: Some(expression.to_owned()),
            ..column("g", ty)
        });
        let mut source = table("t", columns);
        let words = |source: &SourceTable| -> Vec<String> {
            let found = dependences(source, &source.columns[6]);
            let word = |found: &Dependence| match found {
                Dependence::Moment => "moment".to_owned(),
                Dependence::Setting(name) => (*name).to_owned(),
            };
            found.iter().map(word).collect()
        };
        assert_eq!(words(&source), expected, "{expression}");
        source.columns[6].generated_stored = true;
        assert_eq!(words(&source), Vec::<String>::new(), "stored: {expression}");
    }

    #[test]
    fn words_are_in_order_for_the_search() {
        assert!(WORDS.windows(2).all(|pair| pair[0].0 < pair[1].0));
    }

    /// The expressions as the servers print them, with what was measured.
    #[test]
    fn expressions_of_both_servers() {
        check("cast(`ts` as date)", DATE, &["time_zone"]);
        check("`ts`", DATETIME, &["time_zone"]);
        check("`ts`", TIMESTAMP, &[]);
        check("`dt`", TIMESTAMP, &["time_zone"]);
        check("`TS` + interval 1 day", DATETIME, &["time_zone"]);
        check("extract(hour from `ts`)", BIGINT, &["time_zone"]);
        check("from_unixtime(`n`)", DATETIME, &["time_zone"]);
        check("unix_timestamp(`dt`)", BIGINT, &["time_zone"]);
        check(
            "from_unixtime(`n`,'%Y %M')",
            varchar(),
            &["lc_time_names", "time_zone"],
        );
        check("date_format(`dt`,'%M %d')", varchar(), &["lc_time_names"]);
        check("date_format(`dt`,'%Y-%m')", varchar(), &[]);
        check("date_format(`dt`,`s`)", varchar(), &["lc_time_names"]);
        check("time_format(`dt`,'%a')", varchar(), &["lc_time_names"]);
        check("monthname(`dt`)", varchar(), &["lc_time_names"]);
        check("to_char(`dt`,'MON')", varchar(), &["lc_time_names"]);
        check("(`n` / 3)", BIGINT, &["div_precision_increment"]);
        check("(`n` DIV 3)", BIGINT, &[]);
        check("concat(`s`,'a/b')", varchar(), &[]);
        check("week(`dt`)", BIGINT, &["default_week_format"]);
        check(
            "week(cast(concat(`n`,'') as signed))",
            BIGINT,
            &["default_week_format"],
        );
        check("week(`dt`,1)", BIGINT, &[]);
        check("`week` + 1", BIGINT, &[]);
        check("str_to_date('5','%m')", DATE, &["sql_mode"]);
        check("cast(`s` as date)", DATE, &["sql_mode"]);
        check("year(cast(`s` as datetime))", BIGINT, &["sql_mode"]);
        check("cast(`dt` as date)", DATE, &[]);
        check("`s`", DATE, &["sql_mode"]);
        check("cast(`dt6` as datetime)", DATETIME, &["sql_mode"]);
        check("`dt6`", MysqlType::DateTime { fraction: 6 }, &[]);
        check("aes_encrypt(`s`,'k')", varchar(), &["block_encryption_mode"]);
        check("`s` regexp 'a.c'", BIGINT, &["default_regex_flags"]);
        check("regexp_like(`s`,'^[a-z]+$')", BIGINT, &[]);
        check("@@div_precision_increment", BIGINT, &["moment"]);
        check("current_timestamp()", DATETIME, &["moment"]);
        check("uuid()", varchar(), &["moment"]);
        check("concat(`s`,' now() `ts` rand()')", varchar(), &[]);
        check("concat(`s`,'it''s','\\'',' rand()')", varchar(), &[]);
        check("json_extract(`s`,'$.a')", MysqlType::Json, &[]);
        check("lcase(`s`)", varchar(), &[]);
    }
}
