//! What snapshots have seen: the last transactions of each `high`, by which another history that
//! reaches the same numbers is noticed before it is captured (docs/design/history.md, step 13).

use std::sync::Arc;

use spanferry_core::apply::verdict::misplaced;
use spanferry_core::plan::TablePlan;
use spanferry_core::port::change_log::{Piece, PieceKind};
use spanferry_core::port::source::HistorySource;
use spanferry_core::position::{Bookmark, Position, Witness};
use spanferry_core::report::code;
use spanferry_core::report::failure::{Class, Failure};
use spanferry_core::report::finding::Finding;
use tokio::sync::watch;

use crate::history::Unproved;
use crate::order::contains_all;
use crate::registry::Registry;

/// The `high` of a snapshot whose sessions are open, with the transactions that prove it. Where the
/// source shows none of them, all of it must be captured, unless the operator has accepted that:
/// then there is a finding.
pub(crate) async fn witnessed<S: HistorySource>(
    source: &S,
    captured: &Position,
    high: &Position,
    unproved: Unproved,
) -> Result<(Bookmark, Option<Finding>), Failure> {
    let high = source.bookmark(high).await?;
    if !high.witnesses.is_empty() || is_captured(captured, &high)? {
        return Ok((high, None));
    }
    let accepted = unproved.accept(unwitnessed())?;
    Ok((high, Some(accepted)))
}

/// Before another attempt writes its `high` over those of earlier ones: the source shows the last
/// transactions that these have seen. Those that it shows no longer must be captured, because they
/// were compared then, or the operator has accepted it.
pub(crate) async fn expect_earlier<S: HistorySource>(
    source: &S,
    captured: &Position,
    registry: &Registry,
    tables: &[Arc<TablePlan>],
    unproved: Unproved,
) -> Result<Option<Finding>, Failure> {
    let mut earlier: Vec<Bookmark> = Vec::new();
    for high in tables.iter().filter_map(|plan| registry.row(plan.id).high) {
        if !earlier.contains(&high) {
            earlier.push(high);
        }
    }
    let mut accepted = None;
    for high in &earlier {
        let proved = if high.witnesses.is_empty() {
            Err(unwitnessed())
        } else {
            source.prove(high).await
        };
        match proved {
            Ok(()) => {}
            Err(failure) if failure.code != code::HISTORY_UNPROVED => return Err(failure),
            Err(_) if is_captured(captured, high)? => {}
            Err(failure) => accepted = Some(unproved.accept(until_captured(failure))?),
        }
    }
    Ok(accepted)
}

fn is_captured(captured: &Position, high: &Bookmark) -> Result<bool, Failure> {
    contains_all("change log", captured, &high.position)
}

/// Once everything that was seen is captured, it needs no proof of its own.
fn until_captured(failure: Failure) -> Failure {
    let class = Class::Retry { after: None };
    Failure { class, ..failure }
}

fn unwitnessed() -> Failure {
    let text = "the source shows no transaction by which what a snapshot saw could be recognised, and it is not captured yet";
    until_captured(Failure::new(
        code::HISTORY_UNPROVED,
        Class::StopMigration,
        "snapshot",
        text,
    ))
}

/// The transactions that snapshots have seen and that are still to be captured.
pub(crate) struct SeenWitnesses {
    registry: Arc<Registry>,
    changed: watch::Receiver<u64>,
    /// The version of the registry from which `awaited` was made.
    version: Option<u64>,
    awaited: Vec<Witness>,
    unproved: Unproved,
}

impl SeenWitnesses {
    pub(crate) fn new(registry: Arc<Registry>, unproved: Unproved) -> SeenWitnesses {
        SeenWitnesses {
            changed: registry.subscribe(),
            registry,
            version: None,
            awaited: Vec::new(),
            unproved,
        }
    }

    /// Whether there may be anything to compare pieces with.
    pub(crate) fn is_due(&self) -> bool {
        self.version != Some(*self.changed.borrow()) || !self.awaited.is_empty()
    }

    /// Pieces that are about to be captured behind `captured` show what snapshots have seen, as far
    /// as it is among them. A finding if a snapshot has seen what nothing proves, and the operator
    /// has accepted that.
    pub(crate) fn expect_same(
        &mut self,
        captured: &Position,
        pieces: &[Piece],
    ) -> Result<Option<Finding>, Failure> {
        let version = *self.changed.borrow();
        let mut accepted = None;
        if self.version != Some(version) {
            accepted = self.collect(captured)?;
            self.version = Some(version);
        }
        self.forget(captured)?;
        let is_end = |piece: &&Piece| piece.last && piece.kind == PieceKind::Transaction;
        for piece in pieces.iter().filter(is_end) {
            // A text that is no transaction's is refused where it is decoded.
            if let Ok(shown) = Witness::parse(&piece.transaction) {
                self.compare(&shown)?;
            }
        }
        Ok(accepted)
    }

    fn compare(&self, shown: &Witness) -> Result<(), Failure> {
        let known = self.awaited.iter().find(|known| known.id == shown.id);
        known.map_or(Ok(()), |known| known.expect_same(shown).map_err(misplaced))
    }

    /// What was captured was compared before.
    fn forget(&mut self, captured: &Position) -> Result<(), Failure> {
        let mut left = Vec::new();
        for witness in self.awaited.drain(..) {
            if !captured.contains(&witness.id).map_err(misplaced)? {
                left.push(witness);
            }
        }
        self.awaited = left;
        Ok(())
    }

    /// Takes the witnesses from the tables' rows.
    fn collect(&mut self, captured: &Position) -> Result<Option<Finding>, Failure> {
        self.awaited.clear();
        let mut accepted = None;
        for high in self.registry.highs() {
            if high.witnesses.is_empty() && !is_captured(captured, &high)? {
                let class = Class::StopMigration;
                accepted = Some(self.unproved.accept(Failure {
                    class,
                    ..unwitnessed()
                })?);
            }
            for witness in high.witnesses.iter() {
                if !self.awaited.contains(witness) {
                    self.awaited.push(witness.clone());
                }
            }
        }
        Ok(accepted)
    }
}

#[cfg(test)]
mod tests {
    use spanferry_core::port::change_log::Sequence;
    use spanferry_core::port::target::TablePhase;

    use super::*;
    use crate::fixture::{row, table};
    use crate::progress::Progress;

    const HIGH: &str = "mariadb:0-1-5 last 0-1-5@7#00000000000000ff";

    fn registry(phase: TablePhase, high: &str) -> Arc<Registry> {
        let rows = vec![row("t", phase, Some(high))];
        Arc::new(Registry::new(
            vec![table("t")],
            rows,
            Arc::new(Progress::default()),
        ))
    }

    fn position(text: &str) -> Position {
        Position::parse(text).expect("a position")
    }

    fn piece(transaction: &str) -> Piece {
        Piece {
            sequence: Sequence::ZERO,
            number: 0,
            last: true,
            kind: PieceKind::Transaction,
            transaction: transaction.to_owned(),
            committed_at_us: 0,
            body: Vec::new(),
        }
    }

    /// How a table stands after its snapshot, what is captured, what comes next, and the code with
    /// which that is refused.
    fn compare(
        phase: TablePhase,
        high: &str,
        captured: &str,
        next: &[&str],
        refused: Option<code::Code>,
    ) -> SeenWitnesses {
        let mut seen = SeenWitnesses::new(registry(phase, high), Unproved::Refused);
        assert!(seen.is_due());
        let pieces: Vec<Piece> = next.iter().map(|text| piece(text)).collect();
        let found = seen.expect_same(&position(captured), &pieces);
        let found = found.err().map(|failure| (failure.code, failure.class));
        let expected = refused.map(|code| (code, Class::StopMigration));
        assert_eq!(found, expected, "{phase:?} {high} {captured} {next:?}");
        seen
    }

    #[test]
    fn another_transaction_in_the_place_of_one_that_was_seen_is_refused() {
        let same = ["0-1-4@6", "0-1-5@7#00000000000000ff"];
        let others = [
            ["0-1-4@6", "0-1-5@8#00000000000000ff"],
            ["0-1-4@6", "0-1-5@7#0000000000000001"],
        ];
        for phase in [
            TablePhase::Loading,
            TablePhase::Loaded,
            TablePhase::Joined,
            TablePhase::Constrained,
        ] {
            compare(phase, HIGH, "mariadb:0-1-3", &same, None);
            for other in &others {
                compare(phase, HIGH, "mariadb:0-1-3", other, Some(code::HISTORY_CHANGED));
            }
        }
        compare(TablePhase::Stopped, HIGH, "mariadb:0-1-3", &others[0], None);
        // One that a process before this one has captured.
        compare(TablePhase::Loaded, HIGH, "mariadb:0-1-5", &["0-1-6@9"], None);
    }

    #[test]
    fn what_is_captured_is_waited_for_no_longer() {
        let mut seen = compare(TablePhase::Loaded, HIGH, "mariadb:0-1-3", &["0-1-4@6"], None);
        assert!(seen.is_due());
        seen.expect_same(&position("mariadb:0-1-5"), &[])
            .expect("nothing");
        assert!(!seen.is_due());
        seen.registry.touch();
        assert!(seen.is_due());
    }

    #[test]
    fn a_snapshot_without_a_witness_is_refused_until_it_is_captured() {
        let unproved = Some(code::HISTORY_UNPROVED);
        compare(
            TablePhase::Loaded,
            "mariadb:0-1-5",
            "mariadb:0-1-4",
            &[],
            unproved,
        );
        compare(TablePhase::Loaded, "mariadb:0-1-5", "mariadb:0-1-5", &[], None);
        let registry = registry(TablePhase::Loaded, "mariadb:0-1-5");
        let mut seen = SeenWitnesses::new(registry, Unproved::Accepted);
        let accepted = seen.expect_same(&position("mariadb:0-1-4"), &[]);
        assert!(accepted.expect("it is accepted").is_some());
    }

    /// A source whose log begins where a test says.
    struct Source(Option<&'static str>);

    impl HistorySource for Source {
        async fn bookmark(&self, position: &Position) -> Result<Bookmark, Failure> {
            let witnesses = self.0.map(|text| Witness::parse(text).expect("a witness"));
            Ok(Bookmark::of(position.clone(), witnesses.into_iter().collect()).expect("a bookmark"))
        }

        async fn prove(&self, known: &Bookmark) -> Result<(), Failure> {
            let refuse = |code: code::Code| Failure::new(code, Class::StopMigration, "source", code.title());
            let known = known.witnesses.newest().map(ToString::to_string);
            match self.0 {
                None => Err(refuse(code::HISTORY_UNPROVED)),
                Some(shown) if known.as_deref() == Some(shown) => Ok(()),
                Some(_) => Err(refuse(code::HISTORY_CHANGED)),
            }
        }
    }

    const SHOWN: &str = "0-1-5@7#00000000000000ff";
    const OTHER: &str = "0-1-5@8#00000000000000ff";

    #[tokio::test]
    async fn a_later_attempt_waits_until_what_nothing_proves_is_captured() {
        let check = async |shown, captured: &str, refused: Option<(code::Code, Class)>| {
            let captured = position(captured);
            let registry = registry(TablePhase::Loading, HIGH);
            let plans = registry.plans();
            let found = expect_earlier(&Source(shown), &captured, &registry, plans, Unproved::Refused).await;
            let found = found.err().map(|failure| (failure.code, failure.class));
            assert_eq!(found, refused, "{shown:?} {captured}");
        };
        let wait = Some((code::HISTORY_UNPROVED, Class::Retry { after: None }));
        check(Some(SHOWN), "mariadb:0-1-3", None).await;
        check(None, "mariadb:0-1-3", wait).await;
        check(None, "mariadb:0-1-5", None).await;
        let changed = Some((code::HISTORY_CHANGED, Class::StopMigration));
        check(Some(OTHER), "mariadb:0-1-3", changed).await;
        check(Some(OTHER), "mariadb:0-1-5", changed).await;
    }

    #[tokio::test]
    async fn a_snapshot_waits_until_what_nothing_proves_is_captured() {
        let high = position("mariadb:0-1-5");
        let check = async |shown, captured: &str, unproved| {
            let captured = position(captured);
            let found = witnessed(&Source(shown), &captured, &high, unproved).await;
            found.map(|(high, accepted)| (high.to_string(), accepted.is_some()))
        };
        let refused = Unproved::Refused;
        let found = check(Some(SHOWN), "mariadb:0-1-3", refused).await;
        assert_eq!(found.expect("it is shown"), (HIGH.to_owned(), false));
        let found = check(None, "mariadb:0-1-5", refused).await;
        assert_eq!(
            found.expect("it is captured"),
            ("mariadb:0-1-5".to_owned(), false)
        );
        let failure = check(None, "mariadb:0-1-3", refused)
            .await
            .expect_err("nothing proves it");
        assert_eq!(failure.code, code::HISTORY_UNPROVED);
        assert!(failure.is_retry());
        let found = check(None, "mariadb:0-1-3", Unproved::Accepted).await;
        assert_eq!(found.expect("accepted"), ("mariadb:0-1-5".to_owned(), true));
    }
}
