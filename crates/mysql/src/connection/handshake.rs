//! Logging in: greeting, TLS request, challenge and answer.
//!
//! Facts: MySQL internals manual, "Connection phase": HandshakeV10, SSLRequest, HandshakeResponse41, AuthSwitchRequest,
//! AuthMoreData; MariaDB documentation, "Connecting".

#![expect(
    clippy::cast_possible_truncation,
    reason = "the number of bytes read or written bounds the value"
)]

use super::auth::{self, Plugin};
use super::client::server_error;
use super::packet::PacketStream;
use super::server::Server;
use super::session;
use super::tls;
use super::trust::Trust;
use super::wire::{Cursor, put_string};
use crate::error::MysqlError;
use crate::options::{Options, SslMode};

const LONG_PASSWORD: u32 = 1;
const LONG_FLAG: u32 = 1 << 2;
const CONNECT_WITH_DB: u32 = 1 << 3;
const PROTOCOL_41: u32 = 1 << 9;
const SSL: u32 = 1 << 11;
const TRANSACTIONS: u32 = 1 << 13;
const SECURE_CONNECTION: u32 = 1 << 15;
const PLUGIN_AUTH: u32 = 1 << 19;
const CONNECT_ATTRS: u32 = 1 << 20;
const PLUGIN_AUTH_LENENC: u32 = 1 << 21;
const UTF8MB4_GENERAL_CI: u8 = 45;
/// What we say we can take: the protocol's own greatest packet, 1 GiB.
const MAX_PACKET: u32 = 1 << 30;

/// caching_sha2_password's extra messages.
const FAST_AUTH_OK: u8 = 3;
const FULL_AUTH: u8 = 4;
const REQUEST_PUBLIC_KEY: u8 = 2;

/// The server's first packet.
#[derive(Debug)]
pub(super) struct Greeting {
    pub(super) server: Server,
    id: u32,
    capabilities: u32,
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
        let nonce_length = usize::try_from(cursor.integer(1)?).unwrap_or_default();
        cursor.take(10)?;
        nonce.extend_from_slice(cursor.take(nonce_length.saturating_sub(8).max(13))?);
        nonce.truncate(20);
        let plugin = cursor.until_zero().unwrap_or(b"mysql_native_password").to_vec();
        if capabilities & PROTOCOL_41 == 0 || capabilities & PLUGIN_AUTH == 0 {
            return Err(MysqlError::Protocol {
                expected: "a server of MySQL 8.0 or MariaDB 10.5 or later",
            });
        }
        let server = Server::parse(&version, capabilities & LONG_PASSWORD != 0);
        Ok(Greeting {
            server,
            id,
            capabilities,
            nonce,
            plugin,
        })
    }
}

/// Takes a connected socket through the connection phase. Returns the (perhaps encrypted) stream, the server and our number there.
pub(super) async fn log_in(
    mut stream: PacketStream,
    options: &Options,
) -> Result<(PacketStream, Server, u32), MysqlError> {
    let range = stream.read().await?;
    let greeting = Greeting::parse(stream.bytes(range))?;
    let mut capabilities = LONG_FLAG
        | LONG_PASSWORD
        | PROTOCOL_41
        | TRANSACTIONS
        | SECURE_CONNECTION
        | PLUGIN_AUTH
        | ((CONNECT_ATTRS | PLUGIN_AUTH_LENENC) & greeting.capabilities);
    if session::is_login_schema(&options.schema) {
        capabilities |= CONNECT_WITH_DB;
    }
    if wants_tls(options, greeting.capabilities & SSL != 0)? {
        capabilities |= SSL;
        stream.write(&response_head(capabilities)).await?;
        let (socket, sequence) = stream.into_plain()?;
        let socket = tls::encrypt(socket, options).await?;
        stream = PacketStream::encrypted(socket, options.address(), options.read_timeout, sequence);
    }
    let trust = Trust::of(options, stream.is_encrypted())?;
    let plugin = first_plugin(&greeting.plugin, options, &trust);
    let answer = plugin.answer(&options.password, &greeting.nonce);
    stream
        .write(&response(capabilities, plugin, &answer, options))
        .await?;
    let mut login = Login {
        stream: &mut stream,
        options,
        trust,
        plugin,
        nonce: greeting.nonce,
    };
    login.finish().await?;
    stream.logged_in();
    Ok((stream, greeting.server, greeting.id))
}

/// The method that is tried first. An unknown one is no error yet: the server switches to the account's own. So it does when we name
/// another, and a digest of the password does not go to a server that will not get the password in the end.
fn first_plugin(offered: &[u8], options: &Options, trust: &Trust) -> Plugin {
    match Plugin::parse(offered).unwrap_or(Plugin::Native) {
        Plugin::CachingSha2 if *trust == Trust::None && !options.password.is_empty() => Plugin::Native,
        plugin => plugin,
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

fn response_head(capabilities: u32) -> Vec<u8> {
    let mut out = Vec::with_capacity(32);
    out.extend_from_slice(&capabilities.to_le_bytes());
    out.extend_from_slice(&MAX_PACKET.to_le_bytes());
    out.push(UTF8MB4_GENERAL_CI);
    out.extend_from_slice(&[0; 23]);
    out
}

fn response(capabilities: u32, plugin: Plugin, answer: &[u8], options: &Options) -> Vec<u8> {
    let mut out = response_head(capabilities);
    out.extend_from_slice(options.user.as_bytes());
    out.push(0);
    put_string(&mut out, answer); // at most 32 bytes, so the one-byte form fits both encodings
    if capabilities & CONNECT_WITH_DB != 0 {
        out.extend_from_slice(options.schema.as_bytes());
        out.push(0);
    }
    out.extend_from_slice(plugin.name().as_bytes());
    out.push(0);
    if capabilities & CONNECT_ATTRS != 0 {
        let mut attributes = Vec::new();
        for text in [
            "program_name",
            "spanferry",
            "_client_version",
            env!("CARGO_PKG_VERSION"),
        ] {
            put_string(&mut attributes, text.as_bytes());
        }
        put_string(&mut out, &attributes);
    }
    out
}

/// The rest of a login behind the first answer.
struct Login<'a> {
    stream: &'a mut PacketStream,
    options: &'a Options,
    trust: Trust,
    plugin: Plugin,
    nonce: Vec<u8>,
}

impl Login<'_> {
    /// Answers what the server asks until it says yes or no.
    async fn finish(&mut self) -> Result<(), MysqlError> {
        // Greeting's answer, one switch, one fast-auth result, one key: a server that asks more often is none.
        for _ in 0..6 {
            let range = self.stream.read().await?;
            let packet = self.stream.bytes(range).to_vec();
            match packet.split_first() {
                Some((0x00, _)) => return Ok(()),
                Some((0xff, _)) => return Err(server_error(&packet).at_login()),
                Some((0xfe, request)) => self.switch(request).await?,
                Some((0x01, [FAST_AUTH_OK])) => {}
                Some((0x01, [FULL_AUTH])) => self.prove_in_full().await?,
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
    async fn switch(&mut self, request: &[u8]) -> Result<(), MysqlError> {
        let mut cursor = Cursor::new(request);
        self.plugin = Plugin::parse(cursor.until_zero().unwrap_or(b"mysql_old_password"))?;
        let rest = cursor.rest();
        self.nonce = rest.strip_suffix(&[0]).unwrap_or(rest).to_vec();
        if self.plugin == Plugin::CachingSha2 && !self.options.password.is_empty() {
            // It may need the password now or at any later login: whether it does must not depend on what the server still knows.
            self.expect_trust()?;
        }
        let answer = self.plugin.answer(&self.options.password, &self.nonce);
        self.stream.write(&answer).await
    }

    fn expect_trust(&self) -> Result<(), MysqlError> {
        match self.trust {
            Trust::Certificate | Trust::Key(_) | Trust::Allowed => Ok(()),
            Trust::None => Err(MysqlError::Unverified {
                address: self.options.address(),
                encrypted: self.stream.is_encrypted(),
            }),
        }
    }

    /// Sends the password itself: under TLS as it is, otherwise under an RSA key.
    async fn prove_in_full(&mut self) -> Result<(), MysqlError> {
        if self.plugin != Plugin::CachingSha2 {
            return Err(MysqlError::Protocol {
                expected: "no demand for the password under a method that does not need it",
            });
        }
        self.expect_trust()?;
        let password = &self.options.password;
        if self.stream.is_encrypted() {
            return self.stream.write(&[password.as_bytes(), &[0]].concat()).await;
        }
        let pem = match &self.trust {
            Trust::Key(pem) => pem.clone(),
            Trust::Certificate | Trust::Allowed | Trust::None => self.ask_for_key().await?,
        };
        let sealed = auth::encrypt(password, &self.nonce, &pem)?;
        self.stream.write(&sealed).await
    }

    /// The server's own key, which proves nothing.
    async fn ask_for_key(&mut self) -> Result<Vec<u8>, MysqlError> {
        self.stream.write(&[REQUEST_PUBLIC_KEY]).await?;
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
}
