//! Apply: the change log into the target, window by window; loaded tables catch up in batches and join the main stream.
//!
//! One task owns both streams and works on one at a time: while a batch catches up, the main stream stands still at a window
//! boundary `W`; the batch joins exactly there, and is made durable as joined before `W + 1` is applied
//! (docs/design/hand-off.md, steps 9 to 12).

mod catch_up;
mod rejection;
mod stop;
mod stream;
mod task;

pub use task::Apply;
