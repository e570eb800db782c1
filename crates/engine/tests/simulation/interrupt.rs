//! A request to stop is followed between two commits, also in the middle of a transaction that
//! takes many.

use std::sync::Arc;
use std::time::Duration;

use spanferry_core::port::target::FenceKey;
use spanferry_engine::migrate::{Migration, StopWhen};
use spanferry_engine::plan::decide;
use spanferry_engine::prepare::{ClaimOptions, PrepareOptions, Unproved, prepare};
use spanferry_engine::progress::Progress;
use spanferry_engine::stop::CancellationToken;

use crate::history::{BEFORE, Change, NOTE, Transaction};
use crate::log::SimLog;
use crate::source::SimSource;
use crate::target::{SimTarget, expected_rows, main_key};
use crate::world::Shared;
use crate::{LIMITS, RETENTION, live, new_world, today};

/// Changes of the transaction: some fifty commits.
const CHANGES: i64 = 1_200;

/// A world without faults, whose source is about to commit one huge transaction.
fn world_with_huge_transaction() -> Shared {
    let shared = new_world(5, None);
    let mut world = shared.lock();
    world.bare = true;
    world.fails_over = false;
    world.administration.locks = 1;
    world.history.truncate(BEFORE);
    let insert = |number| Change {
        table: NOTE,
        old: None,
        new: Some([1_000_000 + number, number, number]),
    };
    world
        .history
        .push(Transaction::Changes((0..CHANGES).map(insert).collect()));
    drop(world);
    shared
}

/// Waits in virtual time.
async fn until(is_there: impl Fn() -> bool) {
    while !is_there() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// Interrupts a run inside the huge transaction. Returns the fence keys at the request and at the
/// run's end.
fn interrupt_inside(shared: &Shared) -> (FenceKey, FenceKey) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    let key = || main_key(&shared.lock()).unwrap();
    let at_request: FenceKey = runtime.block_on(async {
        let (source, target) = (SimSource(shared.clone()), SimTarget(shared.clone()));
        let options = PrepareOptions {
            claim: ClaimOptions {
                new_migration_id: "simulated".into(),
                source_name: "simulated".into(),
                schema: "shop".into(),
                workers: 3,
            },
            unproved: Unproved::Refused,
        };
        let log = SimLog(shared.clone());
        let progress = Arc::new(Progress::default());
        let planned = decide(&today(&source).await.unwrap(), None);
        let prepared = prepare(&source, Arc::new(target), &log, &planned, &options, &progress)
            .await
            .unwrap();
        let interrupt = CancellationToken::new();
        let migration = Migration {
            source: Arc::new(source),
            prepared,
            interrupt: interrupt.clone(),
            progress: Arc::clone(&progress),
            stop_when: StopWhen::Interrupted,
            sees_all_tables: true,
            lock: false,
            source_rate: None,
            retention: RETENTION,
        };
        let running = tokio::spawn(migration.run());
        until(|| progress.snapshot().is_caught_up()).await;
        shared.lock().committed += 1;
        until(|| key().piece > 0).await;
        assert!(
            !progress.snapshot().is_caught_up(),
            "a transaction is applied in part"
        );
        until(|| progress.snapshot().applied_in_part > 0).await;
        let at_request = key();
        interrupt.cancel();
        let outcome = running.await.unwrap().unwrap();
        assert!(outcome.interrupted);
        at_request
    });
    drop(runtime);
    (at_request, key())
}

/// A world that was interrupted inside of a huge transaction on `NOTE`.
pub(crate) fn interrupted() -> Shared {
    let shared = world_with_huge_transaction();
    interrupt_inside(&shared);
    shared
}

#[test]
fn an_interrupt_is_followed_inside_a_huge_transaction() {
    let shared = world_with_huge_transaction();
    let (at_request, at_end) = interrupt_inside(&shared);
    assert_eq!(at_end.sequence, at_request.sequence);
    assert!(at_end.piece > 0, "it went on to the end of the transaction");
    let commits = (at_end.piece - at_request.piece).div_ceil(LIMITS.mutations_max as u64);
    assert!(commits <= 2, "{commits} more commits after the request");
    // The next process continues in the middle.
    live(&shared, None).unwrap().unwrap();
    let world = shared.lock();
    assert_eq!(main_key(&world).unwrap().piece, 0);
    assert_eq!(world.target.rows, expected_rows(&world));
}
