//! Answers to the server's login challenges.
//!
//! Facts: MySQL internals manual, "Authentication methods": mysql_native_password is
//! SHA1(p) XOR SHA1(nonce + SHA1(SHA1(p))); caching_sha2_password is SHA256(p) XOR SHA256(SHA256(SHA256(p)) + nonce), and its
//! full form the password XOR nonce under RSA-OAEP with SHA-1.

use aws_lc_rs::digest::{Algorithm, Context, SHA1_FOR_LEGACY_USE_ONLY, SHA256};
use aws_lc_rs::rsa::{OAEP_SHA1_MGF1SHA1, OaepPublicEncryptingKey, PublicEncryptingKey};
use rustls::pki_types::SubjectPublicKeyInfoDer;
use rustls::pki_types::pem::PemObject;

use crate::error::MysqlError;

/// A login method that this client has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Plugin {
    /// `mysql_native_password`.
    Native,
    /// `caching_sha2_password`.
    CachingSha2,
}

impl Plugin {
    pub(super) fn parse(name: &[u8]) -> Result<Plugin, MysqlError> {
        match name {
            b"mysql_native_password" => Ok(Plugin::Native),
            b"caching_sha2_password" => Ok(Plugin::CachingSha2),
            _ => Err(MysqlError::AuthPlugin {
                plugin: String::from_utf8_lossy(name).into_owned(),
            }),
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Plugin::Native => "mysql_native_password",
            Plugin::CachingSha2 => "caching_sha2_password",
        }
    }

    /// The answer to a challenge; empty for an empty password.
    pub(super) fn answer(self, password: &str, nonce: &[u8]) -> Vec<u8> {
        if password.is_empty() {
            return Vec::new();
        }
        let password = password.as_bytes();
        match self {
            Plugin::Native => {
                let once = hash(&SHA1_FOR_LEGACY_USE_ONLY, &[password]);
                let twice = hash(&SHA1_FOR_LEGACY_USE_ONLY, &[&once]);
                xor(&once, &hash(&SHA1_FOR_LEGACY_USE_ONLY, &[nonce, &twice]))
            }
            Plugin::CachingSha2 => {
                let once = hash(&SHA256, &[password]);
                let twice = hash(&SHA256, &[&once]);
                xor(&once, &hash(&SHA256, &[&twice, nonce]))
            }
        }
    }
}

/// The password for a server's RSA key, given as PEM.
pub(super) fn encrypt(password: &str, nonce: &[u8], pem: &[u8]) -> Result<Vec<u8>, MysqlError> {
    let wrong = MysqlError::Protocol {
        expected: "an RSA public key as PEM",
    };
    let Ok(der) = SubjectPublicKeyInfoDer::from_pem_slice(pem) else {
        return Err(wrong);
    };
    let Ok(key) = PublicEncryptingKey::from_der(&der) else {
        return Err(wrong);
    };
    let Ok(key) = OaepPublicEncryptingKey::new(key) else {
        return Err(wrong);
    };
    let mut plain = [password.as_bytes(), &[0]].concat();
    for (byte, mask) in plain.iter_mut().zip(nonce.iter().cycle()) {
        *byte ^= mask;
    }
    let mut room = vec![0; key.ciphertext_size()];
    match key.encrypt(&OAEP_SHA1_MGF1SHA1, &plain, &mut room, None) {
        Ok(sealed) => Ok(sealed.to_vec()),
        Err(_) => Err(MysqlError::Protocol {
            expected: "an RSA key long enough for the password",
        }),
    }
}

fn hash(algorithm: &'static Algorithm, parts: &[&[u8]]) -> Vec<u8> {
    let mut context = Context::new(algorithm);
    for part in parts {
        context.update(part);
    }
    context.finish().as_ref().to_vec()
}

fn xor(left: &[u8], right: &[u8]) -> Vec<u8> {
    left.iter().zip(right).map(|(left, right)| left ^ right).collect()
}
