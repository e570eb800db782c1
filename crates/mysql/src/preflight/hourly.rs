//! Limits of the account by the hour: a load asks more questions than such a limit is meant for.

use spanferry_core::report::amount::count;
use spanferry_core::report::code;
use spanferry_core::report::finding::Severity;
use spanferry_core::report::remedy::Remedy;

use super::Check;
use crate::error::MysqlError;

/// The limits, as `SHOW CREATE USER` and `ALTER USER` have them. Those on changes do not concern
/// us.
const LIMITS: [&str; 2] = ["MAX_QUERIES_PER_HOUR", "MAX_CONNECTIONS_PER_HOUR"];

impl Check<'_> {
    pub(super) async fn hourly_limits(&mut self) -> Result<(), MysqlError> {
        // Both servers show an account itself without any privilege.
        let found = self.rows_if_allowed("SHOW CREATE USER CURRENT_USER()").await?;
        let Some(row) = found.unwrap_or_default().into_iter().next() else {
            return Ok(());
        };
        for (name, most) in limits(&row.text_or_empty(0)) {
            let account = &self.account;
            let text = format!(
                "the account {account} has {name} {}: beyond it the migration waits for the next hour, or ends",
                count(most)
            );
            let remedy = Remedy::source(format!("ALTER USER {account} WITH {name} 0"));
            self.find_of_server(code::SOURCE_SESSIONS, Severity::Warning, text, Some(remedy));
        }
        Ok(())
    }
}

/// The limits that an account's definition sets. Names and texts of the definition stand in quotes,
/// so none of them is a word here.
fn limits(definition: &str) -> Vec<(&'static str, u64)> {
    let words: Vec<&str> = definition.split_ascii_whitespace().collect();
    let pairs = words.windows(2);
    pairs
        .filter_map(|pair| {
            let name = LIMITS.into_iter().find(|name| *name == pair[0])?;
            let most = pair[1].parse().ok().filter(|most| *most > 0)?;
            Some((name, most))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_read_from_an_account() {
        let mysql = "CREATE USER `a`@`%` IDENTIFIED WITH 'caching_sha2_password' AS '...' REQUIRE NONE \
                     WITH MAX_QUERIES_PER_HOUR 500 MAX_USER_CONNECTIONS 3 PASSWORD EXPIRE DEFAULT ACCOUNT UNLOCK";
        assert_eq!(limits(mysql), [("MAX_QUERIES_PER_HOUR", 500)]);
        let mariadb = "CREATE USER `a`@`%` IDENTIFIED BY PASSWORD '*1' WITH MAX_CONNECTIONS_PER_HOUR 9";
        assert_eq!(limits(mariadb), [("MAX_CONNECTIONS_PER_HOUR", 9)]);
        assert_eq!(limits("CREATE USER `MAX_QUERIES_PER_HOUR`@`%` REQUIRE NONE"), []);
    }
}
