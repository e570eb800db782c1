//! The control tables, read as they stand at one timestamp.

use std::collections::BTreeMap;

use prost_types::Timestamp;
use spanferry_core::port::target::{CONTROL_VERSION, ControlState, FenceRow, TableRow};
use spanferry_core::report::code;
use spanferry_core::report::failure::{Class, Failure};
use spanferry_core::schema::definition::TableDefinition;
use spanferry_core::schema::source::QualifiedName;

use super::SpannerTarget;
use crate::control::{
    self, DEFINITION_COLUMNS, DEFINITIONS, FENCE_COLUMNS, FENCES, LEFT_OUT, LEFT_OUT_COLUMNS, MIGRATION,
    MIGRATION_COLUMNS, OwnedMigration, PREFIX, RANGE_COLUMNS, RANGES, StoredFence, TABLE_COLUMNS, TABLES,
    VERSION_COLUMNS,
};
use crate::failure::{failure, first_failure, malformed};
use crate::read::{Keys, Read, ReadAt};
use crate::row::MalformedRow;

impl SpannerTarget {
    /// What they hold; nothing if no migration is recorded.
    pub(super) async fn control_state(&self) -> Result<Option<ControlState>, Failure> {
        let present = self.client.table_names(PREFIX).await.map_err(first_failure)?;
        if !present.iter().any(|table| table == MIGRATION) || !self.is_recorded().await? {
            return Ok(None);
        }
        let (migrations, at) = self
            .control_rows(
                MIGRATION,
                &MIGRATION_COLUMNS,
                ReadAt::Strong,
                control::read_migration,
            )
            .await?;
        let Some(OwnedMigration { migration, .. }) = migrations.into_iter().next() else {
            return Ok(None);
        };
        let at = at.ok_or_else(|| {
            Failure::new(
                code::TARGET_FAILED,
                Class::StopMigration,
                format!("table {MIGRATION}"),
                "the target did not say at which timestamp it read",
            )
        })?;
        let at = ReadAt::Exact(at);
        let (tables, _) = self
            .control_rows(TABLES, &TABLE_COLUMNS, at, control::read_table)
            .await?;
        let (definitions, _) = self
            .control_rows(DEFINITIONS, &DEFINITION_COLUMNS, at, control::read_definition)
            .await?;
        let (ranges, _) = self
            .control_rows(RANGES, &RANGE_COLUMNS, at, control::read_range)
            .await?;
        let (left_out, _) = self
            .control_rows(LEFT_OUT, &LEFT_OUT_COLUMNS, at, control::read_left_out)
            .await?;
        let (stored, _) = self
            .control_rows(FENCES, &FENCE_COLUMNS, at, control::read_fence)
            .await?;
        let fences = by_lane(stored, &migration.id)?;
        let tables = tables.into_iter().map(|row| (row.table.clone(), row)).collect();
        let definitions = definitions
            .into_iter()
            .map(|known| (known.name().clone(), known))
            .collect();
        expect_definitions(&tables, &definitions)?;
        self.remember(&migration.id);
        Ok(Some(ControlState {
            migration,
            tables,
            definitions,
            ranges: ranges
                .into_iter()
                .map(|row| ((row.table.clone(), row.number), row))
                .collect(),
            left_out: left_out
                .into_iter()
                .map(|row| ((row.table.clone(), row.constraint.clone()), row))
                .collect(),
            fences,
        }))
    }

    /// Whether a migration is recorded. One in the format of another release is a failure.
    async fn is_recorded(&self) -> Result<bool, Failure> {
        let (versions, _) = self
            .control_rows(MIGRATION, &VERSION_COLUMNS, ReadAt::Strong, control::read_version)
            .await?;
        match versions.first() {
            None => Ok(false),
            Some(&CONTROL_VERSION) => Ok(true),
            Some(version) => Err(other_format(&format!(
                "it holds a migration of format {version}; this release works with format {CONTROL_VERSION}"
            ))),
        }
    }

    /// Control tables that are there already must have the columns of this release.
    pub(super) async fn expect_format(&self) -> Result<(), Failure> {
        let present = self.client.column_names(PREFIX).await.map_err(failure)?;
        for table in control::definitions() {
            let expected = table.columns.iter().map(|column| &column.name);
            if present.get(&table.name).is_some_and(|found| !expected.eq(found)) {
                let text = format!("its table `{}` has the columns of another release", table.name);
                return Err(other_format(&text));
            }
        }
        Ok(())
    }

    async fn control_rows<T>(
        &self,
        table: &'static str,
        columns: &[&'static str],
        at: ReadAt,
        parse: impl Fn(&[u8]) -> Result<T, MalformedRow>,
    ) -> Result<(Vec<T>, Option<Timestamp>), Failure> {
        let read = Read::new(table, columns.iter().copied(), Keys::All);
        let object = format!("table {table}");
        let mut rows = self.client.read(&object, &read, at).await.map_err(failure)?;
        let mut parsed = Vec::new();
        while let Some(row) = rows.next().await.map_err(failure)? {
            parsed.push(parse(&row).map_err(|error| malformed(table, error))?);
        }
        Ok((parsed, rows.read_timestamp()))
    }
}

/// Nothing is known of how the rows of a table without a definition are to be read.
fn expect_definitions(
    tables: &BTreeMap<QualifiedName, TableRow>,
    definitions: &BTreeMap<QualifiedName, TableDefinition>,
) -> Result<(), Failure> {
    match tables.keys().find(|table| !definitions.contains_key(table)) {
        None => Ok(()),
        Some(table) => {
            let text = format!("it holds no definition of the table `{table}`");
            let object = format!("table {DEFINITIONS}");
            Err(Failure::new(
                code::TARGET_FAILED,
                Class::StopMigration,
                object,
                text,
            ))
        }
    }
}

fn other_format(text: &str) -> Failure {
    Failure::new(code::CONTROL_FORMAT, Class::StopMigration, "target", text)
}

fn by_lane(stored: Vec<StoredFence>, migration: &str) -> Result<BTreeMap<(String, u32), FenceRow>, Failure> {
    let mut fences = BTreeMap::new();
    for fence in stored {
        let object = format!("lane {} {}", fence.lane.0, fence.lane.1);
        if fence.migration != migration {
            return Err(Failure::bug(
                object,
                format!("a fence row of another migration, {}", fence.migration),
            ));
        }
        if fences.insert(fence.lane, fence.row).is_some() {
            return Err(Failure::bug(object, "a lane has more than one fence row"));
        }
    }
    Ok(fences)
}
