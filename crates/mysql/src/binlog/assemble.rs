//! From verified events to pieces: where transactions begin and end, and where large ones are cut. Pure.

use spanferry_core::change_log::{PIECE_BYTES_MAX, Piece, PieceKind, Sequence};
use spanferry_core::position::{Position, PositionError, TransactionId};

use super::event::{FLAG_IGNORABLE, HEADER_BYTES, Header, Malformed, append_event, kind};
use super::gtid::{GtidEvent, parse_mariadb, parse_mysql, parse_mysql_tagged};
use super::query::{QueryEvent, is_begin};
use super::statement::Kind;

/// Why an event cannot be part of the history that is followed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum AssembleError {
    /// Not what the format says.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// A transaction without an identity.
    #[error("a transaction without a GTID came")]
    Anonymous,
    /// A transaction that is contained in the position came again, or a MariaDB domain went backwards.
    #[error("transaction {0} came, which lies at or before the position reached")]
    Again(String),
    /// A transaction of another kind of server.
    #[error(transparent)]
    Position(#[from] PositionError),
}

/// Builds pieces from events.
#[derive(Debug)]
pub(crate) struct Assembler {
    /// Everything captured, the open transaction not counted.
    position: Position,
    open: Option<Open>,
    /// Events outside of transactions that the decoder must see: they go with the next transaction.
    stray: Vec<u8>,
    /// Room made for a body at once: what the last one took.
    body_bytes: usize,
}

/// Most room that is made for a body before its events are there.
const BODY_ROOM_MAX: usize = 64 << 10;

#[derive(Debug)]
struct Open {
    id: TransactionId,
    text: String,
    committed_at_us: u64,
    body: Vec<u8>,
    /// MariaDB says so: it is the one statement behind its GTID.
    standalone: bool,
    /// BEGIN or XA START was seen: statements belong to a group.
    grouped: bool,
}

/// Where the assembler stands after an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Boundary {
    Inside,
    End,
}

impl Assembler {
    pub(crate) fn new(position: Position) -> Assembler {
        Assembler {
            position,
            open: None,
            stray: Vec::new(),
            body_bytes: 0,
        }
    }

    /// Takes one event without its checksum, and appends the pieces that are complete.
    pub(crate) fn event(&mut self, event: &[u8], pieces: &mut Vec<Piece>) -> Result<(), AssembleError> {
        let header = Header::parse(event)?;
        let body = event
            .get(HEADER_BYTES..)
            .ok_or(Malformed("an event shorter than its header"))?;
        if is_stream_event(&header) {
            return Ok(());
        }
        if let Some(gtid) = gtid(&header, body)? {
            self.begin(gtid, event, pieces)?;
            return Ok(());
        }
        let Some(open) = &mut self.open else {
            if header.flags & FLAG_IGNORABLE == 0 {
                append_event(&mut self.stray, event)?;
            }
            return Ok(());
        };
        if !open.body.is_empty() && open.body.len() + event.len() > PIECE_BYTES_MAX {
            pieces.push(open.piece(false));
        }
        append_event(&mut open.body, event)?;
        match open.boundary(&header, body)? {
            Boundary::Inside => Ok(()),
            Boundary::End => self.end(pieces),
        }
    }

    fn begin(&mut self, gtid: GtidEvent, event: &[u8], pieces: &mut Vec<Piece>) -> Result<(), AssembleError> {
        // A transaction that has no end of a known kind ends where the next one begins.
        self.end(pieces)?;
        // MariaDB: also a domain that went backwards. Told before anything of it is handed on.
        if self.position.contains(&gtid.id)? {
            return Err(AssembleError::Again(gtid.id.to_string()));
        }
        let mut body = Vec::with_capacity(self.body_bytes.min(BODY_ROOM_MAX));
        body.append(&mut self.stray);
        append_event(&mut body, event)?;
        self.open = Some(Open {
            text: gtid.id.to_string(),
            id: gtid.id,
            committed_at_us: gtid.committed_at_us,
            body,
            standalone: gtid.standalone,
            grouped: false,
        });
        Ok(())
    }

    fn end(&mut self, pieces: &mut Vec<Piece>) -> Result<(), AssembleError> {
        if let Some(mut open) = self.open.take() {
            self.position.advance(&open.id)?;
            self.body_bytes = open.body.len();
            pieces.push(open.piece(true));
        }
        Ok(())
    }
}

impl Open {
    fn piece(&mut self, last: bool) -> Piece {
        Piece {
            sequence: Sequence::ZERO,
            number: 0,
            last,
            kind: PieceKind::Transaction,
            transaction: self.text.clone(),
            committed_at_us: self.committed_at_us,
            body: std::mem::take(&mut self.body),
        }
    }

    /// Whether this event ends the transaction.
    fn boundary(&mut self, header: &Header, body: &[u8]) -> Result<Boundary, Malformed> {
        if self.committed_at_us == 0 {
            self.committed_at_us = u64::from(header.timestamp) * 1_000_000;
        }
        Ok(match header.kind {
            kind::XID | kind::XA_PREPARE | kind::TRANSACTION_PAYLOAD => Boundary::End,
            kind::MARIADB_QUERY_COMPRESSED if self.standalone => Boundary::End,
            kind::QUERY if is_begin(body) => {
                self.grouped = true;
                Boundary::Inside
            }
            kind::QUERY => self.query_boundary(&QueryEvent::parse(body)?),
            _ => Boundary::Inside,
        })
    }

    fn query_boundary(&mut self, query: &QueryEvent) -> Boundary {
        if query.text.as_deref() == Some("COMMIT") {
            return Boundary::End;
        }
        let mariadb = matches!(self.id, TransactionId::Mariadb { .. });
        match query.statement(mariadb).kind {
            Kind::Rollback | Kind::Commit | Kind::XaEnd => Boundary::End,
            Kind::XaStart | Kind::Begin => {
                self.grouped = true;
                Boundary::Inside
            }
            Kind::RollbackToSavepoint
            | Kind::Nothing
            | Kind::XaPrepare
            | Kind::Rows
            | Kind::Definition(_)
            | Kind::UnknownDefinition
            | Kind::Unknown => self.statement_boundary(),
        }
    }

    /// Whether a statement that neither begins nor ends a transaction is one by itself.
    fn statement_boundary(&self) -> Boundary {
        match self.id {
            TransactionId::Mariadb { .. } | TransactionId::Mysql { .. } if self.grouped => Boundary::Inside,
            // MariaDB writes no BEGIN: its GTID event says whether more follows.
            TransactionId::Mariadb { .. } if !self.standalone => Boundary::Inside,
            TransactionId::Mariadb { .. } | TransactionId::Mysql { .. } => Boundary::End,
        }
    }
}

/// Events about files and connections, which are part of no transaction and tell the decoder nothing.
fn is_stream_event(header: &Header) -> bool {
    matches!(
        header.kind,
        kind::FORMAT_DESCRIPTION
            | kind::ROTATE
            | kind::STOP
            | kind::HEARTBEAT
            | kind::HEARTBEAT_V2
            | kind::PREVIOUS_GTIDS
            | kind::MARIADB_CHECKPOINT
            | kind::MARIADB_GTID_LIST
            | kind::MARIADB_START_ENCRYPTION
    )
}

fn gtid(header: &Header, body: &[u8]) -> Result<Option<GtidEvent>, AssembleError> {
    Ok(Some(match header.kind {
        kind::GTID => parse_mysql(body)?,
        kind::GTID_TAGGED => parse_mysql_tagged(body)?,
        kind::MARIADB_GTID => parse_mariadb(header.server_id, header.timestamp, body)?,
        kind::ANONYMOUS_GTID => return Err(AssembleError::Anonymous),
        _ => return Ok(None),
    }))
}
