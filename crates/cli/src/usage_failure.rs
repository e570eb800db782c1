//! The failure of a command line or a configuration that cannot be used.

use spanferry_core::report::code;
use spanferry_core::report::failure::{Class, Failure};

/// Names the option or file, and says what is expected of it.
pub(crate) fn usage(object: impl Into<String>, message: impl Into<String>) -> Failure {
    Failure::new(code::USAGE, Class::StopMigration, object, message)
}
