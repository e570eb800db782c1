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
    /// Reads the text of a fence row whose key counts `piece` changes of a torn transaction.
    pub fn parse(text: &str, piece: u64) -> Result<Reached, PositionError> {
        let malformed = || PositionError::Malformed(text.to_owned());
        let (position, torn) = match (text.split_once(' '), piece) {
            (None, 0) => (text, None),
            (Some((position, transaction)), 1..) => {
                let transaction = TransactionId::parse(transaction).ok_or_else(malformed)?;
                let torn = Torn {
                    transaction,
                    changes: piece,
                };
                (position, Some(torn))
            }
            (Some(_), 0) | (None, 1..) => return Err(malformed()),
        };
        Ok(Reached {
            position: Position::parse(position)?,
            torn,
        })
    }

    /// The `piece` of the fence key.
    pub fn piece(&self) -> u64 {
        self.torn.as_ref().map_or(0, |torn| torn.changes)
    }
}

impl fmt::Display for Reached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.position.fmt(f)?;
        match &self.torn {
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
        ] {
            Reached::parse(text, piece).unwrap_err();
        }
    }
}
