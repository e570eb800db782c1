//! Logging in: greeting, TLS request, challenge and answer.
//!
//! What we send is written by `mysql_common`. The greeting is read here: the reader of
//! `mysql_common` 0.37 computes with the length of the challenge in 8 bits, so a hostile length
//! ends a build with overflow checks by a panic, and it makes up a challenge of zeros where a
//! server sends none.
//!
//! Facts: MySQL internals manual, "Connection phase": HandshakeV10, SSLRequest,
//! HandshakeResponse41, AuthSwitchRequest, AuthMoreData; MariaDB documentation, "Connecting".

#![expect(
    clippy::cast_possible_truncation,
    reason = "the number of bytes read bounds the value"
)]

use std::collections::HashMap;

use mysql_common::constants::CapabilityFlags;
use mysql_common::io::ParseBuf;
use mysql_common::packets::{AuthPlugin, AuthSwitchRequest, HandshakeResponse, SslRequest};
use mysql_common::proto::MySerialize;

use super::auth::{self, Method};
use super::error_packet::server_error;
use super::packet::PacketStream;
use super::server::Server;
use super::session;
use super::tls;
use super::trust::Trust;
use super::wire::Cursor;
use crate::error::MysqlError;
use crate::options::{Options, SslMode};

const UTF8MB4_GENERAL_CI: u8 = 45;
/// A version for `mysql_common`: every server of ours has utf8mb4.
const WITH_UTF8MB4: (u16, u16, u16) = (5, 5, 3);
/// What we say we can take: the protocol's own greatest packet, 1 GiB.
const MAX_PACKET: u32 = 1 << 30;

/// The extra messages of caching_sha2_password.
const FAST_AUTH_OK: u8 = 3;
const FULL_AUTH: u8 = 4;
/// The requests for the server's RSA key, by the two methods that have one.
const REQUEST_KEY_OF_CACHING_SHA2: u8 = 2;
const REQUEST_KEY_OF_SHA256: u8 = 1;

/// Most packets of a server within one login. A switch, a salt or a fast result, and the end are
/// three; an account of MariaDB with several methods may switch a few times.
const LOGIN_PACKETS_MAX: usize = 8;

/// The server's first packet.
#[derive(Debug)]
pub(super) struct Greeting {
    pub(super) server: Server,
    id: u32,
    capabilities: CapabilityFlags,
    nonce: Vec<u8>,
    plugin: Vec<u8>,
}

impl Greeting {
    pub(super) fn parse(packet: &[u8]) -> Result<Greeting, MysqlError> {
        if packet.first() == Some(&0xff) {
            return Err(server_error(packet).at_login());
        }
        let mut cursor = Cursor::new(packet);
        if cursor.integer(1)? != 10 {
            return Err(MysqlError::Protocol {
                expected: "protocol version 10",
            });
        }
        let version = String::from_utf8_lossy(cursor.until_zero()?).into_owned();
        let id = cursor.integer(4)? as u32;
        let mut nonce = cursor.take(8)?.to_vec();
        cursor.take(1)?;
        let low = cursor.integer(2)?;
        cursor.take(3)?; // charset, status
        let capabilities = (low | cursor.integer(2)? << 16) as u32;
        let capabilities = CapabilityFlags::from_bits_truncate(capabilities);
        let nonce_length = usize::try_from(cursor.integer(1)?).unwrap_or_default();
        cursor.take(10)?;
        nonce.extend_from_slice(cursor.take(nonce_length.saturating_sub(8).max(13))?);
        nonce.truncate(20);
        let plugin = cursor.until_zero().unwrap_or(b"mysql_native_password").to_vec();
        if !capabilities.contains(CapabilityFlags::CLIENT_PROTOCOL_41 | CapabilityFlags::CLIENT_PLUGIN_AUTH) {
            return Err(MysqlError::Protocol {
                expected: "a server of MySQL 8.0 or MariaDB 10.5 or later",
            });
        }
        let server = Server::parse(
            &version,
            capabilities.contains(CapabilityFlags::CLIENT_LONG_PASSWORD),
        );
        Ok(Greeting {
            server,
            id,
            capabilities,
            nonce,
            plugin,
        })
    }
}

/// Takes a connected socket through the connection phase. Returns the (perhaps encrypted) stream,
/// the server and our number there.
pub(super) async fn log_in(
    mut stream: PacketStream,
    options: &Options,
) -> Result<(PacketStream, Server, u32), MysqlError> {
    let range = stream.read().await?;
    let greeting = Greeting::parse(stream.bytes(range))?;
    let mut capabilities = capabilities(&greeting, options);
    if wants_tls(
        options,
        greeting.capabilities.contains(CapabilityFlags::CLIENT_SSL),
    )? {
        capabilities |= CapabilityFlags::CLIENT_SSL;
        let request = SslRequest::new(capabilities, MAX_PACKET, UTF8MB4_GENERAL_CI);
        stream.write(&packet(&request)).await?;
        let (socket, sequence) = stream.into_plain()?;
        let socket = tls::encrypt(socket, options).await?;
        stream = PacketStream::encrypted(socket, options.address(), options.read_timeout, sequence);
    }
    let trust = Trust::of(options, stream.is_encrypted())?;
    let method = first_method(&greeting.plugin, options, &trust);
    stream
        .write(&response(capabilities, &method, options, &greeting.nonce))
        .await?;
    let mut login = Login {
        stream: &mut stream,
        options,
        trust,
        method: Method::parse(method.as_bytes())?,
        nonce: greeting.nonce,
    };
    login.finish().await?;
    stream.logged_in();
    Ok((stream, greeting.server, greeting.id))
}

fn capabilities(greeting: &Greeting, options: &Options) -> CapabilityFlags {
    let if_offered =
        CapabilityFlags::CLIENT_CONNECT_ATTRS | CapabilityFlags::CLIENT_PLUGIN_AUTH_LENENC_CLIENT_DATA;
    let mut capabilities = CapabilityFlags::CLIENT_LONG_FLAG
        | CapabilityFlags::CLIENT_LONG_PASSWORD
        | CapabilityFlags::CLIENT_PROTOCOL_41
        | CapabilityFlags::CLIENT_TRANSACTIONS
        | CapabilityFlags::CLIENT_SECURE_CONNECTION
        | CapabilityFlags::CLIENT_PLUGIN_AUTH
        | (if_offered & greeting.capabilities);
    if session::is_login_schema(&options.schema) {
        capabilities |= CapabilityFlags::CLIENT_CONNECT_WITH_DB;
    }
    capabilities
}

/// The method that is tried first, one of the two that begin with a digest. Another one is no error
/// yet: the server switches to the account's own. It also does so when we name another, and a
/// digest of the password does not go to a server that will not get the password in the end.
fn first_method(offered: &[u8], options: &Options, trust: &Trust) -> AuthPlugin<'static> {
    let may_send_password = *trust != Trust::None || options.password.is_empty();
    match Method::parse(offered) {
        Ok(Method::CachingSha2) if may_send_password => AuthPlugin::CachingSha2Password,
        _ => AuthPlugin::MysqlNativePassword,
    }
}

fn wants_tls(options: &Options, offered: bool) -> Result<bool, MysqlError> {
    match options.ssl_mode {
        SslMode::Disabled => Ok(false),
        SslMode::Preferred => Ok(offered),
        SslMode::Required | SslMode::VerifyCa | SslMode::VerifyIdentity if offered => Ok(true),
        SslMode::Required | SslMode::VerifyCa | SslMode::VerifyIdentity => Err(MysqlError::Tls {
            address: options.address(),
            reason:
                "the server offers no TLS; switch it on there, or accept plain text with `ssl-mode=DISABLED`"
                    .to_owned(),
        }),
    }
}

fn response(
    capabilities: CapabilityFlags,
    method: &AuthPlugin<'static>,
    options: &Options,
    nonce: &[u8],
) -> Vec<u8> {
    let with_schema = capabilities.contains(CapabilityFlags::CLIENT_CONNECT_WITH_DB);
    let with_attributes = capabilities.contains(CapabilityFlags::CLIENT_CONNECT_ATTRS);
    let attributes = [
        ("program_name", "spanferry"),
        ("_client_version", env!("CARGO_PKG_VERSION")),
    ];
    let attributes: HashMap<String, String> = attributes
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    packet(&HandshakeResponse::new(
        Some(auth::digest(method, &options.password, nonce)),
        WITH_UTF8MB4,
        Some(options.user.as_bytes()),
        with_schema.then_some(options.schema.as_bytes()),
        Some(method.clone()),
        capabilities,
        with_attributes.then_some(attributes),
        MAX_PACKET,
    ))
}

fn packet(content: &impl MySerialize) -> Vec<u8> {
    let mut bytes = Vec::new();
    content.serialize(&mut bytes);
    bytes
}

/// The rest of a login behind the first answer.
struct Login<'a> {
    stream: &'a mut PacketStream,
    options: &'a Options,
    trust: Trust,
    method: Method,
    nonce: Vec<u8>,
}

impl Login<'_> {
    /// Answers what the server asks until it says yes or no.
    async fn finish(&mut self) -> Result<(), MysqlError> {
        for _ in 0..LOGIN_PACKETS_MAX {
            let range = self.stream.read().await?;
            let packet = self.stream.bytes(range).to_vec();
            match (packet.split_first(), self.method) {
                (Some((0x00, _)), _) => return Ok(()),
                (Some((0xff, _)), _) => return Err(server_error(&packet).at_login()),
                (Some((0xfe, _)), _) => self.switch(&packet).await?,
                (Some((0x01, [FAST_AUTH_OK])), Method::CachingSha2) => {}
                (Some((0x01, [FULL_AUTH])), Method::CachingSha2) => {
                    self.send_password(REQUEST_KEY_OF_CACHING_SHA2).await?;
                }
                (Some((0x01, salt)), Method::Parsec) => self.sign(salt).await?,
                // The first servers with `parsec` sent the salt without the mark of extra data.
                (Some((b'P', _)), Method::Parsec) => self.sign(&packet).await?,
                _ => {
                    return Err(MysqlError::Protocol {
                        expected: "an answer to the login",
                    });
                }
            }
        }
        Err(MysqlError::Protocol {
            expected: "an end of the login",
        })
    }

    /// Answers by the method of the account.
    async fn switch(&mut self, packet: &[u8]) -> Result<(), MysqlError> {
        // The request of a server before 4.1 has no name.
        let Ok(request) = ParseBuf(packet).parse::<AuthSwitchRequest<'_>>(()) else {
            return Err(MysqlError::AuthPlugin {
                plugin: "mysql_old_password".to_owned(),
            });
        };
        let method = request.auth_plugin();
        self.method = Method::parse(method.as_bytes())?;
        self.nonce = self.method.nonce(request.plugin_data())?;
        let password = &self.options.password;
        let answer = match self.method {
            Method::Native => auth::digest(&method, password, &self.nonce),
            Method::CachingSha2 => {
                // It may need the password now or at any later login: whether it does must not
                // depend on what the server still knows.
                self.expect_trust()?;
                auth::digest(&method, password, &self.nonce)
            }
            Method::Ed25519 => auth::ed25519(password, &self.nonce),
            // Asks for the salt.
            Method::Parsec => Vec::new(),
            Method::Sha256 => return self.send_password(REQUEST_KEY_OF_SHA256).await,
            Method::Clear => {
                self.expect_clear_password()?;
                self.clear_password()
            }
        };
        self.stream.write(&answer).await
    }

    /// An empty password is no secret.
    fn expect_trust(&self) -> Result<(), MysqlError> {
        match self.trust {
            Trust::Certificate | Trust::Key(_) | Trust::Allowed => Ok(()),
            Trust::None if self.options.password.is_empty() => Ok(()),
            Trust::None => Err(MysqlError::Unverified {
                address: self.options.address(),
                encrypted: self.stream.is_encrypted(),
            }),
        }
    }

    /// The server hands the password on to something else, so its own proof is not enough: the
    /// operator must want it too.
    fn expect_clear_password(&self) -> Result<(), MysqlError> {
        match self.trust {
            Trust::Certificate if self.options.enable_cleartext_plugin => Ok(()),
            Trust::Certificate | Trust::Key(_) | Trust::Allowed | Trust::None => {
                Err(MysqlError::ClearPassword {
                    is_verified: self.trust == Trust::Certificate,
                })
            }
        }
    }

    fn clear_password(&self) -> Vec<u8> {
        [self.options.password.as_bytes(), &[0]].concat()
    }

    /// Sends the password itself: under TLS as it is, otherwise under an RSA key.
    async fn send_password(&mut self, key_request: u8) -> Result<(), MysqlError> {
        self.expect_trust()?;
        if self.stream.is_encrypted() || self.options.password.is_empty() {
            return self.stream.write(&self.clear_password()).await;
        }
        let pem = match &self.trust {
            Trust::Key(pem) => pem.clone(),
            Trust::Certificate | Trust::Allowed | Trust::None => self.ask_for_key(key_request).await?,
        };
        let sealed = auth::encrypt(&self.options.password, &self.nonce, &pem)?;
        self.stream.write(&sealed).await
    }

    /// The server's own key, which proves nothing.
    async fn ask_for_key(&mut self, request: u8) -> Result<Vec<u8>, MysqlError> {
        self.stream.write(&[request]).await?;
        let range = self.stream.read().await?;
        let packet = self.stream.bytes(range);
        match packet.split_first() {
            Some((0x01, pem)) => Ok(pem.to_vec()),
            Some((0xff, _)) => Err(server_error(packet).at_login()),
            _ => Err(MysqlError::Protocol {
                expected: "the server's RSA public key",
            }),
        }
    }

    /// Answers the salt of `parsec`. The derivation of the key would hold up the other tasks.
    async fn sign(&mut self, salt: &[u8]) -> Result<(), MysqlError> {
        let (password, nonce, salt) = (self.options.password.clone(), self.nonce.clone(), salt.to_vec());
        let answer = tokio::task::spawn_blocking(move || auth::parsec(&password, &nonce, &salt));
        let answer = answer.await.expect("the derivation does not panic")?;
        self.stream.write(&answer).await
    }
}
