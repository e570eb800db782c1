//! When a migration ends, and how it ended.

use spanferry_core::code::Exit;

/// When a migration ends by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopWhen {
    /// Never: it follows the changes until interrupted.
    Interrupted,
    /// Once the position that the source had when every group was complete is applied.
    CaughtUp,
}

/// How a migration ended, if it did not fail.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// Whether the operator ended it before its stop condition.
    pub interrupted: bool,
    /// Tables whose group has stopped, with the reason.
    pub stopped: Vec<(String, String)>,
    /// Tables that were created at the source after the migration began, and are not carried.
    pub not_carried: Vec<String>,
    /// The position that was applied.
    pub position: String,
}

impl Outcome {
    /// The exit status it stands for: what is set aside outranks an interruption.
    pub fn exit_status(&self) -> u8 {
        if !self.stopped.is_empty() || !self.not_carried.is_empty() {
            Exit::SetAside.status()
        } else if self.interrupted {
            Exit::Interrupted.status()
        } else {
            0
        }
    }
}
