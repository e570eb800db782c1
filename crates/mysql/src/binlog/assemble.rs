//! From verified events to pieces: where transactions begin and end, and where large ones are cut.
//! Pure.

use spanferry_core::port::change_log::{PIECE_BYTES_MAX, Piece, PieceKind, Sequence};
use spanferry_core::position::{Position, TransactionId, Witness};
use spanferry_format::mysql::statement::Kind;

use super::assemble_error::AssembleError;
use super::content::Content;
use super::event::{FLAG_IGNORABLE, HEADER_BYTES, Header, Malformed, append_event, kind};
use super::gtid::{GtidEvent, parse_mariadb, parse_mysql, parse_mysql_tagged};
use super::proof::{Proof, needs_content};
use super::query::{QueryEvent, is_begin};
use super::rows::change;

/// Builds pieces from events.
#[derive(Debug)]
pub(crate) struct Assembler {
    /// Everything captured, the open transaction not counted.
    position: Position,
    /// The captured transactions that the source has to show again: they are compared and dropped.
    proof: Proof,
    open: Option<Open>,
    /// Events outside of transactions that the decoder must see: they go with the next transaction.
    /// None of them carries rows.
    stray: Vec<u8>,
    /// Room made for a body at once: what the last one took.
    body_bytes: usize,
}

/// Most room that is made for a body before its events are there.
const BODY_ROOM_MAX: usize = 64 << 10;

/// Most bytes of events that wait for the next transaction. None of them carries rows, so they are
/// few and short.
const STRAY_BYTES_MAX: usize = 1 << 20;

#[derive(Debug)]
struct Open {
    /// Without its content, which its end shows.
    witness: Witness,
    text: String,
    committed_at_us: u64,
    body: Vec<u8>,
    /// What is seen of its content, where that proves it.
    content: Option<Content>,
    /// It is captured already.
    is_known: bool,
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
    /// Begins behind a position, after the transactions of a proof.
    pub(crate) fn new(position: Position, proof: Proof) -> Assembler {
        Assembler {
            position,
            proof,
            open: None,
            stray: Vec::new(),
            body_bytes: 0,
        }
    }

    /// What the source has shown again, and what it has still to show.
    pub(crate) fn proof(&self) -> &Proof {
        &self.proof
    }

    /// The same, when nothing more is read.
    pub(crate) fn into_proof(self) -> Proof {
        self.proof
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
            if carries_rows(header.kind) {
                return Err(AssembleError::Outside(header.kind));
            }
            if header.flags & FLAG_IGNORABLE == 0 {
                if self.stray.len() + event.len() > STRAY_BYTES_MAX {
                    return Err(Malformed("more than 1 MiB of events outside of transactions").into());
                }
                append_event(&mut self.stray, event)?;
            }
            return Ok(());
        };
        if let Some(content) = &mut open.content {
            content.event(&header, body);
        }
        if !open.is_known {
            if !open.body.is_empty() && open.body.len() + event.len() > PIECE_BYTES_MAX {
                pieces.push(open.piece(false));
            }
            append_event(&mut open.body, event)?;
        }
        match open.boundary(&header, body)? {
            Boundary::Inside => Ok(()),
            Boundary::End => self.end(pieces),
        }
    }

    fn begin(&mut self, gtid: GtidEvent, event: &[u8], pieces: &mut Vec<Piece>) -> Result<(), AssembleError> {
        // A transaction that has no end of a known kind ends where the next one begins.
        self.end(pieces)?;
        let mut witness = Witness::unknown(gtid.id);
        witness.committed_at_us = gtid.original_us;
        let is_known = self.proof.awaits(&witness.id)?;
        let mut body = Vec::new();
        if is_known {
            self.stray.clear();
            self.proof.show(&witness, false)?;
        } else {
            // MariaDB: also a domain that went backwards. Told before anything of it is handed on.
            if self.position.contains(&witness.id)? {
                return Err(AssembleError::Again(witness.id.to_string()));
            }
            body.reserve(self.body_bytes.min(BODY_ROOM_MAX));
            body.append(&mut self.stray);
            append_event(&mut body, event)?;
        }
        self.open = Some(Open {
            text: witness.to_string(),
            content: needs_content(&witness).then(Content::default),
            witness,
            committed_at_us: gtid.committed_at_us,
            body,
            is_known,
            standalone: gtid.standalone,
            grouped: false,
        });
        Ok(())
    }

    fn end(&mut self, pieces: &mut Vec<Piece>) -> Result<(), AssembleError> {
        let Some(mut open) = self.open.take() else {
            return Ok(());
        };
        if let Some(content) = open.content.take() {
            open.witness.content = content.finish();
            open.text = open.witness.to_string();
        }
        if open.is_known {
            self.proof.show(&open.witness, true)?;
            return Ok(());
        }
        self.position.advance(&open.witness.id)?;
        self.body_bytes = open.body.len();
        pieces.push(open.piece(true));
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
        let mariadb = matches!(self.witness.id, TransactionId::Mariadb { .. });
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
        match self.witness.id {
            TransactionId::Mariadb { .. } | TransactionId::Mysql { .. } if self.grouped => Boundary::Inside,
            // MariaDB writes no BEGIN: its GTID event says whether more follows.
            TransactionId::Mariadb { .. } if !self.standalone => Boundary::Inside,
            TransactionId::Mariadb { .. } | TransactionId::Mysql { .. } => Boundary::End,
        }
    }
}

/// Events about files and connections, which are part of no transaction and mean nothing to the
/// decoder.
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

/// Events that bring rows, or say whose rows follow.
fn carries_rows(number: u8) -> bool {
    matches!(
        number,
        kind::TABLE_MAP | kind::PARTIAL_UPDATE_ROWS | kind::TRANSACTION_PAYLOAD
    ) || kind::MARIADB_COMPRESSED_ROWS.contains(&number)
        || change(number).is_some()
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
