//! The end of a migration: the source is released, and nothing reads its history afterwards.

use spanferry_core::port::source::ChangeSource;
use spanferry_core::report::code;
use spanferry_engine::end::end;

use crate::source::SimSource;
use crate::target::SimTarget;
use crate::{live, new_world};

#[test]
fn the_end_releases_the_history_of_the_source() {
    let shared = new_world(5, None);
    {
        let mut world = shared.lock();
        (world.fails_over, world.rewinds, world.crash_in) = (false, false, None);
    }
    live(&shared, None).expect("it lives").expect("it succeeds");
    let bookmark = shared.lock().log.as_ref().map(super::log::LogState::end);
    let bookmark = bookmark.expect("changes were captured");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(async {
        let (source, target) = (SimSource(shared.clone()), SimTarget(shared.clone()));
        drop(source.open_stream(&bookmark).await.expect("its history is kept"));
        assert!(
            end(Some(&source), &target).await.unwrap(),
            "there was a migration"
        );
        let refused = source.open_stream(&bookmark).await.map(drop);
        assert_eq!(refused.unwrap_err().code, code::POSITION_PURGED);
        assert!(!end(Some(&source), &target).await.unwrap(), "it may be repeated");
    });
    assert_eq!(shared.lock().violations, [""; 0]);
}
