//! The source: schema, snapshots whose sessions each see another state, and a stream that may be cut anywhere.

use std::sync::Arc;
use std::time::Duration;

use spanferry_core::change_log::{Piece, PieceKind, Sequence};
use spanferry_core::code;
use spanferry_core::failure::{Class, Failure};
use spanferry_core::finding::{Finding, Severity, Subject};
use spanferry_core::plan::{TableId, TablePlan};
use spanferry_core::position::{Position, TransactionId};
use spanferry_core::schema::Catalog;
use spanferry_core::source::{
    Boundary, ChangeDecoder, ChangeSink, ChangeSource, ChangeStream, CheckRequest, HandOff, Range,
    ReadStatus, SchemaSource, Snapshot, SnapshotRows, SnapshotSession, SnapshotSource,
};
use spanferry_core::wire;

use crate::history::{Row, Transaction, catalog};
use crate::world::{Mutant, Shared, number_of};

/// Changes in one piece of the stream.
const PIECE_CHANGES: usize = 3;

pub(crate) struct SimSource(pub(crate) Shared);

pub(crate) fn encode(values: &[i64]) -> Vec<u8> {
    let mut out = Vec::new();
    for value in values {
        wire::put_string(&mut out, value.to_string().as_bytes());
    }
    out
}

impl SchemaSource for SimSource {
    async fn catalog(&self) -> Result<Catalog, Failure> {
        Ok(catalog())
    }

    async fn check(&self, _request: &CheckRequest) -> Result<Vec<Finding>, Failure> {
        Ok(Vec::new())
    }

    async fn position(&self) -> Result<Position, Failure> {
        let mut world = self.0.lock();
        world.advance(2);
        if world.target.control.is_none() {
            // Here the migration begins: a source that lacked it would be refused at once.
            world.received = world.committed;
        }
        Ok(world.position(world.committed))
    }

    async fn holds(&self, position: &Position) -> Result<bool, Failure> {
        let world = self.0.lock();
        Ok(world.mutant == Some(Mutant::HoldsAnything) || world.holds(position))
    }

    async fn identity(&self) -> Result<String, Failure> {
        Ok("simulated".into())
    }
}

fn lost() -> Failure {
    let class = Class::Retry { after: None };
    Failure::new(code::SNAPSHOT_LOST, class, "source", "the connection broke")
}

impl SnapshotSource for SimSource {
    type Session = SimSession;

    async fn open(
        &self,
        _tables: &[Arc<TablePlan>],
        sessions: usize,
        _lock: bool,
    ) -> Result<Snapshot<SimSession>, Failure> {
        self.0.step().await;
        let mut world = self.0.lock();
        let low = world.committed;
        let mut opened = Vec::new();
        for _ in 0..sessions {
            world.advance(3);
            opened.push(SimSession {
                shared: self.0.clone(),
                at: world.committed,
                fork: world.fork,
                rest: Vec::new(),
            });
        }
        let high = world.committed;
        world.sessions = (opened[0].at, high);
        world.count(if low == high {
            "sessions at one position"
        } else {
            "sessions at several positions"
        });
        let told = if world.mutant == Some(Mutant::HighIsLow) {
            low
        } else {
            high
        };
        Ok(Snapshot {
            low: world.position(low),
            high: world.position(told),
            sessions: opened,
            hand_off: HandOff::NoLock,
            locked_for: Duration::ZERO,
        })
    }
}

pub(crate) struct SimSession {
    shared: Shared,
    at: usize,
    /// The server that it is a session of.
    fork: Option<usize>,
    rest: Vec<Row>,
}

impl SimSession {
    /// A session ends with its server.
    fn expect_server(&self) -> Result<(), Failure> {
        let world = self.shared.lock();
        if world.fork == self.fork {
            Ok(())
        } else {
            Err(lost())
        }
    }
}

fn key_of(boundary: Option<&Boundary>, open: i64) -> i64 {
    boundary.map_or(open, |boundary| boundary.0.parse().unwrap())
}

impl SnapshotSession for SimSession {
    async fn boundary(
        &mut self,
        plan: &TablePlan,
        after: Option<&Boundary>,
        _rows: u64,
    ) -> Result<Option<Boundary>, Failure> {
        self.shared.step().await;
        self.expect_server()?;
        let mut world = self.shared.lock();
        let rows = usize::try_from(world.random.between(1, 4)).unwrap();
        let after = key_of(after, i64::MIN);
        let state = &world.history.states[self.at][plan.id.0 as usize];
        let key = state.keys().filter(|key| **key > after).nth(rows);
        Ok(key.map(|key| Boundary(key.to_string())))
    }

    async fn begin(&mut self, plan: &Arc<TablePlan>, range: &Range) -> Result<(), Failure> {
        self.expect_server()?;
        let world = self.shared.lock();
        let (after, up_to) = (
            key_of(range.after.as_ref(), i64::MIN),
            key_of(range.up_to.as_ref(), i64::MAX),
        );
        let rows = world.history.states[self.at][plan.id.0 as usize].values();
        self.rest = rows
            .filter(|row| row[0] > after && row[0] <= up_to)
            .copied()
            .collect();
        self.rest.reverse();
        Ok(())
    }

    async fn read(
        &mut self,
        into: &mut SnapshotRows,
        _rows_max: usize,
        _bytes_max: usize,
    ) -> Result<ReadStatus, Failure> {
        self.shared.step().await;
        self.expect_server()?;
        let mut world = self.shared.lock();
        if world.random.chance(4) {
            world.count("session lost in a range");
            return Err(lost());
        }
        into.rows.clear();
        into.refused.clear();
        for _ in 0..world.random.between(1, 2) {
            if let Some(row) = self.rest.pop() {
                into.rows.push(&encode(&row));
            }
        }
        Ok(if self.rest.is_empty() {
            ReadStatus::End
        } else {
            ReadStatus::More
        })
    }
}

impl ChangeSource for SimSource {
    type Stream = SimStream;
    type Decoder = SimDecoder;

    async fn open(&self, after: &Position) -> Result<SimStream, Failure> {
        let world = self.0.lock();
        if !world.holds(after) {
            let text = "it lacks transactions that have been captured";
            return Err(Failure::new(
                code::HISTORY_CHANGED,
                Class::StopMigration,
                "source",
                text,
            ));
        }
        Ok(SimStream {
            shared: self.0.clone(),
            fork: world.fork,
            next: (number_of(&after.to_string()), 0),
        })
    }

    fn decoder(&self, _tables: &[Arc<TablePlan>]) -> SimDecoder {
        SimDecoder(self.0.clone())
    }
}

pub(crate) struct SimStream {
    shared: Shared,
    /// The server that sends it.
    fork: Option<usize>,
    /// Transaction and piece that come next.
    next: (usize, usize),
}

impl ChangeStream for SimStream {
    async fn next(&mut self, pieces: &mut Vec<Piece>, _bytes_max: usize) -> Result<(), Failure> {
        let is_idle = self.next.0 >= self.shared.lock().committed;
        tokio::time::sleep(Duration::from_millis(if is_idle { 1_000 } else { 20 })).await;
        let mut world = self.shared.lock();
        if world.fork != self.fork {
            return Err(lost());
        }
        world.advance(1);
        for _ in 0..world.random.between(1, 4) {
            let (transaction, piece) = self.next;
            if transaction >= world.committed {
                break;
            }
            if world.random.chance(4) {
                world.count(if piece > 0 {
                    "stream cut in a transaction"
                } else {
                    "stream cut"
                });
                return Err(lost());
            }
            let count = match &world.history.transactions[transaction] {
                Transaction::Changes(changes) => changes.len().div_ceil(PIECE_CHANGES).max(1),
                Transaction::Truncate(_) => 1,
            };
            let last = piece + 1 == count;
            pieces.push(Piece {
                sequence: Sequence::ZERO,
                number: 0,
                last,
                kind: PieceKind::Transaction,
                transaction: world.transaction(transaction + 1),
                committed_at_us: transaction as u64,
                body: format!("{transaction} {piece}").into_bytes(),
            });
            self.next = if last {
                world.received = world.received.max(transaction + 1);
                (transaction + 1, 0)
            } else {
                (transaction, piece + 1)
            };
        }
        Ok(())
    }
}

pub(crate) struct SimDecoder(Shared);

impl ChangeDecoder for SimDecoder {
    fn transaction(&self, piece: &Piece) -> Result<TransactionId, Failure> {
        Ok(TransactionId::parse(&piece.transaction).unwrap())
    }

    fn decode(&mut self, piece: &Piece, sink: &mut dyn ChangeSink) -> Result<(), Failure> {
        let text = std::str::from_utf8(&piece.body).unwrap();
        let (transaction, number) = text.split_once(' ').unwrap();
        let (transaction, number): (usize, usize) = (transaction.parse().unwrap(), number.parse().unwrap());
        let found = self.0.lock().history.transactions[transaction].clone();
        match found {
            Transaction::Truncate(table) => {
                let subject = Subject::table(catalog().tables[table].name.table.clone());
                let finding = Finding::new(code::DDL_SEEN, Severity::Blocking, subject, "TRUNCATE");
                sink.stop(TableId(u32::try_from(table).unwrap()), finding);
            }
            Transaction::Changes(changes) => {
                for change in changes.iter().skip(number * PIECE_CHANGES).take(PIECE_CHANGES) {
                    let table = TableId(u32::try_from(change.table).unwrap());
                    match (change.old, change.new) {
                        (Some(old), Some(new)) if old != new[0] => {
                            sink.relocate(table, &encode(&[old]), &encode(&[new[0]]), &encode(&new));
                        }
                        (_, Some(new)) => sink.upsert(table, &encode(&[new[0]]), &encode(&new)),
                        (Some(old), None) => sink.delete(table, &encode(&[old])),
                        (None, None) => panic!("a change changes something"),
                    }
                }
            }
        }
        Ok(())
    }
}
