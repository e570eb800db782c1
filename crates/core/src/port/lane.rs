//! Lanes: ordered streams of commits, each behind a fence row.

use crate::port::change_log::Sequence;
use crate::port::epoch::Epoch;
use crate::position::checkpoint::Checkpoint;

/// An ordered stream of commits: one in flight, each a compare-and-set on the lane's fence row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Lane {
    /// Control state: table states and stops.
    Control,
    /// One lane per load worker.
    Load(u32),
    /// A lane of the main stream of changes. This release has one, number 0 (docs/design/lanes.md).
    Apply(u32),
    /// The catch-up stream of a batch of loaded tables.
    CatchUp,
}

impl Lane {
    /// The one lane of the main stream.
    pub const MAIN: Lane = Lane::Apply(0);

    /// The stream's name and the lane's number within it, as stored.
    pub fn parts(self) -> (&'static str, u32) {
        match self {
            Lane::Control => ("control", 0),
            Lane::Load(number) => ("load", number),
            Lane::Apply(number) => ("apply", number),
            Lane::CatchUp => ("catch-up", 0),
        }
    }
}

/// The key of a lane's fence row: what a commit must find, and what it leaves behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FenceKey {
    /// The owner's term.
    pub epoch: Epoch,
    /// `Apply`: the sequence up to which the lane is durable. Other lanes: a commit counter. It
    /// never falls within an epoch.
    pub sequence: Sequence,
    /// Changes of the partial transaction that are already applied: 0, except inside a transaction
    /// too large for one commit.
    pub piece: u64,
}

/// A lane's fence row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FenceRow {
    /// Its key.
    pub key: FenceKey,
    /// `Apply`: what is reached at `key.sequence`. Other lanes have none.
    pub reached: Option<Checkpoint>,
}

/// What the row of a lane is when an epoch begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LaneStart {
    /// This row.
    At(FenceRow),
    /// The row that the transaction finds, in the new epoch: the lane continues where it stands in
    /// that moment.
    Kept,
    /// The same for a change log that is new, whose first sequence is 1.
    KeptInNewLog,
}

impl LaneStart {
    /// The row with which the lane begins `epoch`; `found` is its row so far. None if the row to
    /// keep is not there.
    pub fn row(&self, epoch: Epoch, found: Option<&FenceRow>) -> Option<FenceRow> {
        let kept = |sequence| {
            let found = found?;
            let key = FenceKey {
                epoch,
                sequence: if sequence {
                    found.key.sequence
                } else {
                    Sequence::ZERO
                },
                piece: found.key.piece,
            };
            Some(FenceRow {
                key,
                reached: found.reached.clone(),
            })
        };
        match self {
            LaneStart::At(row) => Some(row.clone()),
            LaneStart::Kept => kept(true),
            LaneStart::KeptInNewLog => kept(false),
        }
    }
}

impl From<FenceRow> for LaneStart {
    fn from(row: FenceRow) -> LaneStart {
        LaneStart::At(row)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is stored in the fence rows.
    #[test]
    fn lanes_have_their_stored_names_and_numbers() {
        let lanes = [
            (Lane::Control, ("control", 0)),
            (Lane::Load(7), ("load", 7)),
            (Lane::MAIN, ("apply", 0)),
            (Lane::Apply(3), ("apply", 3)),
            (Lane::CatchUp, ("catch-up", 0)),
        ];
        for (lane, stored) in lanes {
            assert_eq!(lane.parts(), stored);
        }
    }
}
