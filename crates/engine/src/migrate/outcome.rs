//! When a migration ends, and how it ended.

use spanferry_core::record::StopReason;
use spanferry_core::report::code::Exit;
use spanferry_core::schema::source::QualifiedName;

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
    /// Whether it ended because it had caught up, as asked for by `StopWhen::CaughtUp`.
    pub caught_up: bool,
    /// Tables whose group has stopped, with the reason.
    pub stopped: Vec<(QualifiedName, StopReason)>,
    /// Tables that were created at the source after the migration began, and are not carried.
    pub not_carried: Vec<QualifiedName>,
    /// Whether there were so many of them that not all have a name here.
    pub not_carried_more: bool,
    /// The position that was applied.
    pub position: String,
}

impl Outcome {
    /// The exit status it stands for: what is set aside outranks an interruption.
    pub fn exit_status(&self) -> u8 {
        if !self.stopped.is_empty() || !self.not_carried.is_empty() || self.not_carried_more {
            Exit::SetAside.status()
        } else if self.interrupted {
            Exit::Interrupted.status()
        } else {
            0
        }
    }
}

#[cfg(test)]
mod tests {
    use spanferry_core::report::code;
    use spanferry_core::report::finding::{Finding, Severity, Subject};

    use super::*;

    fn a_stop() -> (QualifiedName, StopReason) {
        let (subject, text) = (
            Subject::table(&spanferry_core::fixture::qualified("t")),
            "ALTER TABLE",
        );
        let finding = Finding::new(code::DDL_SEEN, Severity::Blocking, subject, text);
        (QualifiedName::new("shop", "t"), StopReason::from(&finding))
    }

    #[test]
    fn what_is_set_aside_outranks_an_interruption() {
        let check = |change: fn(&mut Outcome), expected: u8| {
            let mut outcome = Outcome::default();
            change(&mut outcome);
            assert_eq!(outcome.exit_status(), expected, "{outcome:?}");
            if expected == Exit::SetAside.status() {
                outcome.interrupted = true;
                assert_eq!(outcome.exit_status(), expected, "{outcome:?}");
            }
        };
        check(|_| {}, 0);
        check(|outcome| outcome.interrupted = true, Exit::Interrupted.status());
        let set_aside = Exit::SetAside.status();
        check(|outcome| outcome.stopped.push(a_stop()), set_aside);
        check(
            |outcome| outcome.not_carried.push(spanferry_core::fixture::qualified("t")),
            set_aside,
        );
        check(|outcome| outcome.not_carried_more = true, set_aside);
    }
}
