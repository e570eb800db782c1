//! The source URL and what it says about how to connect.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use crate::error::MysqlError;

/// How much of TLS is demanded: MySQL's own `ssl-mode` values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SslMode {
    /// Never encrypted.
    Disabled,
    /// Encrypted if the server offers it; the certificate is not looked at.
    Preferred,
    /// Encrypted; the certificate is not looked at.
    Required,
    /// Encrypted, and the certificate comes from a trusted authority; its name is not looked at.
    VerifyCa,
    /// Encrypted, from a trusted authority, and for this host.
    VerifyIdentity,
}

impl SslMode {
    fn parse(text: &str) -> Option<SslMode> {
        Some(match text.to_ascii_uppercase().as_str() {
            "DISABLED" => SslMode::Disabled,
            "PREFERRED" => SslMode::Preferred,
            "REQUIRED" => SslMode::Required,
            "VERIFY_CA" => SslMode::VerifyCa,
            "VERIFY_IDENTITY" => SslMode::VerifyIdentity,
            _ => return None,
        })
    }

    /// As `parse` takes it.
    fn word(self) -> &'static str {
        match self {
            SslMode::Disabled => "DISABLED",
            SslMode::Preferred => "PREFERRED",
            SslMode::Required => "REQUIRED",
            SslMode::VerifyCa => "VERIFY_CA",
            SslMode::VerifyIdentity => "VERIFY_IDENTITY",
        }
    }
}

/// How long a connection attempt may take, name look-up and login included.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);

/// How long a read may bring nothing before the server counts as gone. Boundary queries scan index entries without a
/// word, hence minutes.
pub const READ_TIMEOUT: Duration = Duration::from_secs(180);

/// Everything needed to open a connection. `Debug` hides the password.
#[derive(Clone, PartialEq, Eq)]
pub struct Options {
    /// Host name or address, without the brackets of IPv6.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Account name.
    pub user: String,
    /// Password, empty if none.
    pub password: String,
    /// The schema that is migrated, empty if the URL names none.
    pub schema: String,
    /// How much of TLS is demanded.
    pub ssl_mode: SslMode,
    /// PEM file of the trusted authorities; without it the system's are used.
    pub ssl_ca: Option<PathBuf>,
    /// PEM file of the client's certificate chain.
    pub ssl_cert: Option<PathBuf>,
    /// PEM file of the client's private key.
    pub ssl_key: Option<PathBuf>,
    /// Bound of a connection attempt.
    pub connect_timeout: Duration,
    /// Bound of silence while an answer is awaited.
    pub read_timeout: Duration,
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("host", &self.host)
            .field("port", &self.port)
            .field("user", &self.user)
            .field("password", if self.password.is_empty() { &"" } else { &"***" })
            .field("schema", &self.schema)
            .field("ssl_mode", &self.ssl_mode)
            .finish_non_exhaustive()
    }
}

impl Options {
    /// Parses `mysql://user[:password]@host[:port]/schema?ssl-mode=…&ssl-ca=…&ssl-cert=…&ssl-key=…`; `mariadb://` is the same.
    /// User, password and schema are percent-decoded. No error repeats any part of the URL that could hold a password.
    pub fn parse(url: &str) -> Result<Options, MysqlError> {
        let rest = url
            .strip_prefix("mysql://")
            .or_else(|| url.strip_prefix("mariadb://"))
            .ok_or_else(|| usage("expected a source URL of the form `mysql://user@host:3306/schema`"))?;
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (login, rest) = match rest.rfind('@') {
            Some(at) => (&rest[..at], &rest[at + 1..]),
            None => return Err(usage("expected a user name before `@` in the source URL")),
        };
        let (authority, schema) = rest.split_once('/').unwrap_or((rest, ""));
        let (user, password) = login.split_once(':').unwrap_or((login, ""));
        let (host, port) = split_host(authority)?;
        let mut options = Options {
            ssl_mode: if is_loopback(&host) {
                SslMode::Preferred
            } else {
                SslMode::VerifyIdentity
            },
            host,
            port,
            user: decode(user, "user name")?,
            password: decode(password, "password")?,
            schema: decode(schema, "schema")?,
            ssl_ca: None,
            ssl_cert: None,
            ssl_key: None,
            connect_timeout: CONNECT_TIMEOUT,
            read_timeout: READ_TIMEOUT,
        };
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            options.set(pair)?;
        }
        if options.ssl_cert.is_some() != options.ssl_key.is_some() {
            return Err(usage(
                "expected `ssl-cert` and `ssl-key` together in the source URL",
            ));
        }
        Ok(options)
    }

    /// The same options with a password given apart from the URL.
    #[must_use]
    pub fn password(mut self, password: impl Into<String>) -> Options {
        self.password = password.into();
        self
    }

    /// `host:port`, with brackets around an IPv6 address.
    pub fn address(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }

    /// The URL that gives these options again, without the password.
    pub fn url(&self) -> String {
        let mode = self.ssl_mode.word();
        let mut url = format!(
            "mysql://{}@{}/{}?ssl-mode={mode}",
            encode(&self.user),
            self.address(),
            encode(&self.schema)
        );
        let files = [
            ("ssl-ca", &self.ssl_ca),
            ("ssl-cert", &self.ssl_cert),
            ("ssl-key", &self.ssl_key),
        ];
        for (name, file) in files {
            if let Some(file) = file {
                url += &format!("&{name}={}", encode(&file.to_string_lossy()));
            }
        }
        url
    }

    fn set(&mut self, pair: &str) -> Result<(), MysqlError> {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let value = decode(value, "parameter")?;
        match name {
            "ssl-mode" => {
                self.ssl_mode = SslMode::parse(&value).ok_or_else(|| {
                    usage("expected `ssl-mode` to be DISABLED, PREFERRED, REQUIRED, VERIFY_CA or VERIFY_IDENTITY")
                })?;
            }
            "ssl-ca" => self.ssl_ca = Some(value.into()),
            "ssl-cert" => self.ssl_cert = Some(value.into()),
            "ssl-key" => self.ssl_key = Some(value.into()),
            _ => {
                return Err(usage(
                    "expected only `ssl-mode`, `ssl-ca`, `ssl-cert` and `ssl-key` as parameters of the source URL",
                ));
            }
        }
        Ok(())
    }
}

fn usage(text: &str) -> MysqlError {
    MysqlError::Usage(text.to_owned())
}

fn split_host(authority: &str) -> Result<(String, u16), MysqlError> {
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (host, rest) = rest
                .split_once(']')
                .ok_or_else(|| usage("expected `]` after the IPv6 address in the source URL"))?;
            (host, rest.strip_prefix(':'))
        }
        None => authority
            .split_once(':')
            .map_or((authority, None), |(host, port)| (host, Some(port))),
    };
    if host.is_empty() {
        return Err(usage("expected a host name after `@` in the source URL"));
    }
    let port = port
        .map_or(Ok(3306), str::parse)
        .map_err(|_| usage("expected a port number from 1 to 65535 in the source URL"))?;
    Ok((host.to_owned(), port))
}

fn decode(text: &str, part: &str) -> Result<String, MysqlError> {
    let wrong = || {
        usage(&format!(
            "expected percent-encoded UTF-8 in the {part} of the source URL (`%` itself is `%25`)"
        ))
    };
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        rest = tail;
        if first != b'%' {
            bytes.push(first);
            continue;
        }
        let (digits, tail) = rest.split_at_checked(2).ok_or_else(wrong)?;
        let digits = std::str::from_utf8(digits).map_err(|_| wrong())?;
        bytes.push(u8::from_str_radix(digits, 16).map_err(|_| wrong())?);
        rest = tail;
    }
    String::from_utf8(bytes).map_err(|_| wrong())
}

/// Percent-encodes everything that could mean something in a URL.
fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded += &format!("%{byte:02X}");
        }
    }
    encoded
}

/// Whether a host is this machine by its spelling alone.
fn is_loopback(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost")
        || host
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(url: &str, expected: (&str, u16, &str, &str, &str, SslMode)) {
        let found = Options::parse(url).unwrap();
        let found = (
            found.host.as_str(),
            found.port,
            found.user.as_str(),
            found.password.as_str(),
            found.schema.as_str(),
            found.ssl_mode,
        );
        assert_eq!(found, expected, "{url}");
    }

    #[test]
    fn urls() {
        check(
            "mysql://u@db.example/shop",
            ("db.example", 3306, "u", "", "shop", SslMode::VerifyIdentity),
        );
        check(
            "mysql://u:p@127.0.0.1:3307/s",
            ("127.0.0.1", 3307, "u", "p", "s", SslMode::Preferred),
        );
        check(
            "mysql://u:a%40b%2Fc%25@[::1]:1/s%20x",
            ("::1", 1, "u", "a@b/c%", "s x", SslMode::Preferred),
        );
        check(
            "mariadb://u:p@@h/s?ssl-mode=verify_ca&ssl-ca=/a%20b",
            ("h", 3306, "u", "p@", "s", SslMode::VerifyCa),
        );
    }

    #[test]
    fn a_url_gives_the_options_again_but_for_the_password() {
        for url in [
            "mysql://u:s3cret@db.example/shop",
            "mysql://a%40b%3A:s3cret@[::1]:1/s%20x%3F?ssl-mode=required",
            "mariadb://u:s3cret@h/s?ssl-ca=/a%20b&ssl-cert=/c%26&ssl-key=/k%25",
        ] {
            let options = Options::parse(url).unwrap();
            let again = options.url();
            assert!(!again.contains("s3cret"), "{again}");
            assert_eq!(
                Options::parse(&again).unwrap().password("s3cret"),
                options,
                "{again}"
            );
        }
    }

    #[test]
    fn refused_urls_never_repeat_the_password() {
        for url in [
            "postgres://u:s3cret@h/s",
            "mysql://s3cret",
            "mysql://u:s3cret%zz@h/s",
            "mysql://u:s3cret@h:x/s",
            "mysql://u:s3cret@h/s?ssl-mode=s3cret",
            "mysql://u:s3cret@h/s?x=s3cret",
            "mysql://u:s3cret@/s",
            "mysql://u:s3cret@[::1/s",
            "mysql://u:s3cret@h/s?ssl-cert=a",
        ] {
            let error = Options::parse(url).expect_err(url);
            assert!(!format!("{error:?}").contains("s3cret"), "{error:?}");
        }
        let options = Options::parse("mysql://u:s3cret@h/s").unwrap();
        assert!(!format!("{options:?}").contains("s3cret"));
    }
}
