//! Comparing positions: two that cannot be compared are a failure, never `false`.

use spanferry_core::position::{Position, PositionError};
use spanferry_core::report::code;
use spanferry_core::report::failure::{Class, Failure};

/// Whether everything that has happened at `earlier` has happened at `position` too; `object` names
/// what has the position.
pub(crate) fn contains_all(
    object: &'static str,
    position: &Position,
    earlier: &Position,
) -> Result<bool, Failure> {
    position
        .contains_all(earlier)
        .map_err(|cause| incomparable(object, cause))
}

/// The failure of two positions that cannot be compared: they come from servers of different
/// families.
pub(crate) fn incomparable(object: &'static str, cause: PositionError) -> Failure {
    let text = "its position belongs to another history than the migration's";
    Failure::new(code::HISTORY_CHANGED, Class::StopMigration, object, text).caused_by(cause)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_of_two_families_are_a_failure() {
        let at = |text: &str| Position::parse(text).expect("a position");
        let mariadb = at("mariadb:0-1-5");
        assert!(contains_all("source", &mariadb, &at("mariadb:0-1-4")).expect("they compare"));
        let mysql = at("mysql:3e11fa47-71ca-11e1-9e33-c80aa9429562:1-5");
        let failure = contains_all("source", &mariadb, &mysql).expect_err("they do not");
        assert_eq!(
            (failure.code, failure.class),
            (code::HISTORY_CHANGED, Class::StopMigration)
        );
    }
}
