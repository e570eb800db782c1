//! What a transaction of the binary log means for prepared XA transactions, read from its first
//! events and its table maps.

use std::collections::BTreeSet;

use spanferry_core::port::change_log::{Piece, PieceKind};
use spanferry_core::port::source::TwoPhase;
use spanferry_format::mysql::statement::Kind;

use super::cascade::Cascades;
use super::event::{Cursor, Event, Malformed, kind, next_event};
use super::query::{QueryEvent, is_begin};
use super::rows::{Change, RowsFlags, change};
use super::table_map::TableMapHead;
use super::tables::Tables;
use crate::prepared::{Decision, decision, of_event};

/// MariaDB's GTID event: the transaction is prepared.
const PREPARED_XA: u8 = 64;
/// MariaDB's GTID event: the transaction decides about a prepared one.
const COMPLETED_XA: u8 = 128;

/// What is known of the transaction at hand.
#[derive(Debug, Default)]
pub(super) enum TwoPhaseState {
    /// Its first statement was not seen yet.
    #[default]
    Beginning,
    /// It means nothing for prepared transactions, or was handed on.
    Done,
    /// It is being prepared.
    Preparing(Preparing),
}

/// A transaction that is being prepared.
#[derive(Debug)]
pub(super) struct Preparing {
    /// Whether the server is MariaDB.
    mariadb: bool,
    /// Tables that it may have changed, by index.
    changed: BTreeSet<usize>,
    /// Tables that foreign keys change with the tables of its table maps.
    below: BTreeSet<usize>,
}

impl TwoPhaseState {
    /// Reads the next piece. What its transaction means is handed on once.
    pub(super) fn read(
        &mut self,
        piece: &Piece,
        tables: &Tables,
        cascades: &Cascades,
    ) -> Result<Option<TwoPhase>, Malformed> {
        if piece.kind == PieceKind::Abandoned {
            return Ok(None);
        }
        if piece.number == 0 {
            *self = TwoPhaseState::Beginning;
        }
        let mut run = piece.body.as_slice();
        while !matches!(self, TwoPhaseState::Done) {
            let Some(event) = next_event(&mut run)? else {
                break;
            };
            if let Some(found) = self.event(&event, tables, cascades) {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    fn event(&mut self, event: &Event<'_>, tables: &Tables, cascades: &Cascades) -> Option<TwoPhase> {
        match self {
            TwoPhaseState::Beginning => {
                let (state, found) = beginning(event);
                *self = state;
                found
            }
            TwoPhaseState::Done => None,
            TwoPhaseState::Preparing(preparing) if event.header.kind == kind::XA_PREPARE => {
                let found = preparing.prepared(event.body, tables);
                *self = TwoPhaseState::Done;
                found
            }
            TwoPhaseState::Preparing(preparing) => {
                preparing.event(event, tables, cascades);
                None
            }
        }
    }
}

impl Preparing {
    fn new(mariadb: bool) -> Preparing {
        Preparing {
            mariadb,
            changed: BTreeSet::new(),
            below: BTreeSet::new(),
        }
    }

    fn prepared(&self, body: &[u8], tables: &Tables) -> Option<TwoPhase> {
        let id = of_event(body)?;
        let tables = self.changed.iter().map(|index| tables.plan(*index).id).collect();
        Some(TwoPhase::Prepared { id, tables })
    }

    /// Adds the tables that an event may change. What is not known may change all.
    fn event(&mut self, event: &Event<'_>, tables: &Tables, cascades: &Cascades) {
        match event.header.kind {
            kind::TABLE_MAP => match TableMapHead::parse(event.body) {
                Ok(head) => {
                    self.changed.extend(tables.index_of(&head));
                    self.below.extend(cascades.below(tables, &head));
                }
                Err(_) => self.changed.extend(tables.indices()),
            },
            kind::QUERY if changes_nothing(event.body, self.mariadb) => {}
            kind::QUERY | kind::MARIADB_QUERY_COMPRESSED | kind::TRANSACTION_PAYLOAD | kind::INCIDENT => {
                self.changed.extend(tables.indices());
            }
            number if self.may_hide_cascades(number, event.body) => {
                self.changed.extend(self.below.iter().copied());
            }
            // Rows are those of their table maps.
            _ => {}
        }
    }

    /// Whether these are rows behind which foreign keys may have changed other rows.
    fn may_hide_cascades(&self, number: u8, body: &[u8]) -> bool {
        let are_unread =
            number == kind::PARTIAL_UPDATE_ROWS || kind::MARIADB_COMPRESSED_ROWS.contains(&number);
        let may_cascade = are_unread || change(number).is_some_and(|(change, _)| change != Change::Insert);
        let mut cursor = Cursor::new(body);
        // Behind the number of the table.
        let flags = cursor.uint(6).and_then(|_| cursor.u16());
        may_cascade && flags.map_or(true, |flags| RowsFlags(flags).may_hide_cascades(self.mariadb))
    }
}

/// What the first events of a transaction show.
fn beginning(event: &Event<'_>) -> (TwoPhaseState, Option<TwoPhase>) {
    let preparing = |mariadb| TwoPhaseState::Preparing(Preparing::new(mariadb));
    match event.header.kind {
        kind::GTID | kind::GTID_TAGGED | kind::ANONYMOUS_GTID => (TwoPhaseState::Beginning, None),
        kind::MARIADB_GTID => {
            let flags = event.body.get(12).copied().unwrap_or(0);
            let state = if flags & PREPARED_XA != 0 {
                preparing(true)
            } else if flags & COMPLETED_XA != 0 {
                TwoPhaseState::Beginning
            } else {
                TwoPhaseState::Done
            };
            (state, None)
        }
        kind::QUERY if is_begin(event.body) => (TwoPhaseState::Done, None),
        kind::QUERY => {
            let text = QueryEvent::parse(event.body).ok().and_then(|query| query.text);
            let text = text.unwrap_or_default();
            if text.starts_with("XA START ") {
                (preparing(false), None)
            } else {
                (TwoPhaseState::Done, decision(&text).map(decided))
            }
        }
        _ => (TwoPhaseState::Done, None),
    }
}

fn decided(decision: Decision) -> TwoPhase {
    match decision {
        Decision::Commit(id) => TwoPhase::Committed(id),
        Decision::Rollback(id) => TwoPhase::RolledBack(id),
    }
}

/// Whether a statement inside of a prepared transaction only divides it.
fn changes_nothing(body: &[u8], mariadb: bool) -> bool {
    let Ok(query) = QueryEvent::parse(body) else {
        return false;
    };
    match query.statement(mariadb).kind {
        Kind::Begin | Kind::Nothing | Kind::XaStart | Kind::XaPrepare => true,
        Kind::Commit
        | Kind::Rollback
        | Kind::RollbackToSavepoint
        | Kind::XaEnd
        | Kind::Rows
        | Kind::Definition(_)
        | Kind::UnknownDefinition
        | Kind::Unknown => false,
    }
}

/// Whether a logged statement is a decision about a prepared transaction that `two_phase` can read.
pub(super) fn is_decision(text: Option<&str>) -> bool {
    text.and_then(decision).is_some()
}
