//! Where a stream stands in the source's history: a position, and the transaction behind it that is applied in part.

use std::fmt;

use crate::position::{Position, PositionError, TransactionId};

/// A transaction too large for one commit, of which an earlier commit holds the first changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Torn {
    /// The transaction. Its place in a log may change (the log was lost, the source failed over), its identity does not.
    pub transaction: TransactionId,
    /// How many of its changes are applied: at least 1.
    pub changes: u64,
    /// Changes of other transactions that were torn at the same place and given up: they count in the fence key, which never
    /// falls, but not here. 0 unless the source has failed over to a server with another order.
    pub given_up: u64,
}

/// What a fence row of the main stream says about the source's history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reached {
    /// Every transaction that is wholly applied.
    pub position: Position,
    /// The transaction that is applied in part, if there is one.
    pub torn: Option<Torn>,
}

impl Reached {
    /// Reads the text of a fence row whose key counts `piece` changes of torn transactions.
    pub fn parse(text: &str, piece: u64) -> Result<Reached, PositionError> {
        let malformed = || PositionError::Malformed(text.to_owned());
        let (position, torn) = match (text.split_once(' '), piece) {
            (None, 0) => (text, None),
            (Some((position, torn)), 1..) => (position, Some(parse_torn(torn, piece).ok_or_else(malformed)?)),
            (Some(_), 0) | (None, 1..) => return Err(malformed()),
        };
        Ok(Reached {
            position: Position::parse(position)?,
            torn,
        })
    }

    /// The `piece` of the fence key.
    pub fn piece(&self) -> u64 {
        self.torn.as_ref().map_or(0, |torn| torn.given_up + torn.changes)
    }
}

/// Reads `TRANSACTION` or `TRANSACTION after GIVEN_UP`.
fn parse_torn(text: &str, piece: u64) -> Option<Torn> {
    let (transaction, given_up) = match text.split_once(" after ") {
        Some((transaction, given_up)) => (transaction, given_up.parse().ok()?),
        None => (text, 0),
    };
    Some(Torn {
        transaction: TransactionId::parse(transaction)?,
        changes: piece.checked_sub(given_up).filter(|changes| *changes > 0)?,
        given_up,
    })
}

impl fmt::Display for Reached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.position.fmt(f)?;
        match &self.torn {
            Some(torn) if torn.given_up > 0 => write!(f, " {} after {}", torn.transaction, torn.given_up),
            Some(torn) => write!(f, " {}", torn.transaction),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_parse_back() {
        for (text, piece) in [
            ("mariadb:0-1-5,1-2-9", 0),
            ("mariadb:0-1-5 0-1-6", 3),
            ("mariadb:0-1-5 0-1-6 after 2", 3),
            ("mysql:3e11fa47-71ca-11e1-9e33-c80aa9429562:1-5:7", 0),
            (
                "mysql:3e11fa47-71ca-11e1-9e33-c80aa9429562:1-5 3e11fa47-71ca-11e1-9e33-c80aa9429562:6",
                1,
            ),
        ] {
            let reached = Reached::parse(text, piece).unwrap();
            assert_eq!((reached.to_string(), reached.piece()), (text.to_owned(), piece));
        }
        for (text, piece) in [
            ("mariadb:0-1-5", 1),
            ("mariadb:0-1-5 0-1-6", 0),
            ("mariadb:0-1-5 x", 1),
            ("mariadb:0-1-5 0-1-6 after 3", 3),
            ("mariadb:0-1-5 0-1-6 after x", 3),
        ] {
            Reached::parse(text, piece).unwrap_err();
        }
    }
}
