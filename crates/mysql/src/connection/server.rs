//! Which server answers: MySQL or MariaDB, and its version.

use std::fmt;

/// The family of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flavor {
    /// MySQL and what calls itself so (Percona, Aurora, Cloud SQL).
    Mysql,
    /// MariaDB.
    Mariadb,
}

/// A server's family and version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// Its family.
    pub flavor: Flavor,
    /// Major, minor and patch number.
    pub version: (u16, u16, u16),
    /// The version as the server writes it.
    pub text: String,
}

impl Server {
    /// Reads the greeting's version; `mysql_bit` is the capability bit 1, which MariaDB leaves out.
    /// MariaDB up to 10.x writes `5.5.5-` before its own version.
    pub fn parse(text: &str, mysql_bit: bool) -> Server {
        let mariadb = text.to_ascii_lowercase().contains("mariadb") || !mysql_bit;
        let own = if mariadb {
            text.strip_prefix("5.5.5-").unwrap_or(text)
        } else {
            text
        };
        let mut numbers = own
            .split(|letter: char| !letter.is_ascii_digit())
            .map(|digits| digits.parse().unwrap_or(0));
        let mut next = || numbers.next().unwrap_or(0);
        let version = (next(), next(), next());
        let flavor = if mariadb { Flavor::Mariadb } else { Flavor::Mysql };
        Server {
            flavor,
            version,
            text: own.to_owned(),
        }
    }

    /// Whether it is MariaDB.
    pub fn is_mariadb(&self) -> bool {
        self.flavor == Flavor::Mariadb
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.facts().name, self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions() {
        for (text, bit, expected) in [
            ("9.7.4-Debian", true, (Flavor::Mysql, (9, 7, 4))),
            ("8.0.40", true, (Flavor::Mysql, (8, 0, 40))),
            (
                "5.5.5-10.11.6-MariaDB-0+deb12u1-log",
                false,
                (Flavor::Mariadb, (10, 11, 6)),
            ),
            ("11.8.3-MariaDB", false, (Flavor::Mariadb, (11, 8, 3))),
        ] {
            let found = Server::parse(text, bit);
            assert_eq!((found.flavor, found.version), expected, "{text}");
        }
    }
}
