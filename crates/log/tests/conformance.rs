//! The disk log keeps the contract that every change log keeps.

#![expect(clippy::unwrap_used, reason = "a failed step fails the test")]

#[path = "../../testkit/conformance/change_log/mod.rs"]
#[expect(unreachable_pub, reason = "a suite that all logs share")]
mod suite;
mod support;

use std::path::PathBuf;

use spanferry_core::port::change_log::LogId;
use spanferry_core::position::Bookmark;
use spanferry_log::{DiskLog, LogOptions};

use support::Scratch;

/// The disk log with small segments.
struct Disk {
    scratch: Scratch,
}

impl Disk {
    fn new() -> Disk {
        Disk {
            scratch: Scratch::new(),
        }
    }

    fn directory(&self) -> PathBuf {
        self.scratch.path().join("state/log")
    }
}

const OPTIONS: LogOptions = LogOptions {
    segment_bytes: 4000,
    budget_bytes: u64::MAX,
};

impl suite::Provider for Disk {
    type Log = DiskLog;

    async fn create(&self, start: &Bookmark) -> DiskLog {
        let id = LogId("00000000-0000-0000-0000-000000000001".to_owned());
        DiskLog::create(&self.directory(), &id, "source", start, OPTIONS)
            .await
            .unwrap()
    }

    async fn reopen(&self, log: DiskLog) -> DiskLog {
        drop(log);
        DiskLog::open(&self.directory(), OPTIONS).await.unwrap()
    }
}

mod disk {
    use super::{Disk, suite};

    macro_rules! run {
        ($($name:ident => $check:ident),* $(,)?) => {$(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                suite::$check(&Disk::new()).await;
            }
        )*};
    }

    run! {
        order => check_order,
        visibility => check_visibility,
        abandon => check_abandon,
        positions => check_positions,
        reopen => check_reopen,
        single_writer => check_single_writer,
        failed_writer => check_failed_writer,
        trim => check_trim,
        concurrent_readers => check_concurrent_readers,
        cancelled_sync => check_cancelled_sync,
        start_for => check_start_for,
    }
}
