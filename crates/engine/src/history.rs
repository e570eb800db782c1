//! Whether the source is still the one whose history was applied: it may lag for a moment, it may not lack anything for good.

use std::time::Duration;

use spanferry_core::code;
use spanferry_core::failure::{Class, Failure};
use spanferry_core::position::Position;

/// How often the source is asked where it stands.
pub(crate) const ASK_INTERVAL: Duration = Duration::from_secs(3);
/// Asks in a row at which the source may stand behind what was applied, before it counts as another one. MySQL sends a
/// transaction before it counts as executed; a semi-synchronous commit waits in between, 10 s unless set otherwise.
const BEHIND_ASKS_MAX: u32 = 5;

/// A source that stands at `position` must hold the history that led to `known`.
pub(crate) fn expect_history(position: &Position, known: &Position) -> Result<(), Failure> {
    let changed = |text| Failure::new(code::HISTORY_CHANGED, Class::StopMigration, "source", text);
    match position.holds_history_of(known) {
        Ok(true) => Ok(()),
        Ok(false) => Err(changed("it lacks transactions that have been captured")),
        Err(cause) => Err(changed("it is another kind of server").caused_by(cause)),
    }
}

/// The same for a source that is asked again and again, every `ASK_INTERVAL`.
#[derive(Debug, Clone, Default)]
pub(crate) struct HistoryWatch {
    /// Asks in a row at which the source stood behind.
    behind: u32,
}

impl HistoryWatch {
    /// Whether a source at `position` holds the history of `applied`; false if it may only lag, to be asked again. One that stays
    /// behind is a failure.
    pub(crate) fn accepts(&mut self, position: &Position, applied: &Position) -> Result<bool, Failure> {
        let expected = expect_history(position, applied);
        self.behind = if expected.is_ok() { 0 } else { self.behind + 1 };
        if self.behind >= BEHIND_ASKS_MAX {
            expected?;
        }
        Ok(self.behind == 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Position {
        Position::parse(text).expect("a position")
    }

    #[test]
    fn a_source_may_lag_for_a_while_and_no_longer() {
        let (before, applied) = (at("mariadb:0-1-4"), at("mariadb:0-1-5"));
        let mut watch = HistoryWatch::default();
        for _ in 0..3 {
            for _ in 1..BEHIND_ASKS_MAX {
                assert!(!watch.accepts(&before, &applied).expect("it may lag"));
            }
            assert!(watch.accepts(&applied, &applied).expect("it is there"));
        }
        for _ in 1..BEHIND_ASKS_MAX {
            assert!(!watch.accepts(&before, &applied).expect("it may lag"));
        }
        let lost = watch.accepts(&before, &applied).expect_err("it stays behind");
        assert_eq!(lost.code, code::HISTORY_CHANGED);
    }

    #[test]
    fn a_mariadb_server_of_another_name_is_not_the_one() {
        let lost = expect_history(&at("mariadb:0-2-5"), &at("mariadb:0-1-5")).expect_err("a stranger");
        assert_eq!(lost.code, code::HISTORY_CHANGED);
    }
}
