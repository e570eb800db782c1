//! What foreign keys do to rows of their children by actions.

use super::qualified_name::QualifiedName;

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
