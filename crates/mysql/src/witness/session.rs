//! A witness's conversation with the server.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use spanferry_core::plan::TablePlan;
use spanferry_core::position::Position;
use spanferry_core::report::code;
use spanferry_core::report::failure::{Class, Failure, ServerWords};
use spanferry_core::schema::source::QualifiedName;
use spanferry_core::verify::witness::{Contradiction, SourceColumns, SourceWitness, WitnessSource};
use spanferry_core::wire::list_value::{WireReader, WireValue};

use super::printed::PRINTED_CHARACTERS_MAX;
use super::{literal, plain, printed};
use crate::connection::{Connection, ResultRow, ResultSet};
use crate::error::MysqlError;
use crate::own_type::own_type;
use crate::snapshot::{Mark, Watched, watch_sessions};
use crate::source::{At, MysqlSource};
use crate::upper_bound::highest;
use crate::{identity, sql};

/// A LIMIT that limits nothing: a statement with a LIMIT of its own is not cut by
/// `sql_select_limit`.
const ALL: &str = "LIMIT 18446744073709551615";
/// How long the server may count without a word.
const COUNT_SILENCE_MAX: Duration = Duration::from_secs(24 * 3600);
/// Rows asked for by one statement.
const STATEMENT_ROWS_MAX: usize = 50;
/// Bytes of one statement, which `max_allowed_packet` bounds at the server.
const STATEMENT_BYTES_MAX: usize = 256 << 10;
/// Bytes of the target's rows that one statement is about; what is printed of them is at most twice
/// as long.
const ROWS_BYTES_MAX: usize = 4 << 20;

/// A connection that answers for the source. It gives way to statements that wait for a table, as a
/// snapshot does.
#[derive(Debug)]
pub struct MysqlWitness {
    source: MysqlSource,
    watched: Watched,
}

impl WitnessSource for MysqlSource {
    type Witness = MysqlWitness;

    async fn witness(&self) -> Result<MysqlWitness, Failure> {
        let opened = async {
            let mut control = self.connect().await?;
            let mut aide = self.connect().await?;
            let mut connection = self.connect().await?;
            let server = identity::of_server(&mut control).await?;
            for other in [&mut aide, &mut connection] {
                if identity::of_server(other).await? != server {
                    return Ok(None);
                }
            }
            let mark = Arc::new(Mark::new());
            let watched = watch_sessions(self, server, mark, [control, aide], vec![connection], true);
            Ok(watched.await?.pop())
        };
        let opened = opened.await.at(self)?;
        let watched = opened.ok_or_else(|| {
            let text = "the witness's connections reached different servers under one address";
            lost(self.options().address(), text)
        })?;
        Ok(MysqlWitness {
            source: self.clone(),
            watched,
        })
    }
}

fn lost(object: impl Into<String>, text: impl Into<String>) -> Failure {
    Failure::new(code::SNAPSHOT_LOST, Class::Retry { after: None }, object, text)
}

impl MysqlWitness {
    /// Runs a control statement in the witness's own session.
    pub async fn query(&mut self, sql: &str) -> Result<ResultSet, Failure> {
        let query = async |connection: &mut Connection| connection.query(sql).await;
        let found = self.watched.call(query).await;
        found.at(&self.source)
    }

    /// Runs a statement on a table, which it holds meanwhile. The server may be silent for
    /// `silence`.
    async fn ask(
        &mut self,
        table: &TablePlan,
        sql: &str,
        silence: Option<Duration>,
    ) -> Result<ResultSet, Failure> {
        let usual = self.source.options().read_timeout;
        let marked = format!("{} {sql}", self.watched.comment());
        let query = async |connection: &mut Connection| {
            connection.set_read_timeout(silence.unwrap_or(usual));
            connection.query(&marked).await
        };
        self.watched.hold(table);
        let found = self.watched.call(query).await;
        let found = found.map_err(|error| match self.watched.ended() {
            Some(ended) => {
                let why = ended.why();
                let text = format!("{why}, so the witness gave way and is opened again");
                lost(table.name().to_string(), text).caused_by(ServerWords::from(error))
            }
            None => self.source.failure(error),
        })?;
        self.watched.release();
        Ok(found)
    }

    /// One statement for rows of the target from `first` on, and the first row that no longer fits
    /// into it.
    fn statement(table: &TablePlan, rows: &[Vec<u8>], first: usize) -> (usize, String) {
        let head = selection(table);
        let (mut text, mut row_bytes, mut next) = (wide_columns(table), 0, first);
        while next < rows.len() && next - first < STATEMENT_ROWS_MAX {
            let condition = condition(table, &rows[next]);
            let part = condition.map(|condition| format!("SELECT {next} AS n, {head} WHERE {condition}"));
            let part = part.unwrap_or_default();
            row_bytes += rows[next].len();
            let is_full = row_bytes > ROWS_BYTES_MAX || text.len() + part.len() > STATEMENT_BYTES_MAX;
            if next > first && is_full {
                break;
            }
            if !part.is_empty() {
                text.push_str(" UNION ALL ");
                text.push_str(&part);
            }
            next += 1;
        }
        (next, format!("{text} {ALL}"))
    }
}

/// The head of a union, which brings no row and makes every column wide: a union takes its columns'
/// lengths from what the server expects of each expression, which is one letter too few for
/// DECIMAL(3,3), and cuts what is longer.
fn wide_columns(table: &TablePlan) -> String {
    let cells = (0..table.columns.len())
        .map(|index| format!("CAST(NULL AS CHAR({PRINTED_CHARACTERS_MAX})) AS c{index}"));
    format!(
        "SELECT -1 AS n, {} FROM DUAL WHERE FALSE",
        cells.collect::<Vec<_>>().join(", ")
    )
}

/// The printed cells and the table.
fn selection(table: &TablePlan) -> String {
    let name = table.name();
    let cells = table.columns.iter().enumerate().map(|(index, column)| {
        let source = column.source().map(|source| &table.source.columns[source]);
        let printed = source.map_or_else(
            || "NULL".to_owned(),
            |source| printed::expression(&source.name, own_type(source)),
        );
        format!("{printed} AS c{index}")
    });
    format!(
        "{} FROM {}.{}",
        cells.collect::<Vec<_>>().join(", "),
        sql::identifier(&name.schema),
        sql::identifier(&name.table)
    )
}

/// The condition that finds a row of the target at the source, unless no row of the source can have
/// its key.
fn condition(table: &TablePlan, row: &[u8]) -> Option<String> {
    let cells: Vec<WireValue<'_>> = WireReader::new(row).collect::<Result<_, _>>().ok()?;
    let from_source = table
        .key()
        .iter()
        .filter_map(|column| Some((*column, table.columns[*column].source()?)));
    let parts: Option<Vec<String>> = from_source
        .map(|(column, source)| {
            let source = &table.source.columns[source];
            literal::condition(&source.name, own_type(source), *cells.get(column)?)
        })
        .collect();
    parts.map(|parts| parts.join(" AND "))
}

/// Columns of a row that differ from what the server printed, whose first cell is the row's number.
fn differing(table: &TablePlan, row: &[u8], found: &ResultRow) -> Vec<usize> {
    let mut cells = WireReader::new(row);
    let columns = table.columns.iter().enumerate();
    columns
        .filter(|(index, column)| {
            let held = cells.next();
            // What does not come from the source is not compared with it.
            let Some(source) = column.source() else {
                return false;
            };
            let ty = own_type(&table.source.columns[source]);
            !held.is_some_and(|held| {
                held.is_ok_and(|held| plain::agrees(ty, column.encoding, found.bytes(index + 1), held))
            })
        })
        .map(|(index, _)| index)
        .collect()
}

impl SourceWitness for MysqlWitness {
    async fn columns(&mut self) -> Result<SourceColumns, Failure> {
        let schema = sql::text(&self.source.options().schema);
        let name = |row: &ResultRow| QualifiedName::new(row.text_or_empty(0), row.text_or_empty(1));
        let tables = format!(
            "SELECT table_schema, table_name FROM information_schema.tables WHERE table_schema = {schema} \
             AND table_type IN ('BASE TABLE', 'SYSTEM VERSIONED') {ALL}"
        );
        let mut found: SourceColumns = self
            .query(&tables)
            .await?
            .rows
            .iter()
            .map(|row| (name(row), BTreeSet::new()))
            .collect();
        let columns = format!(
            "SELECT table_schema, table_name, column_name FROM information_schema.columns WHERE table_schema = {schema} {ALL}"
        );
        for row in self.query(&columns).await?.rows {
            if let Some(columns) = found.get_mut(&name(&row)) {
                columns.insert(row.text_or_empty(2));
            }
        }
        Ok(found)
    }

    async fn count(&mut self, table: &Arc<TablePlan>) -> Result<u64, Failure> {
        let name = table.name();
        let sql = format!(
            "SELECT COUNT(*) FROM {}.{} LIMIT 1",
            sql::identifier(&name.schema),
            sql::identifier(&name.table)
        );
        let found = self.ask(table, &sql, Some(COUNT_SILENCE_MAX)).await?;
        let count = found.rows.first().and_then(|row| row.number(0));
        count.ok_or_else(|| {
            self.source.failure(MysqlError::Protocol {
                expected: "a table's count",
            })
        })
    }

    async fn compare(
        &mut self,
        table: &Arc<TablePlan>,
        rows: &[Vec<u8>],
    ) -> Result<Vec<Contradiction>, Failure> {
        let mut contradictions = Vec::new();
        let mut first = 0;
        while first < rows.len() {
            let (next, sql) = MysqlWitness::statement(table, rows, first);
            let mut found: Vec<Option<Vec<usize>>> = vec![None; next - first];
            for printed in self.ask(table, &sql, None).await?.rows {
                let row = printed.number(0).and_then(|number| usize::try_from(number).ok());
                let at = row
                    .and_then(|row| row.checked_sub(first))
                    .filter(|at| *at < found.len());
                let at = at.ok_or_else(|| {
                    self.source.failure(MysqlError::Protocol {
                        expected: "the number of a row that was asked for",
                    })
                })?;
                found[at] = Some(differing(table, &rows[first + at], &printed));
            }
            let told = found.into_iter().zip(first..);
            contradictions.extend(told.filter_map(|(columns, row)| match columns {
                Some(columns) if columns.is_empty() => None,
                columns => Some(Contradiction {
                    row,
                    columns: columns.unwrap_or_default(),
                }),
            }));
            first = next;
        }
        Ok(contradictions)
    }

    async fn position(&mut self) -> Result<Position, Failure> {
        // Questions about the server, which hold no table.
        let mut connection = self.watched.borrow().await.at(&self.source)?;
        let found = highest(&self.source, &mut connection).await?;
        self.watched.give_back(connection);
        Ok(found)
    }
}
