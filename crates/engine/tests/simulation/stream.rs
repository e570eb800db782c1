//! The source's changes: a stream that may be cut anywhere, and the decoder of its pieces.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use spanferry_core::plan::{RefusedCell, TableId, TablePlan};
use spanferry_core::port::change::{self, ChangeSink, NewRow, OldRow};
use spanferry_core::port::change_log::{Piece, PieceKind, Sequence};
use spanferry_core::port::source::{ChangeDecoder, ChangeSource, ChangeStream, PreparedId, TwoPhase};
use spanferry_core::position::{Bookmark, Position, Witness};
use spanferry_core::report::code::{self, Code};
use spanferry_core::report::failure::{Class, Failure};
use spanferry_core::report::finding::{Finding, Severity, Subject};
use spanferry_core::schema::source::QualifiedName;

use crate::history::{Change, Row, Transaction};
use crate::mapped::{encode_key, encode_row};
use crate::source::{SimSource, expect_history, lost};
use crate::unfit;
use crate::world::{Mutant, Shared, SourceFault, World, number_of};

/// Changes in one piece of the stream.
const PIECE_CHANGES: usize = 3;

impl ChangeSource for SimSource {
    type Stream = SimStream;
    type Decoder = SimDecoder;

    async fn reserve(&self, _migration: &str) -> Result<(), Failure> {
        self.0.lock().reserve();
        Ok(())
    }

    async fn release(&self, _migration: &str) -> Result<(), Failure> {
        self.0.lock().release();
        Ok(())
    }

    async fn open_stream(&self, after: &Bookmark) -> Result<SimStream, Failure> {
        let world = self.0.lock();
        let stop = |code: Code| Failure::new(code, Class::StopMigration, "source", code.title());
        if !world.holds(&after.position) && !world.has(SourceFault::StrangerIsOpened) {
            return Err(stop(code::HISTORY_CHANGED));
        }
        let reached = number_of(&after.position.to_string());
        if world.is_released() {
            return Err(stop(code::POSITION_PURGED));
        }
        if reached >= world.administration.purged {
            expect_history(&world, after, false)?;
        } else if !world.has(SourceFault::ForgottenIsOpened) {
            return Err(stop(code::POSITION_PURGED));
        }
        let first = if world.has(SourceFault::OneTwice) {
            reached.saturating_sub(1)
        } else {
            reached + usize::from(world.has(SourceFault::OneMissed))
        };
        Ok(SimStream {
            shared: self.0.clone(),
            line: world.line(),
            next: (first, 0),
        })
    }

    fn decoder(&self, tables: &[Arc<TablePlan>]) -> SimDecoder {
        SimDecoder {
            shared: self.0.clone(),
            plans: tables.to_vec(),
            is_warm: false,
            stopped: BTreeSet::new(),
        }
    }
}

pub(crate) struct SimStream {
    shared: Shared,
    /// What it is a connection to.
    line: (Option<usize>, u64),
    /// Transaction and piece that come next.
    next: (usize, usize),
}

impl SimStream {
    /// The next piece, if its transaction is committed.
    fn piece(&mut self, world: &mut World) -> Option<Piece> {
        let (transaction, number) = self.next;
        if transaction >= world.committed {
            return None;
        }
        let stamp = world.history.stamps[transaction];
        let changes = world.history.transaction(stamp).changes();
        let count = changes.len().div_ceil(PIECE_CHANGES).max(1);
        let last = number + 1 == count;
        self.next = if last {
            world.received = world.received.max(transaction + 1);
            (transaction + 1, 0)
        } else {
            (transaction, number + 1)
        };
        let mut witness = world.witness(transaction + 1);
        if !last {
            witness.content = None;
        }
        Some(Piece {
            sequence: Sequence::ZERO,
            number: 0,
            last,
            kind: PieceKind::Transaction,
            transaction: witness.to_string(),
            committed_at_us: transaction as u64,
            body: format!("{stamp} {number}").into_bytes(),
        })
    }

    /// Appends what has been committed, up to a bound, unless the stream is cut before.
    fn fill(&mut self, world: &mut World, pieces: &mut Vec<Piece>, bytes_max: usize) -> Result<(), Failure> {
        let (pieces_max, mut bytes) = (world.part(usize::MAX, 1, 4), 0);
        for _ in 0..pieces_max {
            if bytes >= bytes_max || self.next.0 >= world.committed {
                break;
            }
            if world.fails(4) {
                world.count(if self.next.1 > 0 {
                    "stream cut in a transaction"
                } else {
                    "stream cut"
                });
                return Err(lost(code::SOURCE_FAILED));
            }
            let piece = self.piece(world);
            bytes += piece.iter().map(|piece| piece.body.len()).sum::<usize>();
            pieces.extend(piece);
        }
        Ok(())
    }
}

impl ChangeStream for SimStream {
    async fn next(&mut self, pieces: &mut Vec<Piece>, bytes_max: usize) -> Result<(), Failure> {
        let shared = self.shared.clone();
        let (is_idle, in_hand) = {
            let mut world = shared.lock();
            let loses = world.has(SourceFault::CallLosesPiece);
            let in_hand = if loses { self.piece(&mut world) } else { None };
            (self.next.0 >= world.committed, in_hand)
        };
        tokio::time::sleep(Duration::from_millis(if is_idle { 1_000 } else { 20 })).await;
        if let Some(piece) = in_hand {
            pieces.push(piece);
            return Ok(());
        }
        let mut world = shared.lock();
        if world.line() == self.line {
            world.advance(1);
            self.fill(&mut world, pieces, bytes_max)
        } else if world.is_quiet || world.has(SourceFault::CutIsQuiet) {
            Ok(())
        } else {
            Err(lost(code::SOURCE_FAILED))
        }
    }

    async fn acknowledge(&mut self, durable: &Position) -> Result<(), Failure> {
        let number = number_of(&durable.to_string());
        self.shared.lock().acknowledge(number, self.next.0);
        Ok(())
    }
}

pub(crate) struct SimDecoder {
    shared: Shared,
    plans: Vec<Arc<TablePlan>>,
    /// Whether it has seen a transaction.
    is_warm: bool,
    /// Tables that have stopped in the transaction at hand.
    stopped: BTreeSet<TableId>,
}

fn corrupt(text: &str) -> Failure {
    Failure::new(
        code::LOG_CORRUPT,
        Class::StopMigration,
        text,
        "it is no transaction's",
    )
}

/// The simulated source logs the key of a row before a change, and nothing else of it.
fn old_row(key: &[u8]) -> OldRow<'_> {
    OldRow { key, row: None }
}

impl SimDecoder {
    fn plan(&self, table: usize) -> Option<&Arc<TablePlan>> {
        self.plans.iter().find(|plan| plan.id.0 as usize == table)
    }

    fn send(&mut self, change: &Change, sink: &mut dyn ChangeSink) {
        let Some(plan) = self.plan(change.table).cloned() else {
            return;
        };
        let (plan, table) = (&plan, plan.id);
        if self.stopped.contains(&table) {
            return sink.pass(table, 1);
        }
        let moved_is_kept = self.shared.lock().has(SourceFault::MovedIsKept);
        match (change.old, change.new) {
            (old, Some(new)) => match encoded(plan, new) {
                Err(cell) => {
                    let text = cell.refusal.to_string();
                    let found = finding(plan, code::VALUE_REFUSED, Severity::Blocking, &text);
                    let is_told = !self.shared.lock().has(SourceFault::RefusedChangePassedOver);
                    if is_told && self.stopped.insert(table) {
                        sink.stop(table, found);
                    }
                    sink.pass(table, 1);
                }
                Ok(row) => match old {
                    Some(old) => {
                        let key = encode_key(plan, new[0]);
                        let old = if moved_is_kept {
                            key.clone()
                        } else {
                            encode_key(plan, old)
                        };
                        let update = change::Change::Update {
                            old: old_row(&old),
                            key: &key,
                            row: NewRow::Whole(&row),
                        };
                        sink.change(table, update);
                    }
                    None => {
                        let (key, row) = (&encode_key(plan, new[0]), &row);
                        sink.change(table, change::Change::Insert { key, row });
                    }
                },
            },
            (Some(old), None) => {
                let old = encode_key(plan, old);
                sink.change(table, change::Change::Delete { old: old_row(&old) });
            }
            (None, None) => panic!("a change changes something"),
        }
    }

    fn send_statement(&self, table: usize, severity: Severity, text: &str, sink: &mut dyn ChangeSink) {
        let Some(plan) = self.plan(table) else {
            return;
        };
        let found = finding(plan, code::DDL_SEEN, severity, text);
        if severity == Severity::Blocking {
            sink.stop(plan.id, found);
        } else {
            sink.notice(found);
        }
    }
}

/// The identity of what is prepared under a name.
pub(crate) fn prepared_id(name: u64) -> PreparedId {
    PreparedId(name.to_string())
}

fn finding(plan: &TablePlan, code: Code, severity: Severity, text: &str) -> Finding {
    Finding::new(code, severity, Subject::table(plan.name()), text)
}

pub(crate) fn encoded(plan: &TablePlan, row: Row) -> Result<Vec<u8>, RefusedCell> {
    if let Some(cell) = unfit::refusal(&row) {
        return Err(cell);
    }
    encode_row(plan, row)
}

/// Stamp of a transaction, and piece, that a body names.
fn place(body: &[u8]) -> Option<(u64, usize)> {
    let (stamp, number) = std::str::from_utf8(body).ok()?.split_once(' ')?;
    Some((stamp.parse().ok()?, number.parse().ok()?))
}

impl ChangeDecoder for SimDecoder {
    fn transaction(&self, piece: &Piece) -> Result<Witness, Failure> {
        Witness::parse(&piece.transaction).map_err(|_| corrupt(&piece.transaction))
    }

    fn decode(&mut self, piece: &Piece, sink: &mut dyn ChangeSink) -> Result<(), Failure> {
        let (stamp, number) = place(&piece.body).ok_or_else(|| corrupt(&piece.transaction))?;
        // By its number a decoder knows where a transaction begins.
        if (piece.number == 0) != (number == 0) {
            return Err(corrupt(&piece.transaction));
        }
        if piece.number == 0 {
            self.stopped.clear();
        }
        let was_warm = std::mem::replace(&mut self.is_warm, true);
        if !was_warm && self.shared.lock().has(SourceFault::DecoderNeedsPast) {
            return Ok(());
        }
        let (found, truncate_passes) = {
            let world = self.shared.lock();
            let found = world.history.transaction(stamp).clone();
            (found, world.has(SourceFault::TruncatePassedOver))
        };
        match found {
            Transaction::Truncate(_) if truncate_passes => {}
            Transaction::Truncate(table) => self.send_statement(table, Severity::Blocking, "TRUNCATE", sink),
            Transaction::Alter(table) => self.send_statement(table, Severity::Blocking, "ALTER TABLE", sink),
            Transaction::Index(table) => self.send_statement(table, Severity::Notice, "CREATE INDEX", sink),
            Transaction::Prepare(_, Some(change)) => {
                self.send_statement(change.table, Severity::Blocking, "a prepared change", sink);
                if let Some(plan) = self.plan(change.table) {
                    sink.pass(plan.id, 1);
                }
            }
            Transaction::Prepare(_, None) | Transaction::Commit(_) | Transaction::RollBack(_) => {}
            Transaction::Create(name) => {
                let subject = Subject::Table(QualifiedName::new("shop", name));
                sink.notice(Finding::new(
                    code::TABLE_CREATED,
                    Severity::Warning,
                    subject,
                    "it is new",
                ));
            }
            Transaction::Changes(changes) => {
                for change in changes.iter().skip(number * PIECE_CHANGES).take(PIECE_CHANGES) {
                    self.send(change, sink);
                }
            }
        }
        Ok(())
    }

    fn two_phase(&mut self, piece: &Piece) -> Result<Option<TwoPhase>, Failure> {
        let (stamp, _) = place(&piece.body).ok_or_else(|| corrupt(&piece.transaction))?;
        let (found, is_blind) = {
            let world = self.shared.lock();
            let found = world.history.transaction(stamp).clone();
            (found, world.mutant == Some(Mutant::PreparedUnseen))
        };
        Ok(match found {
            _ if is_blind => None,
            Transaction::Prepare(name, change) => Some(TwoPhase::Prepared {
                id: prepared_id(name),
                tables: change
                    .iter()
                    .filter_map(|change| Some(self.plan(change.table)?.id))
                    .collect(),
            }),
            Transaction::Commit(name) => Some(TwoPhase::Committed(prepared_id(name))),
            Transaction::RollBack(name) => Some(TwoPhase::RolledBack(prepared_id(name))),
            Transaction::Changes(_)
            | Transaction::Truncate(_)
            | Transaction::Alter(_)
            | Transaction::Index(_)
            | Transaction::Create(_) => None,
        })
    }
}
