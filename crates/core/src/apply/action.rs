//! What the apply machine asks for, and the time it is given.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::plan::{GroupId, TableId};
use crate::port::change_log::Sequence;
use crate::port::target::{FenceRow, Lane, Rejection, TableMutations};
use crate::position::{Position, Witness};

use super::window::Stop;

/// A moment: milliseconds since some moment that stays the same for one machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Tick(pub u64);

impl Tick {
    /// The moment so much later.
    #[must_use]
    pub fn after(self, delay: Duration) -> Tick {
        let delay = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX);
        Tick(self.0.saturating_add(delay))
    }
}

/// A stream that is read from the change log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StreamId {
    /// The stream of all tables that have joined.
    Main,
    /// The stream of a batch of loaded tables.
    CatchUp,
}

/// What is to be done next. Each is answered by one of the machine's methods before the machine is
/// asked again.
#[derive(Debug)]
pub enum Action {
    /// Open the change log for a stream. Answer: `opened`.
    Open {
        /// The stream. What it had open is closed.
        stream: StreamId,
        /// The first sequence to read.
        first: Sequence,
    },
    /// Read the stream's next piece. Answer: what it holds, told to `stream_mut`; `at_end` if no
    /// piece is readable now.
    Read {
        /// The stream.
        stream: StreamId,
        /// The last sequence to read: a piece behind it is the end.
        up_to: Sequence,
    },
    /// Ask the log what was reached with a transaction. Answer: `log_reached`.
    AskReached {
        /// The transaction.
        at: Sequence,
    },
    /// Ask the log for each position where a stream begins that needs everything behind it. Answer:
    /// `log_starts`.
    AskStarts {
        /// The positions, each once.
        lows: Vec<Position>,
    },
    /// Commit on a lane. Answer: `committed` or `rejected`.
    Commit(Box<Proposal>),
    /// Look for a constraint that stands in the way of a group's change, and drop it. Answer:
    /// `gave_way`.
    GiveWay(Obstacle),
    /// Nothing is to be done until the log has more, a table's state changes, or the moment comes.
    /// Needs no answer.
    Wait {
        /// The moment; none if only an event brings work.
        until: Option<Tick>,
    },
}

/// A commit: everything in it happens, or nothing.
#[derive(Debug)]
pub struct Proposal {
    /// Its lane. At most one proposal is under way on each.
    pub lane: Lane,
    /// The fence row that it leaves; none on a lane that counts its commits.
    pub next: Option<FenceRow>,
    /// Rows, deletes first.
    pub data: Vec<TableMutations>,
    /// Groups that it records as stopped.
    pub stops: Vec<Stop>,
    /// Tables that it records as joined, of those that are still loaded.
    pub joins: Vec<TableId>,
    /// What its rows come from, if that lies behind the main stream's fence.
    pub seen: Option<Seen>,
    /// What of the main stream it completes.
    pub work: Work,
}

impl Proposal {
    /// Rows on the catch-up lane, which counts its commits.
    pub(super) fn counted(data: Vec<TableMutations>) -> Proposal {
        Proposal {
            lane: Lane::CatchUp,
            next: None,
            data,
            stops: Vec::new(),
            joins: Vec::new(),
            seen: None,
            work: Work::default(),
        }
    }
}

/// Rows that a commit takes from a transaction which the main stream has not passed. The same
/// commit records that: the `high` of each flowing table of the groups takes in the transaction,
/// and the table counts as joined until the main stream has passed it (docs/design/fence.md, step
/// 14).
#[derive(Debug, Clone)]
pub struct Seen {
    /// The transaction.
    pub transaction: Witness,
    /// The groups whose rows the commit has.
    pub groups: Vec<GroupId>,
}

/// How much of the main stream a commit completes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Work {
    /// Transactions that end in it.
    pub transactions: u64,
    /// Changes before folding.
    pub changes: u64,
    /// When the source committed the last transaction, microseconds since 1970; 0 if unknown.
    pub committed_at_us: u64,
}

/// A change of one group that the target rejects.
#[derive(Debug, Clone)]
pub struct Obstacle {
    /// The group.
    pub group: GroupId,
    /// Its tables that the change writes.
    pub written: BTreeSet<TableId>,
    /// The target's reason.
    pub rejection: Rejection,
}

/// Whether a constraint gave way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GaveWay {
    /// Something has changed at the target: the change is to be tried again.
    Yes,
    /// No constraint stands in the way.
    No,
}
