//! Whether the source is still the one whose history was read: it may lag for a moment, it may not
//! lack anything for good.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use spanferry_core::plan::TablePlan;
use spanferry_core::port::source::{ChangeSource, HistorySource, PositionSource};
use spanferry_core::position::{Bookmark, Position};
use spanferry_core::report::code;
use spanferry_core::report::failure::{Class, Failure};
use spanferry_core::report::finding::{Finding, Severity, Subject};
use tokio::time::Instant;

use crate::order::contains_all;
use crate::progress::Progress;
use crate::registry::Registry;

/// How often the source is asked where it stands.
pub(crate) const ASK_INTERVAL: Duration = Duration::from_secs(3);
/// Asks in a row at which the source may stand behind what was applied, before it counts as another
/// one: a replica that takes over has a moment to apply what it has received; and where its
/// position is asked, not its history, a semi-synchronous commit waits for 10 s unless set
/// otherwise.
const BEHIND_ASKS_MAX: u32 = 5;
/// How long the source may lack what a table's snapshot saw: a replica that took over may still
/// have it to apply.
const SEEN_PATIENCE: Duration = Duration::from_secs(10 * 60);

/// What happens with a source that cannot show the transactions by which its history is recognised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unproved {
    /// It is refused.
    Refused,
    /// The operator has accepted it: it is taken for the right one by its numbers alone.
    Accepted,
}

impl Unproved {
    /// Turns the failure to prove into a finding, if the operator has accepted that.
    pub(crate) fn accept(self, failure: Failure) -> Result<Finding, Failure> {
        match self {
            Unproved::Accepted if failure.code == code::HISTORY_UNPROVED => {
                tracing::warn!(failure = %failure.for_log(), "the source is recognised by its numbers alone");
                let text = "the source cannot show the last transaction that was captured: it is recognised by its numbers alone";
                Ok(Finding::new(
                    failure.code,
                    Severity::Warning,
                    Subject::whole(),
                    text,
                ))
            }
            Unproved::Accepted | Unproved::Refused => Err(failure),
        }
    }
}

/// Opens the stream behind `after` at a source whose history is proved; a finding if that was
/// accepted without proof.
pub(crate) async fn open_proved<S: ChangeSource>(
    source: &S,
    after: &Bookmark,
    unproved: Unproved,
) -> Result<(S::Stream, Option<Finding>), Failure> {
    match source.open_stream(after).await {
        Ok(stream) => Ok((stream, None)),
        Err(failure) => {
            let finding = unproved.accept(failure)?;
            let stream = source
                .open_stream(&Bookmark::unproved(after.position.clone()))
                .await?;
            Ok((stream, Some(finding)))
        }
    }
}

/// Proves that the source's history led to `known`; a finding if that was accepted without proof.
pub(crate) async fn prove<S: HistorySource>(
    source: &S,
    known: &Bookmark,
    unproved: Unproved,
) -> Result<Option<Finding>, Failure> {
    match source.prove(known).await {
        Ok(()) => Ok(None),
        Err(failure) => unproved.accept(failure).map(Some),
    }
}

/// A place in the history must have a transaction by which it is recognised later; a finding if it
/// was accepted without.
pub(crate) fn expect_witness(start: &Bookmark, unproved: Unproved) -> Result<Option<Finding>, Failure> {
    if !start.witnesses.is_empty() {
        return Ok(None);
    }
    unproved.accept(no_witness()).map(Some)
}

/// The failure of a source whose log shows no transaction by which the start of a migration could
/// be recognised.
pub fn no_witness() -> Failure {
    let text = "its binary log holds no transaction by which its history can be recognised later";
    let failure = Failure::new(code::HISTORY_UNPROVED, Class::StopMigration, "source", text);
    failure.hint("Commit any transaction at the source, then start again.")
}

/// The source must hold the history that led to `known`, by its numbers.
pub(crate) async fn expect_history<S: PositionSource>(source: &S, known: &Position) -> Result<(), Failure> {
    if source.holds(known).await? {
        return Ok(());
    }
    Err(changed())
}

fn changed() -> Failure {
    let text = "it lacks transactions that have been captured";
    Failure::new(code::HISTORY_CHANGED, Class::StopMigration, "source", text)
}

/// The same for a source that is asked again and again, every `ASK_INTERVAL`.
#[derive(Debug, Clone, Default)]
pub(crate) struct HistoryWatch {
    /// Asks in a row at which the source stood behind.
    behind: u32,
}

impl HistoryWatch {
    /// Whether a source that `holds` what was applied, or not, can be used further; false if it may
    /// only lag and must be asked again. One that stays behind is a failure.
    pub(crate) fn accepts(&mut self, holds: bool) -> Result<bool, Failure> {
        self.behind = if holds { 0 } else { self.behind + 1 };
        if self.behind >= BEHIND_ASKS_MAX {
            return Err(changed());
        }
        Ok(holds)
    }
}

/// How long a proof of what is said to be caught up is good for, while it is only said and nothing
/// ends by it.
const CLAIM_INTERVAL: Duration = Duration::from_secs(60);

/// Proves the source's history before something is claimed of it: not at each ask, because each
/// proof reads a part of its log.
#[derive(Debug, Clone)]
pub(crate) struct ClaimProof {
    unproved: Unproved,
    proved_at: Option<Instant>,
}

impl ClaimProof {
    pub(crate) fn new(unproved: Unproved) -> ClaimProof {
        ClaimProof {
            unproved,
            proved_at: None,
        }
    }

    /// Whether the claim holds that the source's history is that of `captured`; false if the source
    /// does not answer. A final claim is always proved. Another history is a failure.
    pub(crate) async fn expect<S: HistorySource>(
        &mut self,
        source: &S,
        captured: &Bookmark,
        is_final: bool,
        progress: &Progress,
    ) -> Result<bool, Failure> {
        let is_recent = self.proved_at.is_some_and(|at| at.elapsed() < CLAIM_INTERVAL);
        if is_recent && !is_final {
            return Ok(true);
        }
        // A stream that is open continues without it; it is the next start that needs it.
        let unproved = if is_final {
            self.unproved
        } else {
            Unproved::Accepted
        };
        match prove(source, captured, unproved).await {
            Ok(accepted) => {
                if let Some(finding) = accepted {
                    progress.report(finding);
                }
                self.proved_at = Some(Instant::now());
                Ok(true)
            }
            Err(failure) if failure.is_retry() => {
                tracing::warn!(failure = %failure.for_log(), "the source does not show its history");
                Ok(false)
            }
            Err(failure) => Err(failure),
        }
    }
}

/// What the snapshots of tables saw. A source that has lost a part of it in a failover never sends
/// the changes that would undo it: the rows would stay (docs/design/hand-off.md, step 14).
#[derive(Debug, Default)]
pub(crate) struct SeenHistory {
    /// Since when the source lacks a `high`; one entry for each attempt whose tables wait.
    lacking_since: BTreeMap<String, Instant>,
    /// Each `high` that the source was found to hold once the stream had passed it: a stream
    /// continues only from a source that holds all that was captured, so the source need not be
    /// asked again. One entry for each attempt that loaded a table.
    settled: BTreeSet<String>,
}

/// A table whose snapshot saw what the source does not hold.
#[derive(Debug)]
pub(crate) enum Lacking {
    /// For so short a time that it may still come.
    Yet(Arc<TablePlan>),
    /// For good: the failure stops the table.
    Lost(Failure),
}

impl SeenHistory {
    /// Those of `tables` whose `high` the source does not hold; `reached` is where the stream
    /// stands that brings their changes.
    pub(crate) async fn lacking<S: PositionSource>(
        &mut self,
        source: &S,
        registry: &Registry,
        tables: &[Arc<TablePlan>],
        reached: Option<&Position>,
    ) -> Result<Vec<Lacking>, Failure> {
        // Tables of one attempt have one `high`: the source is asked once for all of them.
        let mut by_high: BTreeMap<String, (Position, Vec<&Arc<TablePlan>>)> = BTreeMap::new();
        for plan in tables {
            if let Some(Bookmark { position: high, .. }) = registry.row(plan.id).high {
                let (_, plans) = by_high
                    .entry(high.to_string())
                    .or_insert_with(|| (high, Vec::new()));
                plans.push(plan);
            }
        }
        let mut lacking = Vec::new();
        by_high.retain(|high, _| !self.settled.contains(high));
        for (text, (high, plans)) in by_high {
            if source.holds(&high).await? {
                self.lacking_since.remove(&text);
                if let Some(reached) = reached
                    && contains_all("main stream", reached, &high)?
                {
                    self.settled.insert(text);
                }
                continue;
            }
            let since = *self.lacking_since.entry(text).or_insert_with(Instant::now);
            let is_lost = since.elapsed() >= SEEN_PATIENCE;
            lacking.extend(plans.into_iter().map(|plan| {
                if is_lost {
                    Lacking::Lost(lost(plan))
                } else {
                    Lacking::Yet(Arc::clone(plan))
                }
            }));
        }
        Ok(lacking)
    }
}

fn lost(plan: &TablePlan) -> Failure {
    let text = "rows were read that came from transactions which the source has lost in a failover";
    Failure::of_table(code::HISTORY_CHANGED, plan.name(), text)
}

/// The finding that is shown while a table waits, because the source has not yet applied
/// transactions that its snapshot contained.
pub(crate) fn waits_for_source(plan: &TablePlan) -> Finding {
    let text = format!(
        "its rows were read from a server that had more transactions than the source has now: \
         stops unless the source has them within {} minutes",
        SEEN_PATIENCE.as_secs() / 60
    );
    let subject = Subject::table(plan.name());
    Finding::new(code::HISTORY_CHANGED, Severity::Warning, subject, text)
}

/// What was applied is in the source's history, but not visible there yet: a commit that takes its
/// time.
pub(crate) fn under_way() -> Failure {
    let text = "it is still committing transactions that have been applied";
    let failure = Failure::new(code::SOURCE_AHEAD, Class::StopMigration, "source", text);
    failure.hint("Verify again once they are committed; they may be waiting for a semi-synchronous replica.")
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use spanferry_core::port::target::TablePhase;

    use super::*;
    use crate::fixture::{row, table};

    /// A source that holds everything, and counts how often it was asked.
    #[derive(Default)]
    struct Asked(AtomicU32);

    impl PositionSource for Asked {
        async fn position(&self) -> Result<Position, Failure> {
            unreachable!("only its history is asked for")
        }

        async fn holds(&self, _position: &Position) -> Result<bool, Failure> {
            self.0.fetch_add(1, Ordering::Relaxed);
            Ok(true)
        }

        async fn identity(&self) -> Result<String, Failure> {
            unreachable!("only its history is asked for")
        }
    }

    #[tokio::test]
    async fn a_snapshot_that_the_stream_has_passed_is_asked_for_once() {
        let rows = vec![row("t", TablePhase::Joined, Some("mariadb:0-1-5"))];
        let registry = Registry::new(vec![table("t")], rows, Arc::new(Progress::default()));
        let (source, mut seen) = (Asked::default(), SeenHistory::default());
        let mut check = async |reached: Option<&str>, asked: u32| {
            let reached = reached.map(|text| Position::parse(text).expect("a position"));
            let lacking = seen.lacking(&source, &registry, registry.plans(), reached.as_ref());
            assert!(lacking.await.expect("an answer").is_empty());
            assert_eq!(source.0.load(Ordering::Relaxed), asked, "{reached:?}");
        };
        check(None, 1).await;
        check(Some("mariadb:0-1-4"), 2).await;
        check(Some("mariadb:0-1-5"), 3).await;
        check(Some("mariadb:0-1-9"), 3).await;
    }

    #[test]
    fn a_source_may_lag_for_a_while_and_no_longer() {
        let mut watch = HistoryWatch::default();
        for _ in 0..3 {
            for _ in 1..BEHIND_ASKS_MAX {
                assert!(!watch.accepts(false).expect("it may lag"));
            }
            assert!(watch.accepts(true).expect("it is there"));
        }
        for _ in 1..BEHIND_ASKS_MAX {
            assert!(!watch.accepts(false).expect("it may lag"));
        }
        let lost = watch.accepts(false).expect_err("it stays behind");
        assert_eq!(lost.code, code::HISTORY_CHANGED);
    }
}
