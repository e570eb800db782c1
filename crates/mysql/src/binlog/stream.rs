//! The stream of raw transactions over a replication connection.
//!
//! The server filters what `after` contains, but for the witnesses: those it sends again, and they
//! are compared and dropped before anything is handed on (docs/design/history.md). Whatever else
//! comes from before `after` is a changed history. Every event's CRC32 is verified unless the
//! server writes none (`binlog_checksum = NONE`); semi-synchronous replication is never asked for.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use spanferry_core::plan::TablePlan;
use spanferry_core::port::change_log::Piece;
use spanferry_core::port::source::{ChangeSource, ChangeStream};
use spanferry_core::position::{Bookmark, GtidSet, Position, TransactionId, Witness};
use spanferry_core::report::code;
use spanferry_core::report::failure::{Class, Failure};

use super::decoder::BinlogDecoder;
use super::dump::{self, Reader};
use super::event::Malformed;
use super::packets::{Arrived, Packets, lost};
use super::proof::{Proof, Purpose, unproved};
use crate::connection::Connection;
use crate::error::MysqlError;
use crate::history;
use crate::line::FRESH;
use crate::replica_id::{self, ReplicaId};
use crate::source::{At, MysqlSource, OBSERVER_ID};

/// Idle time after which the server says that it still lives.
const HEARTBEAT: Duration = Duration::from_secs(5);
/// Heartbeats within which the source must show the witnesses: two minutes. It may have a file to
/// read through.
const PROOF_HEARTBEATS_MAX: u32 = 24;
/// Most bytes of other transactions that are held back until the witnesses are shown. A replica may
/// have some in front of them: its own, or of another channel.
const HELD_BYTES_MAX: usize = 64 << 20;

impl MysqlSource {
    /// The source must hold the history of `after`, and nothing behind `after` may be purged.
    /// Returns what is purged (MySQL).
    pub(crate) async fn verify_history(
        &self,
        connection: &mut Connection,
        after: &Position,
    ) -> Result<GtidSet, Failure> {
        let stop = |code: code::Code, message: &str| {
            Failure::new(code, Class::StopMigration, self.options().address(), message)
        };
        if !history::holds(self, connection, after).await? {
            return Err(stop(
                code::HISTORY_CHANGED,
                "it lacks transactions that have been captured",
            ));
        }
        match after {
            Position::Mysql(after) => {
                let purged = history::purged(self, connection).await?;
                if after.contains_all(&purged) {
                    Ok(purged)
                } else {
                    let text = "it has purged transactions that were not captured";
                    Err(stop(code::POSITION_PURGED, text))
                }
            }
            Position::Mariadb(_) => Ok(GtidSet::default()),
        }
    }

    /// Moves on to a replica id that no other replica has, as far as the account sees the others.
    async fn choose_id(&self) -> Result<(), Failure> {
        let replica = self.replica();
        if replica.is_given() {
            return Ok(());
        }
        let mut asking = self.ask(FRESH).await?;
        let own = asking.connection().query("SELECT @@GLOBAL.server_id").await;
        let own = own.at(self)?;
        let own = own.rows.first().and_then(|row| row.number(0));
        let others = replica_id::listed(asking.connection()).await;
        let others = others.at(self)?.unwrap_or_default();
        asking.keep();
        while own == Some(u64::from(replica.number())) || replica.is_taken(&others) {
            if !replica.move_on() {
                let text = "every server id that was tried has a replica";
                let address = self.options().address();
                return Err(Failure::new(
                    code::SOURCE_SERVER_ID,
                    Class::StopMigration,
                    address,
                    text,
                ));
            }
        }
        Ok(())
    }

    async fn begin_dump(
        &self,
        connection: &mut Connection,
        reader: Reader,
        after: &Position,
        awaited: &[Witness],
    ) -> Result<(), MysqlError> {
        let period = HEARTBEAT.as_nanos();
        let mut settings = format!(
            "SET @master_binlog_checksum = 'CRC32', @source_binlog_checksum = 'CRC32', \
             @master_heartbeat_period = {period}, @source_heartbeat_period = {period}{}",
            dump::settings(after, awaited)
        );
        if let Reader::Replica(id) = reader {
            // The server ends an older stream of the same replica id, so that a lost connection
            // does not stay.
            let uuid = format!("5370616e-6665-7272-7900-0000{id:08x}");
            settings.push_str(&format!(", @slave_uuid = '{uuid}', @replica_uuid = '{uuid}'"));
        }
        connection.execute(&settings).await?;
        if let Reader::Replica(id) = reader {
            connection
                .send_command(&dump::register(id, self.replica().name()))
                .await?;
            connection.read_answer().await?;
        }
        connection
            .send_command(&dump::request(reader, after, awaited))
            .await
    }

    /// A stream behind `after` that shows the awaited transactions first, and has begun.
    async fn begin_stream(
        &self,
        mut connection: Connection,
        reader: Reader,
        after: &Position,
        proof: Proof,
    ) -> Result<BinlogStream, OpenError> {
        self.begin_dump(&mut connection, reader, after, proof.awaited())
            .await
            .at(self)?;
        let mut stream = BinlogStream {
            packets: Packets::new(self.options().address(), connection, after.clone(), proof),
            replica: Arc::clone(self.replica()),
            held: Vec::new(),
            failed: None,
        };
        // The made-up ROTATE: the server sends it once it has found the position, and its refusal
        // instead if it has not.
        let mut pieces = Vec::new();
        let first = stream.receive(&mut pieces).await;
        debug_assert!(pieces.is_empty(), "a ROTATE is no transaction");
        first.map_err(|failure| match failure.class {
            Class::StopMigration => OpenError::Refused(failure),
            Class::Retry { .. } | Class::Ambiguous | Class::StopTable | Class::Bug => {
                OpenError::Failed(failure)
            }
        })?;
        Ok(stream)
    }

    /// A stream whose source has shown these witnesses of `after` again.
    async fn open_with(
        &self,
        reader: Reader,
        after: &Position,
        witnesses: Vec<Witness>,
    ) -> Result<BinlogStream, OpenError> {
        let mut connection = self.connect().await.at(self)?;
        let purged = self.verify_history(&mut connection, after).await?;
        let is_purged = |witness: &Witness| match &witness.id {
            TransactionId::Mysql { server, tag, number } => purged.contains(*server, tag, *number),
            TransactionId::Mariadb { .. } => false,
        };
        if witnesses.last().is_some_and(is_purged) {
            return Err(OpenError::Refused(unproved(&self.options().address())));
        }
        let awaited = witnesses
            .into_iter()
            .filter(|witness| !is_purged(witness))
            .collect();
        let proof = Proof::new(Purpose::Compare, awaited);
        let mut stream = self.begin_stream(connection, reader, after, proof).await?;
        if !stream.read_proof(reader).await? {
            let text = "it ended the stream before the last known transaction";
            return Err(lost(&self.options().address(), text).into());
        }
        Ok(stream)
    }

    /// A stream behind `after` whose history is proved.
    pub(crate) async fn open_proved(
        &self,
        reader: Reader,
        after: &Bookmark,
    ) -> Result<BinlogStream, Failure> {
        let mut witnesses: Vec<Witness> = after.witnesses.iter().cloned().collect();
        loop {
            let refusal = match self.open_with(reader, &after.position, witnesses.clone()).await {
                Ok(stream) => return Ok(stream),
                Err(OpenError::Failed(failure)) => return Err(failure),
                Err(OpenError::Refused(failure)) if witnesses.is_empty() => return Err(failure),
                Err(OpenError::Refused(failure)) => failure,
            };
            if witnesses.len() > 1 {
                // What an older witness needs may be forgotten; the newest alone proves what one
                // server wrote.
                witnesses.drain(..witnesses.len() - 1);
                continue;
            }
            // If it is only the witness that cannot be shown, the position itself is accepted.
            return match self.open_with(reader, &after.position, Vec::new()).await {
                Ok(_) => Err(unproved(&self.options().address()).caused_by(refusal)),
                Err(OpenError::Refused(failure) | OpenError::Failed(failure)) => Err(failure),
            };
        }
    }

    /// What the source shows of transactions of `position` of which only the identity is known, in
    /// the order of its log. Some are missing where they are not in the log, all where it cannot
    /// begin there.
    pub(crate) async fn learn(
        &self,
        connection: Connection,
        position: &Position,
        awaited: Vec<Witness>,
    ) -> Result<Vec<Witness>, Failure> {
        let proof = Proof::new(Purpose::Learn, awaited);
        let begun = self
            .begin_stream(connection, Reader::Visitor, position, proof)
            .await;
        let mut stream = match begun {
            Ok(stream) => stream,
            Err(OpenError::Refused(failure)) => {
                tracing::info!(failure = %failure.for_log(), "the source does not show its last transactions");
                return Ok(Vec::new());
            }
            Err(OpenError::Failed(failure)) => return Err(failure),
        };
        stream.read_proof(Reader::Visitor).await?;
        Ok(stream.packets.assembler.into_proof().into_shown())
    }
}

/// Why a stream could not be opened.
enum OpenError {
    /// The server refuses to begin where it was asked to.
    Refused(Failure),
    /// Anything else.
    Failed(Failure),
}

impl From<Failure> for OpenError {
    fn from(failure: Failure) -> OpenError {
        OpenError::Failed(failure)
    }
}

impl ChangeSource for MysqlSource {
    type Stream = BinlogStream;
    type Decoder = BinlogDecoder;

    /// The server keeps its binary log for as long as its administrator has set.
    async fn reserve(&self, _migration: &str) -> Result<(), Failure> {
        Ok(())
    }

    /// Nothing was reserved.
    async fn release(&self, _migration: &str) -> Result<(), Failure> {
        Ok(())
    }

    async fn open_stream(&self, after: &Bookmark) -> Result<BinlogStream, Failure> {
        self.choose_id().await?;
        let reader = match self.server_id() {
            OBSERVER_ID => Reader::Observer,
            id => Reader::Replica(id),
        };
        self.open_proved(reader, after).await
    }

    fn decoder(&self, tables: &[Arc<TablePlan>]) -> BinlogDecoder {
        BinlogDecoder::new(&self.options().schema, tables)
    }
}

/// An open stream.
#[derive(Debug)]
pub struct BinlogStream {
    packets: Packets,
    replica: Arc<ReplicaId>,
    /// Pieces that came before the history was proved, in order.
    held: Vec<Piece>,
    /// A failure that was found behind pieces that had to be handed on first.
    failed: Option<Failure>,
}

impl BinlogStream {
    /// Reads one packet of a stream that the source never ends by itself.
    async fn receive(&mut self, pieces: &mut Vec<Piece>) -> Result<Arrived, Failure> {
        let received = self.packets.receive(pieces).await;
        match received.map_err(|failure| collided(failure, &self.replica))? {
            Arrived::End => Err(lost(&self.packets.address, "the source ended the stream")),
            arrived @ (Arrived::Event | Arrived::Heartbeat) => Ok(arrived),
        }
    }

    /// Reads until the source has shown the awaited transactions; whether it has before the end of
    /// its log. What else comes meanwhile is held back for a replica, and nothing to a visitor.
    async fn read_proof(&mut self, reader: Reader) -> Result<bool, Failure> {
        let (mut heartbeats, mut bytes, mut measured) = (0, 0, 0);
        while !self.packets.assembler.proof().is_complete() {
            let received = self.packets.receive(&mut self.held).await;
            match received.map_err(|failure| collided(failure, &self.replica))? {
                Arrived::Event => {}
                Arrived::Heartbeat => heartbeats += 1,
                Arrived::End => return Ok(false),
            }
            if reader == Reader::Visitor {
                self.held.clear();
            }
            let fresh = self.held.get(measured..).unwrap_or_default();
            bytes += fresh.iter().map(|piece| piece.body.len()).sum::<usize>();
            measured = self.held.len();
            if heartbeats > PROOF_HEARTBEATS_MAX {
                let text = "it did not show the last known transaction in time";
                return Err(lost(&self.packets.address, text));
            }
            if bytes > HELD_BYTES_MAX {
                let text = "too much of other transactions came before the last known one";
                return Err(unproved(&self.packets.address).caused_by(Malformed(text)));
            }
        }
        Ok(true)
    }
}

impl ChangeStream for BinlogStream {
    /// The server keeps its binary log whether it was read or not.
    async fn acknowledge(&mut self, _durable: &Position) -> Result<(), Failure> {
        Ok(())
    }

    async fn next(&mut self, pieces: &mut Vec<Piece>, bytes_max: usize) -> Result<(), Failure> {
        let given = pieces.len();
        pieces.append(&mut self.held);
        if pieces.len() > given {
            return Ok(());
        }
        if let Some(failure) = self.failed.take() {
            return Err(failure);
        }
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
                Ok(Some(Arrived::Heartbeat | Arrived::End) | None) => return Ok(()),
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

/// Another replica has come with our server id. Where we chose it, the next stream goes by another.
fn collided(failure: Failure, replica: &ReplicaId) -> Failure {
    if failure.code == code::SOURCE_SERVER_ID && replica.move_on() {
        let class = Class::Retry { after: None };
        return Failure { class, ..failure };
    }
    failure
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
