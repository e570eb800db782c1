//! A position with the transactions by which its history is recognised.

use std::fmt;

use super::{Position, PositionError, TransactionId, Witness};

/// Most witnesses kept: a source rarely has transactions of so many servers at once.
pub(crate) const WITNESSES_MAX: usize = 8;
/// How much older than the newest witness another one may be, in microseconds. To show an old one
/// again, the source reads its binary log from there on; a server that has not written for so long
/// has mostly been replaced.
pub(crate) const WITNESS_SPAN_US: u64 = 60 * 60 * 1_000_000;

/// The last transactions of a history: one for each origin (MySQL: server and tag; MariaDB:
/// domain), the newest at the end.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Witnesses {
    list: Vec<Witness>,
}

impl Witnesses {
    /// Adds the next transaction of the history: it takes the place of the last one of its origin.
    pub fn push(&mut self, witness: Witness) {
        self.list.retain(|known| !is_one_origin(&known.id, &witness.id));
        let newest = witness.committed_at_us;
        self.list.push(witness);
        if self.list.len() == 1 {
            return;
        }
        let is_near = |known: &Witness| known.committed_at_us.saturating_add(WITNESS_SPAN_US) >= newest;
        self.list.retain(is_near);
        let surplus = self.list.len().saturating_sub(WITNESSES_MAX);
        self.list.drain(..surplus);
    }

    /// The last transaction: nothing of the history is known without it.
    pub fn newest(&self) -> Option<&Witness> {
        self.list.last()
    }

    /// The one with an identity.
    pub fn with_id(&self, id: &TransactionId) -> Option<&Witness> {
        self.list.iter().find(|witness| witness.id == *id)
    }

    /// All of them, the newest at the end.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Witness> + Clone {
        self.list.iter()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }
}

impl fmt::Display for Witnesses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, witness) in self.list.iter().enumerate() {
            if index > 0 {
                f.write_str(",")?;
            }
            witness.fmt(f)?;
        }
        Ok(())
    }
}

/// Whether one server (and tag), or one domain, numbers both.
fn is_one_origin(one: &TransactionId, other: &TransactionId) -> bool {
    match (one, other) {
        (
            TransactionId::Mysql { server, tag, .. },
            TransactionId::Mysql {
                server: other_server,
                tag: other_tag,
                ..
            },
        ) => server == other_server && tag == other_tag,
        (TransactionId::Mariadb { domain, .. }, TransactionId::Mariadb { domain: other, .. }) => {
            domain == other
        }
        (TransactionId::Mysql { .. }, TransactionId::Mariadb { .. })
        | (TransactionId::Mariadb { .. }, TransactionId::Mysql { .. }) => false,
    }
}

/// A position, and the last transactions before it: another history that reaches the same numbers
/// does not have them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bookmark {
    /// Where it stands.
    pub position: Position,
    /// What proves that a history is the one it stands in; none if nothing is known of it.
    pub witnesses: Witnesses,
}

impl Bookmark {
    /// A position of which nothing but the numbers is known: any history that has those numbers is
    /// taken for it.
    pub fn unproved(position: Position) -> Bookmark {
        Bookmark {
            position,
            witnesses: Witnesses::default(),
        }
    }

    /// Moves on by one transaction. An error leaves it as it was.
    pub fn advance(&mut self, witness: Witness) -> Result<(), PositionError> {
        self.position.advance(&witness.id)?;
        self.witnesses.push(witness);
        Ok(())
    }

    /// Takes in one transaction, unless it is in the position already.
    pub fn take_in(&mut self, witness: &Witness) -> Result<(), PositionError> {
        if self.position.contains(&witness.id)? {
            return Ok(());
        }
        self.advance(witness.clone())
    }

    /// A bookmark of stored parts: the witnesses lie in the position, one for each origin.
    pub fn of(position: Position, list: Vec<Witness>) -> Result<Bookmark, PositionError> {
        for (at, witness) in list.iter().enumerate() {
            let mut earlier = list[..at].iter();
            let repeats = earlier.any(|known| is_one_origin(&known.id, &witness.id));
            if at >= WITNESSES_MAX || repeats || !position.contains(&witness.id)? {
                return Err(PositionError::Malformed(witness.to_string()));
            }
        }
        let witnesses = Witnesses { list };
        Ok(Bookmark { position, witnesses })
    }

    /// Parses what `Display` writes: `POSITION`, or `POSITION last WITNESSES`.
    pub fn parse(text: &str) -> Result<Bookmark, PositionError> {
        let Some((position, list)) = text.split_once(SEPARATOR) else {
            return Ok(Bookmark::unproved(Position::parse(text)?));
        };
        let list = list.split(',').map(Witness::parse).collect::<Result<_, _>>()?;
        Bookmark::of(Position::parse(position)?, list)
    }
}

const SEPARATOR: &str = " last ";

impl fmt::Display for Bookmark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.position.fmt(f)?;
        if self.witnesses.is_empty() {
            return Ok(());
        }
        write!(f, "{SEPARATOR}{}", self.witnesses)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "19bdbc62-ec19-11f1-a791-02fc00000001";
    const B: &str = "29bdbc62-ec19-11f1-a791-02fc00000001";

    #[test]
    fn golden_texts_are_read_and_written_again() {
        for text in [
            "mariadb:",
            "mariadb:0-1-5,1-1-9",
            "mariadb:0-1-5,1-1-9 last 0-1-5@7#0123456789abcdef",
            "mariadb:0-1-5,1-1-9 last 1-1-9@6#0123456789abcdef,0-1-5@7#0123456789abcdef",
            &format!("mysql:{A}:1-5:7"),
            &format!("mysql:{A}:1-5:7,{B}:1,{B}:tag:1-3 last {B}:tag:3@5,{B}:1@5,{A}:5@6"),
        ] {
            assert_eq!(Bookmark::parse(text).unwrap().to_string(), text);
        }
        for text in [
            "mariadb:0-1-5 last 0-1-6@7",
            "mariadb:0-1-5 last x",
            "mariadb:0-1-5 0-1-5@7",
            "mariadb:0-1-5 last 0-1-5@7,0-1-4@7",
            &format!("mariadb:0-1-5 last {A}:5@6"),
            &format!("mysql:{A}:1-5 last {A}:6@6"),
        ] {
            Bookmark::parse(text).unwrap_err();
        }
    }

    fn check(start: &str, steps: &[&str], expected: &str) {
        let mut bookmark = Bookmark::parse(start).unwrap();
        for step in steps {
            bookmark.advance(Witness::parse(step).unwrap()).unwrap();
        }
        assert_eq!(bookmark.to_string(), expected);
    }

    #[test]
    fn the_last_transaction_of_each_origin_is_kept() {
        check(
            "mariadb:0-1-5",
            &["0-1-6@1", "3-1-1@2", "0-2-7@3", "3-1-4@4"],
            "mariadb:0-2-7,3-1-4 last 0-2-7@3,3-1-4@4",
        );
        check(
            &format!("mysql:{A}:1-5 last {A}:5@1"),
            &[
                &format!("{A}:9@2"),
                &format!("{A}:t:1@3"),
                &format!("{B}:1@4"),
                &format!("{A}:7@5"),
            ],
            &format!("mysql:{A}:1-5:7:9,{A}:t:1,{B}:1 last {A}:t:1@3,{B}:1@4,{A}:7@5"),
        );
    }

    #[test]
    fn an_origin_that_has_not_written_for_long_is_left_out() {
        let hour = WITNESS_SPAN_US;
        check(
            "mariadb:",
            &["0-1-1@5", "1-1-1@6", &format!("2-1-1@{}", hour + 5)],
            &format!(
                "mariadb:0-1-1,1-1-1,2-1-1 last 0-1-1@5,1-1-1@6,2-1-1@{}",
                hour + 5
            ),
        );
        check(
            "mariadb:",
            &["0-1-1@5", "1-1-1@6", &format!("2-1-1@{}", hour + 6)],
            &format!("mariadb:0-1-1,1-1-1,2-1-1 last 1-1-1@6,2-1-1@{}", hour + 6),
        );
        // One alone stays however old it is, and a clock that goes back leaves the newest out of
        // nothing.
        check(
            "mariadb:0-1-1 last 0-1-1@5",
            &["0-1-2@1"],
            "mariadb:0-1-2 last 0-1-2@1",
        );
        check(
            "mariadb:",
            &[&format!("0-1-1@{}", 9 * hour), "1-1-1@6"],
            &format!("mariadb:0-1-1,1-1-1 last 0-1-1@{},1-1-1@6", 9 * hour),
        );
    }

    #[test]
    fn there_are_never_too_many() {
        let mut bookmark = Bookmark::parse("mariadb:").unwrap();
        for domain in 0..20 {
            let witness = Witness::parse(&format!("{domain}-1-1@7")).unwrap();
            bookmark.advance(witness).unwrap();
        }
        let kept: Vec<String> = bookmark.witnesses.iter().map(ToString::to_string).collect();
        let expected: Vec<String> = (12..20).map(|domain| format!("{domain}-1-1@7")).collect();
        assert_eq!(kept, expected);
        assert_eq!(Bookmark::parse(&bookmark.to_string()).unwrap(), bookmark);
        let more = bookmark.to_string().replace(" last ", " last 0-1-1@7,");
        Bookmark::parse(&more).unwrap_err();
    }

    #[test]
    fn what_does_not_follow_changes_nothing() {
        let mut bookmark = Bookmark::parse("mariadb:0-1-5 last 0-1-5@7").unwrap();
        let before = bookmark.clone();
        bookmark.advance(Witness::parse("0-1-5@8").unwrap()).unwrap_err();
        assert_eq!(bookmark, before);
    }
}
