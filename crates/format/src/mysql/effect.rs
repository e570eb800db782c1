//! What a statement can do, and to which tables.

/// What a statement does, as far as it matters here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// Begins a transaction.
    Begin,
    /// Ends it.
    Commit,
    /// Takes back the whole transaction.
    Rollback,
    /// Takes back what was logged since a savepoint.
    RollbackToSavepoint,
    /// Neither changes anything nor ends a transaction.
    Nothing,
    /// XA START.
    XaStart,
    /// XA END or XA PREPARE.
    XaPrepare,
    /// XA COMMIT or XA ROLLBACK of a transaction that was prepared before.
    XaEnd,
    /// Changes rows as a statement: INSERT, UPDATE, DELETE, REPLACE, LOAD, CALL, …
    Rows,
    /// Changes definitions. Without effects: of something that is no table.
    Definition(Vec<Effect>),
    /// Not understood, but it defines something: it can change only what its text names.
    UnknownDefinition,
    /// Not understood.
    Unknown,
}

/// What a definition does to tables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Rows or columns of the table may change, or it may go.
    Changes(Named),
    /// All rows of the table go; it keeps its columns.
    Truncates(Named),
    /// The table keeps its rows and columns; these of its indexes change.
    Keeps(Named, Vec<IndexChange>),
    /// A table of this name may be new.
    Creates(Named),
    /// Every table of the schema may change; `None` is the default schema.
    ChangesSchema(Option<String>),
    /// A part of the text is not understood: each table that the text mentions may change.
    ChangesMentioned,
}

/// What happens to one index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IndexChange {
    /// A new index.
    Adds {
        /// Whether it forbids equal values.
        unique: bool,
    },
    /// The index of this name goes.
    Drops(String),
    /// The index of this name gets another one.
    Renames(String, String),
}

/// A table as a statement names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// The schema, if the statement names one.
    pub schema: Option<String>,
    /// The table.
    pub table: String,
}
