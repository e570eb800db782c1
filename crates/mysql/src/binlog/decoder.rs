//! The decoder: pieces of raw events into changes, stops and notices. Pure; it keeps only what one
//! transaction needs, and caches.

use std::sync::Arc;

use spanferry_core::plan::{TableId, TablePlan};
use spanferry_core::port::change::{ChangeSink, SchemaChange};
use spanferry_core::port::change_log::{Piece, PieceKind};
use spanferry_core::port::source::{ChangeDecoder, RefusedRow, TwoPhase};
use spanferry_core::position::{TransactionId, Witness};
use spanferry_core::report::code::{self, Code};
use spanferry_core::report::failure::{Class, Failure};
use spanferry_core::report::finding::Finding;

use super::cascade::{Cascades, ChangedRows};
use super::columns::ImageError;
use super::consequence::{Consequence, blocking};
use super::ddl;
use super::definitions::{Compiled, Definitions};
use super::event::{Cursor, Event, FLAG_IGNORABLE, Malformed, kind, next_event};
use super::images::Images;
use super::query::is_begin;
use super::rows::{Change, RowsEvent, RowsFlags, change};
use super::tables::Tables;
use super::transaction::Transaction;
use super::two_phase::TwoPhaseState;

/// The table id of the rows event that only ends a statement.
const DUMMY_TABLE: u64 = 0x00ff_ffff;

/// Decodes the pieces of `BinlogStream`.
#[derive(Debug)]
pub struct BinlogDecoder {
    tables: Tables,
    cascades: Cascades,
    definitions: Definitions,
    transaction: Transaction,
    two_phase: TwoPhaseState,
    /// Whether the piece at hand is MariaDB's.
    mariadb: bool,
    images: Images,
}

impl BinlogDecoder {
    /// A decoder for these tables of the migrated schema.
    pub fn new(schema: &str, tables: &[Arc<TablePlan>]) -> BinlogDecoder {
        BinlogDecoder {
            tables: Tables::of(schema, tables),
            cascades: Cascades::of(tables),
            definitions: Definitions::default(),
            transaction: Transaction::default(),
            two_phase: TwoPhaseState::default(),
            mariadb: false,
            images: Images::new(),
        }
    }

    fn event(&mut self, event: &Event<'_>, sink: &mut dyn ChangeSink) {
        let number = event.header.kind;
        match number {
            kind::TABLE_MAP => self.table_map(event.body, sink),
            kind::QUERY if is_begin(event.body) => {}
            kind::QUERY => {
                let found = ddl::judge(event.body, &self.tables, self.mariadb);
                self.carry_out(found, sink);
            }
            kind::PARTIAL_UPDATE_ROWS => self.unreadable_rows(
                event.body,
                "rows changed in part (PARTIAL_UPDATE_ROWS): the server or the session that wrote it has `binlog_row_value_options = PARTIAL_JSON`, expected ''",
                sink,
            ),
            _ if kind::MARIADB_COMPRESSED_ROWS.contains(&number) => self.unreadable_rows(
                event.body,
                "compressed rows: the source has `log_bin_compress = ON`, expected OFF",
                sink,
            ),
            kind::TRANSACTION_PAYLOAD => self.stop_all(
                "a compressed transaction: the server or the session that wrote it has `binlog_transaction_compression = ON`, expected OFF",
                sink,
            ),
            kind::MARIADB_QUERY_COMPRESSED => self.stop_all(
                "a compressed statement: the source has `log_bin_compress = ON`, expected OFF",
                sink,
            ),
            kind::XA_PREPARE => {
                self.transaction.xa = true;
                self.stop_changed("rows of an XA transaction, which may still be rolled back", sink);
            }
            kind::INCIDENT => self.stop_all("an INCIDENT event: the source's log may lack changes", sink),
            kind::MARIADB_GTID => {
                let flags = event.body.get(12).copied().unwrap_or(0);
                // FL_PREPARED_XA; a completed one (128) is handled at its XA COMMIT or XA ROLLBACK.
                self.transaction.xa |= flags & 64 != 0;
            }
            kind::GTID
            | kind::GTID_TAGGED
            | kind::ANONYMOUS_GTID
            | kind::XID
            | kind::STOP
            | kind::ROTATE
            | kind::FORMAT_DESCRIPTION
            | kind::HEARTBEAT
            | kind::HEARTBEAT_V2
            | kind::IGNORABLE
            | kind::ROWS_QUERY
            | kind::PREVIOUS_GTIDS
            | kind::TRANSACTION_CONTEXT
            | kind::VIEW_CHANGE
            | kind::MARIADB_ANNOTATE_ROWS
            | kind::MARIADB_CHECKPOINT
            | kind::MARIADB_GTID_LIST
            | kind::MARIADB_START_ENCRYPTION
            // Settings of the statement behind them, which is judged by itself.
            | kind::INTVAR
            | kind::RAND
            | kind::USER_VAR => {}
            _ => match change(number) {
                Some((change, version_2)) => self.rows(event.body, change, version_2, sink),
                None if event.header.flags & FLAG_IGNORABLE != 0 => {}
                None => self.stop_all(&format!("an event of type {number}, which is not known"), sink),
            },
        }
    }

    fn table_map(&mut self, body: &[u8], sink: &mut dyn ChangeSink) {
        if self.transaction.is_full() {
            return self.stop_all("a transaction of more than 65536 tables", sink);
        }
        match self.definitions.find(body, &self.tables, self.mariadb) {
            Ok((number, mapped)) => {
                self.transaction.map(number, mapped);
                if !self.cascades.is_empty() && !self.transaction.keep_map(number, body) {
                    self.stop_all("a transaction of more than 64 MiB of table maps", sink);
                }
            }
            Err(error) => self.stop_all(&error.to_string(), sink),
        }
    }

    /// Does what an event means for the tables.
    fn carry_out(&mut self, consequences: Vec<Consequence>, sink: &mut dyn ChangeSink) {
        for consequence in consequences {
            match consequence {
                Consequence::Stop(index, finding) => self.stop_with(index, finding, sink),
                Consequence::StopAll(code, text) => self.stop_all_with(code, &text, sink),
                Consequence::StopChanged(text) => self.stop_changed(&text, sink),
                Consequence::SchemaChange(index, kind, finding) => {
                    // Its later rows in the transaction are not decoded.
                    if self.transaction.stopped.insert(index) {
                        sink.schema_change(self.tables.plan(index).id, SchemaChange { kind, finding });
                    }
                }
                Consequence::Notice(finding) => sink.notice(finding),
                Consequence::Prepared => self.transaction.xa = true,
            }
        }
    }

    /// Stops the tables whose rows may have changed with these without being logged.
    fn unlogged_cascade(&mut self, table_id: u64, rows: ChangedRows<'_>, sink: &mut dyn ChangeSink) {
        // Rows without a table map, or with one that cannot be read, stop every table elsewhere.
        let Some(map) = self.transaction.kept_map(table_id) else {
            return;
        };
        let hidden = self.cascades.hidden_behind(&self.tables, map, rows, self.mariadb);
        for (index, finding) in hidden {
            self.stop_with(index, finding, sink);
        }
    }

    fn rows(&mut self, body: &[u8], change: Change, version_2: bool, sink: &mut dyn ChangeSink) {
        let event = match RowsEvent::parse(body, change, version_2) {
            Ok(event) => event,
            Err(error) => return self.stop_all(&error.to_string(), sink),
        };
        if event.change != Change::Insert && !event.images.is_empty() {
            self.unlogged_cascade(event.table_id, ChangedRows::Read(&event), sink);
        }
        let (index, compiled, counter) = match self.transaction.mapped(event.table_id) {
            Some(Some(mapped)) => mapped.clone(),
            Some(None) => return,
            None if event.table_id == DUMMY_TABLE && event.images.is_empty() => return,
            None => return self.stop_all("rows without a table map", sink),
        };
        self.transaction.changed.insert(index);
        let mut handed_on = 0;
        if !self.transaction.stopped.contains(&index) {
            self.read_rows(index, compiled, &event, &mut handed_on, sink);
        }
        if self.transaction.stopped.contains(&index) {
            let changes = counter.count(&event);
            sink.pass(self.tables.plan(index).id, changes.saturating_sub(handed_on));
        }
    }

    /// Hands on the changes of a rows event, up to the first one that stops the table.
    fn read_rows(
        &mut self,
        index: usize,
        compiled: Compiled,
        event: &RowsEvent<'_>,
        handed_on: &mut u64,
        sink: &mut dyn ChangeSink,
    ) {
        if self.transaction.xa {
            let text = "rows of an XA transaction, which may still be rolled back";
            return self.stop(index, code::EVENT_UNSUPPORTED, text, None, sink);
        }
        let reader = match compiled {
            Ok(reader) => reader,
            Err(text) => return self.stop(index, code::SCHEMA_MISMATCH, &text, None, sink),
        };
        if event.columns != reader.columns() {
            let text = "rows with another number of columns than their table map";
            return self.stop(index, code::SCHEMA_MISMATCH, text, None, sink);
        }
        if !event.is_full() {
            let text = "rows that lack columns: the server or the session that wrote it has another `binlog_row_image`, expected FULL";
            return self.stop(index, code::EVENT_UNSUPPORTED, text, None, sink);
        }
        let plan = self.tables.plan(index);
        match self.images.hand_on(plan, &reader, event, handed_on, sink) {
            Ok(()) => {}
            Err(ImageError::Malformed(error)) => {
                self.stop(index, code::EVENT_UNSUPPORTED, &error.to_string(), None, sink);
            }
            Err(ImageError::Refused(row)) => self.stop_refused(index, &row, sink),
        }
    }

    /// Rows in a form that is not read: stops the table, or all if it is not known.
    fn unreadable_rows(&mut self, body: &[u8], text: &str, sink: &mut dyn ChangeSink) {
        let mut cursor = Cursor::new(body);
        let table_id = cursor.uint(6).ok();
        if let (Some(table_id), Ok(flags)) = (table_id, cursor.u16()) {
            self.unlogged_cascade(table_id, ChangedRows::Unread(RowsFlags(flags)), sink);
        }
        let table = table_id.and_then(|id| self.transaction.mapped(id));
        match table.map(|entry| entry.as_ref().map(|(index, ..)| *index)) {
            Some(Some(index)) => {
                self.stop(index, code::EVENT_UNSUPPORTED, text, None, sink);
                sink.pass(self.tables.plan(index).id, 1);
            }
            Some(None) => {}
            None => self.stop_all(text, sink),
        }
    }

    fn stop_all(&mut self, text: &str, sink: &mut dyn ChangeSink) {
        self.stop_all_with(code::EVENT_UNSUPPORTED, text, sink);
    }

    fn stop_all_with(&mut self, code: Code, text: &str, sink: &mut dyn ChangeSink) {
        for index in self.tables.indices() {
            self.stop(index, code, text, None, sink);
        }
    }

    fn stop_changed(&mut self, text: &str, sink: &mut dyn ChangeSink) {
        for index in self.transaction.changed.clone() {
            self.stop(index, code::EVENT_UNSUPPORTED, text, None, sink);
        }
    }

    fn stop_refused(&mut self, index: usize, row: &RefusedRow, sink: &mut dyn ChangeSink) {
        let plan = self.tables.plan(index);
        let column = plan.column_title(row.cell.column).to_owned();
        let refusal = &row.cell.refusal;
        let text = if row.key.is_empty() {
            format!("the key of a changed row holds {refusal}")
        } else {
            format!("the changed row with key {} holds {refusal}", row.key)
        };
        self.stop(index, code::VALUE_REFUSED, &text, Some(column), sink);
    }

    /// Stops one table, once a transaction.
    fn stop(
        &mut self,
        index: usize,
        code: Code,
        text: &str,
        part: Option<String>,
        sink: &mut dyn ChangeSink,
    ) {
        if !self.transaction.stopped.contains(&index) {
            let finding = blocking(self.tables.plan(index), code, text, part);
            self.stop_with(index, finding, sink);
        }
    }

    /// The same with a finding that is made already.
    fn stop_with(&mut self, index: usize, finding: Finding, sink: &mut dyn ChangeSink) {
        if self.transaction.stopped.insert(index) {
            sink.stop(self.tables.plan(index).id, finding);
        }
    }

    /// The tables it decodes, by index.
    pub fn tables(&self) -> impl Iterator<Item = TableId> {
        self.tables.plans().iter().map(|plan| plan.id)
    }
}

impl ChangeDecoder for BinlogDecoder {
    fn transaction(&self, piece: &Piece) -> Result<Witness, Failure> {
        Witness::parse(&piece.transaction).map_err(|_| {
            let message = "expected a transaction's identity such as `uuid:number` or `domain-server-number`";
            Failure::new(
                code::LOG_CORRUPT,
                Class::StopMigration,
                piece.transaction.clone(),
                message,
            )
        })
    }

    fn decode(&mut self, piece: &Piece, sink: &mut dyn ChangeSink) -> Result<(), Failure> {
        if piece.number == 0 {
            self.transaction.clear();
        }
        match piece.kind {
            PieceKind::Transaction => {}
            PieceKind::Abandoned => return Ok(()),
        }
        let id = self.transaction(piece)?.id;
        self.mariadb = matches!(id, TransactionId::Mariadb { .. });
        let mut run = piece.body.as_slice();
        while let Some(event) = next_event(&mut run).map_err(|error| broken(piece, error))? {
            self.event(&event, sink);
        }
        Ok(())
    }

    fn two_phase(&mut self, piece: &Piece) -> Result<Option<TwoPhase>, Failure> {
        let found = self.two_phase.read(piece, &self.tables, &self.cascades);
        found.map_err(|error| broken(piece, error))
    }
}

fn broken(piece: &Piece, error: Malformed) -> Failure {
    let object = format!("transaction {}", piece.transaction);
    let text = "its events cannot be told apart";
    Failure::new(code::LOG_CORRUPT, Class::StopMigration, object, text).caused_by(error)
}
