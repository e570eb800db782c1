//! Where a definition stands: what it leaves out is filled in from there.

use spanferry_core::schema::source::NameCase;
use spanferry_core::schema::source_default::Clock;

/// The character set and collation that a database gives its tables.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Defaults {
    /// DEFAULT CHARACTER SET.
    pub charset: Option<String>,
    /// COLLATE.
    pub collation: Option<String>,
}

/// Where a definition stands.
#[derive(Debug, Clone, Copy)]
pub struct Surroundings<'a> {
    /// MariaDB; else MySQL.
    pub mariadb: bool,
    /// The schema of tables that name none.
    pub schema: &'a str,
    /// How the server compares names.
    pub names: NameCase,
    /// The clock of a session that chooses no time zone; a dump does not show it.
    pub clock: Clock,
    /// What the database gives its tables.
    pub defaults: &'a Defaults,
}
