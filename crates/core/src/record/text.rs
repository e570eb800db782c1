//! One stored text: JSON with a version.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// The version of every text that is stored at the target.
pub const VERSION: u32 = 3;

/// Why a stored text cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum RecordError {
    /// Another release has written it.
    #[error("{what} of version {found}; this release reads version {VERSION}")]
    Version {
        /// What the text is.
        what: &'static str,
        /// Its version.
        found: u32,
    },
    /// It is not what this release writes.
    #[error("expected {what}: {cause}")]
    Unreadable {
        /// What the text should be.
        what: &'static str,
        /// What is wrong with it.
        cause: String,
    },
}

impl RecordError {
    /// The error of a text that is JSON of the right shape with a part that means nothing.
    pub(crate) fn unreadable(what: &'static str, cause: impl ToString) -> RecordError {
        let cause = cause.to_string();
        RecordError::Unreadable { what, cause }
    }
}

/// The part that texts of all versions have in common.
#[derive(Deserialize)]
struct Head {
    version: u32,
}

/// Writes a stored struct, whose first field is the version.
pub(crate) fn encode<T: Serialize>(stored: &T) -> String {
    serde_json::to_string(stored).expect("a struct of names, numbers and lists is always JSON")
}

/// Reads a stored struct; `what` names it in errors.
pub(crate) fn decode<T: DeserializeOwned>(text: &str, what: &'static str) -> Result<T, RecordError> {
    let head: Head = serde_json::from_str(text).map_err(|cause| RecordError::unreadable(what, cause))?;
    if head.version != VERSION {
        let found = head.version;
        return Err(RecordError::Version { what, found });
    }
    serde_json::from_str(text).map_err(|cause| RecordError::unreadable(what, cause))
}
