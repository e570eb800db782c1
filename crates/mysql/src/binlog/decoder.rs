//! Raw binlog events of a transaction into changes. Every event is looked at: what is not understood stops a group.

use std::collections::HashMap;
use std::sync::Arc;

use spanferry_core::change_log::Piece;
use spanferry_core::code::{self, Code};
use spanferry_core::failure::{Class, Failure};
use spanferry_core::finding::{Finding, Severity, Subject};
use spanferry_core::plan::{RefusedCell, RowEncoder, TableId, TablePlan};
use spanferry_core::position::TransactionId;
use spanferry_core::scalar::Scalar;
use spanferry_core::source::{ChangeDecoder, ChangeSink};

use super::compile::{ImagePlan, compile};
use super::event::{Cursor, Event, FLAG_IGNORABLE, Malformed, kind, next_event};
use super::gtid;
use super::query::{Kind, Named, QueryEvent, Statement};
use super::rows::{Change, RowsEvent, bit, change};
use super::table_map::TableMapHead;
use super::value::{Scratch, ValueError};

/// Compiled table maps kept; beyond that the cache starts anew.
const COMPILED_MAX: usize = 20_000;

/// What a table id of this transaction stands for.
#[derive(Debug, Clone)]
enum Mapped {
    /// A table that is not migrated.
    Foreign,
    /// A migrated table.
    Table(Arc<ImagePlan>),
    /// A migrated table whose group has been told to stop.
    Stopped,
}

/// Decodes transactions of one server for the migrated tables.
#[derive(Debug)]
pub struct BinlogDecoder {
    schema: String,
    tables: Vec<Arc<TablePlan>>,
    maps: HashMap<u64, Mapped>,
    compiled: HashMap<(TableId, Vec<u8>), Result<Arc<ImagePlan>, String>>,
    row: RowDecoder,
}

/// Why an image cannot be decoded.
enum ImageError {
    Malformed(Malformed),
    Refused(RefusedCell),
}

impl From<Malformed> for ImageError {
    fn from(error: Malformed) -> Self {
        ImageError::Malformed(error)
    }
}

impl BinlogDecoder {
    pub(super) fn new(schema: &str, tables: &[Arc<TablePlan>]) -> BinlogDecoder {
        BinlogDecoder {
            schema: schema.to_owned(),
            tables: tables.to_vec(),
            maps: HashMap::new(),
            compiled: HashMap::new(),
            row: RowDecoder::default(),
        }
    }

    fn event(&mut self, event: &Event<'_>, sink: &mut dyn ChangeSink) -> Result<(), Malformed> {
        let number = event.header.kind;
        if let Some((change, version_2)) = change(number) {
            let rows = RowsEvent::parse(event.body, change, version_2)?;
            return self.rows(&rows, sink);
        }
        match number {
            kind::TABLE_MAP => self.table_map(&TableMapHead::parse(event.body)?, sink),
            kind::QUERY => self.query(&QueryEvent::parse(event.body)?, sink),
            kind::MARIADB_GTID => {
                let gtid = gtid::parse_mariadb(event.header.server_id, event.header.timestamp, event.body)?;
                if gtid.xa {
                    self.stop_all(sink, code::EVENT_UNSUPPORTED, "an XA transaction");
                }
            }
            kind::PARTIAL_UPDATE_ROWS => {
                self.stop_mapped(
                    event,
                    sink,
                    "a partial JSON update (binlog_row_value_options=PARTIAL_JSON)",
                )?;
            }
            number if kind::MARIADB_COMPRESSED_ROWS.contains(&number) => {
                self.stop_mapped(event, sink, "a compressed rows event (log_bin_compress=ON)")?;
            }
            kind::MARIADB_QUERY_COMPRESSED => {
                self.stop_all(
                    sink,
                    code::EVENT_UNSUPPORTED,
                    "a compressed statement (log_bin_compress=ON)",
                );
            }
            kind::TRANSACTION_PAYLOAD => {
                let what = "a compressed transaction (binlog_transaction_compression=ON)";
                self.stop_all(sink, code::EVENT_UNSUPPORTED, what);
            }
            kind::XA_PREPARE => self.stop_all(sink, code::EVENT_UNSUPPORTED, "an XA transaction"),
            kind::INCIDENT => {
                self.stop_all(
                    sink,
                    code::EVENT_UNSUPPORTED,
                    "an incident: the source may have lost events",
                );
            }
            kind::XID
            | kind::GTID
            | kind::GTID_TAGGED
            | kind::ANONYMOUS_GTID
            | kind::ROWS_QUERY
            | kind::IGNORABLE
            | kind::INTVAR
            | kind::RAND
            | kind::USER_VAR
            | kind::TRANSACTION_CONTEXT
            | kind::VIEW_CHANGE
            | kind::MARIADB_ANNOTATE_ROWS => {}
            _ if event.header.flags & FLAG_IGNORABLE != 0 => {}
            other => self.stop_all(
                sink,
                code::EVENT_UNSUPPORTED,
                &format!("an event of the unknown type {other}"),
            ),
        }
        Ok(())
    }

    fn plan_of(&self, schema: &str, table: &str) -> Option<&Arc<TablePlan>> {
        let in_schema = |plan: &&Arc<TablePlan>| plan.name().schema.eq_ignore_ascii_case(schema);
        let exact = self
            .tables
            .iter()
            .filter(in_schema)
            .find(|plan| plan.name().table == table);
        exact.or_else(|| {
            self.tables
                .iter()
                .filter(in_schema)
                .find(|plan| plan.name().table.eq_ignore_ascii_case(table))
        })
    }

    fn table_map(&mut self, head: &TableMapHead<'_>, sink: &mut dyn ChangeSink) {
        let (schema, table) = (
            String::from_utf8_lossy(head.schema),
            String::from_utf8_lossy(head.table),
        );
        let mapped = match self.plan_of(&schema, &table).cloned() {
            None => Mapped::Foreign,
            Some(plan) => {
                if self.compiled.len() >= COMPILED_MAX {
                    self.compiled.clear();
                }
                let entry = self.compiled.entry((plan.id, head.definition.to_vec()));
                match entry.or_insert_with(|| compile(&plan, head.definition).map(Arc::new)) {
                    Ok(image) => Mapped::Table(Arc::clone(image)),
                    Err(reason) => {
                        sink.stop(plan.id, stop_finding(&plan, code::SCHEMA_MISMATCH, reason));
                        Mapped::Stopped
                    }
                }
            }
        };
        self.maps.insert(head.table_id, mapped);
    }

    fn rows(&mut self, rows: &RowsEvent<'_>, sink: &mut dyn ChangeSink) -> Result<(), Malformed> {
        let image = match self.maps.get(&rows.table_id) {
            Some(Mapped::Table(image)) => Arc::clone(image),
            Some(Mapped::Foreign | Mapped::Stopped) => return Ok(()),
            None => return Err(Malformed("rows of a table that no table map names")),
        };
        let plan = &image.plan;
        if !rows.is_full() {
            let reason = "rows without all their columns (binlog_row_image was not FULL in that session)";
            sink.stop(plan.id, stop_finding(plan, code::EVENT_UNSUPPORTED, reason));
            self.maps.insert(rows.table_id, Mapped::Stopped);
            return Ok(());
        }
        if rows.columns != image.columns.len() {
            return Err(Malformed(
                "rows with another number of columns than their table map",
            ));
        }
        let mut cursor = Cursor::new(rows.images);
        while !cursor.is_empty() {
            match self.row.change(&image, rows.change, &mut cursor, sink) {
                Ok(()) => {}
                Err(ImageError::Malformed(error)) => return Err(error),
                Err(ImageError::Refused(cell)) => {
                    let column = &plan.source.columns[plan.source_index(cell.column)].name;
                    let subject = Subject::part(plan.name().table.clone(), column.clone());
                    let text = format!("a changed row holds {}", cell.refusal);
                    let finding = Finding::new(code::VALUE_REFUSED, Severity::Blocking, subject, text)
                        .remedy(format!("spanferry resync {}", plan.name().table));
                    sink.stop(plan.id, finding);
                    self.maps.insert(rows.table_id, Mapped::Stopped);
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    fn query(&self, event: &QueryEvent, sink: &mut dyn ChangeSink) {
        let statement = event.statement();
        match statement.kind {
            Kind::Begin | Kind::Commit | Kind::Nothing => {}
            Kind::Harmless => self.tell_harmless(event, &statement, sink),
            Kind::Rollback => {
                let what = "a rolled-back statement that was logged (a non-transactional table took part)";
                self.stop_all(sink, code::EVENT_UNSUPPORTED, what);
            }
            Kind::CreateTable | Kind::CreateTableIfAbsent => self.tell_created(event, &statement, sink),
            Kind::ChangeTable => {
                for named in &statement.tables {
                    self.stop_named(
                        event,
                        named,
                        sink,
                        code::DDL_SEEN,
                        &format!("`{}`", statement.title),
                    );
                }
            }
            Kind::ChangeSchema => {
                let schema = statement.schema.as_deref().unwrap_or(&event.schema);
                if schema.eq_ignore_ascii_case(&self.schema) {
                    self.stop_all(sink, code::DDL_SEEN, &format!("`{}`", statement.title));
                }
            }
            Kind::ChangeRows | Kind::Unknown => self.unclear(event, &statement, sink),
            Kind::Xa | Kind::XaCommit => self.stop_all(sink, code::EVENT_UNSUPPORTED, "an XA transaction"),
        }
    }

    fn tell_harmless(&self, event: &QueryEvent, statement: &Statement, sink: &mut dyn ChangeSink) {
        for named in &statement.tables {
            if let Some(plan) = self.named(event, named) {
                let subject = Subject::table(plan.name().table.clone());
                let text = format!(
                    "`{}` at the source changes neither rows nor columns",
                    statement.title
                );
                sink.notice(Finding::new(code::DDL_SEEN, Severity::Notice, subject, text));
            }
        }
    }

    fn tell_created(&self, event: &QueryEvent, statement: &Statement, sink: &mut dyn ChangeSink) {
        for named in &statement.tables {
            let schema = named.schema.as_deref().unwrap_or(&event.schema);
            if self.named(event, named).is_some() {
                self.stop_named(event, named, sink, code::DDL_SEEN, "`CREATE TABLE`");
            } else if schema.eq_ignore_ascii_case(&self.schema) {
                let subject = Subject::table(named.table.clone());
                let text = "the table was created at the source and is not carried";
                sink.notice(Finding::new(
                    code::TABLE_CREATED,
                    Severity::Warning,
                    subject,
                    text,
                ));
            }
        }
    }

    /// A statement that changes rows as a statement, or is not understood: every migrated table it may touch stops.
    fn unclear(&self, event: &QueryEvent, statement: &Statement, sink: &mut dyn ChangeSink) {
        let what = format!(
            "`{}` logged as a statement (binlog_format was not ROW in that session)",
            statement.title
        );
        let mentions = |name: &str| {
            statement
                .mentioned
                .iter()
                .any(|word| word.eq_ignore_ascii_case(name))
        };
        // A procedure or an unknown statement may reach any table of its schema without naming it.
        if event.schema.eq_ignore_ascii_case(&self.schema) || mentions(&self.schema) {
            self.stop_all(sink, code::EVENT_UNSUPPORTED, &what);
            return;
        }
        for plan in self.tables.iter().filter(|plan| mentions(&plan.name().table)) {
            sink.stop(plan.id, stop_finding(plan, code::EVENT_UNSUPPORTED, &what));
        }
    }

    fn named(&self, event: &QueryEvent, named: &Named) -> Option<&Arc<TablePlan>> {
        self.plan_of(named.schema.as_deref().unwrap_or(&event.schema), &named.table)
    }

    fn stop_named(
        &self,
        event: &QueryEvent,
        named: &Named,
        sink: &mut dyn ChangeSink,
        code: Code,
        what: &str,
    ) {
        if let Some(plan) = self.named(event, named) {
            sink.stop(
                plan.id,
                stop_finding(plan, code, &format!("{what} at the source")),
            );
        }
    }

    fn stop_mapped(&self, event: &Event<'_>, sink: &mut dyn ChangeSink, what: &str) -> Result<(), Malformed> {
        let table_id = Cursor::new(event.body).uint(6)?;
        match self.maps.get(&table_id) {
            Some(Mapped::Table(image)) => {
                sink.stop(
                    image.plan.id,
                    stop_finding(&image.plan, code::EVENT_UNSUPPORTED, what),
                );
            }
            Some(Mapped::Foreign | Mapped::Stopped) => {}
            None => return Err(Malformed("rows of a table that no table map names")),
        }
        Ok(())
    }

    fn stop_all(&self, sink: &mut dyn ChangeSink, code: Code, what: &str) {
        for plan in &self.tables {
            sink.stop(plan.id, stop_finding(plan, code, what));
        }
    }
}

fn stop_finding(plan: &TablePlan, code: Code, text: &str) -> Finding {
    let table = plan.name().table.clone();
    let remedy = format!("spanferry resync {table}");
    Finding::new(code, Severity::Blocking, Subject::table(table), text).remedy(remedy)
}

impl ChangeDecoder for BinlogDecoder {
    fn transaction(&self, piece: &Piece) -> Result<TransactionId, Failure> {
        TransactionId::parse(&piece.transaction).ok_or_else(|| {
            let text = format!("`{}` is no transaction's identity", piece.transaction);
            Failure::new(code::LOG_CORRUPT, Class::StopMigration, "change log", text)
        })
    }

    fn decode(&mut self, piece: &Piece, sink: &mut dyn ChangeSink) -> Result<(), Failure> {
        if piece.number == 0 {
            self.maps.clear();
        }
        let mut run = piece.body.as_slice();
        loop {
            let event = match next_event(&mut run) {
                Ok(Some(event)) => event,
                Ok(None) => return Ok(()),
                Err(error) => {
                    let text = format!(
                        "an event of transaction {} is cut off: {error}",
                        piece.transaction
                    );
                    return Err(Failure::new(
                        code::LOG_CORRUPT,
                        Class::StopMigration,
                        "change log",
                        text,
                    ));
                }
            };
            if let Err(error) = self.event(&event, sink) {
                // Nobody can tell whose rows these are: nothing flows on past them.
                let what = format!(
                    "an event of type {} that cannot be read: {error}",
                    event.header.kind
                );
                self.stop_all(sink, code::EVENT_UNSUPPORTED, &what);
                return Ok(());
            }
        }
    }
}

/// Decodes row images, with memory of its own.
#[derive(Debug, Default)]
struct RowDecoder {
    scratch: Scratch,
    encoder: RowEncoder,
    key: Vec<u8>,
    old_key: Vec<u8>,
    cells: Vec<Vec<u8>>,
}

impl RowDecoder {
    fn change(
        &mut self,
        image: &ImagePlan,
        change: Change,
        cursor: &mut Cursor<'_>,
        sink: &mut dyn ChangeSink,
    ) -> Result<(), ImageError> {
        let id = image.plan.id;
        match change {
            Change::Insert => {
                self.whole(image, cursor)?;
                sink.upsert(id, &self.key, self.encoder.row());
            }
            Change::Delete => {
                self.key_only(image, cursor)?;
                sink.delete(id, &self.old_key);
            }
            Change::Update => {
                self.key_only(image, cursor)?;
                self.whole(image, cursor)?;
                if self.key == self.old_key {
                    sink.upsert(id, &self.key, self.encoder.row());
                } else {
                    sink.relocate(id, &self.old_key, &self.key, self.encoder.row());
                }
            }
        }
        Ok(())
    }

    /// Decodes an image into row and key.
    fn whole(&mut self, image: &ImagePlan, cursor: &mut Cursor<'_>) -> Result<(), ImageError> {
        let nulls = cursor.take(image.columns.len().div_ceil(8))?;
        self.encoder.begin();
        for (index, column) in image.columns.iter().enumerate() {
            let null = bit(nulls, index);
            let bytes = if null {
                &[][..]
            } else {
                column.layout.take(cursor)?
            };
            let Some(target) = column.target else { continue };
            let scalar = if null {
                Scalar::Null
            } else {
                column
                    .meaning
                    .scalar(bytes, &mut self.scratch)
                    .map_err(|error| refused(error, target))?
            };
            self.encoder
                .cell(&image.plan, scalar)
                .map_err(ImageError::Refused)?;
        }
        self.encoder.key_into(&image.plan, &mut self.key);
        Ok(())
    }

    /// Passes over an image and decodes only its key, into `old_key`.
    fn key_only(&mut self, image: &ImagePlan, cursor: &mut Cursor<'_>) -> Result<(), ImageError> {
        let nulls = cursor.take(image.columns.len().div_ceil(8))?;
        let plan = &image.plan;
        self.cells.resize_with(plan.key.len(), Vec::new);
        for (index, column) in image.columns.iter().enumerate() {
            let null = bit(nulls, index);
            let bytes = if null {
                &[][..]
            } else {
                column.layout.take(cursor)?
            };
            let Some(target) = column.target.filter(|_| column.in_key) else {
                continue;
            };
            let scalar = if null {
                Scalar::Null
            } else {
                column
                    .meaning
                    .scalar(bytes, &mut self.scratch)
                    .map_err(|error| refused(error, target))?
            };
            let place = plan
                .key
                .iter()
                .position(|part| *part == target)
                .expect("the column is part of the key");
            self.cells[place].clear();
            plan.columns[target]
                .encode(scalar, &mut self.cells[place])
                .map_err(|refusal| {
                    ImageError::Refused(RefusedCell {
                        column: target,
                        refusal,
                    })
                })?;
        }
        self.old_key.clear();
        for cell in &self.cells {
            self.old_key.extend_from_slice(cell);
        }
        Ok(())
    }
}

fn refused(error: ValueError, column: usize) -> ImageError {
    match error {
        ValueError::Malformed(error) => ImageError::Malformed(error),
        ValueError::Refused(refusal) => ImageError::Refused(RefusedCell { column, refusal }),
    }
}
