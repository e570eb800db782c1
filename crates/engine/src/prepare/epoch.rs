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

/// All lanes of an epoch; only the main stream's continues from the epoch before.
pub(super) fn lanes(epoch: Epoch, main: LaneStart, workers: u32) -> Vec<(Lane, LaneStart)> {
    let counter = || LaneStart::At(counter_row(epoch));
    let mut lanes = vec![
        (Lane::MAIN, main),
        (Lane::CatchUp, counter()),
        (Lane::Control, counter()),
    ];
    lanes.extend((0..workers).map(|worker| (Lane::Load(worker), counter())));
    lanes
}
