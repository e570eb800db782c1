//! The open stream: packets into checked events, events into pieces of whole transactions.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use spanferry_core::change_log::{PIECE_BYTES_MAX, Piece, PieceKind, Sequence};
use spanferry_core::code;
use spanferry_core::failure::{Class, Failure};
use spanferry_core::plan::TablePlan;
use spanferry_core::position::Position;
use spanferry_core::source::{ChangeSource, ChangeStream};

use super::decoder::BinlogDecoder;
use super::dump;
use super::event::{HEADER_BYTES, Header, Malformed, append_event, kind, verified};
use super::gtid::{self, GtidEvent};
use super::query::{Kind, QueryEvent};
use crate::connection::Connection;
use crate::error::MysqlError;
use crate::source::MysqlSource;

impl ChangeSource for MysqlSource {
    type Stream = BinlogStream;
    type Decoder = BinlogDecoder;

    async fn open(&self, after: &Position) -> Result<BinlogStream, Failure> {
        let connection = dump::open(self, after).await?;
        Ok(BinlogStream {
            source: self.clone(),
            connection,
            assembly: Assembly::default(),
        })
    }

    fn decoder(&self, tables: &[Arc<TablePlan>]) -> BinlogDecoder {
        BinlogDecoder::new(&self.options().schema, tables)
    }
}

/// An open stream of one server.
#[derive(Debug)]
pub struct BinlogStream {
    source: MysqlSource,
    connection: Connection,
    assembly: Assembly,
}

impl ChangeStream for BinlogStream {
    async fn next(&mut self, pieces: &mut Vec<Piece>, bytes_max: usize) -> Result<(), Failure> {
        let mut waited = false;
        while self.assembly.ready_bytes < bytes_max {
            let packet = if waited {
                match once(self.connection.read_packet()).await {
                    Some(packet) => packet,
                    None => break,
                }
            } else {
                self.connection.read_packet().await
            };
            waited = true;
            let packet = packet.map_err(|error| lost(&self.source, error))?;
            let event = match packet.split_first() {
                Some((0x00, event)) => event,
                Some((0xff, _)) => return Err(refused(&self.source, packet)),
                Some((0xfe, _)) => return Err(ended(&self.source)),
                _ => {
                    return Err(unreadable(
                        &self.source,
                        Malformed("a packet that holds no event"),
                    ));
                }
            };
            self.assembly
                .take(event)
                .map_err(|error| unreadable(&self.source, error))?;
        }
        // Nothing is awaited from here on: what was received is either still here or handed over.
        self.assembly.ready_bytes = 0;
        pieces.append(&mut self.assembly.ready);
        Ok(())
    }
}

/// Polls a future once; `None` if it is not ready. The future must be cancellation-safe.
async fn once<F: Future>(future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    std::future::poll_fn(|context| match future.as_mut().poll(context) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending => Poll::Ready(None),
    })
    .await
}

fn lost(source: &MysqlSource, error: MysqlError) -> Failure {
    let class = if error.is_retryable() || error.is_connection_lost() {
        Class::Retry { after: None }
    } else {
        Class::StopMigration
    };
    Failure::new(
        code::SOURCE_FAILED,
        class,
        source.options().address(),
        "the change stream broke",
    )
    .caused_by(error)
}

fn ended(source: &MysqlSource) -> Failure {
    let class = Class::Retry { after: None };
    Failure::new(
        code::SOURCE_FAILED,
        class,
        source.options().address(),
        "the source ended the change stream",
    )
}

fn unreadable(source: &MysqlSource, error: Malformed) -> Failure {
    let text = format!("the change stream cannot be read: {error}");
    Failure::new(
        code::EVENT_UNSUPPORTED,
        Class::StopMigration,
        source.options().address(),
        text,
    )
}

/// An error packet instead of an event: number, `#`, SQLSTATE, text.
fn refused(source: &MysqlSource, packet: &[u8]) -> Failure {
    let number = packet
        .get(1..3)
        .map_or(0, |bytes| u16::from_le_bytes([bytes[0], bytes[1]]));
    let text = String::from_utf8_lossy(packet.get(9..).unwrap_or_default()).into_owned();
    let lower = text.to_lowercase();
    let (code, class) = if lower.contains("purged") || lower.contains("could not find gtid state") {
        (code::POSITION_PURGED, Class::StopMigration)
    } else if lower.contains("same server") || lower.contains("server_uuid") {
        (code::SOURCE_SERVER_ID, Class::StopMigration)
    } else if [1045, 1142, 1227].contains(&number) {
        (code::SOURCE_PRIVILEGE, Class::StopMigration)
    } else if number == 1236 {
        (code::SOURCE_FAILED, Class::StopMigration)
    } else {
        (code::SOURCE_FAILED, Class::Retry { after: None })
    };
    Failure::new(
        code,
        class,
        source.options().address(),
        format!("the source refuses the change stream: {text} ({number})"),
    )
}

/// The transaction that is being put together.
#[derive(Debug)]
struct Open {
    transaction: String,
    committed_at_us: u64,
    body: Vec<u8>,
    /// MySQL: BEGIN has been seen, or MariaDB implies it: only a commit ends the transaction.
    begun: bool,
}

/// Puts events together into pieces.
#[derive(Debug, Default)]
struct Assembly {
    ready: Vec<Piece>,
    ready_bytes: usize,
    open: Option<Open>,
    /// What the last format description says about checksums.
    checksummed: bool,
}

impl Assembly {
    fn take(&mut self, event: &[u8]) -> Result<(), Malformed> {
        let header = Header::parse(event)?;
        match header.kind {
            kind::FORMAT_DESCRIPTION => self.format(event),
            // Made up for this connection, or without rows: their checksums are not always there.
            kind::ROTATE | kind::HEARTBEAT | kind::HEARTBEAT_V2 | kind::STOP => Ok(()),
            _ => {
                let content = verified(event, self.checksummed)?;
                self.content(header, content)
            }
        }
    }

    /// The checksum algorithm is the byte in front of the format description's own checksum: 0 none, 1 CRC32.
    fn format(&mut self, event: &[u8]) -> Result<(), Malformed> {
        let at = event
            .len()
            .checked_sub(5)
            .ok_or(Malformed("a format description without a checksum algorithm"))?;
        self.checksummed = match event[at] {
            0 => false,
            1 => true,
            _ => return Err(Malformed("an unknown checksum algorithm")),
        };
        verified(event, self.checksummed).map(|_| ())
    }

    fn content(&mut self, header: Header, event: &[u8]) -> Result<(), Malformed> {
        let body = &event[HEADER_BYTES..];
        match header.kind {
            kind::PREVIOUS_GTIDS | kind::MARIADB_CHECKPOINT | kind::MARIADB_GTID_LIST => Ok(()),
            kind::MARIADB_START_ENCRYPTION => Ok(()),
            kind::GTID => self.begin(&gtid::parse_mysql(body)?, false, event),
            kind::GTID_TAGGED => self.begin(&gtid::parse_mysql_tagged(body)?, false, event),
            kind::MARIADB_GTID => {
                let gtid = gtid::parse_mariadb(header.server_id, header.timestamp, body)?;
                let implied = !gtid.standalone;
                self.begin(&gtid, implied, event)
            }
            kind::ANONYMOUS_GTID => Err(Malformed("a transaction without a GTID (GTIDs were off)")),
            kind::XID | kind::XA_PREPARE | kind::TRANSACTION_PAYLOAD => self.append(event, true),
            kind::QUERY => self.query(event, body),
            kind::MARIADB_QUERY_COMPRESSED => {
                let ends = self.open.as_ref().is_some_and(|open| !open.begun);
                self.append(event, ends)
            }
            _ => self.append(event, false),
        }
    }

    fn query(&mut self, event: &[u8], body: &[u8]) -> Result<(), Malformed> {
        let begun = self.open.as_ref().is_some_and(|open| open.begun);
        let kind = QueryEvent::parse(body)?.statement().kind;
        let ends = match kind {
            Kind::Begin => {
                if let Some(open) = &mut self.open {
                    open.begun = true;
                }
                false
            }
            Kind::Commit | Kind::XaCommit => true,
            // ROLLBACK TO a savepoint goes on, a ROLLBACK ends: told by its text alone.
            Kind::Rollback => !begun || is_whole_rollback(body),
            Kind::Xa => !begun,
            Kind::Nothing
            | Kind::Harmless
            | Kind::CreateTable
            | Kind::CreateTableIfAbsent
            | Kind::ChangeTable
            | Kind::ChangeSchema
            | Kind::ChangeRows
            | Kind::Unknown => !begun,
        };
        self.append(event, ends)
    }

    fn begin(&mut self, gtid: &GtidEvent, begun: bool, event: &[u8]) -> Result<(), Malformed> {
        if self.open.is_some() {
            return Err(Malformed("a transaction that begins before the last one ended"));
        }
        self.open = Some(Open {
            transaction: gtid.id.to_string(),
            committed_at_us: gtid.committed_at_us,
            body: Vec::new(),
            begun,
        });
        self.append(event, false)
    }

    fn append(&mut self, event: &[u8], ends: bool) -> Result<(), Malformed> {
        let open = self
            .open
            .as_mut()
            .ok_or(Malformed("an event outside a transaction"))?;
        if !open.body.is_empty() && open.body.len() + event.len() > PIECE_BYTES_MAX {
            let body = std::mem::take(&mut open.body);
            self.ready_bytes += body.len();
            self.ready
                .push(piece(&open.transaction, open.committed_at_us, body, false));
        }
        append_event(&mut open.body, event)?;
        if ends && let Some(open) = self.open.take() {
            self.ready_bytes += open.body.len();
            self.ready
                .push(piece(&open.transaction, open.committed_at_us, open.body, true));
        }
        Ok(())
    }
}

fn is_whole_rollback(body: &[u8]) -> bool {
    QueryEvent::parse(body).is_ok_and(|query| {
        query
            .text
            .is_some_and(|text| text.trim().trim_end_matches(';').eq_ignore_ascii_case("rollback"))
    })
}

fn piece(transaction: &str, committed_at_us: u64, body: Vec<u8>, last: bool) -> Piece {
    Piece {
        sequence: Sequence::ZERO,
        number: 0,
        last,
        kind: PieceKind::Transaction,
        transaction: transaction.to_owned(),
        committed_at_us,
        body,
    }
}
