//! The parameters of a source URL. Each one that is given is used, or refused with the reason.

use std::path::PathBuf;

use super::ssl_mode::SslMode;
use super::url::decode;
use crate::error::MysqlError;

/// What stands behind the `?`, as it was given.
#[derive(Debug, Default)]
pub(super) struct Parameters {
    ssl_mode: Option<SslMode>,
    pub(super) ssl_ca: Option<PathBuf>,
    pub(super) ssl_cert: Option<PathBuf>,
    pub(super) ssl_key: Option<PathBuf>,
    pub(super) server_public_key: Option<PathBuf>,
    get_server_public_key: Option<bool>,
    enable_cleartext_plugin: Option<bool>,
}

impl Parameters {
    /// Parses `name=value&name=value`.
    pub(super) fn parse(query: &str) -> Result<Parameters, MysqlError> {
        let mut parameters = Parameters::default();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            parameters.set(pair)?;
        }
        Ok(parameters)
    }

    fn set(&mut self, pair: &str) -> Result<(), MysqlError> {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let value = decode(value, "parameter")?;
        let path = |value: String| Some(PathBuf::from(value));
        let is_again = match name {
            "ssl-mode" => {
                let mode = SslMode::parse(&value).ok_or_else(|| {
                    MysqlError::usage("expected `ssl-mode` to be DISABLED, PREFERRED, REQUIRED, VERIFY_CA or VERIFY_IDENTITY")
                })?;
                self.ssl_mode.replace(mode).is_some()
            }
            "ssl-ca" => std::mem::replace(&mut self.ssl_ca, path(value)).is_some(),
            "ssl-cert" => std::mem::replace(&mut self.ssl_cert, path(value)).is_some(),
            "ssl-key" => std::mem::replace(&mut self.ssl_key, path(value)).is_some(),
            "server-public-key-path" | "server-public-key" => {
                std::mem::replace(&mut self.server_public_key, path(value)).is_some()
            }
            "get-server-public-key" => self
                .get_server_public_key
                .replace(boolean(name, &value)?)
                .is_some(),
            "enable-cleartext-plugin" => self
                .enable_cleartext_plugin
                .replace(boolean(name, &value)?)
                .is_some(),
            _ => {
                return Err(MysqlError::usage(
                    "expected only `ssl-mode`, `ssl-ca`, `ssl-cert`, `ssl-key`, `server-public-key-path`, \
                     `get-server-public-key` and `enable-cleartext-plugin` as parameters of the source URL",
                ));
            }
        };
        if is_again {
            return Err(MysqlError::usage(
                "expected each parameter of the source URL once",
            ));
        }
        Ok(())
    }

    /// How much of TLS is demanded: what was asked for, else what the other parameters need, else
    /// the default for the host.
    pub(super) fn mode(&self, loopback: bool) -> SslMode {
        match self.ssl_mode {
            Some(mode) => mode,
            None if !loopback => SslMode::VerifyIdentity,
            // As MySQL's own clients do: behind a tunnel the certificate names another host.
            None if self.ssl_ca.is_some() => SslMode::VerifyCa,
            None if self.ssl_cert.is_some() => SslMode::Required,
            None => SslMode::Preferred,
        }
    }

    /// Whether the password may go to a server that has not proved which one it is.
    pub(super) fn is_password_free(&self) -> bool {
        self.get_server_public_key == Some(true)
    }

    /// Whether the password may go, over verified TLS, to a server that hands it on in clear.
    pub(super) fn is_cleartext_enabled(&self) -> bool {
        self.enable_cleartext_plugin == Some(true)
    }

    /// Whether each parameter has its use under the mode.
    pub(super) fn check(&self, mode: SslMode) -> Result<(), MysqlError> {
        let refuse = |text: &str| Err(MysqlError::usage(text));
        if self.ssl_cert.is_some() != self.ssl_key.is_some() {
            return refuse("expected `ssl-cert` and `ssl-key` together in the source URL");
        }
        if self.ssl_ca.is_some() && !mode.is_verified() {
            return refuse(
                "expected `ssl-mode=VERIFY_CA` or `ssl-mode=VERIFY_IDENTITY` beside `ssl-ca`: the other modes do not look at the \
                 certificate",
            );
        }
        if self.ssl_cert.is_some() && matches!(mode, SslMode::Disabled | SslMode::Preferred) {
            return refuse(
                "expected `ssl-mode=REQUIRED`, `VERIFY_CA` or `VERIFY_IDENTITY` beside `ssl-cert`: the other modes do without TLS",
            );
        }
        if self.server_public_key.is_some() && mode != SslMode::Disabled {
            return refuse(
                "expected `ssl-mode=DISABLED` beside `server-public-key-path`: under TLS no server takes the password under its key",
            );
        }
        if self.is_password_free() && (mode.is_verified() || self.server_public_key.is_some()) {
            return refuse(
                "expected no `get-server-public-key` beside a verified certificate or `server-public-key-path`: it lets the password \
                 go to a server that is not verified",
            );
        }
        if self.is_cleartext_enabled() && !mode.is_verified() {
            return refuse(
                "expected `ssl-mode=VERIFY_CA` or `ssl-mode=VERIFY_IDENTITY` beside `enable-cleartext-plugin`: the password in clear \
                 goes only to a server whose certificate is verified",
            );
        }
        Ok(())
    }
}

/// A switch as MySQL's clients take it; the bare name switches it on.
fn boolean(name: &str, text: &str) -> Result<bool, MysqlError> {
    match text.to_ascii_lowercase().as_str() {
        "" | "true" | "on" | "1" => Ok(true),
        "false" | "off" | "0" => Ok(false),
        _ => Err(MysqlError::usage(&format!(
            "expected `{name}` to be `true` or `false`"
        ))),
    }
}
