//! What a start finds at the source, and what of it is selected.

use spanferry_core::mapping::convert::MappingOptions;
use spanferry_core::schema::definition::Estimates;
use spanferry_core::schema::source::{QualifiedName, SourceTable};

/// What a start finds at the source, and what of it is selected.
#[derive(Debug, Clone)]
pub struct Today {
    /// The selected tables, as the catalog has them.
    pub selected: Vec<SourceTable>,
    /// Tables that are at the source and not selected.
    pub unselected: Vec<QualifiedName>,
    /// How tables are converted.
    pub mapping: MappingOptions,
}

/// Where a table of the migration is today.
#[derive(Debug, Clone, Copy)]
pub(super) enum Place<'a> {
    /// At the source, and selected.
    Selected(&'a SourceTable),
    /// At the source, and not selected.
    Unselected,
    /// Not at the source, as far as the account can see.
    Gone,
}

impl Today {
    /// Where a table is.
    pub(super) fn place(&self, table: &QualifiedName) -> Place<'_> {
        match self.selected.iter().find(|known| known.name == *table) {
            Some(table) => Place::Selected(table),
            None if self.unselected.contains(table) => Place::Unselected,
            None => Place::Gone,
        }
    }

    /// Rows and bytes of the selected tables, by the source's own estimate.
    pub(super) fn estimates(&self) -> Estimates {
        let tables = self.selected.iter();
        tables
            .map(|table| (table.name.clone(), (table.rows_estimate, table.bytes_estimate)))
            .collect()
    }
}
