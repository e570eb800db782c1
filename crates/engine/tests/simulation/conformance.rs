//! The simulated target keeps the contract that the real one keeps.

#[path = "../../../testkit/conformance/target_suite/mod.rs"]
#[expect(unreachable_pub, reason = "a suite that the connectors' tests share")]
mod suite;

use std::sync::Arc;

use spanferry_core::plan::TablePlan;
use spanferry_core::schema::target::Dialect;

use crate::history::{BOOK, ITEM, NOTE, plans};
use crate::target::SimTarget;
use crate::world::{Mutant, Shared};
use crate::{LIMITS, new_world};

impl suite::Subject for Shared {
    type Target = SimTarget;

    fn connect(&self) -> SimTarget {
        SimTarget(self.clone())
    }

    fn dialect(&self) -> Dialect {
        Dialect::GoogleSql
    }

    fn table(&self) -> Arc<TablePlan> {
        Arc::clone(&plans()[ITEM])
    }

    fn others(&self) -> [Arc<TablePlan>; 2] {
        [BOOK, NOTE].map(|table| Arc::clone(&plans()[table]))
    }

    fn texts(&self) -> Option<Arc<TablePlan>> {
        None
    }

    fn commit_bytes_max(&self) -> usize {
        LIMITS.bytes_max
    }
}

fn check(mutant: Option<Mutant>) {
    let shared = new_world(1, mutant);
    {
        let mut world = shared.lock();
        (world.bare, world.fails_over, world.rewinds) = (true, false, false);
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(suite::check_all(&shared));
}

#[test]
fn the_simulated_target_conforms() {
    check(None);
}

#[test]
fn wrong_targets_do_not_conform() {
    for mutant in [
        Mutant::NoLoadFence,
        Mutant::EpochOnly,
        Mutant::LowReadAgain,
        Mutant::HighKept,
        Mutant::LargeIsTaken,
        Mutant::InsertOverwrites,
        Mutant::BatchKept,
        Mutant::ScanFalls,
        Mutant::ScanBeginsAtKey,
        Mutant::ScanSkipsRow,
        Mutant::ScanReadsPresent,
    ] {
        let checked = std::panic::catch_unwind(|| check(Some(mutant)));
        assert!(checked.is_err(), "{mutant:?} passes the suite");
    }
}
