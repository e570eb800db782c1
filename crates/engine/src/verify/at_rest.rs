//! Whether the compared tables are at rest: no transaction that the target lacks concerns them
//! (docs/design/verify.md).

use std::sync::Arc;

use spanferry_core::plan::{TableId, TablePlan};
use spanferry_core::port::change::{Change, ChangeSink, SchemaChange};
use spanferry_core::port::change_log::Piece;
use spanferry_core::port::source::{
    ChangeDecoder, ChangeSource, ChangeStream, HistorySource, PositionSource, PreparedId, TwoPhase,
};
use spanferry_core::position::{Bookmark, Position};
use spanferry_core::report::code;
use spanferry_core::report::failure::{Class, Failure};
use spanferry_core::report::finding::{Finding, Severity, Subject};

use crate::history::{ASK_INTERVAL, HistoryWatch, Unproved, open_proved, prove, under_way};
use crate::lane::Backoff;
use crate::order::{contains_all, incomparable};
use crate::two_phase::Ledger;

/// Whose positions are compared, for a failure.
const SOURCE: &str = "source";
/// Verify changes nothing: a source that cannot show its history is taken by its numbers, and its
/// rows are compared.
const UNPROVED: Unproved = Unproved::Accepted;
/// Bytes asked of the change stream at once.
const STREAM_BYTES: usize = 1 << 20;
/// How often in a row the change stream may break without a transaction before its failure is the
/// result: 16 s of delays.
const STREAM_ATTEMPTS_MAX: u32 = 14;

/// Follows the source beyond what the target holds. Other tables may change there as much as they
/// like.
pub(super) struct AtRest<'a, S, C> {
    source: &'a S,
    changes: &'a C,
    plans: &'a [Arc<TablePlan>],
    /// What the target holds.
    applied: &'a Bookmark,
    /// From `applied` to here every transaction was read, and none concerns a compared table.
    quiet: Bookmark,
    /// Prepared transactions that are open at `quiet` and were prepared behind `applied`.
    prepared: Ledger,
    /// A commit of a prepared transaction of which it is not known what it changed.
    unknown: Option<PreparedId>,
    /// What snapshots and witnesses may have shown since the last look.
    seen: Vec<Position>,
}

impl<'a, S: PositionSource, C: HistorySource + ChangeSource> AtRest<'a, S, C> {
    /// A watch over the tables of `plans`. Nothing is read yet.
    pub(super) fn new(
        source: &'a S,
        changes: &'a C,
        plans: &'a [Arc<TablePlan>],
        applied: &'a Bookmark,
    ) -> AtRest<'a, S, C> {
        AtRest {
            source,
            changes,
            plans,
            applied,
            quiet: applied.clone(),
            prepared: Ledger::default(),
            unknown: None,
            seen: Vec::new(),
        }
    }

    /// Notes a snapshot: the next look goes at least as far as it may show. It must show all that
    /// the target holds; MariaDB counts a transaction to its position before a session sees it, so
    /// another snapshot may.
    pub(super) fn note_snapshot(&mut self, low: &Position, high: Position) -> Result<(), Failure> {
        if !contains_all(SOURCE, low, &self.applied.position)? {
            return Err(Failure {
                class: Class::Retry { after: None },
                ..under_way()
            });
        }
        self.seen.push(high);
        Ok(())
    }

    /// Notes a position: the next look goes at least as far.
    pub(super) fn note_seen(&mut self, seen: Position) {
        self.seen.push(seen);
    }

    /// Reads on to where the source stands now. The first transaction that concerns a compared
    /// table is the failure `SOURCE_AHEAD`, and so is a source that does not get as far as a
    /// snapshot that was read. A source with another history is `HISTORY_CHANGED`, whatever its
    /// numbers are.
    pub(super) async fn look(&mut self) -> Result<(), Failure> {
        let now = self.present_position().await?;
        self.read_patiently(&now).await?;
        // What the source can show no longer is left to the comparison of its rows.
        prove(self.changes, &self.quiet, UNPROVED).await.map(drop)
    }

    async fn read_patiently(&mut self, now: &Position) -> Result<(), Failure> {
        let (mut backoff, mut attempts) = (Backoff::default(), 0);
        loop {
            let before = self.quiet.clone();
            let failure = match self.read_to(now).await {
                Err(failure) if failure.is_retry() => failure,
                ended => return ended,
            };
            if self.quiet != before {
                (backoff, attempts) = (Backoff::default(), 0);
            }
            attempts += 1;
            if attempts == STREAM_ATTEMPTS_MAX {
                return Err(failure);
            }
            tracing::warn!(failure = failure.for_log(), "the change stream is opened again");
            tokio::time::sleep(backoff.delay(None)).await;
        }
    }

    /// Where the source stands: it holds all that was applied, and all that snapshots have shown.
    async fn present_position(&mut self) -> Result<Position, Failure> {
        let mut history = HistoryWatch::default();
        loop {
            let now = self.source.position().await?;
            let holds = self.source.holds(&self.applied.position).await?;
            let is_there = holds && self.is_reached(&now)?;
            match history.accepts(is_there) {
                Ok(true) => {
                    self.seen.clear();
                    return Ok(now);
                }
                Ok(false) => {}
                Err(_) if holds => return Err(under_way()),
                Err(lacking) => return Err(lacking),
            }
            tokio::time::sleep(ASK_INTERVAL).await;
        }
    }

    fn is_reached(&self, now: &Position) -> Result<bool, Failure> {
        for needed in self.seen.iter().chain([&self.applied.position]) {
            if !contains_all(SOURCE, now, needed)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    async fn read_to(&mut self, now: &Position) -> Result<(), Failure> {
        if contains_all(SOURCE, &self.quiet.position, now)? {
            return Ok(());
        }
        let (mut stream, _) = open_proved(self.changes, &self.quiet, UNPROVED).await?;
        let mut decoder = self.changes.decoder(self.plans);
        let (mut pieces, mut number) = (Vec::new(), 0);
        while !contains_all(SOURCE, &self.quiet.position, now)? {
            pieces.clear();
            stream.next(&mut pieces, STREAM_BYTES).await?;
            for piece in &mut pieces {
                piece.number = number;
                number = if piece.last { 0 } else { number + 1 };
                self.take(piece, &mut decoder)?;
            }
        }
        Ok(())
    }

    /// Looks at one piece of a transaction; after its last one the transaction counts as quiet.
    fn take<D: ChangeDecoder>(&mut self, piece: &Piece, decoder: &mut D) -> Result<(), Failure> {
        let mut touch = Touch::default();
        decoder.decode(piece, &mut touch)?;
        if let Some(found) = decoder.two_phase(piece)? {
            self.follow_prepared(found, &mut touch);
        }
        if let Some((table, why)) = touch.0 {
            let transaction = decoder.transaction(piece)?.id.to_string();
            return Err(self.ahead(&transaction, table, why));
        }
        if piece.last {
            let transaction = decoder.transaction(piece)?;
            let advanced = self.quiet.advance(transaction);
            advanced.map_err(|cause| incomparable(SOURCE, cause))?;
        }
        Ok(())
    }

    /// Follows a transaction that is prepared, or that ends a prepared one.
    fn follow_prepared(&mut self, found: TwoPhase, touch: &mut Touch) {
        match found {
            TwoPhase::Prepared { id, tables } => self.prepared.prepare(id, tables),
            TwoPhase::RolledBack(id) => drop(self.prepared.end(&id)),
            TwoPhase::Committed(id) => self.commit_prepared(&id, touch),
        }
    }

    fn commit_prepared(&mut self, id: &PreparedId, touch: &mut Touch) {
        let table = match self.prepared.end(id) {
            Some(tables) => tables.into_iter().next(),
            None => {
                self.unknown.get_or_insert_with(|| id.clone());
                None
            }
        };
        if let Some(table) = table {
            let text = format!(
                "the commit of an XA transaction that was prepared before: {}",
                id.0
            );
            let why = Finding::new(
                code::EVENT_UNSUPPORTED,
                Severity::Blocking,
                Subject::whole(),
                text,
            );
            touch.note(table, Some(why));
        }
    }

    /// A difference counts only where every transaction since `applied` is known. One that was
    /// prepared before, and is committed now, may have made it.
    pub(super) fn expect_known(&self) -> Result<(), Failure> {
        let Some(id) = &self.unknown else {
            return Ok(());
        };
        let text = format!(
            "the source may be ahead of the target: an XA transaction that was prepared before is committed, and it is not known what it changed: {}",
            id.0
        );
        Err(Failure::new(code::SOURCE_AHEAD, Class::StopMigration, "", text))
    }

    fn ahead(&self, transaction: &str, table: TableId, why: Option<Finding>) -> Failure {
        let plan = self.plans.iter().find(|plan| plan.id == table);
        let name = plan.map_or("", |plan| plan.name().table.as_str());
        let what = match why {
            None => format!("changes `{name}`"),
            Some(finding) => format!("concerns `{name}` ({})", finding.text),
        };
        let text = format!("the source is ahead of the target: its transaction {transaction} {what}");
        Failure::new(code::SOURCE_AHEAD, Class::StopMigration, "", text)
    }
}

/// The first thing that concerns a compared table, with the reason if it is not a plain change of a
/// row.
#[derive(Debug, Default)]
struct Touch(Option<(TableId, Option<Finding>)>);

impl Touch {
    fn note(&mut self, table: TableId, why: Option<Finding>) {
        self.0.get_or_insert((table, why));
    }
}

impl ChangeSink for Touch {
    fn wants_old_rows(&self, _table: TableId) -> bool {
        false
    }

    fn change(&mut self, table: TableId, _change: Change<'_>) {
        self.note(table, None);
    }

    fn pass(&mut self, table: TableId, changes: u64) {
        if changes > 0 {
            self.note(table, None);
        }
    }

    fn schema_change(&mut self, table: TableId, change: SchemaChange) {
        self.note(table, Some(change.finding));
    }

    fn stop(&mut self, table: TableId, finding: Finding) {
        self.note(table, Some(finding));
    }

    fn notice(&mut self, _finding: Finding) {}
}
