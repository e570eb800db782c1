//! The mark by which a process list shows that a running statement is ours, and the end of such
//! statements.
//!
//! The number of a connection proves nothing: after a restart of the server it belongs to another
//! client. A statement that carries our mark in a comment can only be ours, because no other
//! program knows the mark. An account sees and may end its own statements without any privilege
//! (both servers' manuals, `SHOW PROCESSLIST` and `KILL`).

use std::collections::BTreeSet;
use std::fmt;

use uuid::Uuid;

use crate::connection::Connection;
use crate::error::MysqlError;

/// How the state of a statement begins that waits for a lock: "Waiting for table metadata lock",
/// "Waiting for table flush" and so on (MySQL's manual, "General Thread States"; the names are the
/// same in MariaDB, and are never translated).
const WAITING: &str = "Waiting for";

/// The mark of one snapshot's statements.
#[derive(Debug)]
pub(crate) struct Mark(String);

/// What a marked statement is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// The session with this number reads.
    Session(usize),
    /// The probe with this number looks whether a reader must wait.
    Probe(usize),
    /// The tables are to be locked.
    Lock,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Role::Session(number) => write!(f, "session {number}"),
            Role::Probe(number) => write!(f, "probe {number}"),
            Role::Lock => write!(f, "lock"),
        }
    }
}

/// What a process list shows of us.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// Our statements that the server is running.
    pub(super) running: Vec<Running>,
    /// The numbers of all connections that the account may see, its own among them.
    connections: BTreeSet<u64>,
}

impl Seen {
    /// Whether the server may still run a statement of a session: it shows one, or has the
    /// connection by which one may be on its way.
    pub(super) fn may_run(&self, session: usize, connection: Option<u32>) -> bool {
        let role = Role::Session(session);
        self.running.iter().any(|statement| statement.role == role)
            || connection.is_some_and(|number| self.connections.contains(&u64::from(number)))
    }
}

/// A marked statement that the server is running.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Running {
    connection: u64,
    pub(super) role: Role,
    /// Whether it waits for a lock.
    pub(super) is_waiting: bool,
}

impl Mark {
    /// A mark that cannot be guessed.
    pub(crate) fn new() -> Mark {
        Mark(format!("spanferry-{}", Uuid::new_v4().simple()))
    }

    /// The comment that marks a statement.
    pub(super) fn comment(&self, role: Role) -> String {
        format!("/* {} {role} */", self.0)
    }

    /// What a statement is for, if it carries the mark.
    fn role(&self, statement: &str) -> Option<Role> {
        let (_, behind) = statement.split_once(self.0.as_str())?;
        let (role, _) = behind.split_once("*/")?;
        let mut words = role.split_ascii_whitespace();
        let (kind, number) = (words.next()?, words.next().and_then(|word| word.parse().ok()));
        match (kind, number) {
            ("session", Some(number)) => Some(Role::Session(number)),
            ("probe", Some(number)) => Some(Role::Probe(number)),
            ("lock", None) => Some(Role::Lock),
            _ => None,
        }
    }

    /// Our statements that the server is running at this moment.
    pub(super) async fn running(&self, connection: &mut Connection) -> Result<Vec<Running>, MysqlError> {
        Ok(self.look(connection).await?.running)
    }

    /// The same, and which connections the server has.
    pub(super) async fn look(&self, connection: &mut Connection) -> Result<Seen, MysqlError> {
        let found = connection.query("SHOW FULL PROCESSLIST").await?;
        let column = |name: &str| {
            found.column(name).ok_or(MysqlError::Protocol {
                expected: "`Id`, `State` and `Info` in a process list",
            })
        };
        let (id, state, info) = (column("Id")?, column("State")?, column("Info")?);
        let running = found.rows.iter().filter_map(|row| {
            Some(Running {
                role: self.role(&row.text(info)?)?,
                connection: row.number(id)?,
                is_waiting: row.text_or_empty(state).starts_with(WAITING),
            })
        });
        Ok(Seen {
            running: running.collect(),
            connections: found.rows.iter().filter_map(|row| row.number(id)).collect(),
        })
    }
}

impl Running {
    /// Ends it: a session's connection, of the others the statement alone. One that has ended
    /// meanwhile is fine.
    pub(super) async fn end(&self, connection: &mut Connection) -> Result<(), MysqlError> {
        let what = match self.role {
            Role::Session(_) => "CONNECTION",
            Role::Probe(_) | Role::Lock => "QUERY",
        };
        match connection
            .execute(&format!("KILL {what} {}", self.connection))
            .await
        {
            Ok(()) | Err(MysqlError::Server { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_has_left_when_neither_its_statement_nor_its_connection_is_there() {
        let running = |role| Running {
            connection: 7,
            role,
            is_waiting: false,
        };
        let seen = Seen {
            running: vec![running(Role::Session(1)), running(Role::Probe(2))],
            connections: BTreeSet::from([7, 8]),
        };
        for (session, connection, expected) in [
            (1, Some(9), true),
            (1, None, true),
            (2, Some(8), true),
            (2, Some(9), false),
            (2, None, false),
        ] {
            assert_eq!(
                seen.may_run(session, connection),
                expected,
                "{session} {connection:?}"
            );
        }
    }

    #[test]
    fn a_statement_shows_its_role_to_its_own_mark_alone() {
        let (own, other) = (Mark::new(), Mark::new());
        for role in [
            Role::Session(0),
            Role::Session(63),
            Role::Probe(4_000),
            Role::Lock,
        ] {
            let statement = format!("SELECT {} 1 FROM `*/ session 7 */`", own.comment(role));
            assert_eq!(own.role(&statement), Some(role));
            assert_eq!(other.role(&statement), None);
        }
        for statement in [
            "SELECT 1",
            "/* spanferry session 1 */ SELECT 1",
            &format!("SELECT {} session", own.0),
            &format!("/* {} session */ SELECT 1", own.0),
            &format!("/* {} lock 1 */ SELECT 1", own.0),
        ] {
            assert_eq!(own.role(statement), None, "{statement}");
        }
    }
}
