//! What lines of SHOW GRANTS allow: on everything, on a schema (whose name may be a pattern), on a
//! table.

use spanferry_core::schema::source::NameCase;

/// Everything that an account and its active roles were granted, and what was taken back from it.
#[derive(Debug)]
pub(super) struct Grants {
    given: Vec<Grant>,
    /// Partial revokes: what a grant on everything does not give on these schemas.
    revoked: Vec<Grant>,
    /// Whether `_` and `%` in a schema's name stand for themselves.
    literal: bool,
}

/// One line.
#[derive(Debug, PartialEq, Eq)]
struct Grant {
    /// Upper-case names; privileges on columns are left out, as they give no whole row.
    privileges: Vec<String>,
    /// None: on every schema.
    schema: Option<String>,
    /// None: on every table of it.
    table: Option<String>,
}

impl Grants {
    /// Reads the lines; those that give something else, such as a role or a procedure, are passed
    /// over.
    pub(super) fn parse(lines: &[String], literal: bool, names: NameCase) -> Grants {
        let of = |verb: &str, end: &str| -> Vec<Grant> {
            let lines = lines.iter().filter_map(|line| line.strip_prefix(verb));
            lines.filter_map(|line| Grant::parse(line, end, names)).collect()
        };
        Grants {
            given: of("GRANT ", " TO "),
            revoked: of("REVOKE ", " FROM "),
            literal,
        }
    }

    /// Whether one of the privileges is given on everything.
    pub(super) fn everywhere(&self, names: &[&str]) -> bool {
        let mut grants = self.given.iter();
        grants.any(|grant| grant.schema.is_none() && grant.gives(names))
    }

    /// Whether one of the privileges is given on every table of a schema.
    pub(super) fn on_schema(&self, schema: &str, names: &[&str]) -> bool {
        let own = |grant: &&Grant| grant.table.is_none() && self.is_for(grant, schema);
        let is_revoked = self.revoked.iter().filter(own).any(|grant| grant.gives(names));
        (self.everywhere(names) && !is_revoked)
            || self.given.iter().filter(own).any(|grant| grant.gives(names))
    }

    /// Whether one of the privileges is given on a table by itself.
    pub(super) fn on_table(&self, schema: &str, table: &str, names: &[&str]) -> bool {
        self.given.iter().any(|grant| {
            grant.schema.as_deref() == Some(schema)
                && grant.table.as_deref() == Some(table)
                && grant.gives(names)
        })
    }

    fn is_for(&self, grant: &Grant, schema: &str) -> bool {
        match &grant.schema {
            None => false,
            Some(name) if self.literal => name == schema,
            Some(pattern) => matches(pattern.as_bytes(), schema.as_bytes()),
        }
    }
}

impl Grant {
    /// Reads ``SELECT, INSERT (`a`) ON `s`.* TO …`` behind its verb; `end` stands before the
    /// account.
    fn parse(line: &str, end: &str, names: NameCase) -> Option<Grant> {
        let (privileges, rest) = line.split_once(" ON ")?;
        let (schema, rest) = name(rest)?;
        let (table, rest) = name(rest.strip_prefix('.')?)?;
        if !rest.starts_with(end) {
            return None;
        }
        let privileges = outside_parentheses(privileges);
        let whole = privileges
            .split(',')
            .map(str::trim)
            .filter(|name| !name.ends_with("()"));
        let spelled = |name: Option<String>| name.map(|name| names.normalise(&name).into_owned());
        Some(Grant {
            privileges: whole.map(str::to_ascii_uppercase).collect(),
            schema: spelled(schema),
            table: spelled(table),
        })
    }

    fn gives(&self, names: &[&str]) -> bool {
        self.privileges
            .iter()
            .any(|own| own == "ALL PRIVILEGES" || own == "ALL" || names.contains(&own.as_str()))
    }
}

/// A name or `*` (none) at the start of a text, and what follows it.
fn name(text: &str) -> Option<(Option<String>, &str)> {
    if let Some(rest) = text.strip_prefix('*') {
        return Some((None, rest));
    }
    let mut name = String::new();
    let mut rest = text.strip_prefix('`')?;
    loop {
        let (part, behind) = rest.split_once('`')?;
        name.push_str(part);
        // A doubled quote is one of the name.
        match behind.strip_prefix('`') {
            Some(behind) => rest = behind,
            None => return Some((Some(name), behind)),
        }
        name.push('`');
    }
}

/// The text with everything between parentheses left out, which may hold commas.
fn outside_parentheses(text: &str) -> String {
    let mut depth = 0_u32;
    let mut kept = String::new();
    for letter in text.chars() {
        depth = depth.saturating_sub(u32::from(letter == ')'));
        if depth == 0 && letter != '`' {
            kept.push(letter);
        }
        depth += u32::from(letter == '(');
    }
    kept
}

/// SQL's LIKE: `%` any run, `_` one character, a backslash takes the next one as it is. Bounded by
/// the shortness of names.
fn matches(pattern: &[u8], text: &[u8]) -> bool {
    match (pattern, text) {
        ([], _) => text.is_empty(),
        ([b'%', rest @ ..], _) => (0..=text.len()).any(|skipped| matches(rest, &text[skipped..])),
        ([b'\\', wanted, rest @ ..], [found, behind @ ..]) => wanted == found && matches(rest, behind),
        ([b'_', rest @ ..], [_, behind @ ..]) => matches(rest, after_character(behind)),
        ([wanted, rest @ ..], [found, behind @ ..]) => wanted == found && matches(rest, behind),
        (_, []) => false,
    }
}

/// What follows the character whose first byte has been taken.
fn after_character(text: &[u8]) -> &[u8] {
    let continued = text.iter().take_while(|byte| *byte & 0xC0 == 0x80).count();
    &text[continued..]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(lines: &[&str], schema: &str, expected: bool) {
        let lines: Vec<String> = lines.iter().map(|line| (*line).to_owned()).collect();
        let found = Grants::parse(&lines, false, NameCase::Sensitive).on_schema(schema, &["SELECT"]);
        assert_eq!(found, expected, "{lines:?} on {schema}");
    }

    #[test]
    fn a_schema_is_covered_by_itself_a_pattern_or_everything() {
        check(
            &["GRANT ALL PRIVILEGES ON *.* TO `a`@`%` WITH GRANT OPTION"],
            "s",
            true,
        );
        check(&["GRANT INSERT, SELECT ON `sho%`.* TO `a`@`%`"], "shop", true);
        check(&["GRANT SELECT ON `sho%`.* TO `a`@`%`"], "sho", true);
        check(&["GRANT SELECT ON `sho%`.* TO `a`@`%`"], "store", false);
        check(&["GRANT SELECT ON `my\\_db`.* TO `a`@`%`"], "my_db", true);
        check(&["GRANT SELECT ON `my\\_db`.* TO `a`@`%`"], "my1db", false);
        check(&["GRANT SELECT ON `my_db`.* TO `a`@`%`"], "my1db", true);
        check(&["GRANT SELECT ON `sch_n`.* TO `a`@`%`"], "schön", true);
        check(&["GRANT SELECT ON `a``b.c`.* TO `a`@`%`"], "a`b.c", true);
        check(&["GRANT SELECT ON `s`.`t` TO `a`@`%`"], "s", false);
        check(&["GRANT INSERT, LOCK TABLES ON `s`.* TO `a`@`%`"], "s", false);
        check(
            &["GRANT SELECT (`a`, `b`), INSERT ON `s`.* TO `a`@`%`"],
            "s",
            false,
        );
        check(&["GRANT `role`@`%` TO `a`@`%`"], "s", false);
        check(
            &["GRANT EXECUTE ON PROCEDURE `s`.`SELECT` TO `a`@`%`"],
            "s",
            false,
        );
        let partial = [
            "GRANT SELECT ON *.* TO `a`@`%`",
            "REVOKE SELECT ON `s`.* FROM `a`@`%`",
        ];
        check(&partial, "s", false);
        check(&partial, "t", true);
    }

    #[test]
    fn partial_revokes_take_patterns_as_names() {
        let lines = ["GRANT SELECT ON `sho%`.* TO `a`@`%`".to_owned()];
        let grants = Grants::parse(&lines, true, NameCase::Sensitive);
        assert!(grants.on_schema("sho%", &["SELECT"]) && !grants.on_schema("shop", &["SELECT"]));
    }

    #[test]
    fn names_are_compared_as_the_server_compares_them() {
        let lines = [
            "GRANT SELECT ON `Shop2`.* TO `a`@`%`".to_owned(),
            "GRANT SELECT ON `S`.`T` TO `a`@`%`".to_owned(),
        ];
        for (names, expected) in [(NameCase::Sensitive, false), (NameCase::Insensitive, true)] {
            let grants = Grants::parse(&lines, false, names);
            assert_eq!(grants.on_schema("shop2", &["SELECT"]), expected);
            assert_eq!(grants.on_table("s", "t", &["SELECT"]), expected);
        }
    }

    #[test]
    fn tables_are_covered_one_by_one() {
        let lines = ["GRANT SELECT, INSERT ON `s`.`a b` TO `a`@`%`".to_owned()];
        let grants = Grants::parse(&lines, false, NameCase::Sensitive);
        assert!(grants.on_table("s", "a b", &["SELECT"]));
        assert!(!grants.on_table("s", "a", &["SELECT"]) && !grants.everywhere(&["SELECT"]));
    }
}
