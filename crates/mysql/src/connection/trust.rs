//! Whether the password itself may go to the server at the other end.
//!
//! Some logins need the password and not only a proof of knowing it: `caching_sha2_password`
//! whenever the server has no fresh copy of its digest. Who answers at an address may be anybody,
//! also at a loopback address, where a tunnel may end. So the password goes only to a server that a
//! certificate or a key has proved, unless the operator says otherwise.

use std::path::Path;

use crate::error::MysqlError;
use crate::options::Options;

/// What is known of the server at the other end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Trust {
    /// Its certificate was verified: the password goes through TLS.
    Certificate,
    /// Only the owner of this key (PEM) can read the password.
    Key(Vec<u8>),
    /// Nothing, and the operator allows it: through TLS, or under the key that the server itself
    /// sends.
    Allowed,
    /// Nothing.
    None,
}

impl Trust {
    pub(super) fn of(options: &Options, encrypted: bool) -> Result<Trust, MysqlError> {
        if encrypted && options.ssl_mode.is_verified() {
            return Ok(Trust::Certificate);
        }
        if options.get_server_public_key {
            return Ok(Trust::Allowed);
        }
        match &options.server_public_key {
            Some(file) if !encrypted => read(file).map(Trust::Key),
            Some(_) | None => Ok(Trust::None),
        }
    }
}

fn read(file: &Path) -> Result<Vec<u8>, MysqlError> {
    std::fs::read(file).map_err(|cause| {
        MysqlError::Usage(format!(
            "`server-public-key-path` {} cannot be read: {cause}",
            file.display()
        ))
    })
}
