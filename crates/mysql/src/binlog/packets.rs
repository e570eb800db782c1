//! The packets of a binlog stream: taken off the connection, verified and put together.

use std::time::Duration;

use spanferry_core::port::change_log::Piece;
use spanferry_core::position::Position;
use spanferry_core::report::code;
use spanferry_core::report::failure::{Class, Failure};

use super::assemble::Assembler;
use super::assemble_error::AssembleError;
use super::dump;
use super::event::{CHECKSUM_BYTES, HEADER_BYTES, Header, Malformed, kind, verified};
use super::proof::{Proof, unproved};
use crate::connection::Connection;

/// Silence after which the server counts as gone: three heartbeats.
const SILENCE_MAX: Duration = Duration::from_secs(15);

/// What a packet brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Arrived {
    Event,
    Heartbeat,
    /// The source has sent all it has, as it was asked to.
    End,
}

/// The packets of a binlog stream on one connection.
#[derive(Debug)]
pub(super) struct Packets {
    pub(super) address: String,
    connection: Connection,
    /// Whether events carry a CRC32; unknown until the first format description.
    checksummed: Option<bool>,
    pub(super) assembler: Assembler,
}

impl Packets {
    /// A connection on which a stream behind `after` was asked for, whose source has to give a
    /// proof.
    pub(super) fn new(address: String, connection: Connection, after: Position, proof: Proof) -> Packets {
        Packets {
            address,
            connection,
            checksummed: None,
            assembler: Assembler::new(after, proof),
        }
    }

    /// Reads one packet and takes it apart. Awaits only the packet; what follows is synchronous.
    /// Cancellation: safe.
    pub(super) async fn receive(&mut self, pieces: &mut Vec<Piece>) -> Result<Arrived, Failure> {
        let address = &self.address;
        let has_begun = self.checksummed.is_some();
        let packet = self
            .connection
            .read_answer()
            .await
            .map_err(|error| dump::failure(error, address, has_begun))?;
        let [0, event @ ..] = packet else {
            return Ok(Arrived::End);
        };
        let header = Header::parse(event).map_err(|error| damaged(address, error))?;
        // Before the first format description there is only the made-up ROTATE, whose checksum
        // depends on the version.
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
            // From the first of them on the server is no longer looking for the position, and
            // heartbeats are due.
            self.connection.set_read_timeout(SILENCE_MAX);
        }
        Ok(if heartbeat {
            Arrived::Heartbeat
        } else {
            Arrived::Event
        })
    }
}

/// The algorithm byte of a format description stands in front of its own checksum: 1 is CRC32, 0
/// none.
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

pub(super) fn lost(address: &str, message: &str) -> Failure {
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
        AssembleError::Again(_)
        | AssembleError::Other { .. }
        | AssembleError::NotThere(_)
        | AssembleError::Position(_) => stop(code::HISTORY_CHANGED).caused_by(error),
        AssembleError::Outside(_) => stop(code::EVENT_UNSUPPORTED).caused_by(error),
        AssembleError::Unproved(_) => unproved(address).caused_by(error),
    }
}
