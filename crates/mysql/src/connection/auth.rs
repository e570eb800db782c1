//! Login methods: their names, and the answers to the server's challenges.
//!
//! The answers come from `mysql_common`, except where it panics on what a server sends: its reader
//! of RSA keys does, and so does its OAEP for a long password. Both stay with `aws-lc-rs`, and so
//! does `parsec`, whose primitives are there already.
//!
//! Facts: MySQL internals manual, "Authentication methods" (`caching_sha2_password` and
//! `sha256_password` in full form: the password XOR nonce under RSA-OAEP with SHA-1); MariaDB
//! documentation, "Authentication plugin - ed25519" and "Authentication plugin - PARSEC".

use std::num::NonZeroU32;

use aws_lc_rs::rsa::{OAEP_SHA1_MGF1SHA1, OaepPublicEncryptingKey, PublicEncryptingKey};
use aws_lc_rs::signature::Ed25519KeyPair;
use aws_lc_rs::{pbkdf2, rand};
use mysql_common::packets::{AuthPlugin, parse_parsec_salt};
use mysql_common::scramble::create_response_for_ed25519;
use rustls::pki_types::SubjectPublicKeyInfoDer;
use rustls::pki_types::pem::PemObject;

use crate::error::MysqlError;

/// Bytes of the challenge of `client_ed25519` and `parsec`.
const LONG_NONCE_BYTES: usize = 32;

/// Most rounds of the key derivation that a server may ask for: about a second of one core. MariaDB
/// 11.8 asks for 1,024.
const PARSEC_ROUNDS_MAX: u32 = 1 << 20;

/// A login method that this client has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Method {
    /// `mysql_native_password`: a digest.
    Native,
    /// `caching_sha2_password`: a digest, and the password itself where the server does not know
    /// the digest.
    CachingSha2,
    /// `sha256_password`: the password itself, under TLS or an RSA key.
    Sha256,
    /// `client_ed25519`, the client's half of MariaDB's `ed25519`: a signature.
    Ed25519,
    /// `parsec` of MariaDB: a signature under a salted key.
    Parsec,
    /// `mysql_clear_password`: the password itself.
    Clear,
}

impl Method {
    pub(super) const ALL: [Method; 6] = [
        Method::Native,
        Method::CachingSha2,
        Method::Sha256,
        Method::Ed25519,
        Method::Parsec,
        Method::Clear,
    ];

    pub(super) fn parse(name: &[u8]) -> Result<Method, MysqlError> {
        let found = Method::ALL
            .into_iter()
            .find(|method| method.name().as_bytes() == name);
        found.ok_or_else(|| MysqlError::AuthPlugin {
            plugin: String::from_utf8_lossy(name).into_owned(),
        })
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Method::Native => "mysql_native_password",
            Method::CachingSha2 => "caching_sha2_password",
            Method::Sha256 => "sha256_password",
            Method::Ed25519 => "client_ed25519",
            Method::Parsec => "parsec",
            Method::Clear => "mysql_clear_password",
        }
    }

    /// The challenge as this method takes it. The bytes come from a switch request, from which one
    /// trailing zero has been cut. MySQL's shorter challenges hold no zero; of a long challenge the
    /// zero may be the last byte.
    pub(super) fn nonce(self, bytes: &[u8]) -> Result<Vec<u8>, MysqlError> {
        let mut nonce = bytes.to_vec();
        match self {
            Method::Native | Method::CachingSha2 | Method::Sha256 | Method::Clear => Ok(nonce),
            Method::Ed25519 | Method::Parsec => {
                if nonce.len() + 1 == LONG_NONCE_BYTES {
                    nonce.push(0);
                }
                if nonce.len() == LONG_NONCE_BYTES {
                    return Ok(nonce);
                }
                Err(MysqlError::Protocol {
                    expected: "a login challenge of 32 bytes",
                })
            }
        }
    }
}

/// The digest of a method that begins with one; empty for an empty password.
pub(super) fn digest(method: &AuthPlugin<'_>, password: &str, nonce: &[u8]) -> Vec<u8> {
    let answer = method.gen_data(Some(password), nonce);
    answer.map(|answer| answer.to_vec()).unwrap_or_default()
}

/// The answer of `client_ed25519`: a signature of the challenge, also with an empty password.
pub(super) fn ed25519(password: &str, nonce: &[u8]) -> Vec<u8> {
    create_response_for_ed25519(password.as_bytes(), nonce).to_vec()
}

/// The answer of `parsec`: a challenge of our own, and the signature of both under a key that is
/// derived from the password with the salt of the server. It computes for up to a second.
pub(super) fn parsec(password: &str, nonce: &[u8], salt: &[u8]) -> Result<Vec<u8>, MysqlError> {
    let derivation = parse_parsec_salt(salt).filter(|(rounds, _)| *rounds <= PARSEC_ROUNDS_MAX);
    let derivation = derivation.and_then(|(rounds, salt)| Some((NonZeroU32::new(rounds)?, salt)));
    let Some((rounds, salt)) = derivation else {
        return Err(MysqlError::Protocol {
            expected: "a salt for `parsec` with at most 1,048,576 rounds",
        });
    };
    let mut seed = [0; 32];
    pbkdf2::derive(
        pbkdf2::PBKDF2_HMAC_SHA512,
        rounds,
        salt,
        password.as_bytes(),
        &mut seed,
    );
    let key = Ed25519KeyPair::from_seed_unchecked(&seed).expect("a seed of 32 bytes is a key");
    let mut own = [0; LONG_NONCE_BYTES];
    rand::fill(&mut own).expect("the system has random bytes");
    let signature = key.sign(&[nonce, &own].concat());
    Ok([&own, signature.as_ref()].concat())
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

#[cfg(test)]
mod tests {
    use aws_lc_rs::signature::{ED25519, KeyPair, UnparsedPublicKey};
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD_NO_PAD;

    use super::*;

    /// A salt as a server sends it: the derivation's name, its exponent, the salt.
    fn salt(exponent: u8) -> Vec<u8> {
        [b"P", [exponent].as_slice(), b"abcdefghijklmnopqr"].concat()
    }

    #[test]
    fn methods_have_one_name_each() {
        for method in Method::ALL {
            assert_eq!(Method::parse(method.name().as_bytes()).unwrap(), method);
        }
        for name in ["", "dialog", "auth_gssapi_client", "mysql_old_password", "PARSEC"] {
            let error = Method::parse(name.as_bytes()).expect_err(name);
            assert!(matches!(error, MysqlError::AuthPlugin { plugin } if plugin == name));
        }
    }

    #[test]
    fn a_long_challenge_may_end_with_zero() {
        let mut sent = vec![7; 32];
        assert_eq!(Method::Ed25519.nonce(&sent).unwrap(), sent);
        sent[31] = 0;
        assert_eq!(Method::Parsec.nonce(&sent[..31]).unwrap(), sent);
        for wrong in [0, 20, 30, 33] {
            assert!(Method::Ed25519.nonce(&vec![7; wrong]).is_err(), "{wrong}");
        }
        assert_eq!(Method::Native.nonce(&sent[..20]).unwrap().len(), 20);
    }

    /// The example of MariaDB's documentation: the key of the password `secret`, as the server
    /// stores it.
    #[test]
    fn ed25519_signs_under_the_key_that_mariadb_stores() {
        let stored = STANDARD_NO_PAD
            .decode("ZIgUREUg5PVgQ6LskhXmO+eZLS0nC8be6HPjYWR4YJY")
            .unwrap();
        let nonce = [9; 32];
        let signature = ed25519("secret", &nonce);
        let key = UnparsedPublicKey::new(&ED25519, stored);
        assert_eq!(signature.len(), 64);
        key.verify(&nonce, &signature)
            .expect("it is signed by the stored key");
    }

    #[test]
    fn parsec_signs_both_challenges() {
        let nonce = [3; 32];
        for password in ["", "correct horse"] {
            let answer = parsec(password, &nonce, &salt(3)).unwrap();
            assert_eq!(answer.len(), 96);
            let mut seed = [0; 32];
            let rounds = NonZeroU32::new(8_192).unwrap();
            pbkdf2::derive(
                pbkdf2::PBKDF2_HMAC_SHA512,
                rounds,
                &salt(3)[2..],
                password.as_bytes(),
                &mut seed,
            );
            let public = Ed25519KeyPair::from_seed_unchecked(&seed).unwrap();
            let key = UnparsedPublicKey::new(&ED25519, public.public_key().as_ref());
            let signed = [&nonce, &answer[..32]].concat();
            assert!(key.verify(&signed, &answer[32..]).is_ok(), "{password}");
        }
    }

    #[test]
    fn a_server_cannot_make_us_compute_for_long() {
        for wrong in [
            salt(11),
            salt(20),
            salt(255),
            b"Q\x03abcdefghijklmnopqr".to_vec(),
            b"P".to_vec(),
        ] {
            assert!(parsec("p", &[3; 32], &wrong).is_err());
        }
    }
}
