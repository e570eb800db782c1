//! The target database's name, parsed from `spanner://projects/P/instances/I/databases/D`.

use std::fmt;
use std::str::FromStr;

/// The scheme of a target URL.
const SCHEME: &str = "spanner://";

/// The form that a target URL has, for messages.
const EXPECTED: &str = "expected `spanner://projects/PROJECT/instances/INSTANCE/databases/DATABASE`";

/// A database by project, instance and its own id.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct DatabaseName {
    project: String,
    instance: String,
    database: String,
}

/// The text is no target URL.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{EXPECTED}, found `{found}`")]
pub struct MalformedUrl {
    /// The text.
    pub found: String,
}

impl DatabaseName {
    /// The project's id.
    pub fn project(&self) -> &str {
        &self.project
    }

    /// `projects/P/instances/I`.
    pub(crate) fn instance_path(&self) -> String {
        format!("projects/{}/instances/{}", self.project, self.instance)
    }

    /// `projects/P/instances/I/databases/D`.
    pub fn path(&self) -> String {
        format!("{}/databases/{}", self.instance_path(), self.database)
    }

    /// The database's own id.
    pub fn database(&self) -> &str {
        &self.database
    }

    /// Whether Spanner creates a database of this id: 2 to 30 lower-case letters, digits, `_` and
    /// `-`, a letter first and neither `_` nor `-` last (documentation of `CREATE DATABASE`).
    pub fn can_be_created(&self) -> bool {
        let id = &self.database;
        (2..=30).contains(&id.len())
            && id.starts_with(|first: char| first.is_ascii_lowercase())
            && !id.ends_with(['_', '-'])
            && !id.contains(|character: char| character.is_ascii_uppercase())
    }
}

impl FromStr for DatabaseName {
    type Err = MalformedUrl;

    /// Takes the URL, or the bare resource path as other Google tools write it.
    fn from_str(text: &str) -> Result<DatabaseName, MalformedUrl> {
        let malformed = || MalformedUrl {
            found: text.to_owned(),
        };
        let path = text.strip_prefix(SCHEME).unwrap_or(text);
        let parts: Vec<&str> = path.split('/').collect();
        let ["projects", project, "instances", instance, "databases", database] = parts[..] else {
            return Err(malformed());
        };
        let ids = [
            (project, project_character as fn(char) -> bool),
            (instance, id_character),
            (database, id_character),
        ];
        if ids
            .iter()
            .any(|(id, allowed)| id.is_empty() || !id.chars().all(allowed))
        {
            return Err(malformed());
        }
        Ok(DatabaseName {
            project: project.to_owned(),
            instance: instance.to_owned(),
            database: database.to_owned(),
        })
    }
}

impl fmt::Display for DatabaseName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{SCHEME}{}", self.path())
    }
}

/// Projects of a domain are written `example.com:project`.
fn project_character(character: char) -> bool {
    id_character(character) || matches!(character, '.' | ':')
}

fn id_character(character: char) -> bool {
    character.is_ascii_alphanumeric() || matches!(character, '-' | '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Option<&str>) {
        let parsed = text.parse::<DatabaseName>();
        assert_eq!(parsed.ok().map(|name| name.path()).as_deref(), expected, "{text}");
    }

    #[test]
    fn what_can_be_created() {
        let check = |id: &str, expected: bool| {
            let name: DatabaseName = format!("projects/p/instances/i/databases/{id}").parse().unwrap();
            assert_eq!(name.can_be_created(), expected, "{id}");
        };
        check("ab", true);
        check("shop_2-eu", true);
        check(&"a".repeat(30), true);
        for wrong in ["a", "Shop", "1shop", "shop-", "shop_", &"a".repeat(31)] {
            check(wrong, false);
        }
    }

    #[test]
    fn urls_and_paths() {
        check(
            "spanner://projects/p/instances/i/databases/d",
            Some("projects/p/instances/i/databases/d"),
        );
        check(
            "projects/p/instances/i/databases/d-1_x",
            Some("projects/p/instances/i/databases/d-1_x"),
        );
        check(
            "spanner://projects/a.com:p/instances/i/databases/d",
            Some("projects/a.com:p/instances/i/databases/d"),
        );
        check("spanner://projects/p/instances/i", None);
        check("spanner://projects/p/instances/i/databases/d/", None);
        check("spanner://projects/p/instances//databases/d", None);
        check("spanner://projects/p/instances/i/databases/d?x=1", None);
        check("mysql://projects/p/instances/i/databases/d", None);
    }
}
