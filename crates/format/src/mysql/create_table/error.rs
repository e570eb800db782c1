//! Why a definition of a table is not understood.

/// A definition that is not understood. Nothing of its table is taken then.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotRead {
    /// The definition has something that no rule here reads.
    #[error("`{near}` is not understood in a CREATE TABLE statement")]
    Word {
        /// The text from the place on, at most some words of it.
        near: String,
    },
    /// The definition ends too early.
    #[error("the CREATE TABLE statement ends too early")]
    End,
    /// The table is defined by a query or by another table.
    #[error("the table is defined by `{how}`, which only the server can execute")]
    Indirect {
        /// The first word of it.
        how: String,
    },
    /// A key or a constraint names a column that the table does not have.
    #[error("`{of}` names the column `{column}`, which the table does not have")]
    Column {
        /// The key or constraint.
        of: String,
        /// The column.
        column: String,
    },
    /// Two columns have one name.
    #[error("the table has two columns with the name `{column}`")]
    ColumnTwice {
        /// The name.
        column: String,
    },
    /// The table has no columns.
    #[error("the table has no columns")]
    NoColumns,
}
