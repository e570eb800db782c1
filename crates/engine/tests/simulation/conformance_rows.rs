//! The simulated files keep the contract of rows that are loaded without a stream, and files that
//! break it are caught.

#[path = "../../../testkit/conformance/row_set_suite/mod.rs"]
#[expect(unreachable_pub, reason = "a suite that the tests of all files share")]
mod suite;

use std::sync::Arc;

use spanferry_core::plan::TablePlan;
use spanferry_core::port::row_source::WriteMode;

use crate::bulk::{SimFiles, world};
use crate::history::{NOTE, plans};
use crate::world::{Mutant, Shared, SourceFault};

impl suite::Subject for Shared {
    type Rows = SimFiles;

    fn rows(&self) -> SimFiles {
        SimFiles(self.clone())
    }

    fn table(&self) -> Arc<TablePlan> {
        Arc::clone(&plans()[NOTE])
    }
}

fn check(mutant: Option<Mutant>) {
    let shared = world(3, mutant, WriteMode::Insert);
    {
        let mut world = shared.lock();
        world.bare = true;
        let file = &mut world.bulk.as_mut().unwrap().files[NOTE];
        file.extend((0..suite::ROWS_MIN as i64).map(|number| [9_000 + number, 0, number]));
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(suite::check_all(&shared));
}

#[test]
fn the_simulated_files_conform() {
    check(None);
}

#[test]
fn wrong_files_do_not_conform() {
    let faults = [
        SourceFault::RangeInclusive,
        SourceFault::RowsKept,
        SourceFault::SizesIgnored,
        SourceFault::OrderTurns,
    ];
    for fault in faults {
        let checked = std::panic::catch_unwind(|| check(Some(Mutant::Source(fault))));
        assert!(checked.is_err(), "{fault:?} passes the suite");
    }
}
