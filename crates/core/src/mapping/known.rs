//! What is decided already when tables are converted.

use crate::port::epoch::Epoch;
use crate::schema::definition::TableDefinition;
use crate::schema::source::{QualifiedName, SourceCascades};

/// What is decided already when tables are converted.
#[derive(Debug, Clone, Default)]
pub struct Known<'a> {
    /// Tables that stay as they are recorded: their names are taken, and foreign keys may refer to
    /// them.
    pub fixed: Vec<&'a TableDefinition>,
    /// Recorded definitions of tables that are converted again: table, indexes and foreign keys
    /// keep their names.
    pub former: Vec<&'a TableDefinition>,
    /// More names that are taken at the target.
    pub taken: Vec<&'a str>,
    /// The epoch in which tables without a former definition are taken in.
    pub epoch: Epoch,
    /// The first number of a group that no recorded table has.
    pub free_group: u32,
    /// What the source does to rows by foreign keys; none where nothing is recorded of it.
    pub cascades: Option<&'a SourceCascades>,
}

impl<'a> Known<'a> {
    pub(crate) fn former(&self, table: &QualifiedName) -> Option<&'a TableDefinition> {
        self.former.iter().copied().find(|known| known.name() == table)
    }
}
