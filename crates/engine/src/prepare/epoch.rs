//! The rows with which an epoch begins.

use spanferry_core::change_log::Sequence;
use spanferry_core::reached::Reached;
use spanferry_core::target::{Epoch, FenceKey, FenceRow, Lane};

pub(super) fn fence_row(epoch: Epoch, sequence: Sequence, reached: &Reached) -> FenceRow {
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

pub(super) fn fences(epoch: Epoch, main: &FenceRow, workers: u32) -> Vec<(Lane, FenceRow)> {
    let mut rows = vec![
        (Lane::Apply, main.clone()),
        (Lane::CatchUp, counter_row(epoch)),
        (Lane::Control, counter_row(epoch)),
    ];
    rows.extend((0..workers).map(|worker| (Lane::Load(worker), counter_row(epoch))));
    rows
}
