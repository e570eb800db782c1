//! The decoder: pieces of raw events into changes, stops and notices. Pure; it keeps only what one
//! transaction needs, and caches.

use std::collections::BTreeSet;
use std::sync::Arc;

use hashbrown::HashMap;
use spanferry_core::plan::{RowEncoder, TableId, TablePlan};
use spanferry_core::port::change::{
    Change as RowChange, ChangeSink, NewRow, OldRow, SchemaChange, SchemaChangeKind,
};
use spanferry_core::port::change_log::{Piece, PieceKind};
use spanferry_core::port::source::{ChangeDecoder, RefusedRow, TwoPhase};
use spanferry_core::position::{TransactionId, Witness};
use spanferry_core::report::code;
use spanferry_core::report::failure::{Class, Failure};
use spanferry_core::report::finding::{Finding, Severity, Subject};
use spanferry_core::report::remedy::Remedy;

use super::cascade::Cascades;
use super::columns::{ImageError, ImageReader, KeyEncoder};
use super::count::ChangeCounter;
use super::event::{Cursor, Event, FLAG_IGNORABLE, Malformed, kind, next_event};
use super::names::TableNames;
use super::query::is_begin;
use super::rows::{Change, RowsEvent, change};
use super::table_map::{Definition, TRANSACTION_TABLES_MAX, TableMapHead};
use super::two_phase::TwoPhaseState;
use super::value::Scratch;

/// Table maps kept, with their readers compiled; a definition changes only by DDL, so this is far
/// above what is needed.
const DEFINITIONS_MAX: usize = 16_384;

/// Most bytes of table maps kept. One that is longer than all of them is compiled each time.
const DEFINITION_BYTES_MAX: usize = 64 << 20;

/// The table id of the rows event that only ends a statement.
const DUMMY_TABLE: u64 = 0x00ff_ffff;

/// Decodes the pieces of `BinlogStream`.
#[derive(Debug)]
pub struct BinlogDecoder {
    pub(super) plans: Vec<Arc<TablePlan>>,
    by_name: HashMap<Vec<u8>, usize>,
    pub(super) tables: TableNames,
    pub(super) cascades: Cascades,
    /// Table maps seen, without their changing number.
    maps: HashMap<Vec<u8>, Mapped>,
    /// Bytes of the keys of `maps`.
    maps_bytes: usize,
    pub(super) transaction: Transaction,
    pub(super) two_phase: TwoPhaseState,
    /// Whether the piece at hand is MariaDB's.
    pub(super) mariadb: bool,
    scratch: Scratch,
    encoder: RowEncoder,
    old_encoder: RowEncoder,
    key_encoder: KeyEncoder,
    key: Vec<u8>,
    old_key: Vec<u8>,
}

/// The reader of one definition, or what about it does not fit.
pub(super) type Compiled = Result<Arc<ImageReader>, Arc<str>>;

/// The plan's index, how its rows are read, and how they are counted; `None` for a table that is
/// not migrated.
pub(super) type Mapped = Option<(usize, Compiled, Arc<ChangeCounter>)>;

/// What is known within one transaction.
#[derive(Debug, Default)]
pub(super) struct Transaction {
    /// By table id of the binlog.
    tables: HashMap<u64, Mapped>,
    /// Bodies of the table maps of all tables, by the same id; kept only where a foreign key has an
    /// action.
    pub(super) bodies: HashMap<u64, Vec<u8>>,
    /// Plans whose rows were seen.
    changed: BTreeSet<usize>,
    /// Plans that were stopped.
    stopped: BTreeSet<usize>,
    /// Its rows count only if a later XA COMMIT says so.
    pub(super) xa: bool,
}

impl Transaction {
    /// Nothing is known; memory stays.
    fn clear(&mut self) {
        self.tables.clear();
        self.bodies.clear();
        self.changed.clear();
        self.stopped.clear();
        self.xa = false;
    }
}

impl BinlogDecoder {
    /// A decoder for these tables of the migrated schema.
    pub fn new(schema: &str, tables: &[Arc<TablePlan>]) -> BinlogDecoder {
        let mut decoder = BinlogDecoder {
            plans: tables.to_vec(),
            by_name: HashMap::new(),
            tables: TableNames::of(schema, tables),
            cascades: Cascades::of(tables),
            maps: HashMap::new(),
            maps_bytes: 0,
            transaction: Transaction::default(),
            two_phase: TwoPhaseState::default(),
            mariadb: false,
            scratch: Scratch::default(),
            encoder: RowEncoder::new(),
            old_encoder: RowEncoder::new(),
            key_encoder: KeyEncoder::default(),
            key: Vec::new(),
            old_key: Vec::new(),
        };
        for (index, plan) in tables.iter().enumerate() {
            let name = plan.name();
            decoder
                .by_name
                .insert(lookup_key(name.schema.as_bytes(), name.table.as_bytes()), index);
        }
        decoder
    }

    fn event(&mut self, event: &Event<'_>, sink: &mut dyn ChangeSink) {
        let number = event.header.kind;
        match number {
            kind::TABLE_MAP => self.table_map(event.body, sink),
            kind::QUERY if is_begin(event.body) => {}
            kind::QUERY => self.query(event.body, sink),
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
        if self.transaction.tables.len() >= TRANSACTION_TABLES_MAX {
            return self.stop_all("a transaction of more than 65536 tables", sink);
        }
        if !self.cascades.is_empty()
            && let Some((number, _)) = table_map_parts(body)
        {
            self.transaction.bodies.insert(number, body.to_vec());
        }
        if let Some((number, content)) = table_map_parts(body)
            && let Some(known) = self.maps.get(content)
        {
            self.transaction.tables.insert(number, known.clone());
            return;
        }
        let head = match TableMapHead::parse(body) {
            Ok(head) => head,
            Err(error) => return self.stop_all(&error.to_string(), sink),
        };
        let index = self.index_of(&head);
        let mapped = index.map(|index| self.compile(index, head.definition));
        if let Some((_, content)) = table_map_parts(body) {
            self.keep(content, &mapped);
        }
        self.transaction.tables.insert(head.table_id, mapped);
    }

    /// How many table maps are kept, and their bytes.
    #[cfg(test)]
    pub(super) fn kept(&self) -> (usize, usize) {
        (self.maps.len(), self.maps_bytes)
    }

    /// Keeps what a table map means, within bounds.
    pub(super) fn keep(&mut self, content: &[u8], mapped: &Mapped) {
        if content.len() > DEFINITION_BYTES_MAX {
            return;
        }
        if self.maps.len() >= DEFINITIONS_MAX || self.maps_bytes + content.len() > DEFINITION_BYTES_MAX {
            self.maps.clear();
            self.maps_bytes = 0;
        }
        self.maps_bytes += content.len();
        self.maps.insert(content.to_vec(), mapped.clone());
    }

    /// The plan of the table that a table map names, if it is migrated.
    pub(super) fn index_of(&self, head: &TableMapHead<'_>) -> Option<usize> {
        self.by_name.get(&lookup_key(head.schema, head.table)).copied()
    }

    fn compile(&self, index: usize, definition: &[u8]) -> (usize, Compiled, Arc<ChangeCounter>) {
        let definition = Definition::parse(definition, self.mariadb);
        let counter = ChangeCounter::new(definition.as_ref().ok());
        let compiled = definition
            .map_err(|error| error.to_string())
            .and_then(|definition| ImageReader::compile(&self.plans[index], &definition))
            .map(Arc::new)
            .map_err(Arc::from);
        (index, compiled, Arc::new(counter))
    }

    fn rows(&mut self, body: &[u8], change: Change, version_2: bool, sink: &mut dyn ChangeSink) {
        let event = match RowsEvent::parse(body, change, version_2) {
            Ok(event) => event,
            Err(error) => return self.stop_all(&error.to_string(), sink),
        };
        self.unlogged_cascade(&event, sink);
        let (index, compiled, counter) = match self.transaction.tables.get(&event.table_id) {
            Some(Some(mapped)) => mapped.clone(),
            Some(None) => return,
            None if event.table_id == DUMMY_TABLE && event.images.is_empty() => return,
            None => return self.stop_all("rows without a table map", sink),
        };
        self.transaction.changed.insert(index);
        let mut told = 0;
        if !self.transaction.stopped.contains(&index) {
            self.read_rows(index, compiled, &event, &mut told, sink);
        }
        if self.transaction.stopped.contains(&index) {
            let changes = counter.count(&event);
            sink.pass(self.plans[index].id, changes.saturating_sub(told));
        }
    }

    /// Tells the changes of a rows event, up to the first one that stops the table.
    fn read_rows(
        &mut self,
        index: usize,
        compiled: Compiled,
        event: &RowsEvent<'_>,
        told: &mut u64,
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
        match self.images(index, &reader, event, told, sink) {
            Ok(()) => {}
            Err(ImageError::Malformed(error)) => {
                self.stop(index, code::EVENT_UNSUPPORTED, &error.to_string(), None, sink);
            }
            Err(ImageError::Refused(row)) => self.stop_refused(index, &row, sink),
        }
    }

    /// Hands on the changes of full images, and counts them.
    fn images(
        &mut self,
        index: usize,
        reader: &ImageReader,
        event: &RowsEvent<'_>,
        told: &mut u64,
        sink: &mut dyn ChangeSink,
    ) -> Result<(), ImageError> {
        let plan = Arc::clone(&self.plans[index]);
        let wants_old_rows = sink.wants_old_rows(plan.id);
        let mut images = Cursor::new(event.images);
        while !images.is_empty() {
            let mut has_old_row = false;
            if event.change != Change::Insert {
                let image = images;
                let (scratch, encoder) = (&mut self.scratch, &mut self.key_encoder);
                reader.key(&plan, &mut images, scratch, encoder, &mut self.old_key)?;
                has_old_row = wants_old_rows && self.old_row(&plan, reader, image)?;
            }
            if event.change != Change::Delete {
                reader.row(&plan, &mut images, &mut self.scratch, &mut self.encoder)?;
                self.encoder.key_into(&plan, &mut self.key);
            }
            let old = OldRow {
                key: &self.old_key,
                row: has_old_row.then(|| self.old_encoder.row()),
            };
            let (key, row) = (self.key.as_slice(), self.encoder.row());
            let change = match event.change {
                Change::Insert => RowChange::Insert { key, row },
                Change::Update => RowChange::Update {
                    old,
                    key,
                    row: NewRow::Whole(row),
                },
                Change::Delete => RowChange::Delete { old },
            };
            sink.change(plan.id, change);
            *told += 1;
        }
        Ok(())
    }

    /// Encodes a whole image of a row before its change. False if a value that is not part of the
    /// key is refused: the row is as good as unknown then, and its change still counts.
    fn old_row(
        &mut self,
        plan: &TablePlan,
        reader: &ImageReader,
        mut image: Cursor<'_>,
    ) -> Result<bool, Malformed> {
        match reader.row(plan, &mut image, &mut self.scratch, &mut self.old_encoder) {
            Ok(()) => Ok(true),
            Err(ImageError::Refused(_)) => Ok(false),
            Err(ImageError::Malformed(error)) => Err(error),
        }
    }

    /// Rows in a form that is not read: stops the table, or all if it is not known.
    fn unreadable_rows(&mut self, body: &[u8], text: &str, sink: &mut dyn ChangeSink) {
        self.unlogged_cascade_unread(body, sink);
        let table = Cursor::new(body)
            .uint(6)
            .ok()
            .and_then(|id| self.transaction.tables.get(&id));
        match table.map(|entry| entry.as_ref().map(|(index, ..)| *index)) {
            Some(Some(index)) => {
                self.stop(index, code::EVENT_UNSUPPORTED, text, None, sink);
                sink.pass(self.plans[index].id, 1);
            }
            Some(None) => {}
            None => self.stop_all(text, sink),
        }
    }

    pub(super) fn stop_all(&mut self, text: &str, sink: &mut dyn ChangeSink) {
        self.stop_all_with(code::EVENT_UNSUPPORTED, text, sink);
    }

    pub(super) fn stop_all_with(&mut self, code: code::Code, text: &str, sink: &mut dyn ChangeSink) {
        for index in 0..self.plans.len() {
            self.stop(index, code, text, None, sink);
        }
    }

    pub(super) fn stop_changed(&mut self, text: &str, sink: &mut dyn ChangeSink) {
        for index in self.transaction.changed.clone() {
            self.stop(index, code::EVENT_UNSUPPORTED, text, None, sink);
        }
    }

    fn stop_refused(&mut self, index: usize, row: &RefusedRow, sink: &mut dyn ChangeSink) {
        let plan = &self.plans[index];
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
    pub(super) fn stop(
        &mut self,
        index: usize,
        code: code::Code,
        text: &str,
        part: Option<String>,
        sink: &mut dyn ChangeSink,
    ) {
        if self.transaction.stopped.insert(index) {
            sink.stop(self.plans[index].id, self.blocking(index, code, text, part));
        }
    }

    /// The same with a finding that is made already.
    pub(super) fn stop_with(&mut self, index: usize, finding: Finding, sink: &mut dyn ChangeSink) {
        if self.transaction.stopped.insert(index) {
            sink.stop(self.plans[index].id, finding);
        }
    }

    /// A statement changed a whole table. Its later rows in the transaction are not decoded.
    pub(super) fn schema_change(
        &mut self,
        index: usize,
        kind: SchemaChangeKind,
        text: &str,
        sink: &mut dyn ChangeSink,
    ) {
        if self.transaction.stopped.insert(index) {
            let finding = self.blocking(index, code::DDL_SEEN, text, None);
            sink.schema_change(self.plans[index].id, SchemaChange { kind, finding });
        }
    }

    /// The finding that stops a table.
    fn blocking(&self, index: usize, code: code::Code, text: &str, part: Option<String>) -> Finding {
        let plan = &self.plans[index];
        let table = plan.name();
        let remedy = Remedy::resync(table);
        let subject = part.map_or_else(|| Subject::table(table), |part| Subject::part(table, part));
        Finding::new(code, Severity::Blocking, subject, text).remedy(remedy)
    }

    /// The tables it decodes, by index.
    pub fn tables(&self) -> impl Iterator<Item = TableId> {
        self.plans.iter().map(|plan| plan.id)
    }
}

/// The table's number in a table map, and what stands behind it and the flags.
fn table_map_parts(body: &[u8]) -> Option<(u64, &[u8])> {
    let mut cursor = Cursor::new(body);
    let number = cursor.uint(6).ok()?;
    cursor.take(2).ok()?;
    Some((number, cursor.rest()))
}

/// Names are compared byte by byte: a server writes them the same way into its catalog and into its
/// table maps, but for `lower_case_table_names = 2`, which `check` refuses. Names in statements are
/// `TableNames`.
pub(super) fn lookup_key(schema: &[u8], table: &[u8]) -> Vec<u8> {
    [schema, b"\0", table].concat()
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
        self.read_two_phase(piece).map_err(|error| broken(piece, error))
    }
}

fn broken(piece: &Piece, error: Malformed) -> Failure {
    let object = format!("transaction {}", piece.transaction);
    let text = "its events cannot be told apart";
    Failure::new(code::LOG_CORRUPT, Class::StopMigration, object, text).caused_by(error)
}
