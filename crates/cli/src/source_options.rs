//! How a source is reached: its URL, of each kind of source, and its password.

use std::io;
use std::path::PathBuf;

use spanferry_core::report::failure::Failure;
use spanferry_mysql::{Options as MysqlOptions, read_password};

use crate::usage_failure::usage;

/// The schemes of the URLs of sources that can be read.
const SCHEMES: [&str; 2] = ["mysql", "mariadb"];
/// The form of a source's URL, for a person.
pub(crate) const URL_FORM: &str = "mysql://user@host:port/schema";

/// How a source is reached, for each kind of source. `Debug` hides the password.
#[derive(Debug, Clone)]
pub(crate) enum SourceOptions {
    /// MySQL or MariaDB.
    Mysql(MysqlOptions),
}

impl SourceOptions {
    /// What the URL of a source says.
    pub(crate) fn parse(url: &str) -> Result<SourceOptions, Failure> {
        expect_known_scheme(url)?;
        let options = MysqlOptions::parse(url).map_err(|cause| usage("--source", cause.to_string()))?;
        if options.schema.is_empty() {
            let text = format!("expected `{URL_FORM}`, the schema is missing");
            return Err(usage("--source", text));
        }
        Ok(SourceOptions::Mysql(options))
    }

    /// `host:port`, with brackets around an IPv6 address.
    pub(crate) fn address(&self) -> String {
        match self {
            SourceOptions::Mysql(options) => options.address(),
        }
    }

    /// The URL that gives these options again, without the password.
    pub(crate) fn url(&self) -> String {
        match self {
            SourceOptions::Mysql(options) => options.url(),
        }
    }

    /// The source for a person: host, port and schema, without account or password.
    pub(crate) fn named(&self) -> String {
        match self {
            SourceOptions::Mysql(options) => format!("{}/{}", options.address(), options.schema),
        }
    }

    /// Host name or address, without the brackets of IPv6.
    pub(crate) fn host(&self) -> &str {
        match self {
            SourceOptions::Mysql(options) => &options.host,
        }
    }

    /// TCP port.
    pub(crate) fn port(&self) -> u16 {
        match self {
            SourceOptions::Mysql(options) => options.port,
        }
    }

    /// Account name.
    pub(crate) fn user(&self) -> &str {
        match self {
            SourceOptions::Mysql(options) => &options.user,
        }
    }

    /// Whether a password is known.
    pub(crate) fn has_password(&self) -> bool {
        match self {
            SourceOptions::Mysql(options) => !options.password.is_empty(),
        }
    }

    /// Takes another password.
    pub(crate) fn set_password(&mut self, password: String) {
        match self {
            SourceOptions::Mysql(options) => options.password = password,
        }
    }

    /// Takes the password that a file holds. The file may be read again when the password is
    /// refused.
    pub(crate) fn set_password_file(&mut self, file: PathBuf) -> io::Result<()> {
        match self {
            SourceOptions::Mysql(options) => {
                options.password = read_password(&file)?;
                options.password_file = Some(file);
            }
        }
        Ok(())
    }

    /// The protocol that is spoken with the source, for a person.
    pub(crate) fn protocol(&self) -> &'static str {
        match self {
            SourceOptions::Mysql(_) => "MySQL protocol",
        }
    }

    /// Most sessions that a migration has at the source beside those of its snapshot; with `lock`
    /// the snapshot opens under a read lock.
    pub(crate) fn sessions_beside(&self, lock: bool) -> usize {
        match self {
            SourceOptions::Mysql(_) => spanferry_mysql::sessions_beside(lock),
        }
    }
}

/// Refuses a URL of another kind of database by its scheme. The message repeats the scheme alone:
/// the rest of the text, or a text without a scheme, can hold a password.
fn expect_known_scheme(url: &str) -> Result<(), Failure> {
    let Some((scheme, _)) = url.split_once("://").filter(|(scheme, _)| is_scheme(scheme)) else {
        // The parser of the URL says what form it expects.
        return Ok(());
    };
    if SCHEMES.contains(&scheme) {
        return Ok(());
    }
    let known = SCHEMES.map(|known| format!("`{known}://`")).join(" or ");
    let text = format!("a source of the kind `{scheme}://` cannot be read");
    Err(usage("--source", text).hint(format!("The URL of a source begins with {known}.")))
}

/// Whether a text has the form of a URL's scheme (RFC 3986, section 3.1).
fn is_scheme(text: &str) -> bool {
    let is_inner = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.');
    text.starts_with(|c: char| c.is_ascii_alphabetic()) && text.chars().all(is_inner)
}

#[cfg(test)]
mod tests {
    use spanferry_core::report::code;

    use super::*;

    #[test]
    fn a_source_of_another_kind_is_refused_by_its_scheme_alone() {
        for (url, scheme) in [
            ("postgres://u:s3cret@h/s", "postgres"),
            ("postgresql+ssl://s3cret", "postgresql+ssl"),
            ("MYSQL://u:s3cret@h/s", "MYSQL"),
        ] {
            let refused = SourceOptions::parse(url).unwrap_err();
            assert_eq!(refused.code, code::USAGE);
            assert!(refused.message.contains(&format!("`{scheme}://`")), "{refused}");
            let hint = refused.hint.as_deref().unwrap();
            assert!(hint.contains("`mysql://` or `mariadb://`"), "{hint}");
            assert!(!format!("{refused:?}").contains("s3cret"), "{refused:?}");
        }
    }

    #[test]
    fn what_is_no_scheme_is_not_repeated() {
        for text in [
            "s3cret",
            "u:s3cret://h/s",
            "u@s3cret://",
            "://s3cret",
            "4s3cret://h",
        ] {
            let refused = SourceOptions::parse(text).unwrap_err();
            assert!(!format!("{refused:?}").contains("s3cret"), "{refused:?}");
        }
        for scheme in SCHEMES {
            SourceOptions::parse(&format!("{scheme}://u@h/s")).unwrap();
        }
    }
}
