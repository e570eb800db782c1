//! One snapshot session: boundaries and ranges.

use std::sync::Arc;

use spanferry_core::plan::{RefusedCell, RowEncoder, RowLayout, TablePlan};
use spanferry_core::port::source::{Boundary, Range, ReadRows, ReadStatus, RefusedRow, SnapshotSession};
use spanferry_core::report::code;
use spanferry_core::report::failure::{Class, Failure, ServerWords};
use spanferry_core::schema::mysql::MysqlType;
use spanferry_core::value::encode::{Input, Refusal};
use spanferry_core::value::scalar::Scalar;
use spanferry_format::charset::decode;
use spanferry_format::mysql::cell::scalar;

use super::hold::Ended;
use super::key;
use super::watched::Watched;
use crate::connection::{ColumnDefinition, Connection, RowView};
use crate::error::MysqlError;
use crate::own_type::own_type;
use crate::sql;

const SAVEPOINT: &str = "SAVEPOINT spanferry";
/// Gives the table's metadata lock back (MySQL; MariaDB only in a session with `sql_log_bin = 0`).
const RELEASE: &str = "ROLLBACK TO SAVEPOINT spanferry";

/// A connection inside `START TRANSACTION WITH CONSISTENT SNAPSHOT`.
#[derive(Debug)]
pub struct MysqlSession {
    connection_id: u32,
    watched: Watched,
    reading: Option<(Arc<TablePlan>, Arc<RowLayout>)>,
    scratch: Vec<u8>,
    encoder: RowEncoder,
}

impl MysqlSession {
    /// A watched session whose snapshot is open.
    pub(super) fn new(connection_id: u32, watched: Watched) -> MysqlSession {
        MysqlSession {
            connection_id,
            watched,
            reading: None,
            scratch: Vec::new(),
            encoder: RowEncoder::new(),
        }
    }

    /// The server's number of this session, as `KILL` takes it.
    pub fn connection_id(&self) -> u32 {
        self.connection_id
    }

    /// The server's own count of warnings, status and the like for this session: a control query
    /// inside the snapshot.
    pub async fn query(&mut self, sql: &str) -> Result<crate::connection::ResultSet, Failure> {
        let query = async |connection: &mut Connection| connection.query(sql).await;
        let found = self.watched.call(query).await;
        found.map_err(|error| error.into_failure("snapshot session"))
    }
}

impl SnapshotSession for MysqlSession {
    async fn boundary(
        &mut self,
        plan: &TablePlan,
        after: Option<&Boundary>,
        rows: u64,
    ) -> Result<Option<Boundary>, Failure> {
        let sql = format!(
            "SELECT {} {} {} {} {} LIMIT 1 OFFSET {}",
            self.watched.comment(),
            key::selection(plan),
            key::from(plan),
            key::condition(plan, after, None)?,
            key::order(plan),
            rows.saturating_sub(1),
        );
        self.watched.hold(plan);
        let boundary = async |connection: &mut Connection| {
            connection.execute(SAVEPOINT).await?;
            let found = connection.query(&sql).await?;
            connection.execute(RELEASE).await?;
            Ok(found)
        };
        let found = self.watched.call(boundary).await;
        let found = found.map_err(|error| failure(&self.watched, error, plan))?;
        self.watched.release();
        found.rows.first().map(|row| key::boundary(plan, row)).transpose()
    }

    async fn begin(&mut self, plan: &Arc<TablePlan>, range: &Range) -> Result<(), Failure> {
        if self.reading.is_some() {
            return Err(Failure::bug(
                plan.name().to_string(),
                "a range is begun before the last one ended",
            ));
        }
        let sql = format!(
            "SELECT {} {} {} {} {}",
            self.watched.comment(),
            selection(plan),
            key::from(plan),
            key::condition(plan, range.after.as_ref(), range.up_to.as_ref())?,
            key::order(plan),
        );
        self.watched.hold(plan);
        let begin = async |connection: &mut Connection| {
            connection.execute(SAVEPOINT).await?;
            connection.begin_query(&sql).await
        };
        let columns = self.watched.call(begin).await;
        let columns = columns.map_err(|error| failure(&self.watched, error, plan))?;
        let layout = RowLayout::of(plan);
        expect_columns(plan, &layout, &columns.unwrap_or_default())?;
        self.reading = Some((Arc::clone(plan), Arc::new(layout)));
        Ok(())
    }

    async fn read(
        &mut self,
        into: &mut ReadRows,
        rows_max: usize,
        bytes_max: usize,
    ) -> Result<ReadStatus, Failure> {
        into.rows.clear();
        into.refused.clear();
        let Some((plan, layout)) = self.reading.clone() else {
            return Ok(ReadStatus::End);
        };
        let (scratch, encoder) = (&mut self.scratch, &mut self.encoder);
        let fill = async |connection: &mut Connection| {
            let mut refused_bytes = 0;
            while let Some(row) = connection.next_row().await? {
                let refused = into.refused.len();
                convert(&plan, &layout, row, into, scratch, encoder)?;
                let keys = into.refused[refused..].iter();
                refused_bytes += keys
                    .map(|row| row.key.len() + row.encoded_key.len())
                    .sum::<usize>();
                let bytes = into.rows.byte_len() + refused_bytes;
                if into.rows.len() + into.refused.len() >= rows_max || bytes >= bytes_max {
                    return Ok(ReadStatus::More);
                }
            }
            connection.execute(RELEASE).await?;
            Ok(ReadStatus::End)
        };
        let status = self.watched.call(fill).await;
        let status = status.map_err(|error| failure(&self.watched, error, &plan))?;
        if status == ReadStatus::End {
            self.reading = None;
            self.watched.release();
        }
        Ok(status)
    }
}

/// What a range selects: floating point multiplied by one, which both servers print as the shortest
/// text of the same double, whereas FLOAT prints 6 digits and FLOAT(m,d) is cut; everything else as
/// it is.
fn selection(plan: &TablePlan) -> String {
    let mut text = String::new();
    for feed in RowLayout::of(plan).feeds() {
        let source = &plan.source.columns[feed.source];
        let name = sql::identifier(&source.name);
        if !text.is_empty() {
            text.push_str(", ");
        }
        match own_type(source) {
            MysqlType::Float | MysqlType::Double => text.push_str(&format!("{name} * 1e0 AS {name}")),
            _ => text.push_str(&name),
        }
    }
    text
}

/// Converts one row; a refused one is set aside with its key.
fn convert(
    plan: &TablePlan,
    layout: &RowLayout,
    row: RowView<'_>,
    into: &mut ReadRows,
    scratch: &mut Vec<u8>,
    encoder: &mut RowEncoder,
) -> Result<(), MysqlError> {
    let converted = if layout.is_direct() {
        convert_in_place(plan, row, into.rows.begin_row(), scratch)?
    } else {
        let converted = convert_moved(plan, layout, row, scratch, encoder)?;
        into.rows.begin_row().extend_from_slice(encoder.row());
        converted
    };
    match converted {
        Ok(()) => into.rows.end_row(),
        Err(cell) => {
            into.rows.abandon_row();
            into.refused.push(RefusedRow {
                key: printed_key(plan, layout, row)?,
                encoded_key: encoded_key(plan, layout, row, scratch)?,
                cell,
            });
        }
    }
    Ok(())
}

/// Writes the cells as they come: they are the row's, in its order.
fn convert_in_place(
    plan: &TablePlan,
    row: RowView<'_>,
    into: &mut Vec<u8>,
    scratch: &mut Vec<u8>,
) -> Result<Result<(), RefusedCell>, MysqlError> {
    for (index, cell) in row.cells().enumerate() {
        let cell = cell?;
        let Some(column) = plan.columns.get(index) else {
            return Err(TOO_MANY_CELLS);
        };
        let source = column
            .source()
            .expect("rows are written as they arrive only where each column comes from the source");
        let value = value(plan, source, cell, scratch);
        if let Err(refusal) = value.and_then(|value| column.encode(value, into)) {
            return Ok(Err(RefusedCell {
                column: index,
                refusal,
            }));
        }
    }
    Ok(Ok(()))
}

/// Hands the cells to the encoder, which brings them into the row's order.
fn convert_moved(
    plan: &TablePlan,
    layout: &RowLayout,
    row: RowView<'_>,
    scratch: &mut Vec<u8>,
    encoder: &mut RowEncoder,
) -> Result<Result<(), RefusedCell>, MysqlError> {
    encoder.begin(plan, layout);
    for (index, cell) in row.cells().enumerate() {
        let cell = cell?;
        let Some(feed) = layout.feeds().get(index) else {
            return Err(TOO_MANY_CELLS);
        };
        let encoded = match value(plan, feed.source, cell, scratch) {
            Ok(value) => encoder.cell(plan, layout, value),
            Err(refusal) => Err(RefusedCell {
                column: feed.columns[0],
                refusal,
            }),
        };
        if encoded.is_err() {
            return Ok(encoded);
        }
    }
    Ok(encoder.end(plan, layout))
}

const TOO_MANY_CELLS: MysqlError = MysqlError::Protocol {
    expected: "as many cells as columns",
};

/// The value of a cell of this source column.
fn value<'a>(
    plan: &TablePlan,
    source: usize,
    cell: Option<&'a [u8]>,
    scratch: &'a mut Vec<u8>,
) -> Result<Scalar<'a>, Refusal> {
    match cell {
        None => Ok(Scalar::Null),
        Some(cell) => scalar(own_type(&plan.source.columns[source]), cell, scratch),
    }
}

/// The key of a refused row; empty if a part of it is refused too.
fn encoded_key(
    plan: &TablePlan,
    layout: &RowLayout,
    row: RowView<'_>,
    scratch: &mut Vec<u8>,
) -> Result<Vec<u8>, MysqlError> {
    let cells: Vec<_> = row.cells().collect::<Result<_, _>>()?;
    let mut key = Vec::new();
    for at in plan.key() {
        let column = &plan.columns[*at];
        let value = match &column.input {
            Input::Source(source) => {
                let cell = layout.feed_of(*source).and_then(|feed| cells.get(feed).copied());
                value(plan, *source, cell.flatten(), scratch)
            }
            Input::Constant(constant) => Ok(constant.scalar()),
            Input::Function(_) => return Ok(Vec::new()),
        };
        if value.and_then(|value| column.encode(value, &mut key)).is_err() {
            return Ok(Vec::new());
        }
    }
    Ok(key)
}

/// The key for a finding: text as text, bytes in hexadecimal.
fn printed_key(plan: &TablePlan, layout: &RowLayout, row: RowView<'_>) -> Result<String, MysqlError> {
    let cells: Vec<_> = row.cells().collect::<Result<_, _>>()?;
    let mut scratch = Vec::new();
    let mut parts = Vec::with_capacity(plan.source_key.len());
    for column in &plan.source_key {
        let cell = layout.feed_of(*column).and_then(|feed| cells.get(feed).copied());
        let cell = cell.flatten().unwrap_or_default();
        let ty = own_type(&plan.source.columns[*column]);
        parts.push(match ty {
            MysqlType::Binary { .. }
            | MysqlType::Varbinary { .. }
            | MysqlType::Blob { .. }
            | MysqlType::Bit { .. } => {
                format!("0x{}", sql::hex(cell))
            }
            MysqlType::Varchar { charset, .. }
            | MysqlType::Text { charset, .. }
            | MysqlType::Enum { charset, .. }
            | MysqlType::Set { charset, .. } => decode(*charset, cell, &mut scratch)
                .map_or_else(|_| format!("0x{}", sql::hex(cell)), str::to_owned),
            _ => String::from_utf8_lossy(cell).into_owned(),
        });
    }
    Ok(parts.join(", "))
}

/// The result's columns must be those of the plan: a table altered behind the snapshot is read
/// silently by both servers in some cases (SERVERS 2.5).
fn expect_columns(plan: &TablePlan, layout: &RowLayout, columns: &[ColumnDefinition]) -> Result<(), Failure> {
    let mismatch = |what: String| {
        let text = format!("its definition has changed since the migration began: {what}");
        Failure::of_table(code::SCHEMA_MISMATCH, plan.name(), text)
    };
    let feeds = layout.feeds();
    if columns.len() != feeds.len() {
        let text = format!("{} columns instead of {}", columns.len(), feeds.len());
        return Err(mismatch(text));
    }
    for (column, feed) in columns.iter().zip(feeds) {
        let source = &plan.source.columns[feed.source];
        if !column.name.eq_ignore_ascii_case(&source.name) || !has_type(column, own_type(source)) {
            return Err(mismatch(format!("column `{}`", source.name)));
        }
    }
    Ok(())
}

/// Field type numbers of the protocol (MySQL's `enum_field_types`).
fn has_type(column: &ColumnDefinition, ty: &MysqlType) -> bool {
    const UNSIGNED: u16 = 32;
    const ENUM: u16 = 256;
    const SET: u16 = 2048;
    let kind = column.kind;
    let text = matches!(kind, 15 | 249..=254);
    match ty {
        MysqlType::Integer { bits, unsigned } => {
            let expected = match bits {
                8 => 1,
                16 => 2,
                24 => 9,
                32 => 3,
                _ => 8,
            };
            kind == expected && (column.flags & UNSIGNED != 0) == *unsigned
        }
        MysqlType::Decimal { scale, .. } => kind == 246 && column.decimals == *scale,
        MysqlType::Float | MysqlType::Double => kind == 5,
        MysqlType::Bit { .. } => kind == 16,
        MysqlType::Varchar { .. } | MysqlType::Varbinary { .. } => text && column.flags & (ENUM | SET) == 0,
        MysqlType::Binary { bytes } => text && column.length == *bytes,
        MysqlType::Text { .. } | MysqlType::Blob { .. } | MysqlType::JsonText { .. } => {
            matches!(kind, 249..=252)
        }
        MysqlType::Enum { .. } => kind == 247 || column.flags & ENUM != 0,
        MysqlType::Set { .. } => kind == 248 || column.flags & SET != 0,
        MysqlType::Json => kind == 245,
        MysqlType::Date => matches!(kind, 10 | 14),
        MysqlType::DateTime { fraction } => matches!(kind, 12 | 18) && column.decimals == *fraction,
        MysqlType::Timestamp { fraction } => matches!(kind, 7 | 17) && column.decimals == *fraction,
        MysqlType::Time { fraction } => matches!(kind, 11 | 19) && column.decimals == *fraction,
        MysqlType::Year => kind == 13,
        MysqlType::Geometry => kind == 255,
        MysqlType::Vector { .. } => matches!(kind, 242 | 249..=254 | 15),
        MysqlType::Uuid | MysqlType::Inet4 | MysqlType::Inet6 => text,
        MysqlType::Unknown { .. } => false,
    }
}

/// The failure of a session: what a lost snapshot missed is read in a new one, a changed table
/// stops, anything else is as the error says.
fn failure(watched: &Watched, error: MysqlError, plan: &TablePlan) -> Failure {
    const UNKNOWN_COLUMN: u16 = 1054;
    const UNKNOWN_TABLE: u16 = 1146;
    const UNKNOWN_KEY: u16 = 1176;
    const TABLE_CHANGED: u16 = 1412;
    if let Some(ended) = watched.ended() {
        return ended_by_us(&ended, plan).caused_by(ServerWords::from(error));
    }
    let lost =
        error.is_connection_lost() || error.is_retryable() || error.server_code() == Some(TABLE_CHANGED);
    if lost {
        let class = Class::Retry { after: None };
        return Failure::new(
            code::SNAPSHOT_LOST,
            class,
            plan.name().to_string(),
            "the snapshot was lost while reading",
        )
        .caused_by(ServerWords::from(error));
    }
    if matches!(
        error.server_code(),
        Some(UNKNOWN_COLUMN | UNKNOWN_TABLE | UNKNOWN_KEY)
    ) {
        let text = "its definition has changed since the migration began";
        return Failure::of_table(code::SCHEMA_MISMATCH, plan.name(), text)
            .caused_by(ServerWords::from(error));
    }
    error.into_failure(plan.name().to_string())
}

/// The failure of a session that was ended from our side.
fn ended_by_us(ended: &Ended, plan: &TablePlan) -> Failure {
    let class = Class::Retry { after: None };
    let why = ended.why();
    let text = format!("{why}, so the snapshot was closed, and a new one is opened");
    Failure::new(code::SNAPSHOT_LOST, class, plan.name().to_string(), text)
}

#[cfg(test)]
mod tests {
    use spanferry_core::fixture;
    use spanferry_core::value::encode::Encoding;

    use super::*;

    /// Without the watch a DDL that waits for the session would wait for ever.
    #[tokio::test]
    async fn a_panic_of_the_watch_is_a_lost_snapshot_for_its_sessions() {
        let column = fixture::column("a", fixture::BIGINT);
        let plan = fixture::plan(fixture::table("t", vec![column]), [Encoding::Int64]);
        let watched = Watched::panicking("boom");
        let running = watched.endless_call().await;
        let next = watched.borrow().await.expect_err("the connection is closed");
        for error in [running, next] {
            let failure = failure(&watched, error, &plan);
            assert_eq!(failure.code, code::SNAPSHOT_LOST);
            assert!(failure.is_retry());
            assert!(
                failure.to_string().contains("task snapshot watch panicked: boom"),
                "{failure}"
            );
        }
    }
}
