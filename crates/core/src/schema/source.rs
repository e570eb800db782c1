//! The source's schema as read from its catalog, in terms that every MySQL-family server shares.

use std::borrow::Cow;
use std::fmt;

use crate::schema::charset::Charset;

/// Schema and table name of the source, as the server writes them.
///
/// Its text is `schema.table`. A `.` or `%` that belongs to a name is written `%2E` or `%25`, so two names never have the same
/// text. Control tables use that text as the table's key.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct QualifiedName {
    /// Schema (MySQL: database).
    pub schema: String,
    /// Table.
    pub table: String,
}

impl QualifiedName {
    /// A name from its two parts.
    pub fn new(schema: impl Into<String>, table: impl Into<String>) -> QualifiedName {
        QualifiedName {
            schema: schema.into(),
            table: table.into(),
        }
    }

    /// Reads the text that `Display` writes; `None` for any other text.
    pub fn parse(text: &str) -> Option<QualifiedName> {
        let (schema, table) = text.split_once('.')?;
        let name = QualifiedName::new(unescaped(schema)?, unescaped(table)?);
        (name.to_string() == text).then_some(name)
    }
}

impl fmt::Display for QualifiedName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", escaped(&self.schema), escaped(&self.table))
    }
}

fn escaped(name: &str) -> String {
    name.replace('%', "%25").replace('.', "%2E")
}

fn unescaped(text: &str) -> Option<String> {
    let is_escaped = text
        .split('%')
        .skip(1)
        .all(|rest| rest.starts_with("25") || rest.starts_with("2E"));
    is_escaped.then(|| text.replace("%2E", ".").replace("%25", "%"))
}

/// How a source compares names of schemas and tables: the one rule for every comparison with a name that was not taken from its
/// catalog, such as one that a person typed or a statement holds.
///
/// `lower_case_table_names` of MySQL-family servers. Names of columns, indexes and constraints are compared without regard to letter
/// case on all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum NameCase {
    /// As written: `Orders` and `orders` are two tables.
    #[default]
    Sensitive,
    /// Letter case does not count; the catalog spells names in lower case.
    Insensitive,
}

impl NameCase {
    /// Whether both are names of the same schema or table.
    pub fn same(self, left: &str, right: &str) -> bool {
        left == right || self.normalise(left) == self.normalise(right)
    }

    /// The name as the source's catalog spells it.
    pub fn normalise(self, name: &str) -> Cow<'_, str> {
        match self {
            NameCase::Sensitive => Cow::Borrowed(name),
            NameCase::Insensitive => Cow::Owned(name.chars().map(lower_case).collect()),
        }
    }
}

/// One character for one, as the servers do it: they have no letter whose lower case depends on its place.
fn lower_case(character: char) -> char {
    let mut lower = character.to_lowercase();
    match (lower.next(), lower.next()) {
        (Some(one), None) => one,
        // A capital I with a dot, which alone of all becomes two characters.
        (first, _) => first.unwrap_or(character),
    }
}

/// Everything read from the source's catalog in one go.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Catalog {
    /// The migrated schema, as the server spells it.
    pub schema: String,
    /// How the server compares names.
    pub names: NameCase,
    /// Base tables of the migrated schema, by name.
    pub tables: Vec<SourceTable>,
    /// Objects that are listed as findings but not carried: views, routines, events, sequences, with their kind.
    pub other_objects: Vec<OtherObject>,
}

/// A schema object that is not a base table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OtherObject {
    /// `view`, `routine`, `event`, `sequence`, …
    pub kind: String,
    /// Its name.
    pub name: String,
}

/// One base table of the source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceTable {
    /// Schema and name, as the server spells them.
    pub name: QualifiedName,
    /// How the server compares names.
    pub names: NameCase,
    /// Storage engine, as the server names it.
    pub engine: String,
    /// MariaDB `WITH SYSTEM VERSIONING`.
    pub system_versioned: bool,
    /// Columns in their order at the source; every column the binlog carries, generated ones included.
    pub columns: Vec<SourceColumn>,
    /// Indexes into `columns`, in key order; empty if there is no primary key.
    pub primary_key: Vec<usize>,
    /// Secondary indexes, by name.
    pub indexes: Vec<SourceIndex>,
    /// Foreign keys declared on this table, by name.
    pub foreign_keys: Vec<SourceForeignKey>,
    /// CHECK constraints: name and text.
    pub checks: Vec<(String, String)>,
    /// Triggers: name and timing, such as `AFTER INSERT`.
    pub triggers: Vec<(String, String)>,
    /// The server's own estimate.
    pub rows_estimate: u64,
    /// The server's own estimate of the data's bytes, indexes not counted.
    pub bytes_estimate: u64,
}

/// One column of the source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceColumn {
    /// Name as the server writes it.
    pub name: String,
    /// Type with everything that decides its values.
    pub ty: SourceType,
    /// Whether NULL is allowed.
    pub nullable: bool,
    /// Default expression's text, if any.
    pub default: Option<String>,
    /// `ON UPDATE CURRENT_TIMESTAMP`.
    pub on_update: bool,
    /// Generation expression's text, if generated.
    pub generated: Option<String>,
    /// Whether a generated column is stored (virtual columns are in the binlog too, unless the server leaves them out).
    pub generated_stored: bool,
    /// AUTO_INCREMENT.
    pub auto_increment: bool,
    /// MariaDB: a date and time in the storage format of before MySQL 5.6, whose width the binary log does not show.
    pub is_old_temporal: bool,
}

/// The type of a source column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SourceType {
    /// TINYINT to BIGINT.
    Integer {
        /// 8, 16, 24, 32 or 64.
        bits: u8,
        /// UNSIGNED or ZEROFILL.
        unsigned: bool,
    },
    /// DECIMAL(precision, scale).
    Decimal {
        /// Digits in all, up to 65.
        precision: u8,
        /// Digits behind the point, up to 38.
        scale: u8,
    },
    /// FLOAT (4 bytes).
    Float,
    /// DOUBLE.
    Double,
    /// BIT(n).
    Bit {
        /// 1 to 64.
        bits: u8,
    },
    /// CHAR(n), VARCHAR(n).
    Varchar {
        /// Declared length in characters.
        characters: u32,
        /// How its bytes are to be read.
        charset: Charset,
        /// Collation's name: it decides equality and order at the source.
        collation: String,
    },
    /// TINYTEXT to LONGTEXT.
    Text {
        /// How its bytes are to be read.
        charset: Charset,
        /// Collation's name.
        collation: String,
    },
    /// BINARY(n): fixed width; the binlog strips trailing zero bytes, which must be put back.
    Binary {
        /// Declared width in bytes.
        bytes: u32,
    },
    /// VARBINARY(n).
    Varbinary {
        /// Declared maximum in bytes.
        bytes: u32,
    },
    /// TINYBLOB to LONGBLOB.
    Blob {
        /// 255, 65,535, 16,777,215 or 4,294,967,295.
        bytes_max: u32,
    },
    /// ENUM with its labels in order (index 1 first).
    Enum {
        /// Labels, decoded to UTF-8.
        labels: Vec<String>,
        /// The column's charset, in which the snapshot's bytes arrive.
        charset: Charset,
    },
    /// SET with its labels in order (bit 0 first).
    Set {
        /// Labels, decoded to UTF-8.
        labels: Vec<String>,
        /// The column's charset, in which the snapshot's bytes arrive.
        charset: Charset,
    },
    /// MySQL's binary JSON.
    Json,
    /// MariaDB's JSON: LONGTEXT with a `json_valid` check; the text is the value.
    JsonText {
        /// How its bytes are to be read: utf8mb4 as the server declares JSON, any other after `CONVERT TO CHARACTER SET`.
        charset: Charset,
    },
    /// DATE.
    Date,
    /// DATETIME(f).
    DateTime {
        /// Fraction digits, 0 to 6.
        fraction: u8,
    },
    /// TIMESTAMP(f).
    Timestamp {
        /// Fraction digits, 0 to 6.
        fraction: u8,
    },
    /// TIME(f).
    Time {
        /// Fraction digits, 0 to 6.
        fraction: u8,
    },
    /// YEAR.
    Year,
    /// Any spatial type: 4 bytes of SRID, then WKB.
    Geometry,
    /// MySQL's or MariaDB's VECTOR(n): little-endian 4-byte floats.
    Vector {
        /// Number of elements.
        dimensions: u32,
    },
    /// MariaDB UUID.
    Uuid,
    /// MariaDB INET4.
    Inet4,
    /// MariaDB INET6.
    Inet6,
    /// Anything else, with the text the server gives: refused by name.
    Unknown {
        /// `COLUMN_TYPE` of the catalog.
        text: String,
    },
}

/// One secondary index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceIndex {
    /// Name, unique within its table only.
    pub name: String,
    /// UNIQUE.
    pub unique: bool,
    /// `BTREE`, `FULLTEXT`, `SPATIAL`, …
    pub kind: String,
    /// Its parts in order.
    pub parts: Vec<IndexPart>,
}

/// One part of an index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IndexPart {
    /// A column, perhaps only its first bytes or characters.
    Column {
        /// Index into the table's columns.
        column: usize,
        /// DESC.
        descending: bool,
        /// Length of the prefix, if it is one.
        prefix: Option<u32>,
    },
    /// An expression (functional index), with its text.
    Expression {
        /// The expression as the server writes it.
        text: String,
    },
}

/// What a foreign key does to children.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ForeignKeyAction {
    /// RESTRICT or NO ACTION.
    NoAction,
    /// CASCADE.
    Cascade,
    /// SET NULL.
    SetNull,
    /// SET DEFAULT.
    SetDefault,
}

impl ForeignKeyAction {
    /// The words of SQL.
    pub fn words(self) -> &'static str {
        match self {
            ForeignKeyAction::NoAction => "NO ACTION",
            ForeignKeyAction::Cascade => "CASCADE",
            ForeignKeyAction::SetNull => "SET NULL",
            ForeignKeyAction::SetDefault => "SET DEFAULT",
        }
    }
}

/// One foreign key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceForeignKey {
    /// Constraint name.
    pub name: String,
    /// Indexes into the child's columns.
    pub columns: Vec<usize>,
    /// The referenced table.
    pub parent: QualifiedName,
    /// Names of the referenced columns, in the same order.
    pub parent_columns: Vec<String>,
    /// ON DELETE.
    pub on_delete: ForeignKeyAction,
    /// ON UPDATE.
    pub on_update: ForeignKeyAction,
}

impl SourceTable {
    /// The index of a column by its name; MySQL's column names are case-insensitive.
    pub fn column_index(&self, name: &str) -> Option<usize> {
        self.columns
            .iter()
            .position(|column| column.name.eq_ignore_ascii_case(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn letter_case_counts_as_the_server_counts_it() {
        let check = |left: &str, right: &str, insensitive: bool| {
            assert!(!NameCase::Sensitive.same(left, right), "{left} {right}");
            assert_eq!(
                NameCase::Insensitive.same(left, right),
                insensitive,
                "{left} {right}"
            );
        };
        check("Shop2", "shop2", true);
        check("ÄÖÜ", "äöü", true);
        check("ΣΑΣ", "σας", false);
        check("ΣΑΣ", "σασ", true);
        check("İ", "i", true);
        check("straße", "STRASSE", false);
        check("a", "b", false);
        assert!(NameCase::Sensitive.same("A", "A"));
        assert_eq!(NameCase::Sensitive.normalise("Shop2"), "Shop2");
        assert_eq!(NameCase::Insensitive.normalise("Shop2"), "shop2");
    }

    #[test]
    fn names_have_one_text() {
        let check = |schema: &str, table: &str, text: &str| {
            let name = QualifiedName::new(schema, table);
            assert_eq!(name.to_string(), text);
            assert_eq!(QualifiedName::parse(text), Some(name));
        };
        check("shop", "orders", "shop.orders");
        check("a.b", "c", "a%2Eb.c");
        check("a", "b.c", "a.b%2Ec");
        check("50%", "%2E", "50%25.%252E");
        for text in ["", "orders", "a.b.c", "a%.b", "a%2e.b", "a%20.b"] {
            assert_eq!(QualifiedName::parse(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn every_name_parses_back(schema in "[a%.2E5é]{0,6}", table in "[a%.2E5é]{0,6}") {
            let name = QualifiedName::new(schema, table);
            prop_assert_eq!(QualifiedName::parse(&name.to_string()), Some(name));
        }
    }
}
