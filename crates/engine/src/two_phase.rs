//! The ledger of prepared transactions: which of them are open in the change log, and which tables
//! they changed (docs/design/hand-off.md, "Prepared XA transactions").

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use spanferry_core::plan::{TableId, TablePlan};
use spanferry_core::port::change_log::{ChangeLog, ChangeLogReader, Sequence};
use spanferry_core::port::source::{ChangeDecoder, ChangeSource, PreparedId, TwoPhase};
use spanferry_core::position::{Position, TransactionId};
use spanferry_core::report::failure::Failure;

use crate::lane::interrupted;
use crate::stop::CancellationToken;
use spanferry_core::apply::verdict::misplaced;

/// Open transactions that a ledger knows. A server keeps locks and old rows for each, so there are
/// few. One more is left out: its commit then counts as one of which nothing is known.
const OPEN_MAX: usize = 65_536;
/// How often the log is read from its beginning again because that was trimmed meanwhile.
const READ_ATTEMPTS_MAX: u32 = 5;

/// Prepared transactions that have not ended.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    open: BTreeMap<PreparedId, BTreeSet<TableId>>,
}

impl Ledger {
    /// A transaction is prepared that changed these tables.
    pub(crate) fn prepare(&mut self, id: PreparedId, tables: impl IntoIterator<Item = TableId>) {
        if self.open.len() < OPEN_MAX || self.open.contains_key(&id) {
            self.open.entry(id).or_default().extend(tables);
        }
    }

    /// A transaction ends: the tables that it changed, if it is known.
    pub(crate) fn end(&mut self, id: &PreparedId) -> Option<BTreeSet<TableId>> {
        self.open.remove(id)
    }

    /// Adds what another ledger knows, of an earlier part of the log.
    pub(crate) fn add(&mut self, earlier: Ledger) {
        for (id, tables) in earlier.open {
            self.prepare(id, tables);
        }
    }

    /// The open transactions that have changed no migrated table.
    pub(crate) fn strangers(&self) -> BTreeSet<PreparedId> {
        let strangers = self.open.iter().filter(|(_, tables)| tables.is_empty());
        strangers.map(|(id, _)| id.clone()).collect()
    }

    fn note(&mut self, found: TwoPhase) {
        match found {
            TwoPhase::Prepared { id, tables } => self.prepare(id, tables),
            TwoPhase::Committed(id) | TwoPhase::RolledBack(id) => drop(self.end(&id)),
        }
    }
}

/// The change log, read for what it shows of prepared transactions.
pub(crate) struct PreparedLog<S, L> {
    pub(crate) source: Arc<S>,
    pub(crate) log: Arc<L>,
    /// The tables that count: all that are recorded.
    pub(crate) plans: Vec<Arc<TablePlan>>,
    pub(crate) stop: CancellationToken,
}

impl<S: ChangeSource, L: ChangeLog> PreparedLog<S, L> {
    /// What is open behind the last transaction that is durable and, if a bound is given, lies
    /// below it.
    pub(crate) async fn ledger(&self, below: Option<Sequence>) -> Result<Ledger, Failure> {
        let note = |ledger: &mut Ledger, _: &TransactionId, found| {
            ledger.note(found);
            Ok(())
        };
        self.read(below, note).await
    }

    /// Of each of these transactions, the tables that it changed when it was prepared for the last
    /// time in `position`.
    pub(crate) async fn prepared_in(
        &self,
        position: &Position,
        ids: &[PreparedId],
    ) -> Result<BTreeMap<PreparedId, Vec<TableId>>, Failure> {
        let note = |last: &mut BTreeMap<_, _>, transaction: &TransactionId, found| {
            if let TwoPhase::Prepared { id, tables } = found
                && ids.contains(&id)
                && position.contains(transaction).map_err(misplaced)?
            {
                last.insert(id, tables);
            }
            Ok(())
        };
        self.read(None, note).await
    }

    /// Reads the log from its oldest transaction on. What is trimmed meanwhile makes it begin
    /// again.
    async fn read<T: Default>(
        &self,
        below: Option<Sequence>,
        note: impl Fn(&mut T, &TransactionId, TwoPhase) -> Result<(), Failure>,
    ) -> Result<T, Failure> {
        let mut attempts = 1;
        loop {
            let oldest = Sequence(self.log.usage().oldest.0.max(1));
            match self.read_from(oldest, below, &note).await {
                Err(_) if self.log.usage().oldest > oldest && attempts < READ_ATTEMPTS_MAX => attempts += 1,
                ended => return ended,
            }
        }
    }

    async fn read_from<T: Default>(
        &self,
        oldest: Sequence,
        below: Option<Sequence>,
        note: &impl Fn(&mut T, &TransactionId, TwoPhase) -> Result<(), Failure>,
    ) -> Result<T, Failure> {
        let mut decoder = self.source.decoder(&self.plans);
        let mut found = T::default();
        if below.is_some_and(|below| below <= oldest) {
            return Ok(found);
        }
        let mut reader = self.log.reader(oldest).await?;
        while let Some(piece) = reader.try_next().await? {
            if below.is_some_and(|below| piece.sequence >= below) {
                break;
            }
            if self.stop.is_cancelled() {
                return Err(interrupted());
            }
            if let Some(told) = decoder.two_phase(&piece)? {
                note(&mut found, &decoder.transaction(&piece)?.id, told)?;
            }
        }
        Ok(found)
    }
}

/// The ledger of a stream: it follows the stream, and reads what lies before it only when that is
/// asked for.
pub(crate) struct StreamLedger<S, L> {
    past: PreparedLog<S, L>,
    /// Where the stream begins.
    first: Sequence,
    ledger: Ledger,
    /// Whether the ledger knows what was open where the stream begins.
    is_whole: bool,
}

impl<S: ChangeSource, L: ChangeLog> StreamLedger<S, L> {
    /// The ledger of a stream that begins with the transaction `first`.
    pub(crate) fn new(past: PreparedLog<S, L>, first: Sequence) -> StreamLedger<S, L> {
        StreamLedger {
            past,
            first,
            ledger: Ledger::default(),
            is_whole: false,
        }
    }

    /// A transaction of the stream is prepared, or rolled back.
    pub(crate) fn note(&mut self, found: TwoPhase) {
        self.ledger.note(found);
    }

    /// A transaction of the stream is committed: the tables that it changed, if the log shows where
    /// it was prepared.
    pub(crate) async fn committed(&mut self, id: &PreparedId) -> Result<Option<BTreeSet<TableId>>, Failure> {
        let known = self.ledger.end(id);
        if known.is_some() || self.is_whole {
            return Ok(known);
        }
        let earlier = self.past.ledger(Some(self.first)).await?;
        self.ledger.add(earlier);
        self.is_whole = true;
        Ok(self.ledger.end(id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(name: &str) -> PreparedId {
        PreparedId(name.to_owned())
    }

    #[test]
    fn a_transaction_is_open_until_it_ends() {
        let mut ledger = Ledger::default();
        ledger.prepare(id("touches"), [TableId(3), TableId(1)]);
        ledger.prepare(id("stranger"), []);
        assert_eq!(ledger.strangers(), BTreeSet::from([id("stranger")]));
        assert_eq!(
            ledger.end(&id("touches")),
            Some(BTreeSet::from([TableId(1), TableId(3)]))
        );
        assert_eq!(ledger.end(&id("touches")), None, "it has ended");
        assert_eq!(ledger.end(&id("stranger")), Some(BTreeSet::new()));
    }

    #[test]
    fn what_is_known_twice_changed_all_of_it() {
        let mut ledger = Ledger::default();
        ledger.prepare(id("x"), [TableId(2)]);
        let mut earlier = Ledger::default();
        earlier.prepare(id("x"), [TableId(1)]);
        earlier.prepare(id("y"), []);
        ledger.add(earlier);
        assert_eq!(ledger.strangers(), BTreeSet::from([id("y")]));
        assert_eq!(
            ledger.end(&id("x")),
            Some(BTreeSet::from([TableId(1), TableId(2)]))
        );
    }

    #[test]
    fn there_are_never_too_many() {
        let mut ledger = Ledger::default();
        for number in 0..=OPEN_MAX {
            ledger.prepare(id(&number.to_string()), []);
        }
        assert_eq!(ledger.strangers().len(), OPEN_MAX);
        ledger.prepare(id("0"), [TableId(1)]);
        assert_eq!(ledger.end(&id("0")), Some(BTreeSet::from([TableId(1)])));
    }
}
