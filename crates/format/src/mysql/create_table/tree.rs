//! The syntax tree of CREATE TABLE: what is written, before anything is filled in.

use spanferry_core::schema::source::ForeignKeyAction;

/// The name of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableName {
    /// The schema, if it is written.
    pub schema: Option<String>,
    /// The table.
    pub table: String,
}

/// A CREATE TABLE statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreateTable {
    /// Its name.
    pub name: TableName,
    /// Its columns in order.
    pub columns: Vec<ColumnDefinition>,
    /// All keys, also those that stand at a column.
    pub keys: Vec<Key>,
    /// All foreign keys.
    pub foreign_keys: Vec<ForeignKey>,
    /// All checks.
    pub checks: Vec<Check>,
    /// ENGINE.
    pub engine: Option<String>,
    /// The character set of columns that name none.
    pub charset: Option<String>,
    /// The collation of columns that name none.
    pub collation: Option<String>,
    /// MariaDB: WITH SYSTEM VERSIONING.
    pub system_versioned: bool,
}

/// A column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ColumnDefinition {
    /// Its name.
    pub name: String,
    /// Its type.
    pub ty: TypeName,
    /// CHARACTER SET.
    pub charset: Option<String>,
    /// COLLATE.
    pub collation: Option<String>,
    /// The attribute BINARY: the collation of the character set that compares bytes.
    pub is_binary: bool,
    /// NULL or NOT NULL, if either is written.
    pub nullable: Option<bool>,
    /// DEFAULT, if it is not NULL.
    pub default: Option<DefaultValue>,
    /// ON UPDATE CURRENT_TIMESTAMP.
    pub on_update: bool,
    /// AUTO_INCREMENT.
    pub auto_increment: bool,
    /// GENERATED ALWAYS AS.
    pub generated: Option<Generated>,
    /// INVISIBLE: an INSERT without a list of columns leaves it out.
    pub invisible: bool,
}

/// The type of a column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TypeName {
    /// The server's own name of it, in small letters: `int` for INTEGER.
    pub name: String,
    /// What stands in the parentheses, with them.
    pub arguments: Option<String>,
    /// UNSIGNED, or ZEROFILL, which implies it.
    pub unsigned: bool,
    /// A character set that the name implies: that of NCHAR.
    pub charset: Option<&'static str>,
}

/// A default.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DefaultValue {
    /// As it is written, with quotes and parentheses.
    pub text: String,
    /// The value of a literal in quotes.
    pub literal: Option<String>,
}

/// How a column's values are computed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Generated {
    /// The expression.
    pub expression: String,
    /// STORED or PERSISTENT; else VIRTUAL.
    pub stored: bool,
}

/// A key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// Its name, if it has one.
    pub name: Option<String>,
    /// PRIMARY.
    pub primary: bool,
    /// UNIQUE or PRIMARY.
    pub unique: bool,
    /// FULLTEXT, SPATIAL or VECTOR.
    pub class: Option<String>,
    /// What USING names.
    pub method: Option<String>,
    /// Its parts in order.
    pub parts: Vec<KeyPart>,
}

/// A part of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyPart {
    /// A column.
    Column {
        /// Its name.
        name: String,
        /// The length of the prefix.
        prefix: Option<u32>,
        /// DESC.
        descending: bool,
    },
    /// An expression.
    Expression {
        /// Its text.
        text: String,
    },
}

/// A foreign key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForeignKey {
    /// Its name, if it has one.
    pub name: Option<String>,
    /// Its columns.
    pub columns: Vec<String>,
    /// The table it refers to.
    pub parent: TableName,
    /// The columns it refers to.
    pub parent_columns: Vec<String>,
    /// ON DELETE.
    pub on_delete: ForeignKeyAction,
    /// ON UPDATE.
    pub on_update: ForeignKeyAction,
}

/// A check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// Its name, if it has one.
    pub name: Option<String>,
    /// The column at which it stands.
    pub column: Option<String>,
    /// Its expression.
    pub expression: String,
}
