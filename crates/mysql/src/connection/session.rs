//! The session state that every connection starts from: nothing that a server's or an account's
//! settings could have changed.
//!
//! `session-variables.tsv` names every session variable of the servers. Those that it pins are set
//! in one statement after the login, when `init_connect` has run, and read back in another.
//! `SET … = DEFAULT` would take the global value, so every value is written out.

use std::sync::LazyLock;

use super::client::Connection;
use super::server::{Flavor, Server};
use crate::error::MysqlError;

/// The list, as it is in the file.
const LIST: &str = include_str!("session-variables.tsv");
/// The server does not have the variable.
const UNKNOWN_VARIABLE: u16 = 1193;

/// A session variable and what is done about it.
#[derive(Debug, PartialEq, Eq)]
pub struct SessionVariable {
    /// Its name, in lower case.
    pub name: &'static str,
    mysql: Versions,
    mariadb: Versions,
    /// What is done about it.
    pub treatment: Treatment,
    /// Why.
    pub reason: &'static str,
}

/// What is done about a session variable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Treatment {
    /// It is set, read back, and the connection refused where the server does not take it.
    Exact(Pin),
    /// It is set where the server takes it.
    Wanted(Pin),
    /// It changes nothing that we read, wait for or hold.
    Harmless,
}

/// A value that a connection sets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pin {
    /// As `SET` takes it.
    pub value: &'static str,
    /// As `SELECT` gives it.
    pub reads: &'static str,
}

/// The versions of a server that have a variable: from the first, before the second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Versions {
    None,
    Between(Option<Version>, Option<Version>),
}

type Version = (u16, u16, u16);

impl SessionVariable {
    /// Every session variable that is known, in the order in which they are set.
    pub fn all() -> &'static [SessionVariable] {
        static ALL: LazyLock<Vec<SessionVariable>> = LazyLock::new(|| {
            let lines = LIST.lines().filter(|line| !line.starts_with('#'));
            lines
                .map(|line| SessionVariable::parse(line).expect("a test reads the whole list"))
                .collect()
        });
        &ALL
    }

    /// Whether a server of this family and version has it.
    pub fn is_of(&self, server: &Server) -> bool {
        let versions = match server.flavor {
            Flavor::Mysql => self.mysql,
            Flavor::Mariadb => self.mariadb,
        };
        versions.contain(server.version)
    }

    /// What a connection sets it to.
    pub fn pin(&self) -> Option<Pin> {
        match self.treatment {
            Treatment::Exact(pin) | Treatment::Wanted(pin) => Some(pin),
            Treatment::Harmless => None,
        }
    }

    fn parse(line: &'static str) -> Option<SessionVariable> {
        let fields: Vec<&str> = line.split('\t').collect();
        let [name, mysql, mariadb, treatment, value, reads, reason] = fields[..] else {
            return None;
        };
        let pin = Pin { value, reads };
        let treatment = match treatment {
            "exact" => Treatment::Exact(pin),
            "wanted" => Treatment::Wanted(pin),
            "harmless" if value.is_empty() && reads.is_empty() => Treatment::Harmless,
            _ => return None,
        };
        Some(SessionVariable {
            name,
            mysql: Versions::parse(mysql)?,
            mariadb: Versions::parse(mariadb)?,
            treatment,
            reason,
        })
    }
}

impl Versions {
    fn parse(text: &str) -> Option<Versions> {
        let bound = |text: &str| match text {
            "" => Some(None),
            text => version(text).map(Some),
        };
        match text {
            "-" => Some(Versions::None),
            "*" => Some(Versions::Between(None, None)),
            text => {
                let (from, before) = text.split_once("..")?;
                Some(Versions::Between(bound(from)?, bound(before)?))
            }
        }
    }

    fn contain(self, version: Version) -> bool {
        match self {
            Versions::None => false,
            Versions::Between(from, before) => {
                from.is_none_or(|from| version >= from) && before.is_none_or(|before| version < before)
            }
        }
    }
}

fn version(text: &str) -> Option<Version> {
    let mut numbers = text.split('.').map(|digits| digits.parse().ok());
    let version = (numbers.next()??, numbers.next()??, numbers.next()??);
    numbers.next().is_none().then_some(version)
}

/// A variable that this server is expected to have, and the value it gets.
type Setting = (&'static SessionVariable, Pin);

/// Whether a schema can be named in the login. The server reads that name in a character set that
/// it may choose by itself.
pub(super) fn is_login_schema(schema: &str) -> bool {
    !schema.is_empty() && schema.is_ascii()
}

/// Brings a new connection into the state that all of ours start from, and into `schema` where one
/// is named.
pub(super) async fn begin(connection: &mut Connection, schema: &str) -> Result<(), MysqlError> {
    let settings: Vec<Setting> = SessionVariable::all()
        .iter()
        .filter(|variable| variable.is_of(connection.server()))
        .filter_map(|variable| Some((variable, variable.pin()?)))
        .collect();
    let mut taken = pin(connection, &settings).await?;
    if !taken.init_connect.is_empty() {
        // It has run in this session, and may also have left a transaction, locks, temporary tables
        // that stand before the real ones, user variables that steer the binary log stream, or
        // another schema.
        connection.reset().await?;
        taken = pin(connection, &settings).await?;
    }
    if let Some(refused) = taken.refused {
        return Err(refused);
    }
    if !schema.is_empty() && (!taken.init_connect.is_empty() || !is_login_schema(schema)) {
        connection.choose_schema(schema).await?;
    }
    Ok(())
}

/// What a session has taken of the settings.
struct Taken {
    /// The first setting that matters and is another one.
    refused: Option<MysqlError>,
    /// What the server runs in new sessions.
    init_connect: String,
}

async fn pin(connection: &mut Connection, settings: &[Setting]) -> Result<Taken, MysqlError> {
    let unknown = set(connection, settings).await?;
    let known = settings
        .iter()
        .filter(|(variable, _)| !unknown.contains(&variable.name));
    read_back(connection, &known.copied().collect::<Vec<_>>()).await
}

/// Sets all of them in one statement. Where the server refuses that, in two halves, and so on. The
/// names that it does not have.
async fn set(connection: &mut Connection, settings: &[Setting]) -> Result<Vec<&'static str>, MysqlError> {
    let mut unknown = Vec::new();
    let mut parts = vec![settings];
    while let Some(part) = parts.pop() {
        match connection.execute(&statement(part)).await {
            Ok(()) => {}
            Err(error) if error.is_connection_lost() || error.server_code().is_none() => return Err(error),
            // One that is refused may have the value all the same: what counts is what is read
            // back.
            Err(error) if part.len() <= 1 => {
                if error.server_code() == Some(UNKNOWN_VARIABLE) {
                    unknown.extend(part.iter().map(|(variable, _)| variable.name));
                }
            }
            Err(_) => {
                let (first, second) = part.split_at(part.len() / 2);
                parts.extend([second, first]);
            }
        }
    }
    Ok(unknown)
}

fn statement(settings: &[Setting]) -> String {
    let assignments: Vec<_> = settings
        .iter()
        .map(|(variable, pin)| format!("{} = {}", variable.name, pin.value))
        .collect();
    format!("SET SESSION {}", assignments.join(", "))
}

/// Reads back what was set.
async fn read_back(connection: &mut Connection, settings: &[Setting]) -> Result<Taken, MysqlError> {
    let mut columns: Vec<_> = settings
        .iter()
        .map(|(variable, _)| format!("@@SESSION.{}", variable.name))
        .collect();
    columns.push("@@GLOBAL.init_connect".to_owned());
    let found = connection
        .query(&format!("SELECT {}", columns.join(", ")))
        .await?;
    let row = found.rows.first().ok_or(MysqlError::Protocol {
        expected: "the session's settings",
    })?;
    let mut refused = None;
    for (index, (variable, pin)) in settings.iter().enumerate() {
        let found = row.text_or_empty(index);
        if found == pin.reads {
            continue;
        }
        match variable.treatment {
            Treatment::Exact(_) => {
                refused.get_or_insert(MysqlError::SessionSetting {
                    name: variable.name,
                    found,
                    wanted: pin.reads,
                });
            }
            Treatment::Wanted(_) | Treatment::Harmless => {
                tracing::debug!(variable.name, found, "the server does not take a session setting");
            }
        }
    }
    Ok(Taken {
        refused,
        init_connect: row.text_or_empty(settings.len()),
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_list_is_whole() {
        let mut names = BTreeSet::new();
        for variable in SessionVariable::all() {
            let name = variable.name;
            assert!(names.insert(name), "{name} is listed twice");
            assert!(!variable.reason.is_empty(), "{name} has no reason");
            assert!(
                (variable.mysql, variable.mariadb) != (Versions::None, Versions::None),
                "{name} is of no server"
            );
            let Some(pin) = variable.pin() else { continue };
            assert!(!pin.value.is_empty() && pin.value != "''", "{name} has no value");
            assert!(
                pin.value != "DEFAULT" || name == "system_versioning_asof",
                "{name}: DEFAULT is the global value"
            );
        }
    }

    #[test]
    fn the_pinned_timeout_is_the_bound_of_idle_sessions() {
        let all = SessionVariable::all();
        let timeout = all.iter().find(|variable| variable.name == "wait_timeout");
        let pin = timeout.and_then(SessionVariable::pin).expect("it is pinned");
        assert_eq!(pin.reads, crate::options::IDLE_MAX.as_secs().to_string());
    }

    #[test]
    fn versions_of_a_variable() {
        let check = |versions: &str, version: Version, expected: bool| {
            let versions = Versions::parse(versions).expect("versions");
            assert_eq!(versions.contain(version), expected, "{versions:?} {version:?}");
        };
        check("*", (8, 0, 0), true);
        check("-", (8, 0, 0), false);
        check("8.0.30..", (8, 0, 29), false);
        check("8.0.30..", (8, 0, 30), true);
        check("8.0.30..", (9, 0, 0), true);
        check("..11.1.1", (11, 1, 0), true);
        check("..11.1.1", (11, 1, 1), false);
        check("8.0.20..8.4.0", (8, 3, 0), true);
        check("8.0.20..8.4.0", (8, 4, 0), false);
        for wrong in ["", "8.0", "8.0..", "8.0.1", "x..", "8.0.1.2.."] {
            assert_eq!(Versions::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn lines_that_are_not_of_the_form_are_refused() {
        for line in [
            "",
            "a\t*\t*\texact\t1\t1",
            "a\t*\t*\tpinned\t1\t1\twhy",
            "a\t*\t*\tharmless\t1\t\twhy",
            "a\t*\t8\texact\t1\t1\twhy",
        ] {
            assert_eq!(SessionVariable::parse(line), None, "{line}");
        }
    }
}
