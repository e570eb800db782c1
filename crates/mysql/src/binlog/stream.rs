//! The stream of raw transactions over a replication connection.
//!
//! The server filters what `after` contains; whatever still comes from before it is a changed history. Every event's CRC32 is
//! verified unless the server writes none (`binlog_checksum = NONE`); semi-synchronous replication is never asked for.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use spanferry_core::change_log::Piece;
use spanferry_core::code;
use spanferry_core::failure::{Class, Failure};
use spanferry_core::plan::TablePlan;
use spanferry_core::position::{GtidSet, MariadbGtids, Position};
use spanferry_core::source::{ChangeSource, ChangeStream};

use super::assemble::{AssembleError, Assembler};
use super::decoder::BinlogDecoder;
use super::dump;
use super::event::{CHECKSUM_BYTES, HEADER_BYTES, Header, Malformed, kind, verified};
use crate::connection::Connection;
use crate::error::MysqlError;
use crate::history;
use crate::source::{MysqlSource, OBSERVER_ID, unreadable};

/// Idle time after which the server says that it still lives.
const HEARTBEAT: Duration = Duration::from_secs(5);
/// Silence after which the server counts as gone: three heartbeats.
const SILENCE_MAX: Duration = Duration::from_secs(15);

impl MysqlSource {
    /// The source must hold the history of `after`, and nothing behind `after` may be purged.
    async fn verify_history(&self, connection: &mut Connection, after: &Position) -> Result<(), Failure> {
        let stop = |code: code::Code, message: &str| {
            Failure::new(code, Class::StopMigration, self.options().address(), message)
        };
        if !history::holds(self, connection, after).await? {
            return Err(stop(
                code::HISTORY_CHANGED,
                "it lacks transactions that have been captured",
            ));
        }
        if let Position::Mysql(after) = after {
            let purged = connection
                .query("SELECT @@GLOBAL.gtid_purged")
                .await
                .map_err(|error| self.failure(error))?;
            let purged = GtidSet::parse(&purged.first_text().unwrap_or_default());
            if !after.contains_all(&purged.map_err(|error| unreadable(self.options(), error))?) {
                return Err(stop(
                    code::POSITION_PURGED,
                    "it has purged transactions that were not captured",
                ));
            }
        }
        Ok(())
    }

    async fn begin_dump(&self, connection: &mut Connection, after: &Position) -> Result<(), MysqlError> {
        let period = HEARTBEAT.as_nanos();
        let mut settings = format!(
            "SET @master_binlog_checksum = 'CRC32', @source_binlog_checksum = 'CRC32', \
             @master_heartbeat_period = {period}, @source_heartbeat_period = {period}"
        );
        let is_replica = self.server_id() != OBSERVER_ID;
        if is_replica {
            // The server ends an older stream of the same replica id, so that a lost connection does not stay.
            let uuid = format!("5370616e-6665-7272-7900-0000{:08x}", self.server_id());
            settings.push_str(&format!(", @slave_uuid = '{uuid}', @replica_uuid = '{uuid}'"));
        }
        let request = match after {
            Position::Mysql(set) => dump::request_mysql(self.server_id(), set),
            Position::Mariadb(list) => {
                settings.push_str(&mariadb_settings(list));
                dump::request_mariadb(self.server_id())
            }
        };
        connection.execute(&settings).await?;
        if is_replica {
            connection.send_command(&dump::register(self.server_id())).await?;
            connection.read_answer().await?;
        }
        connection.send_command(&request).await
    }
}

/// Capability 4: GTIDs. Strict mode: a position that is not in the server's binlog is an error.
fn mariadb_settings(after: &MariadbGtids) -> String {
    format!(
        ", @mariadb_slave_capability = 4, @slave_connect_state = '{after}', @slave_gtid_strict_mode = 1, \
         @slave_gtid_ignore_duplicates = 0"
    )
}

impl ChangeSource for MysqlSource {
    type Stream = BinlogStream;
    type Decoder = BinlogDecoder;

    async fn open(&self, after: &Position) -> Result<BinlogStream, Failure> {
        let mut connection = self.connect().await.map_err(|error| self.failure(error))?;
        self.verify_history(&mut connection, after).await?;
        self.begin_dump(&mut connection, after)
            .await
            .map_err(|error| self.failure(error))?;
        let mut stream = BinlogStream {
            address: self.options().address(),
            connection,
            checksummed: None,
            assembler: Assembler::new(after.clone()),
            failed: None,
        };
        // The made-up ROTATE: the server sends it once it has found the position, and its refusal instead if it has not.
        let mut pieces = Vec::new();
        stream.receive(&mut pieces).await?;
        debug_assert!(pieces.is_empty(), "a ROTATE is no transaction");
        Ok(stream)
    }

    fn decoder(&self, tables: &[Arc<TablePlan>]) -> BinlogDecoder {
        BinlogDecoder::new(&self.options().schema, tables)
    }
}

/// An open stream.
#[derive(Debug)]
pub struct BinlogStream {
    address: String,
    connection: Connection,
    /// Whether events carry a CRC32; unknown until the first format description.
    checksummed: Option<bool>,
    assembler: Assembler,
    /// A failure that was found behind pieces that had to be handed on first.
    failed: Option<Failure>,
}

impl ChangeStream for BinlogStream {
    async fn next(&mut self, pieces: &mut Vec<Piece>, bytes_max: usize) -> Result<(), Failure> {
        if let Some(failure) = self.failed.take() {
            return Err(failure);
        }
        let given = pieces.len();
        let mut measured = given;
        let mut bytes = 0;
        loop {
            // Nothing is awaited once there is a piece, so that a dropped call never holds one.
            let status = if pieces.len() == given {
                self.receive(pieces).await.map(Some)
            } else {
                try_now(self.receive(pieces)).await.transpose()
            };
            match status {
                Ok(Some(Arrived::Event)) => {}
                Ok(Some(Arrived::Heartbeat) | None) => return Ok(()),
                Err(failure) if pieces.len() > given => {
                    self.failed = Some(failure);
                    return Ok(());
                }
                Err(failure) => return Err(failure),
            }
            bytes += pieces[measured..]
                .iter()
                .map(|piece| piece.body.len())
                .sum::<usize>();
            measured = pieces.len();
            if bytes >= bytes_max {
                return Ok(());
            }
        }
    }
}

/// What a packet brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Arrived {
    Event,
    Heartbeat,
}

/// The result of a future that is ready at once.
async fn try_now<F: Future>(future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    poll_fn(|context| {
        Poll::Ready(match future.as_mut().poll(context) {
            Poll::Ready(output) => Some(output),
            Poll::Pending => None,
        })
    })
    .await
}

impl BinlogStream {
    /// Reads one packet and takes it apart. Awaits only the packet; what follows is synchronous. Cancellation: safe.
    async fn receive(&mut self, pieces: &mut Vec<Piece>) -> Result<Arrived, Failure> {
        let address = &self.address;
        let packet = self
            .connection
            .read_answer()
            .await
            .map_err(|error| dump::failure(error, address))?;
        let [0, event @ ..] = packet else {
            return Err(lost(address, "the source ended the stream"));
        };
        let header = Header::parse(event).map_err(|error| damaged(address, error))?;
        // Before the first format description there is only the made-up ROTATE, whose checksum depends on the version.
        if header.kind == kind::FORMAT_DESCRIPTION {
            self.checksummed = Some(has_checksum(event).map_err(|error| damaged(address, error))?);
        }
        let Some(checksummed) = self.checksummed else {
            if header.kind == kind::ROTATE
                || header.kind == kind::HEARTBEAT
                || header.kind == kind::HEARTBEAT_V2
            {
                return Ok(Arrived::Event);
            }
            return Err(damaged(
                address,
                Malformed("events before the format description"),
            ));
        };
        if header.kind == kind::ROTATE && header.timestamp == 0 {
            return Ok(Arrived::Event);
        }
        let event = verified(event, checksummed).map_err(|error| damaged(address, error))?;
        let heartbeat = matches!(header.kind, kind::HEARTBEAT | kind::HEARTBEAT_V2);
        self.assembler
            .event(event, pieces)
            .map_err(|error| assemble_failure(address, error))?;
        if heartbeat || matches!(header.kind, kind::GTID | kind::GTID_TAGGED | kind::MARIADB_GTID) {
            // From the first of them on the server is no longer looking for the position, and heartbeats are due.
            self.connection.set_read_timeout(SILENCE_MAX);
        }
        Ok(if heartbeat {
            Arrived::Heartbeat
        } else {
            Arrived::Event
        })
    }
}

/// The algorithm byte of a format description stands in front of its own checksum: 1 is CRC32, 0 none.
fn has_checksum(event: &[u8]) -> Result<bool, Malformed> {
    let at = event
        .len()
        .checked_sub(CHECKSUM_BYTES + 1)
        .filter(|at| *at >= HEADER_BYTES);
    match event[at.ok_or(Malformed("a format description that ends too early"))?] {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(Malformed("a checksum algorithm that is not known")),
    }
}

fn lost(address: &str, message: &str) -> Failure {
    Failure::new(
        code::SOURCE_FAILED,
        Class::Retry { after: None },
        address,
        message,
    )
}

/// A damaged event may be whole when it is sent again.
fn damaged(address: &str, error: Malformed) -> Failure {
    lost(address, "an event arrived damaged").caused_by(error)
}

fn assemble_failure(address: &str, error: AssembleError) -> Failure {
    let stop = |code: code::Code| Failure::new(code, Class::StopMigration, address, code.title());
    match error {
        AssembleError::Malformed(error) => damaged(address, error),
        AssembleError::Anonymous => stop(code::SOURCE_SETTING)
            .hint("Set `gtid_mode = ON` and `enforce_gtid_consistency = ON` at the source.")
            .caused_by(error),
        AssembleError::Again(_) | AssembleError::Position(_) => stop(code::HISTORY_CHANGED).caused_by(error),
    }
}
