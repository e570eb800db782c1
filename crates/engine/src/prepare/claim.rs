//! The claim: the control tables are looked at, and the next epoch is taken.

use std::collections::BTreeMap;

use spanferry_core::port::target::{
    ControlState, ControlStore, Epoch, Lane, LaneStart, LeftOut, MigrationRow, StreamRow,
};
use spanferry_core::report::code;
use spanferry_core::report::failure::{Class, Failure};
use spanferry_core::schema::target::Dialect;
use spanferry_kill_point::kill_point;

use super::prepared::ClaimOptions;
use crate::plan::Planned;

/// What a claim writes into the migration's row and into the fence rows.
pub(super) struct Claim<'a> {
    pub(super) planned: &'a Planned,
    pub(super) options: &'a ClaimOptions,
    pub(super) dialect: Dialect,
    /// The migration's row as it was found; none if the migration is new.
    pub(super) found: Option<&'a MigrationRow>,
    pub(super) stream: Option<StreamRow>,
    pub(super) lanes: Vec<(Lane, LaneStart)>,
}

/// The epoch that a start takes.
pub(super) fn next_epoch(found: Option<&MigrationRow>) -> Epoch {
    Epoch(found.map_or(0, |row| row.epoch.0) + 1)
}

impl Claim<'_> {
    /// Takes the epoch. Returns all control state under it, which only this process can change: a
    /// process that still runs, or a late commit of a dead one, may have moved it until then
    /// (fence.md, step 7).
    pub(super) async fn take<T: ControlStore>(self, target: &T) -> Result<ControlState, Failure> {
        let epoch = next_epoch(self.found);
        let migration = match self.found {
            None => MigrationRow {
                id: self.options.new_migration_id.clone(),
                epoch,
                stream: self.stream,
                source: self.options.source_name.clone(),
                schema: self.options.schema.clone(),
                dialect: self.dialect,
            },
            Some(found) => MigrationRow {
                epoch,
                stream: self.stream,
                ..found.clone()
            },
        };
        let is_new = self.found.is_none();
        if !is_new {
            kill_point("before next epoch", "");
        }
        target.begin_epoch(self.found, &migration, &self.lanes).await?;
        kill_point(
            if is_new {
                "after first epoch"
            } else {
                "after next epoch"
            },
            "",
        );
        if is_new {
            return Ok(first_state(migration, self.lanes));
        }
        owned(target, &migration, self.planned).await
    }
}

/// The control state of a migration that has just begun.
fn first_state(migration: MigrationRow, lanes: Vec<(Lane, LaneStart)>) -> ControlState {
    let fence = |(lane, start): (Lane, LaneStart)| {
        let (stream, number) = lane.parts();
        let row = start.row(migration.epoch, None)?;
        Some(((stream.to_owned(), number), row))
    };
    ControlState {
        fences: lanes.into_iter().filter_map(fence).collect(),
        migration,
        tables: BTreeMap::new(),
        definitions: BTreeMap::new(),
        ranges: BTreeMap::new(),
        left_out: LeftOut::new(),
    }
}

async fn owned<T: ControlStore>(
    target: &T,
    migration: &MigrationRow,
    planned: &Planned,
) -> Result<ControlState, Failure> {
    let found = target.read_control().await?;
    let Some(state) = found.filter(|state| state.migration == *migration) else {
        let text = "another process has taken the migration over in this moment";
        let class = Class::StopMigration;
        return Err(Failure::new(code::TARGET_FENCED, class, "target", text));
    };
    planned.expect_record(Some(&state))?;
    Ok(state)
}

/// The migration at the target must be of the schema that this start is about.
pub(super) fn refuse_foreign(migration: &MigrationRow, options: &ClaimOptions) -> Result<(), Failure> {
    if migration.schema == options.schema {
        return Ok(());
    }
    let text = format!("it holds the migration of another schema, `{}`", migration.source);
    let class = Class::StopMigration;
    Err(Failure::new(code::STATE_FOREIGN, class, "target", text))
}

/// What the record holds of the stream. A load without one is another road.
pub(super) fn expect_stream(migration: &MigrationRow) -> Result<&StreamRow, Failure> {
    let text = "it holds a load without a stream of changes, and this is a migration with one";
    migration.stream.as_ref().ok_or_else(|| other_road(text))
}

/// A migration with a stream is not continued without it: its changes would be missing.
pub(super) fn expect_no_stream(migration: &MigrationRow) -> Result<(), Failure> {
    let text = "it holds a migration with a stream of changes, and this is a load without one";
    match migration.stream {
        None => Ok(()),
        Some(_) => Err(other_road(text)),
    }
}

fn other_road(text: &str) -> Failure {
    Failure::new(code::ROAD_CHANGED, Class::StopMigration, "target", text)
}
