//! A position in a history of either kind.

use std::fmt;

use super::{GtidSet, MariadbGtids, PositionError, TransactionId};

/// Where in the source's history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Position {
    /// All transactions of the set have happened.
    Mysql(GtidSet),
    /// All transactions up to these, domain by domain, have happened.
    Mariadb(MariadbGtids),
}

impl Position {
    /// Parses what `Display` writes: `mysql:SET` or `mariadb:LIST`.
    pub fn parse(text: &str) -> Result<Position, PositionError> {
        match text.split_once(':') {
            Some(("mysql", set)) => GtidSet::parse(set).map(Position::Mysql),
            Some(("mariadb", list)) => MariadbGtids::parse(list).map(Position::Mariadb),
            _ => Err(PositionError::Malformed(text.to_owned())),
        }
    }

    /// Whether a transaction has happened at this position: *not* contained means "after the
    /// position".
    pub fn contains(&self, id: &TransactionId) -> Result<bool, PositionError> {
        match (self, id) {
            (Position::Mysql(set), TransactionId::Mysql { server, tag, number }) => {
                Ok(set.contains(*server, tag, *number))
            }
            (Position::Mariadb(position), TransactionId::Mariadb { domain, number, .. }) => {
                Ok(*number <= position.sequence(*domain))
            }
            (Position::Mysql(_), TransactionId::Mariadb { .. })
            | (Position::Mariadb(_), TransactionId::Mysql { .. }) => Err(PositionError::DifferentKinds),
        }
    }

    /// Whether everything that has happened at `other` has happened here too.
    pub fn contains_all(&self, other: &Position) -> Result<bool, PositionError> {
        match (self, other) {
            (Position::Mysql(own), Position::Mysql(theirs)) => Ok(own.contains_all(theirs)),
            (Position::Mariadb(own), Position::Mariadb(theirs)) => Ok(own.contains_all(theirs)),
            (Position::Mysql(_), Position::Mariadb(_)) | (Position::Mariadb(_), Position::Mysql(_)) => {
                Err(PositionError::DifferentKinds)
            }
        }
    }

    /// The latest position that both contain: what has happened at it has happened at either.
    pub fn meet(&self, other: &Position) -> Result<Position, PositionError> {
        match (self, other) {
            (Position::Mysql(own), Position::Mysql(theirs)) => Ok(Position::Mysql(own.intersection(theirs))),
            (Position::Mariadb(own), Position::Mariadb(theirs)) => {
                Ok(Position::Mariadb(own.combine(theirs, false)))
            }
            (Position::Mysql(_), Position::Mariadb(_)) | (Position::Mariadb(_), Position::Mysql(_)) => {
                Err(PositionError::DifferentKinds)
            }
        }
    }

    /// Moves on by one transaction. MariaDB: a sequence that does not rise is an error
    /// (gtid_strict_mode).
    pub fn advance(&mut self, id: &TransactionId) -> Result<(), PositionError> {
        match (self, id) {
            (Position::Mysql(set), TransactionId::Mysql { server, tag, number }) => {
                set.insert(*server, tag, *number);
                Ok(())
            }
            (
                Position::Mariadb(position),
                TransactionId::Mariadb {
                    domain,
                    server,
                    number,
                },
            ) => position.advance(*domain, *server, *number),
            (Position::Mysql(_), TransactionId::Mariadb { .. })
            | (Position::Mariadb(_), TransactionId::Mysql { .. }) => Err(PositionError::DifferentKinds),
        }
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Position::Mysql(set) => write!(f, "mysql:{set}"),
            Position::Mariadb(list) => write!(f, "mariadb:{list}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_positions_meet_at_the_latest_that_both_contain() {
        let check = |left: &str, right: &str, expected: &str| {
            let (left, right) = (Position::parse(left).unwrap(), Position::parse(right).unwrap());
            for met in [left.meet(&right).unwrap(), right.meet(&left).unwrap()] {
                assert_eq!(met.to_string(), expected);
                assert!(left.contains_all(&met).unwrap() && right.contains_all(&met).unwrap());
            }
        };
        let set = |numbers: &str| format!("mysql:3e11fa47-71ca-11e1-9e33-c80aa9429562:{numbers}");
        check(&set("1-5"), &set("1-9"), &set("1-5"));
        check(&set("1-5:8-12"), &set("3-9:12"), &set("3-5:8-9:12"));
        check(&set("1-5"), &set("6-9"), "mysql:");
        check(&set("1-5"), "mysql:", "mysql:");
        check(
            "mariadb:0-1-5,1-2-9",
            "mariadb:0-1-7,1-2-3",
            "mariadb:0-1-5,1-2-3",
        );
        check("mariadb:0-1-5", "mariadb:0-1-7,1-2-3", "mariadb:0-1-5");
        Position::parse("mysql:")
            .unwrap()
            .meet(&Position::parse("mariadb:0-1-5").unwrap())
            .unwrap_err();
    }

    /// A text of a server that fills our memory with intervals, or with domains.
    #[test]
    fn a_position_has_a_bound_of_parts() {
        let mut mysql = "mysql:3e11fa47-71ca-11e1-9e33-c80aa9429562".to_owned();
        let mut mariadb = "mariadb:0-1-1".to_owned();
        for number in 1..=70_000 {
            mysql.push_str(&format!(":{}", number * 2));
            mariadb.push_str(&format!(",{number}-1-1"));
        }
        for text in [mysql, mariadb] {
            let error = Position::parse(&text).unwrap_err().to_string();
            assert!(error.len() < 1_000, "{}", error.len());
        }
    }

    #[test]
    fn mariadb_goes_forward_only() {
        let mut position = Position::parse("mariadb:0-1-5,3-2-9").unwrap();
        let step = |text: &str| TransactionId::parse(text).unwrap();
        position.advance(&step("0-7-6")).unwrap();
        assert_eq!(position.to_string(), "mariadb:0-7-6,3-2-9");
        assert_eq!(
            position.advance(&step("3-2-9")),
            Err(PositionError::Backwards {
                domain: 3,
                from: 9,
                to: 9
            })
        );
        assert!(position.contains(&step("3-1-9")).unwrap());
        assert!(!position.contains(&step("4-1-1")).unwrap());
    }
}
