//! Where the main stream stands, and how it continues after a rejection.

use crate::port::change_log::Sequence;
use crate::port::target::{FenceKey, FenceRow, Rejection};
use crate::position::checkpoint::Checkpoint;

use super::action::Tick;
use super::window::{Window, WindowBuilder, WindowLimits};

/// Transactions that are applied one at a time after a rejected window, before windows are folded
/// again.
const SINGLE_TRANSACTIONS: u64 = 10_000;
/// By how much a piece of a transaction becomes smaller each time that the target calls it too
/// large.
const TOO_LARGE_DIVISOR: usize = 8;

/// How transactions are folded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// As many as fit into a window.
    Windows,
    /// Each alone, because a window was rejected.
    Alone {
        /// Where that began.
        from: Sequence,
        /// The most that a piece of a transaction may hold.
        limits: WindowLimits,
    },
}

/// The main stream.
#[derive(Debug)]
pub(super) struct MainStream {
    /// The lane's fence key.
    pub(super) key: FenceKey,
    /// What is reached at `key`.
    pub(super) reached: Checkpoint,
    /// What was read behind `key`; none if the log has to be opened there again.
    pub(super) builder: Option<WindowBuilder>,
    /// Whether the log had no more to read.
    pub(super) at_end: bool,
    /// Whether the log, read up to `key`, is known to hold everything that `reached` contains.
    pub(super) aligned: bool,
    /// The watermark at which the log was last asked for that.
    pub(super) asked_at: Option<Sequence>,
    /// When the watermark last moved up to what had been read.
    pub(super) advanced_at: Tick,
    mode: Mode,
}

impl MainStream {
    pub(super) fn new(key: FenceKey, reached: Checkpoint, now: Tick) -> MainStream {
        MainStream {
            key,
            reached,
            builder: None,
            at_end: false,
            aligned: false,
            asked_at: None,
            advanced_at: now,
            mode: Mode::Windows,
        }
    }

    /// The limits of its windows, within those of the target.
    pub(super) fn limits(&self, target: WindowLimits) -> WindowLimits {
        match self.mode {
            Mode::Windows => target,
            Mode::Alone { limits, .. } => limits,
        }
    }

    /// Whether a batch may join it now: it folds whole windows, and stands inside no transaction. A
    /// transaction that was cut must be whole first: its earlier pieces were applied without the
    /// tables that are to join.
    pub(super) fn may_be_joined(&self) -> bool {
        self.mode == Mode::Windows && self.key.piece == 0
    }

    /// The fence row that a window leaves.
    pub(super) fn next(&self, window: &Window) -> FenceRow {
        let key = FenceKey {
            epoch: self.key.epoch,
            sequence: window.sequence,
            piece: window.reached.piece(),
        };
        assert!(
            key > self.key,
            "the fence key rises: {key:?} follows {:?}",
            self.key
        );
        FenceRow {
            key,
            reached: Some(window.reached.clone()),
        }
    }

    /// A window is committed.
    pub(super) fn advance(&mut self, window: Window) {
        self.key = self.next(&window).key;
        self.reached = window.reached;
    }

    /// A window is rejected. Returns whether it is as small as it can be made; otherwise the stream
    /// reads its transactions again, one at a time or in smaller pieces.
    pub(super) fn rejected(&mut self, rejection: &Rejection, window: &Window, target: WindowLimits) -> bool {
        self.builder = None;
        self.at_end = false;
        let next = match self.mode {
            Mode::Windows => Some((self.key.sequence, target)),
            Mode::Alone { from, limits } if rejection.too_large && window.changes > 1 => {
                smaller(limits).map(|limits| (from, limits))
            }
            Mode::Alone { .. } => None,
        };
        self.mode = match next {
            Some((from, limits)) => Mode::Alone {
                from,
                limits: WindowLimits {
                    bytes_best: 1,
                    ..limits
                },
            },
            None => Mode::Windows,
        };
        next.is_none()
    }

    /// Folds windows again, if so many transactions were applied one at a time, or all that there
    /// are.
    pub(super) fn fold_again(&mut self, target: WindowLimits) {
        let Mode::Alone { from, .. } = self.mode else {
            return;
        };
        if self.at_end || self.key.sequence.0 >= from.0 + SINGLE_TRANSACTIONS {
            self.mode = Mode::Windows;
            self.builder
                .iter_mut()
                .for_each(|builder| builder.set_limits(target));
        }
    }
}

/// Smaller limits; none if they are those of a single change.
fn smaller(limits: WindowLimits) -> Option<WindowLimits> {
    let smaller = WindowLimits {
        bytes_max: (limits.bytes_max / TOO_LARGE_DIVISOR).max(1),
        mutations_max: (limits.mutations_max / TOO_LARGE_DIVISOR).max(1),
        ..limits
    };
    (smaller != limits).then_some(smaller)
}
