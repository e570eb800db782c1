//! A batch of loaded tables that catches up: where its stream begins, and how far it goes.

use crate::plan::TableId;
use crate::port::change_log::Sequence;
use crate::port::target::TablePhase;
use crate::position::{Bookmark, Position};
use crate::report::code;
use crate::report::failure::{Class, Failure};

use super::table_states::TableStates;
use super::verdict::misplaced;
use super::window::{Window, WindowBuilder};

/// A batch.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) tables: Vec<TableId>,
    /// The positions behind which they need every change, each once.
    pub(super) lows: Vec<Position>,
    /// The main stream's watermark, at which they join.
    pub(super) end: Sequence,
    /// The first sequence to read, and what was reached before it; none until the log was asked.
    pub(super) start: Option<(Sequence, Bookmark)>,
    pub(super) builder: Option<WindowBuilder>,
    /// What is left of a window of which a group's rows were rejected.
    pub(super) window: Option<Window>,
    /// Whether everything up to `end` is read.
    pub(super) at_end: bool,
}

impl Batch {
    /// All tables that are loaded.
    pub(super) fn new(states: &TableStates, end: Sequence) -> Result<Batch, Failure> {
        let tables: Vec<TableId> = states.loaded().iter().copied().collect();
        let mut lows: Vec<Position> = Vec::new();
        for table in &tables {
            let low = states.low(*table);
            let low = low.ok_or_else(|| Failure::bug("catch-up", "a loaded table has no `low`"))?;
            // Tables of one snapshot have one `low`: the log is asked once for all of them.
            if !lows.contains(low) {
                lows.push(low.clone());
            }
        }
        Ok(Batch {
            tables,
            lows,
            end,
            start: None,
            builder: None,
            window: None,
            at_end: false,
        })
    }

    /// The log has said where a stream begins for each `low`. The earliest of them serves all.
    pub(super) fn begins_at(&mut self, starts: Vec<(Sequence, Bookmark)>) -> Result<(), Failure> {
        assert_eq!(starts.len(), self.lows.len(), "each position has a start");
        for (low, (_, before)) in self.lows.iter().zip(&starts) {
            if !low.contains_all(&before.position).map_err(misplaced)? {
                return Err(begins_too_late());
            }
        }
        self.start = starts.into_iter().min_by_key(|(first, _)| *first);
        assert!(self.start.is_some(), "a batch has at least one table");
        Ok(())
    }

    /// Whether any of its tables is still to join.
    pub(super) fn has_tables(&self, states: &TableStates) -> bool {
        let mut tables = self.tables.iter();
        tables.any(|table| states.phase(*table) == Some(TablePhase::Loaded))
    }
}

fn begins_too_late() -> Failure {
    let text = "it begins after a table's `low`: changes of that table are missing";
    Failure::new(code::LOG_CORRUPT, Class::StopMigration, "change log", text)
        .hint("Run `spanferry resync` for the tables that `status` shows as loaded.")
}
