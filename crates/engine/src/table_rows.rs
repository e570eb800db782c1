//! The recorded rows of tables, with the set of tables that are in each phase.
//!
//! A question about one phase costs what that phase has, not what the migration has.

use std::collections::{BTreeMap, BTreeSet};

use spanferry_core::plan::TableId;
use spanferry_core::port::target::{TablePhase, TableRow};

/// One row a table, by table id.
#[derive(Debug)]
pub(crate) struct TableRows {
    rows: Vec<TableRow>,
    by_phase: BTreeMap<TablePhase, BTreeSet<TableId>>,
}

impl TableRows {
    pub(crate) fn new(rows: Vec<TableRow>) -> TableRows {
        let mut by_phase: BTreeMap<TablePhase, BTreeSet<TableId>> = BTreeMap::new();
        for (id, row) in (0..).map(TableId).zip(&rows) {
            by_phase.entry(row.phase).or_default().insert(id);
        }
        TableRows { rows, by_phase }
    }

    /// All rows, by table id.
    pub(crate) fn all(&self) -> &[TableRow] {
        &self.rows
    }

    /// The row of one table.
    pub(crate) fn row(&self, table: TableId) -> &TableRow {
        &self.rows[table.0 as usize]
    }

    /// Takes over a new row of a table.
    pub(crate) fn replace(&mut self, table: TableId, row: TableRow) {
        let known = &mut self.rows[table.0 as usize];
        if known.phase != row.phase {
            let left = self.by_phase.entry(known.phase).or_default();
            assert!(left.remove(&table), "a table is in the set of its phase");
            self.by_phase.entry(row.phase).or_default().insert(table);
        }
        *known = row;
    }

    /// The tables in a phase, by id.
    pub(crate) fn in_phase(&self, phase: TablePhase) -> impl Iterator<Item = TableId> + '_ {
        self.by_phase.get(&phase).into_iter().flatten().copied()
    }

    /// How many tables are in these phases. Takes no look at any row.
    pub(crate) fn count(&self, phases: &[TablePhase]) -> usize {
        let sets = phases.iter().filter_map(|phase| self.by_phase.get(phase));
        sets.map(BTreeSet::len).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::row;

    const PHASES: [TablePhase; 6] = [
        TablePhase::Pending,
        TablePhase::Loading,
        TablePhase::Loaded,
        TablePhase::Joined,
        TablePhase::Constrained,
        TablePhase::Stopped,
    ];

    #[test]
    fn the_sets_say_what_the_rows_say() {
        let mut rows = TableRows::new(
            (0..20)
                .map(|at| row(&at.to_string(), PHASES[at % 6], None))
                .collect(),
        );
        // Every change from one phase to another, and to the same one.
        for step in 0..200 {
            let (table, phase) = (step * 7 % 20, PHASES[step * 5 / 3 % 6]);
            rows.replace(
                TableId(u32::try_from(table).unwrap()),
                row(&table.to_string(), phase, None),
            );
            for phase in PHASES {
                let ids = (0..).map(TableId).zip(rows.all());
                let expected: Vec<_> = ids
                    .filter(|(_, row)| row.phase == phase)
                    .map(|(id, _)| id)
                    .collect();
                assert_eq!(rows.in_phase(phase).collect::<Vec<_>>(), expected, "step {step}");
                assert_eq!(rows.count(&[phase]), expected.len(), "step {step}");
            }
            assert_eq!(rows.count(&PHASES), 20);
        }
    }
}
