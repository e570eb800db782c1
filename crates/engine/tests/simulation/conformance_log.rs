//! The simulated change log keeps the contract that the disk log keeps.

#[path = "../../../testkit/conformance/change_log/mod.rs"]
#[expect(unreachable_pub, reason = "a suite that all logs share")]
mod suite;

use spanferry_core::port::change_log::LogId;
use spanferry_core::position::Bookmark;
use spanferry_engine::prepare::LogStore;

use crate::log::SimLog;
use crate::new_world;
use crate::world::Shared;

impl suite::Provider for Shared {
    type Log = SimLog;

    async fn create(&self, start: &Bookmark) -> SimLog {
        let id = LogId("00000000-0000-0000-0000-000000000001".to_owned());
        SimLog(self.clone()).create(&id, start, "source").await.unwrap()
    }

    async fn reopen(&self, log: SimLog) -> SimLog {
        self.lock().log.as_mut().unwrap().crash(|_| 0);
        log
    }
}

#[test]
fn the_simulated_log_conforms() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    let world = || {
        let shared = new_world(1, None);
        {
            let mut world = shared.lock();
            (world.bare, world.fails_over, world.rewinds) = (true, false, false);
        }
        shared
    };
    runtime.block_on(async {
        suite::check_order(&world()).await;
        suite::check_visibility(&world()).await;
        suite::check_abandon(&world()).await;
        suite::check_positions(&world()).await;
        suite::check_reopen(&world()).await;
        suite::check_single_writer(&world()).await;
        suite::check_failed_writer(&world()).await;
        suite::check_trim(&world()).await;
        suite::check_concurrent_readers(&world()).await;
        suite::check_cancelled_sync(&world()).await;
        suite::check_start_for(&world()).await;
    });
}
