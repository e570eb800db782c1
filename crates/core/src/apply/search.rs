//! The search for the group whose rows the target rejects, in a commit that holds rows of several
//! groups.
//!
//! No constraint spans two groups, so the target takes a commit if it takes the rows of each group
//! alone (docs/design/fence.md, steps 12 to 15). Halves of the groups are tried until one group
//! alone is rejected.

use std::collections::BTreeSet;

use crate::plan::{GroupId, TableId};
use crate::port::target::{Rejection, TableMutations};
use crate::position::Witness;

use super::action::StreamId;
use super::window::Window;

/// A rejected window, and the groups that may be the reason.
#[derive(Debug)]
pub(super) struct Search {
    /// The stream that the window is of.
    pub(super) origin: StreamId,
    /// The window, with the rows that the target has not taken.
    pub(super) window: Window,
    /// One of them is rejected.
    suspects: Vec<GroupId>,
    /// The last rejection.
    pub(super) rejection: Rejection,
    /// Whether `rejection` is about the suspects alone; otherwise it follows from what the target
    /// has taken.
    is_direct: bool,
    /// Whether it is known that no constraint stands in the way of the group that was found.
    is_blocked: bool,
}

/// What the search does next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    /// Commit the rows of these groups.
    Try(Vec<GroupId>),
    /// The rows of this group alone are rejected: look for a constraint that stands in their way.
    GiveWay(GroupId),
    /// The rows of this group alone are rejected, and no constraint is the reason.
    Stop(GroupId),
    /// The target has taken the rows of every group.
    NoGroup,
}

/// The groups that have rows in a commit, each once.
pub(super) fn groups_of(data: &[TableMutations]) -> Vec<GroupId> {
    let groups: BTreeSet<GroupId> = data.iter().map(|mutations| mutations.table.group).collect();
    groups.into_iter().collect()
}

impl Search {
    pub(super) fn new(origin: StreamId, window: Window, rejection: Rejection) -> Search {
        Search {
            origin,
            suspects: groups_of(&window.data),
            window,
            rejection,
            is_direct: true,
            is_blocked: false,
        }
    }

    pub(super) fn step(&self) -> Step {
        match self.suspects.as_slice() {
            [] => Step::NoGroup,
            [group] if self.is_direct && self.may_give_way() => Step::GiveWay(*group),
            [group] if self.is_direct => Step::Stop(*group),
            suspects => Step::Try(suspects[..suspects.len().div_ceil(2)].to_vec()),
        }
    }

    /// Whether a constraint may be the reason. Nothing binds the tables of a batch yet; no
    /// constraint makes a commit too large, or a value unfit for its column.
    fn may_give_way(&self) -> bool {
        self.origin == StreamId::Main
            && !self.is_blocked
            && !self.rejection.too_large
            && !self.rejection.of_value
    }

    /// The last transaction of which the window has rows.
    pub(super) fn transaction(&self) -> &Witness {
        let reached = &self.window.reached;
        let last = match &reached.partial {
            Some(partial) if self.window.transactions == 0 => Some(&partial.transaction),
            Some(_) | None => reached.witnesses.newest(),
        };
        last.expect("a window with rows has a transaction")
    }

    /// The rows of some groups.
    pub(super) fn rows_of(&self, groups: &[GroupId]) -> Vec<TableMutations> {
        let data = self.window.data.iter();
        data.filter(|mutations| groups.contains(&mutations.table.group))
            .cloned()
            .collect()
    }

    /// The tables of a group that the window writes.
    pub(super) fn written(&self, group: GroupId) -> BTreeSet<TableId> {
        let data = self.window.data.iter();
        let of_group = data.filter(|mutations| mutations.table.group == group);
        of_group.map(|mutations| mutations.table.id).collect()
    }

    /// No constraint stands in the way of the group that was found.
    pub(super) fn no_way(&mut self) {
        self.is_blocked = true;
    }

    /// The target has taken the rows of these groups.
    pub(super) fn taken(&mut self, groups: &[GroupId]) {
        self.suspects.retain(|group| !groups.contains(group));
        self.is_direct = false;
    }

    /// The target has rejected the rows of these groups.
    pub(super) fn rejected(&mut self, groups: Vec<GroupId>, rejection: Rejection) {
        self.suspects = groups;
        self.rejection = rejection;
        self.is_direct = true;
    }
}
