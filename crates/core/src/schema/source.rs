//! The source's schema as read from its catalog: what every source has, and one variant for each
//! family of sources.

use std::borrow::Cow;
use std::fmt;

use super::logical::{self, LogicalType};
use super::mysql::{MysqlColumn, MysqlTable, MysqlType};
use super::postgres::{PostgresColumn, PostgresTable, PostgresType};
use super::source_default::SourceDefault;

/// Schema and table name of the source, as the server writes them.
///
/// Its text is `schema.table`. A `.` or `%` that belongs to a name is written `%2E` or `%25`, so
/// two names never have the same text. Control tables use that text as the table's key.
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

/// How a source compares names of schemas and tables: the one rule for every comparison with a name
/// that was not taken from its catalog, such as one that a person typed or a statement holds.
///
/// `lower_case_table_names` of MySQL-family servers. How names of columns are compared is a matter
/// of the family: [`TableFacts::part_names`].
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

/// One character for one, as the servers do it: they have no letter whose lower case depends on its
/// place.
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
    /// Objects that are listed as findings but not carried: views, routines, events, sequences,
    /// with their kind.
    pub other_objects: Vec<OtherObject>,
    /// What the server does to rows of these tables by foreign keys.
    pub cascades: SourceCascades,
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
    /// What only its family has.
    pub facts: TableFacts,
    /// Columns in their order at the source; every column the binlog carries, generated ones
    /// included.
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
    /// Its default; none if it is NULL, or missing.
    pub default: Option<SourceDefault>,
    /// Generation expression's text, if generated.
    pub generated: Option<String>,
    /// Whether a generated column is stored (virtual columns are in the binlog too, unless the
    /// server leaves them out).
    pub generated_stored: bool,
    /// What only its family has.
    pub facts: ColumnFacts,
}

/// The type of a source column, by the family of its source. Connectors read and write values by
/// it; the mapping decides by its [`LogicalType`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SourceType {
    /// MySQL and MariaDB.
    Mysql(MysqlType),
    /// PostgreSQL.
    Postgres(PostgresType),
}

/// What a table has that only its family knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TableFacts {
    /// MySQL and MariaDB.
    Mysql(MysqlTable),
    /// PostgreSQL.
    Postgres(PostgresTable),
}

/// What a column has that only its family knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ColumnFacts {
    /// MySQL and MariaDB.
    Mysql(MysqlColumn),
    /// PostgreSQL.
    Postgres(PostgresColumn),
}

impl SourceType {
    /// The type of a MySQL-family server; none of another family.
    pub fn mysql(&self) -> Option<&MysqlType> {
        match self {
            SourceType::Mysql(ty) => Some(ty),
            SourceType::Postgres(_) => None,
        }
    }

    /// What its values are, whatever the family.
    pub(crate) fn logical(&self) -> LogicalType {
        match self {
            SourceType::Mysql(ty) => logical::of_mysql(ty),
            SourceType::Postgres(ty) => logical::of_postgres(ty),
        }
    }

    /// The facts of a column of this type that has none of them.
    pub(crate) fn plain_facts(&self) -> ColumnFacts {
        match self {
            SourceType::Mysql(_) => MysqlColumn::default().into(),
            SourceType::Postgres(_) => PostgresColumn::default().into(),
        }
    }
}

impl TableFacts {
    /// The facts of a table of a MySQL-family server; none of another family.
    pub fn mysql(&self) -> Option<&MysqlTable> {
        match self {
            TableFacts::Mysql(table) => Some(table),
            TableFacts::Postgres(_) => None,
        }
    }

    /// How names of columns, indexes and foreign keys are compared: MySQL-family servers take `ID`
    /// and `id` for one column, PostgreSQL for two.
    pub fn part_names(&self) -> NameCase {
        match self {
            TableFacts::Mysql(_) => NameCase::Insensitive,
            TableFacts::Postgres(_) => NameCase::Sensitive,
        }
    }
}

impl ColumnFacts {
    /// The facts of a column of a MySQL-family server; none of another family.
    pub fn mysql(&self) -> Option<&MysqlColumn> {
        match self {
            ColumnFacts::Mysql(column) => Some(column),
            ColumnFacts::Postgres(_) => None,
        }
    }

    /// Whether the server gives each new row a number in this column.
    pub fn is_numbered(&self) -> bool {
        match self {
            ColumnFacts::Mysql(column) => column.auto_increment,
            ColumnFacts::Postgres(column) => column.is_numbered,
        }
    }
}

impl From<MysqlTable> for TableFacts {
    fn from(table: MysqlTable) -> TableFacts {
        TableFacts::Mysql(table)
    }
}

impl From<MysqlColumn> for ColumnFacts {
    fn from(column: MysqlColumn) -> ColumnFacts {
        ColumnFacts::Mysql(column)
    }
}

impl From<MysqlType> for SourceType {
    fn from(ty: MysqlType) -> SourceType {
        SourceType::Mysql(ty)
    }
}

impl From<PostgresTable> for TableFacts {
    fn from(table: PostgresTable) -> TableFacts {
        TableFacts::Postgres(table)
    }
}

impl From<PostgresColumn> for ColumnFacts {
    fn from(column: PostgresColumn) -> ColumnFacts {
        ColumnFacts::Postgres(column)
    }
}

impl From<PostgresType> for SourceType {
    fn from(ty: PostgresType) -> SourceType {
        SourceType::Postgres(ty)
    }
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
    /// Whether the server changes rows of the child by it. InnoDB treats SET DEFAULT as RESTRICT
    /// (error 1451, both servers: `mysql/tests/cascade.rs`).
    pub fn changes_rows(self) -> bool {
        match self {
            ForeignKeyAction::Cascade | ForeignKeyAction::SetNull => true,
            ForeignKeyAction::NoAction | ForeignKeyAction::SetDefault => false,
        }
    }

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

/// Whether a server writes to its log what it changes by foreign-key actions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CascadeLog {
    /// Every row that an action changes is in the log.
    #[default]
    Logged,
    /// The log shows only the change of the parent.
    Unlogged,
}

/// What a server does to rows of tables by foreign-key actions.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SourceCascades {
    /// Whether its log shows that.
    pub log: CascadeLog,
    /// The foreign keys with actions of all tables of the schema, and of all tables of other
    /// schemas from which such foreign keys lead to a table of the schema.
    pub edges: Vec<ActionEdge>,
}

/// One foreign key with an action that changes rows of the child. Columns are named in one spelling
/// for each table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActionEdge {
    /// Constraint name.
    pub name: String,
    /// The table whose rows are changed.
    pub child: QualifiedName,
    /// Columns of the child.
    pub columns: Vec<String>,
    /// The referenced table.
    pub parent: QualifiedName,
    /// The referenced columns, in the same order.
    pub parent_columns: Vec<String>,
    /// ON DELETE.
    pub on_delete: ForeignKeyAction,
    /// ON UPDATE.
    pub on_update: ForeignKeyAction,
    /// What is known of the referenced columns.
    pub parent_key: ParentKey,
}

/// What is known of the columns that a foreign key references.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ParentKey {
    /// No two rows have the same values.
    Unique,
    /// Two rows may have the same values.
    NotUnique,
    /// The account may not see the parent's definition.
    Hidden,
}

impl SourceForeignKey {
    /// Whether the server changes rows of the child by it.
    pub fn has_actions(&self) -> bool {
        self.on_delete.changes_rows() || self.on_update.changes_rows()
    }
}

impl SourceTable {
    /// The index of a column by its name, compared as the source compares names of columns.
    pub fn column_index(&self, name: &str) -> Option<usize> {
        let names = self.facts.part_names();
        self.columns
            .iter()
            .position(|column| names.same(&column.name, name))
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
