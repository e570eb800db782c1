//! Kill points: named steps at which a debug build ends itself as by SIGKILL when a test asks for
//! it.
//!
//! `SPANFERRY_KILL_AT="after commit apply:2"` ends the process the second time it reaches the step
//! `after commit apply`. Release builds hold nothing of this. Steps stand before and after
//! everything that is durable; a crash between two of them is a crash at the second one.

/// Names the step, and after a colon which time: 1 is the first.
pub const KILL_VARIABLE: &str = "SPANFERRY_KILL_AT";

/// Ends the process, without a word or a clean-up, if this step was asked for and its turn has
/// come. The step's name is `what`, then `of` if it is not empty.
#[inline]
pub fn kill_point(what: &'static str, of: &str) {
    #[cfg(debug_assertions)]
    wanted::reached(what, of);
    #[cfg(not(debug_assertions))]
    let _unused = (what, of);
}

#[cfg(debug_assertions)]
mod wanted {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    use rustix::process::{Signal, getpid, kill_process};

    struct Wanted {
        step: String,
        turn: u64,
        reached: AtomicU64,
    }

    /// Read once: a process is killed at one step at most.
    static WANTED: OnceLock<Option<Wanted>> = OnceLock::new();

    pub(super) fn reached(what: &str, of: &str) {
        let Some(wanted) = WANTED.get_or_init(from_environment) else {
            return;
        };
        let is_it = match wanted.step.strip_prefix(what) {
            Some(rest) => rest.trim_start() == of,
            None => false,
        };
        if is_it && wanted.reached.fetch_add(1, Ordering::AcqRel) + 1 == wanted.turn {
            kill_process(getpid(), Signal::KILL).expect("a process may signal itself");
            // The signal is on its way; nothing more may happen here.
            loop {
                std::thread::park();
            }
        }
    }

    fn from_environment() -> Option<Wanted> {
        let text = std::env::var(super::KILL_VARIABLE).ok()?;
        let (step, turn) = text
            .rsplit_once(':')
            .expect("the kill point is given as `STEP:TURN`");
        Some(Wanted {
            step: step.to_owned(),
            turn: turn.parse().expect("the turn of a kill point is a number"),
            reached: AtomicU64::new(0),
        })
    }
}
