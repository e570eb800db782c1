//! Server UUIDs of MySQL.

use std::fmt;

use uuid::Uuid;

/// A 16-byte server UUID of MySQL.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServerUuid(pub [u8; 16]);

impl ServerUuid {
    /// Parses the 36-character form in any case, or the form without dashes.
    pub fn parse(text: &str) -> Option<ServerUuid> {
        Uuid::try_parse(text)
            .ok()
            .map(|uuid| ServerUuid(uuid.into_bytes()))
    }

    /// Its bytes as one number: compared in one instruction.
    pub(super) fn number(self) -> u128 {
        u128::from_be_bytes(self.0)
    }
}

impl fmt::Display for ServerUuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Every transaction's identity is printed on its way into the log: one write.
        let mut text = Uuid::encode_buffer();
        f.write_str(Uuid::from_bytes(self.0).hyphenated().encode_lower(&mut text))
    }
}

impl fmt::Debug for ServerUuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
