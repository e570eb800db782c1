//! What source and target say of themselves: the world's own state, past snapshots and scans.

use std::collections::BTreeMap;
use std::sync::Arc;

use spanferry_core::plan::TablePlan;
use spanferry_core::port::target::KeyInterval;
use spanferry_core::position::Position;
use spanferry_core::report::code;
use spanferry_core::report::failure::Failure;
use spanferry_core::verify::witness::{
    Contradiction, Counted, SourceColumns, SourceWitness, TargetColumns, TargetWitness, WitnessSource,
};

use crate::history::{Row, plans};
use crate::mapped::read;
use crate::scan::rows_between;
use crate::source::{SimSource, catalog_now, lost};
use crate::target::SimTarget;
use crate::world::{Look, Shared, SourceFault, World};

pub(crate) struct SimWitness {
    shared: Shared,
    /// What it is a connection to.
    line: (Option<usize>, u64),
}

impl SimWitness {
    /// Time passes; the witness may be lost.
    async fn step(&self) -> Result<(), Failure> {
        self.shared.step().await;
        let mut world = self.shared.lock();
        if world.line() != self.line || world.fails(4) {
            world.count("witness lost");
            return Err(lost(code::SNAPSHOT_LOST));
        }
        Ok(())
    }
}

impl WitnessSource for SimSource {
    type Witness = SimWitness;

    async fn witness(&self) -> Result<SimWitness, Failure> {
        Ok(SimWitness {
            shared: self.0.clone(),
            line: self.0.lock().line(),
        })
    }
}

/// The row that a payload spells, unless one of its cells is none of the source's.
fn row_of(plan: &TablePlan, payload: &[u8]) -> Option<Row> {
    let all: Vec<usize> = (0..plan.columns.len()).collect();
    read(plan, &all, payload)
}

/// What the source says against a row.
fn judge(world: &World, plan: &TablePlan, payload: &[u8]) -> Option<Vec<usize>> {
    let state = world.history.state(world.committed, 0);
    let row = row_of(plan, payload);
    let own = row.and_then(|row| state[plan.id.0 as usize].get(&row[0]).copied());
    let (Some(row), Some(own)) = (row, own) else {
        return Some(Vec::new());
    };
    let differs = |column: &usize| {
        let source = plan.columns[*column].source();
        source.is_some_and(|source| row[source] != own[source])
    };
    let columns: Vec<usize> = (0..plan.columns.len()).filter(differs).collect();
    (!columns.is_empty()).then_some(columns)
}

impl SourceWitness for SimWitness {
    async fn columns(&mut self) -> Result<SourceColumns, Failure> {
        self.step().await?;
        let mut world = self.shared.lock();
        let tables = catalog_now(&world).tables.into_iter();
        world.answered(Look::Columns);
        Ok(tables
            .map(|table| {
                let columns = table.columns.into_iter();
                (table.name, columns.map(|column| column.name).collect())
            })
            .collect())
    }

    async fn count(&mut self, table: &Arc<TablePlan>) -> Result<u64, Failure> {
        self.step().await?;
        let mut world = self.shared.lock();
        let state = world.history.state(world.committed, 0);
        let off = u64::from(world.has(SourceFault::WitnessCountsOff));
        world.answered(Look::Count(table.id.0 as usize));
        Ok(state[table.id.0 as usize].len() as u64 + off)
    }

    async fn compare(
        &mut self,
        table: &Arc<TablePlan>,
        rows: &[Vec<u8>],
    ) -> Result<Vec<Contradiction>, Failure> {
        self.step().await?;
        let mut world = self.shared.lock();
        let is_blind = world.has(SourceFault::WitnessIsBlind);
        let said = rows.iter().enumerate().filter_map(|(row, payload)| {
            let columns = judge(&world, table, payload).filter(|_| !is_blind)?;
            Some(Contradiction { row, columns })
        });
        let said = said.collect();
        world.answered(Look::Compare(table.id.0 as usize));
        Ok(said)
    }

    async fn position(&mut self) -> Result<Position, Failure> {
        self.step().await?;
        let mut world = self.shared.lock();
        let behind = usize::from(world.has(SourceFault::WitnessIsBehind));
        let position = world.position(world.committed.saturating_sub(behind));
        world.answered(Look::Position);
        Ok(position)
    }
}

impl TargetWitness for SimTarget {
    async fn columns(&self) -> Result<TargetColumns, Failure> {
        let world = self.0.lock();
        let hidden = world.administration.hidden_at_target;
        let none = BTreeMap::new();
        let control = world.target.control.as_ref();
        let definitions = control.map_or(&none, |control| &control.definitions);
        let tables = plans().into_iter();
        let tables = tables.filter(|plan| hidden != Some((plan.target.name.as_str(), "")));
        let tables = tables.map(|plan| {
            let target = definitions
                .get(plan.name())
                .map_or(&plan.target, |known| &known.target);
            let columns = target.columns.iter().map(|column| column.name.clone());
            let shown = columns.filter(|name| hidden != Some((plan.target.name.as_str(), name.as_str())));
            (plan.target.name.clone(), shown.collect())
        });
        Ok(tables.collect())
    }

    async fn count(&self, table: &Arc<TablePlan>, keys: KeyInterval<'_>) -> Result<Counted, Failure> {
        let mut world = self.0.lock();
        let rows = rows_between(&world.target.rows[table.id.0 as usize], table, keys, None).len();
        if rows > world.target.versions.counted_max {
            world.count("count too long");
            return Ok(Counted::TooLong);
        }
        Ok(Counted::Rows(rows as u64))
    }
}
