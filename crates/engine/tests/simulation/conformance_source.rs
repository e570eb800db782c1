//! The simulated source keeps the contracts that the real ones keep, and one that breaks them is
//! caught.

#[path = "../../../testkit/conformance/source_suite/mod.rs"]
#[expect(unreachable_pub, reason = "a suite that the connectors' tests share")]
mod suite;

use std::time::Duration;

use suite::{CREATED, End, Statement, Subject, Writer};

use crate::history::{Change, History, Transaction};
use crate::new_world;
use crate::source::SimSource;
use crate::world::{Mutant, Shared, SourceFault};

/// Longest time that a writer takes for a transaction.
const WRITE_MS_MAX: u64 = 20;
/// How often it waits for so long while a lock is held.
const WAITS_MAX: usize = 10_000;

impl Subject for Shared {
    type Source = SimSource;
    type Writer = SimWriter;

    fn source(&self) -> SimSource {
        SimSource(self.clone())
    }

    fn tables(&self) -> &'static [&'static str] {
        &["author", "book", "item", "note"]
    }

    fn locks(&self) -> bool {
        true
    }

    fn rows_of_many_pieces(&self) -> i64 {
        10
    }

    async fn reset(&self) {
        let mut deletes = Vec::new();
        {
            let mut world = self.lock();
            world.administration.altered.clear();
            world.administration.created = None;
            let state = world.history.states.last().unwrap();
            for (table, rows) in state.iter().enumerate() {
                let delete = |key: &i64| Change {
                    table,
                    old: Some(*key),
                    new: None,
                };
                deletes.extend(rows.keys().map(delete));
            }
        }
        commit(self, Transaction::Changes(deletes)).await;
    }

    async fn writer(&self) -> SimWriter {
        SimWriter {
            shared: self.clone(),
            open: Vec::new(),
        }
    }

    async fn run(&self, statement: Statement) {
        let transaction = match statement {
            Statement::ChangeColumn(table) => Transaction::Alter(table),
            Statement::AddIndex(table) => Transaction::Index(table),
            Statement::Truncate(table) => Transaction::Truncate(table),
            Statement::CreateTable => Transaction::Create(CREATED),
        };
        commit(self, transaction).await;
        let administration = &mut self.lock().administration;
        match statement {
            Statement::ChangeColumn(table) => {
                administration.altered.insert(table);
                administration.statements[table] += 1;
            }
            Statement::AddIndex(table) | Statement::Truncate(table) => {
                administration.statements[table] += 1;
            }
            Statement::CreateTable => administration.created = Some(CREATED),
        }
    }

    async fn disconnect(&self) {
        self.lock().administration.cuts += 1;
    }

    async fn purge(&self) {
        let mut world = self.lock();
        world.administration.purged = world.committed;
    }
}

/// Commits once nothing holds the writers up.
async fn commit(shared: &Shared, transaction: Transaction) {
    for _ in 0..WAITS_MAX {
        let delay = shared.lock().random.between(1, WRITE_MS_MAX);
        tokio::time::sleep(Duration::from_millis(delay)).await;
        let mut world = shared.lock();
        if world.administration.locks == 0 {
            world.history.push(transaction);
            world.committed += 1;
            return;
        }
    }
    panic!("the writers are held up");
}

pub(crate) struct SimWriter {
    shared: Shared,
    /// Changes of the open transaction.
    open: Vec<Change>,
}

impl Writer for SimWriter {
    async fn begin(&mut self, changes: &[suite::Change]) {
        let changes = changes.iter().map(|change| Change {
            table: change.table,
            old: change.old,
            new: change.new,
        });
        self.open = changes.collect();
    }

    async fn end(&mut self, end: End) {
        let changes = std::mem::take(&mut self.open);
        match end {
            End::Commit => commit(&self.shared, Transaction::Changes(changes)).await,
            End::RollBack => tokio::time::sleep(Duration::from_millis(1)).await,
        }
    }
}

fn check(mutant: Option<Mutant>) {
    let shared = new_world(1, mutant);
    {
        let mut world = shared.lock();
        (world.bare, world.fails_over, world.rewinds) = (true, false, false);
        (world.history, world.committed, world.received) = (History::empty(), 0, 0);
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(suite::check_all(&shared));
}

#[test]
fn the_simulated_source_conforms() {
    check(None);
}

#[test]
fn wrong_sources_do_not_conform() {
    let faults = [
        SourceFault::PositionBehind,
        SourceFault::BoundaryLow,
        SourceFault::RangeInclusive,
        SourceFault::RowsKept,
        SourceFault::SizesIgnored,
        SourceFault::RefusedPassedOver,
        SourceFault::LostIsEnd,
        SourceFault::SessionMovesOn,
        SourceFault::SessionPartial,
        SourceFault::LockKept,
        SourceFault::ChangedIsOpened,
        SourceFault::OneTwice,
        SourceFault::OneMissed,
        SourceFault::OtherIsSame,
        SourceFault::ForgottenIsProof,
        SourceFault::BookmarkIsOld,
        SourceFault::CallLosesPiece,
        SourceFault::ForgottenIsOpened,
        SourceFault::StrangerIsOpened,
        SourceFault::CutIsQuiet,
        SourceFault::DecoderNeedsPast,
        SourceFault::MovedIsKept,
        SourceFault::TruncatePassedOver,
        SourceFault::RowsCut,
        SourceFault::Misread,
        SourceFault::WitnessCountsOff,
        SourceFault::WitnessIsBlind,
        SourceFault::WitnessIsBehind,
    ];
    let faults = faults.map(Mutant::Source);
    for mutant in faults
        .into_iter()
        .chain([Mutant::HighIsLow, Mutant::HoldsAnything])
    {
        let checked = std::panic::catch_unwind(|| check(Some(mutant)));
        assert!(checked.is_err(), "{mutant:?} passes the suite");
    }
}
