//! The source's schema as read from its catalog: what every source has, and one variant for each
//! family of sources.

pub use super::foreign_key_action::{ActionEdge, CascadeLog, ForeignKeyAction, ParentKey, SourceCascades};
use super::logical::{self, LogicalType};
use super::mysql::{MysqlColumn, MysqlTable, MysqlType};
use super::postgres::{PostgresColumn, PostgresTable, PostgresType};
pub use super::qualified_name::{NameCase, QualifiedName};
use super::source_default::SourceDefault;

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
