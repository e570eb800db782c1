//! The source URL and what it says about how to connect.

mod parameters;
mod ssl_mode;
mod url;

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use parameters::Parameters;
pub use ssl_mode::SslMode;
use url::{decode, encode, is_loopback, split_host};

use crate::error::MysqlError;

/// How long a connection attempt may take, name look-up and login included.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);

/// How long a read may bring nothing before the server counts as gone. Boundary queries scan index
/// entries without a word, hence minutes.
pub(crate) const READ_TIMEOUT: Duration = Duration::from_secs(180);

/// How long a session of ours may be idle at the server. Then the server ends it, with its
/// snapshot: the client has vanished. Sessions that wait for work send a ping `PINGS` times within
/// it.
pub const IDLE_MAX: Duration = Duration::from_secs(600);

/// Pings of an idle session within `idle_max`.
pub(crate) const PINGS: u32 = 10;

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
    /// The file that the password was read from, if it may be read again when the password is
    /// refused.
    pub password_file: Option<PathBuf>,
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
    /// PEM file of the server's RSA key, under which the password goes to it where there is no TLS.
    pub server_public_key: Option<PathBuf>,
    /// Whether the password may go to a server that has not proved which one it is.
    pub get_server_public_key: bool,
    /// Whether the password may go, over verified TLS, to a server that hands it on in clear
    /// (`mysql_clear_password`).
    pub enable_cleartext_plugin: bool,
    /// Bound of a connection attempt.
    pub connect_timeout: Duration,
    /// Bound of silence while an answer is awaited.
    pub read_timeout: Duration,
    /// How long a session may be idle at the server, in whole seconds; `IDLE_MAX` but in tests.
    pub idle_max: Duration,
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
    /// Parses `mysql://user[:password]@host[:port]/schema?ssl-mode=…&ssl-ca=…` and so on;
    /// `mariadb://` is the same. User, password and schema are percent-decoded. No error repeats
    /// any part of the URL that could hold a password.
    pub fn parse(url: &str) -> Result<Options, MysqlError> {
        let rest = url
            .strip_prefix("mysql://")
            .or_else(|| url.strip_prefix("mariadb://"))
            .ok_or_else(|| {
                MysqlError::usage("expected a source URL of the form `mysql://user@host:3306/schema`")
            })?;
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (login, rest) = match rest.rfind('@') {
            Some(at) => (&rest[..at], &rest[at + 1..]),
            None => {
                return Err(MysqlError::usage(
                    "expected a user name before `@` in the source URL",
                ));
            }
        };
        let (authority, schema) = rest.split_once('/').unwrap_or((rest, ""));
        let (user, password) = login.split_once(':').unwrap_or((login, ""));
        let (host, port) = split_host(authority)?;
        let parameters = Parameters::parse(query)?;
        let ssl_mode = parameters.mode(is_loopback(&host));
        parameters.check(ssl_mode)?;
        Ok(Options {
            host,
            port,
            user: decode(user, "user name")?,
            password: decode(password, "password")?,
            password_file: None,
            schema: decode(schema, "schema")?,
            ssl_mode,
            get_server_public_key: parameters.is_password_free(),
            enable_cleartext_plugin: parameters.is_cleartext_enabled(),
            ssl_ca: parameters.ssl_ca,
            ssl_cert: parameters.ssl_cert,
            ssl_key: parameters.ssl_key,
            server_public_key: parameters.server_public_key,
            connect_timeout: CONNECT_TIMEOUT,
            read_timeout: READ_TIMEOUT,
            idle_max: IDLE_MAX,
        })
    }

    /// The same options with a password given apart from the URL.
    #[must_use]
    pub fn password(mut self, password: impl Into<String>) -> Options {
        self.password = password.into();
        self
    }

    /// Time between two pings of an idle session.
    pub(crate) fn ping_interval(&self) -> Duration {
        self.idle_max / PINGS
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
            ("server-public-key-path", &self.server_public_key),
        ];
        for (name, file) in files {
            if let Some(file) = file {
                url += &format!("&{name}={}", encode(&file.to_string_lossy()));
            }
        }
        if self.get_server_public_key {
            url += "&get-server-public-key=true";
        }
        if self.enable_cleartext_plugin {
            url += "&enable-cleartext-plugin=true";
        }
        url
    }
}

/// The password that a file holds: its content without the ends of lines behind it.
pub fn read_password(file: &Path) -> std::io::Result<String> {
    let text = std::fs::read_to_string(file)?;
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
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
            "mysql://u:s3cret@localhost/s?ssl-ca=/a",
            "mysql://u:s3cret@h/s?ssl-mode=disabled&server-public-key-path=/k",
            "mysql://u:s3cret@h/s?ssl-mode=required&get-server-public-key=true",
            "mysql://u:s3cret@h/s?enable-cleartext-plugin=true",
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
            "mysql://u:s3cret@h/s?get-server-public-key=s3cret",
            "mysql://u:s3cret@h/s?ssl-ca=s3cret&ssl-ca=a",
        ] {
            let error = Options::parse(url).expect_err(url);
            assert!(!format!("{error:?}").contains("s3cret"), "{error:?}");
        }
        let options = Options::parse("mysql://u:s3cret@h/s").unwrap();
        assert!(!format!("{options:?}").contains("s3cret"));
    }

    #[test]
    fn every_parameter_is_used_or_refused() {
        let check = |host: &str, query: &str, expected: Option<SslMode>| {
            let found = Options::parse(&format!("mysql://u@{host}/s?{query}"));
            assert_eq!(
                found.map(|options| options.ssl_mode).ok(),
                expected,
                "{host} {query}"
            );
        };
        check("localhost", "", Some(SslMode::Preferred));
        check("localhost", "ssl-ca=/a", Some(SslMode::VerifyCa));
        check("localhost", "ssl-cert=/c&ssl-key=/k", Some(SslMode::Required));
        check("h", "ssl-ca=/a", Some(SslMode::VerifyIdentity));
        check("h", "ssl-mode=verify_ca&ssl-ca=/a", Some(SslMode::VerifyCa));
        for mode in ["disabled", "preferred", "required"] {
            check("h", &format!("ssl-mode={mode}&ssl-ca=/a"), None);
        }
        check("h", "ssl-mode=disabled&ssl-cert=/c&ssl-key=/k", None);
        check("h", "ssl-mode=preferred&ssl-cert=/c&ssl-key=/k", None);
        check(
            "h",
            "ssl-mode=disabled&server-public-key=/k",
            Some(SslMode::Disabled),
        );
        for mode in ["preferred", "required", "verify_ca", "verify_identity"] {
            check("h", &format!("ssl-mode={mode}&server-public-key-path=/k"), None);
        }
        check("localhost", "server-public-key-path=/k", None);
        check("localhost", "get-server-public-key", Some(SslMode::Preferred));
        check(
            "h",
            "ssl-mode=disabled&get-server-public-key=0",
            Some(SslMode::Disabled),
        );
        check("h", "get-server-public-key=1", None);
        check(
            "h",
            "ssl-mode=disabled&get-server-public-key=1&server-public-key=/k",
            None,
        );
        for (mode, expected) in [
            ("verify_ca", Some(SslMode::VerifyCa)),
            ("verify_identity", Some(SslMode::VerifyIdentity)),
            ("required", None),
            ("preferred", None),
            ("disabled", None),
        ] {
            let query = format!("ssl-mode={mode}&enable-cleartext-plugin=on");
            check("h", &query, expected);
        }
        check("localhost", "enable-cleartext-plugin", None);
        check("localhost", "enable-cleartext-plugin=0", Some(SslMode::Preferred));
        check("h", "enable-cleartext-plugin=yes", None);
        check("h", "ssl-mode=disabled&ssl-mode=required", None);
        check("h", "x=1", None);
    }
}
