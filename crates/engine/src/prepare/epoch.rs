//! The rows with which an epoch begins.

use spanferry_core::port::change_log::Sequence;
use spanferry_core::port::target::{Epoch, FenceKey, FenceRow, Lane, LaneStart};
use spanferry_core::position::checkpoint::Checkpoint;

pub(super) fn fence_row(epoch: Epoch, sequence: Sequence, reached: &Checkpoint) -> FenceRow {
    FenceRow {
        key: FenceKey {
            epoch,
            sequence,
            piece: reached.piece(),
        },
        reached: Some(reached.clone()),
    }
}

pub(super) fn counter_row(epoch: Epoch) -> FenceRow {
    FenceRow {
        key: FenceKey {
            epoch,
            sequence: Sequence::ZERO,
            piece: 0,
        },
        reached: None,
    }
}

/// The lanes of a load in an epoch.
pub(super) fn load_lanes(epoch: Epoch, workers: u32) -> Vec<(Lane, LaneStart)> {
    let counter = LaneStart::At(counter_row(epoch));
    let load = (0..workers).map(Lane::Load);
    let lanes = [Lane::Control].into_iter().chain(load);
    lanes.map(|lane| (lane, counter.clone())).collect()
}

/// The lanes of a stream in an epoch; only the main stream's continues from the epoch before.
pub(super) fn stream_lanes(epoch: Epoch, main: LaneStart) -> Vec<(Lane, LaneStart)> {
    vec![
        (Lane::MAIN, main),
        (Lane::CatchUp, LaneStart::At(counter_row(epoch))),
    ]
}
