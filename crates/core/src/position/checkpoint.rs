//! Where a stream stands in the source's history: a position with its last transactions, and the
//! one behind it that is applied in part.

use serde::{Deserialize, Serialize};

use crate::port::epoch::Epoch;
use crate::position::{Bookmark, Position, Witness, Witnesses};
use crate::record::{RecordError, VERSION, decode, encode};

/// What the text is, for errors.
const WHAT: &str = "the checkpoint of the main stream";

/// A transaction too large for one commit, of which an earlier commit holds the first changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartialTransaction {
    /// The transaction, as its first pieces show it. Its place in a log may change (the log was
    /// lost, the source failed over), its identity does not.
    pub transaction: Witness,
    /// How many of its changes are applied: at least 1.
    pub changes: u64,
    /// Changes of other, abandoned transactions that were partly applied at the same place: they
    /// count in the fence key, which never falls, but not here. 0 unless the source has failed over
    /// to a server with another order.
    pub abandoned: u64,
    /// The epoch in which the changes were counted first: those of every table that was recorded by
    /// then, whether the table flowed, had stopped or was not selected (docs/design/fence.md).
    pub counted_in: Epoch,
}

/// What a fence row of the main stream says about the source's history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// Every transaction that is wholly applied.
    pub position: Position,
    /// The last ones of them, by which the history is recognised when the log is lost.
    pub witnesses: Witnesses,
    /// The transaction that is applied in part, if there is one.
    pub partial: Option<PartialTransaction>,
}

/// The stored form. A further value of the checkpoint is one more optional field here and in
/// `Checkpoint`; golden files of the form before it stay readable.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredCheckpoint {
    version: u32,
    position: String,
    /// The last transactions, as `Witness` prints them, the newest at the end. Left out if none is
    /// known.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    last: Vec<String>,
    partial: Option<StoredPartial>,
}

/// The transaction that is applied in part.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredPartial {
    transaction: String,
    changes: u64,
    given_up: u64,
    counted_in: u64,
}

impl Checkpoint {
    /// What is reached with every transaction up to a bookmark.
    pub fn whole(bookmark: Bookmark) -> Checkpoint {
        Checkpoint {
            position: bookmark.position,
            witnesses: bookmark.witnesses,
            partial: None,
        }
    }

    /// The wholly applied part.
    pub fn bookmark(&self) -> Bookmark {
        Bookmark {
            position: self.position.clone(),
            witnesses: self.witnesses.clone(),
        }
    }

    /// The text that is stored in the fence row.
    pub fn to_record(&self) -> String {
        encode(&StoredCheckpoint {
            version: VERSION,
            position: self.position.to_string(),
            last: self.witnesses.iter().map(ToString::to_string).collect(),
            partial: self.partial.as_ref().map(|partial| StoredPartial {
                transaction: partial.transaction.to_string(),
                changes: partial.changes,
                given_up: partial.abandoned,
                counted_in: partial.counted_in.0,
            }),
        })
    }

    /// Reads the text of a fence row whose key counts `piece` changes of partial transactions.
    pub fn from_record(text: &str, piece: u64) -> Result<Checkpoint, RecordError> {
        let stored: StoredCheckpoint = decode(text, WHAT)?;
        let unreadable = |cause| RecordError::unreadable(WHAT, cause);
        let position = Position::parse(&stored.position).map_err(unreadable)?;
        let last = stored.last.iter().map(|text| Witness::parse(text));
        let last = last.collect::<Result<_, _>>().map_err(unreadable)?;
        let bookmark = Bookmark::of(position, last).map_err(unreadable)?;
        let partial = stored.partial.map(parse_partial).transpose()?;
        let reached = Checkpoint {
            partial,
            ..Checkpoint::whole(bookmark)
        };
        if reached.piece() == piece {
            return Ok(reached);
        }
        let cause = format!("its changes make {}, its key says {piece}", reached.piece());
        Err(RecordError::unreadable(WHAT, cause))
    }

    /// How many changes are applied of the transaction that is applied in part; 0 without one.
    pub fn changes_in_part(&self) -> u64 {
        self.partial.as_ref().map_or(0, |partial| partial.changes)
    }

    /// The `piece` of the fence key.
    pub fn piece(&self) -> u64 {
        self.partial
            .as_ref()
            .map_or(0, |partial| partial.abandoned.saturating_add(partial.changes))
    }
}

fn parse_partial(stored: StoredPartial) -> Result<PartialTransaction, RecordError> {
    let transaction =
        Witness::parse(&stored.transaction).map_err(|cause| RecordError::unreadable(WHAT, cause))?;
    if stored.changes == 0 {
        return Err(RecordError::unreadable(
            WHAT,
            "a transaction of which no change is applied",
        ));
    }
    Ok(PartialTransaction {
        transaction,
        changes: stored.changes,
        abandoned: stored.given_up,
        counted_in: Epoch(stored.counted_in),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOLDEN: &str = include_str!("../record/golden/checkpoints-3.txt");

    #[test]
    fn golden_checkpoints_are_read_and_written_again() {
        for line in GOLDEN.lines() {
            let (piece, text) = line.split_once(' ').unwrap();
            let piece = piece.parse().unwrap();
            let reached = Checkpoint::from_record(text, piece).unwrap();
            assert_eq!((reached.to_record().as_str(), reached.piece()), (text, piece));
            Checkpoint::from_record(text, piece + 1).unwrap_err();
        }
    }

    #[test]
    fn what_this_release_does_not_write_is_an_error() {
        let text = GOLDEN.lines().nth(1).unwrap().split_once(' ').unwrap().1;
        for (from, to) in [
            ("\"version\":3", "\"version\":1"),
            ("mariadb:", "mongodb:"),
            ("0-1-6", "x"),
            ("\"changes\":3", "\"changes\":0"),
            ("\"changes\":3", "\"changes\":-3"),
            ("\"given_up\":0", "\"left\":0"),
            ("\"partial\"", "\"last\":[\"x\"],\"partial\""),
            ("\"partial\"", "\"last\":[\"0-1-6@7\"],\"partial\""),
            ("\"partial\"", "\"last\":[\"0-1-4\",\"0-1-5\"],\"partial\""),
        ] {
            let changed = text.replacen(from, to, 1);
            assert_ne!(changed, text, "{from}");
            Checkpoint::from_record(&changed, 3).unwrap_err();
        }
        // A transaction of which nothing is applied is none, also if its key says the same.
        let nothing = text.replace("\"changes\":3", "\"changes\":0");
        Checkpoint::from_record(&nothing, 0).unwrap_err();
        // The form of version 1.
        Checkpoint::from_record("mariadb:0-1-5", 0).unwrap_err();
    }
}
