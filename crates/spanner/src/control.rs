//! The control tables `spanferry_…`: their definitions, and their rows to and from the wire.

use bytes::Bytes;
use spanferry_core::port::change_log::Sequence;
use spanferry_core::port::target::{
    CONTROL_VERSION, ControlChange, Epoch, FenceKey, FenceRow, Lane, LeftOutRow, MigrationRow, RangeRow,
    StreamRow, TablePhase, TableRow,
};
use spanferry_core::position::checkpoint::Checkpoint;
use spanferry_core::position::{Bookmark, Position};
use spanferry_core::record::StopReason;
use spanferry_core::schema::definition::TableDefinition;
use spanferry_core::schema::source::QualifiedName;
use spanferry_core::schema::target::{Dialect, TargetColumn, TargetTable, TargetType};
use spanferry_core::wire::rows::RowBatch;
use spanferry_spanner_api::spanner::{KeyRange, key_range};

use crate::commit::{Mutations, WriteKind};
use crate::read::Keys;
use crate::row::{Cell, Cells, MalformedRow, payload, single};

/// What the names of all control tables begin with.
pub const PREFIX: &str = "spanferry_";
/// Holds one row: the migration.
pub const MIGRATION: &str = "spanferry_migration";
/// Holds a row for each table of the migration.
pub const TABLES: &str = "spanferry_table";
/// Holds what each table is built from: a row for each table of the migration.
pub(crate) const DEFINITIONS: &str = "spanferry_definition";
/// Holds a row for each range that is finished or begun.
pub(crate) const RANGES: &str = "spanferry_range";
/// Holds a row for each index or foreign key that is left out.
pub const LEFT_OUT: &str = "spanferry_left_out";
/// Holds a row for each lane.
pub(crate) const FENCES: &str = "spanferry_fence";

/// The key of the one row of `spanferry_migration`.
const SINGLETON: u64 = 1;
/// Room for the text of a qualified name: two names of 64 characters, each of which may be escaped
/// by three, and the dot.
const TABLE_NAME_CHARACTERS: u32 = 512;

/// The columns by which the format is known: they are there in every format.
pub(crate) const VERSION_COLUMNS: [&str; 1] = ["version"];
pub(crate) const MIGRATION_COLUMNS: [&str; 10] = [
    "singleton",
    "id",
    "epoch",
    "log_id",
    "source",
    "start_position",
    "schema_name",
    "dialect",
    "version",
    "owner",
];
pub(crate) const TABLE_COLUMNS: [&str; 6] = ["table_name", "phase", "low", "high", "rows_loaded", "stopped"];
pub(crate) const DEFINITION_COLUMNS: [&str; 2] = ["table_name", "definition"];
pub(crate) const RANGE_COLUMNS: [&str; 5] = ["table_name", "number", "after_key", "up_to_key", "row_count"];
pub(crate) const LEFT_OUT_COLUMNS: [&str; 3] = ["table_name", "constraint_name", "reason"];
pub(crate) const FENCE_COLUMNS: [&str; 7] = [
    "migration",
    "stream",
    "lane",
    "epoch",
    "sequence",
    "piece",
    "checkpoint",
];
const FENCE_KEY_LENGTH: usize = 6;

/// The definitions of all control tables.
pub fn definitions() -> [TargetTable; 6] {
    let (text, name, number) = (
        TargetType::String(None),
        TargetType::String(Some(256)),
        TargetType::Int64,
    );
    let table = TargetType::String(Some(TABLE_NAME_CHARACTERS));
    [
        definition(
            MIGRATION,
            &MIGRATION_COLUMNS,
            1,
            &[number, name, number, name, text, text, text, name, number, name],
            &[],
        ),
        definition(
            TABLES,
            &TABLE_COLUMNS,
            1,
            &[table, name, text, text, number, text],
            &[2, 3, 5],
        ),
        definition(DEFINITIONS, &DEFINITION_COLUMNS, 1, &[table, text], &[]),
        definition(
            RANGES,
            &RANGE_COLUMNS,
            2,
            &[table, number, text, text, number],
            &[2, 3],
        ),
        definition(LEFT_OUT, &LEFT_OUT_COLUMNS, 2, &[table, name, text], &[]),
        definition(
            FENCES,
            &FENCE_COLUMNS,
            FENCE_KEY_LENGTH,
            &[name, name, number, number, number, number, text],
            &[],
        ),
    ]
}

fn definition(
    name: &str,
    columns: &[&str],
    key: usize,
    types: &[TargetType],
    nullable: &[usize],
) -> TargetTable {
    let columns = columns
        .iter()
        .zip(types)
        .enumerate()
        .map(|(index, (column, ty))| TargetColumn {
            name: (*column).to_owned(),
            ty: *ty,
            not_null: !nullable.contains(&index),
            by_target: None,
        });
    TargetTable {
        name: name.to_owned(),
        columns: columns.collect(),
        primary_key: (0..key).collect(),
        indexes: Vec::new(),
        foreign_keys: Vec::new(),
    }
}

/// The migration's row with the process that wrote it, by which an owner knows its own row from a
/// rival's equal one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OwnedMigration {
    pub(crate) migration: MigrationRow,
    pub(crate) owner: String,
}

/// The key of the migration's row.
pub(crate) fn migration_key() -> Bytes {
    payload(&[Cell::Number(SINGLETON)]).into()
}

/// Appends the migration's row. Without a stream, the log and the position are empty texts.
pub(crate) fn write_migration(mutations: &mut Mutations, migration: &MigrationRow, owner: &str) {
    let stream = migration.stream.as_ref();
    let texts = stream.map(|stream| (stream.log_id.clone(), stream.start_position.to_string()));
    let (log_id, start_position) = texts.unwrap_or_default();
    let row = single(&[
        Cell::Number(SINGLETON),
        Cell::Text(&migration.id),
        Cell::Number(migration.epoch.0),
        Cell::Text(&log_id),
        Cell::Text(&migration.source),
        Cell::Text(&start_position),
        Cell::Text(&migration.schema),
        Cell::Text(&migration.dialect.to_string()),
        Cell::Number(CONTROL_VERSION.into()),
        Cell::Text(owner),
    ]);
    mutations.write(WriteKind::Upsert, MIGRATION, MIGRATION_COLUMNS, &row);
}

/// Reads the migration's row.
pub(crate) fn read_migration(row: &[u8]) -> Result<OwnedMigration, MalformedRow> {
    let cells = &mut Cells::new(row);
    cells.number()?;
    let (id, epoch) = (cells.string()?, Epoch(cells.number()?));
    let (log_id, source) = (cells.string()?, cells.string()?);
    let migration = MigrationRow {
        id,
        epoch,
        stream: stream(log_id, cells.text()?)?,
        source,
        schema: cells.string()?,
        dialect: Dialect::parse(cells.text()?).ok_or(MalformedRow::new("a dialect"))?,
    };
    if cells.small_number()? != CONTROL_VERSION {
        return Err(MalformedRow::new("a migration of this release's format"));
    }
    Ok(OwnedMigration {
        migration,
        owner: cells.string()?,
    })
}

/// Reads what the migration's row holds of a stream: two texts, or two empty ones.
fn stream(log_id: String, start: &str) -> Result<Option<StreamRow>, MalformedRow> {
    match (log_id.is_empty(), start.is_empty()) {
        (true, true) => Ok(None),
        (false, false) => Ok(Some(StreamRow {
            log_id,
            start_position: position(start)?,
        })),
        (true, false) | (false, true) => Err(MalformedRow::new(
            "a change log with the position where it begins, or neither of both",
        )),
    }
}

/// Reads the format from a row of `VERSION_COLUMNS`.
pub(crate) fn read_version(row: &[u8]) -> Result<u32, MalformedRow> {
    Cells::new(row).small_number()
}

fn position(text: &str) -> Result<Position, MalformedRow> {
    Position::parse(text).map_err(|_| MalformedRow::new("a position"))
}

fn optional_position(cells: &mut Cells<'_>) -> Result<Option<Position>, MalformedRow> {
    cells.optional_text()?.map(position).transpose()
}

fn optional_bookmark(cells: &mut Cells<'_>) -> Result<Option<Bookmark>, MalformedRow> {
    let bookmark =
        |text| Bookmark::parse(text).map_err(|_| MalformedRow::new("a position with its witnesses"));
    cells.optional_text()?.map(bookmark).transpose()
}

fn table_name(text: &str) -> Result<QualifiedName, MalformedRow> {
    QualifiedName::parse(text).ok_or(MalformedRow::new("a table's name with its schema"))
}

/// Appends a change of control state.
pub(crate) fn write_change(mutations: &mut Mutations, change: &ControlChange) {
    match change {
        ControlChange::Table(row) => {
            mutations.write(WriteKind::Upsert, TABLES, TABLE_COLUMNS, &table_row(row));
        }
        ControlChange::Range(row) => {
            mutations.write(WriteKind::Upsert, RANGES, RANGE_COLUMNS, &range_row(row));
        }
        ControlChange::ForgetRanges(table) => {
            mutations.delete_prefix(RANGES, &payload(&[Cell::Text(&table.to_string())]));
        }
        ControlChange::LeaveOut(row) => {
            let cells = [
                Cell::Text(&row.table.to_string()),
                Cell::Text(&row.constraint),
                Cell::Text(&row.reason),
            ];
            mutations.write(WriteKind::Upsert, LEFT_OUT, LEFT_OUT_COLUMNS, &single(&cells));
        }
        ControlChange::ForgetLeftOut(table, constraint) => {
            let key = [Cell::Text(&table.to_string()), Cell::Text(constraint)];
            mutations.delete(LEFT_OUT, &single(&key));
        }
        ControlChange::Definition(definition) => {
            let (name, text) = (definition.name().to_string(), definition.to_record());
            let row = single(&[Cell::Text(&name), Cell::Text(&text)]);
            mutations.write(WriteKind::Upsert, DEFINITIONS, DEFINITION_COLUMNS, &row);
        }
        ControlChange::ForgetDefinition(table) => mutations.delete(DEFINITIONS, &table_key(table)),
        ControlChange::ForgetTable(table) => mutations.delete(TABLES, &table_key(table)),
    }
}

fn table_key(table: &QualifiedName) -> RowBatch {
    single(&[Cell::Text(&table.to_string())])
}

/// Reads what a table is built from.
pub(crate) fn read_definition(row: &[u8]) -> Result<TableDefinition, MalformedRow> {
    let cells = &mut Cells::new(row);
    let name = table_name(cells.text()?)?;
    let definition = TableDefinition::from_record(cells.text()?)
        .map_err(|_| MalformedRow::new("the definition of a table, of version 2"))?;
    if *definition.name() == name {
        Ok(definition)
    } else {
        Err(MalformedRow::new(
            "the definition of the table that the key names",
        ))
    }
}

fn table_row(row: &TableRow) -> RowBatch {
    let low = row.low.as_ref().map(Position::to_string);
    let high = row.high.as_ref().map(Bookmark::to_string);
    let stopped = row.stopped.as_ref().map(StopReason::to_record);
    single(&[
        Cell::Text(&row.table.to_string()),
        Cell::Text(row.phase.word()),
        Cell::Optional(low.as_deref()),
        Cell::Optional(high.as_deref()),
        Cell::Number(row.rows_loaded),
        Cell::Optional(stopped.as_deref()),
    ])
}

/// Reads a table's row.
pub(crate) fn read_table(row: &[u8]) -> Result<TableRow, MalformedRow> {
    let cells = &mut Cells::new(row);
    let stopped = |text| {
        StopReason::from_record(text).map_err(|_| MalformedRow::new("the reason of a stop, of version 2"))
    };
    let row = TableRow {
        table: table_name(cells.text()?)?,
        phase: TablePhase::parse(cells.text()?).ok_or(MalformedRow::new("a phase of a table"))?,
        low: optional_position(cells)?,
        high: optional_bookmark(cells)?,
        rows_loaded: cells.number()?,
        stopped: cells.optional_text()?.map(stopped).transpose()?,
    };
    if (row.phase == TablePhase::Stopped) == row.stopped.is_some() {
        Ok(row)
    } else {
        Err(MalformedRow::new(
            "a reason for a table that has stopped, and for no other",
        ))
    }
}

/// Reads the row of a constraint that is left out.
pub(crate) fn read_left_out(row: &[u8]) -> Result<LeftOutRow, MalformedRow> {
    let cells = &mut Cells::new(row);
    Ok(LeftOutRow {
        table: table_name(cells.text()?)?,
        constraint: cells.string()?,
        reason: cells.string()?,
    })
}

/// The row of a range. One that is not finished has the negative number `-1 - rows`: every other
/// number belongs to a finished one.
fn range_row(row: &RangeRow) -> RowBatch {
    let begun = format!("-{}", row.rows + 1);
    single(&[
        Cell::Text(&row.table.to_string()),
        Cell::Number(row.number),
        Cell::Optional(row.after.as_deref()),
        Cell::Optional(row.up_to.as_deref()),
        if row.is_finished {
            Cell::Number(row.rows)
        } else {
            Cell::Text(&begun)
        },
    ])
}

/// Reads a range's row.
pub(crate) fn read_range(row: &[u8]) -> Result<RangeRow, MalformedRow> {
    let cells = &mut Cells::new(row);
    let table = table_name(cells.text()?)?;
    let number = cells.number()?;
    let after = cells.optional_text()?.map(str::to_owned);
    let up_to = cells.optional_text()?.map(str::to_owned);
    let rows: i64 = cells
        .text()?
        .parse()
        .map_err(|_| MalformedRow::new("a number of rows"))?;
    // `-1 - rows` is `!rows`: both signs read without an overflow.
    let counted = if rows < 0 { !rows } else { rows };
    Ok(RangeRow {
        table,
        number,
        after,
        up_to,
        rows: counted.cast_unsigned(),
        is_finished: rows >= 0,
    })
}

/// Appends the compare-and-set of a lane: the previous row must be there, and the next takes its
/// place.
///
/// `Update` fails with NOT_FOUND if the row is not there, `Insert` with ALREADY_EXISTS if the next
/// one is: a repeat, a late duplicate and a commit of a dead process fail as a whole.
pub(crate) fn write_fence(
    mutations: &mut Mutations,
    migration: &str,
    lane: Lane,
    previous: FenceKey,
    next: &FenceRow,
) {
    let touched = fence_row(migration, lane, previous, "");
    mutations.write(WriteKind::Update, FENCES, FENCE_COLUMNS, &single(&touched));
    mutations.delete(FENCES, &single(&touched[..FENCE_KEY_LENGTH]));
    insert_fence(mutations, migration, lane, next);
}

/// Appends a lane's row, which must not be there.
pub(crate) fn insert_fence(mutations: &mut Mutations, migration: &str, lane: Lane, row: &FenceRow) {
    let checkpoint = row
        .reached
        .as_ref()
        .map_or_else(String::new, Checkpoint::to_record);
    let row = fence_row(migration, lane, row.key, &checkpoint);
    mutations.write(WriteKind::Insert, FENCES, FENCE_COLUMNS, &single(&row));
}

fn fence_row<'a>(
    migration: &'a str,
    lane: Lane,
    key: FenceKey,
    checkpoint: &'a str,
) -> [Cell<'a>; FENCE_COLUMNS.len()] {
    let (stream, number) = lane.parts();
    [
        Cell::Text(migration),
        Cell::Text(stream),
        Cell::Number(number.into()),
        Cell::Number(key.epoch.0),
        Cell::Number(key.sequence.0),
        Cell::Number(key.piece),
        Cell::Text(checkpoint),
    ]
}

/// The keys of a lane's rows.
pub(crate) fn fence_keys(migration: &str, lane: Lane) -> Keys {
    let (stream, number) = lane.parts();
    let prefix: Bytes = payload(&[
        Cell::Text(migration),
        Cell::Text(stream),
        Cell::Number(number.into()),
    ])
    .into();
    Keys::Ranges(vec![KeyRange {
        start_key_type: Some(key_range::StartKeyType::StartClosed(prefix.clone())),
        end_key_type: Some(key_range::EndKeyType::EndClosed(prefix)),
    }])
}

/// A fence row as stored: the migration it belongs to, its lane's parts, the row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StoredFence {
    pub(crate) migration: String,
    pub(crate) lane: (String, u32),
    pub(crate) row: FenceRow,
}

/// Reads a lane's row.
pub(crate) fn read_fence(row: &[u8]) -> Result<StoredFence, MalformedRow> {
    let cells = &mut Cells::new(row);
    let migration = cells.string()?;
    let lane = (cells.string()?, cells.small_number()?);
    let (epoch, sequence) = (Epoch(cells.number()?), Sequence(cells.number()?));
    let key = FenceKey {
        epoch,
        sequence,
        piece: cells.number()?,
    };
    let checkpoint = cells.text()?;
    let reached = if checkpoint.is_empty() {
        None
    } else {
        let read = Checkpoint::from_record(checkpoint, key.piece);
        Some(read.map_err(|_| MalformedRow::new("a checkpoint of version 2 that fits its key"))?)
    };
    Ok(StoredFence {
        migration,
        lane,
        row: FenceRow { key, reached },
    })
}

#[cfg(test)]
#[path = "control_tests.rs"]
mod tests;
