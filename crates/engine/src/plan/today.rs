//! What a start finds at the source, and what of it is selected.

use spanferry_core::mapping::options::MappingOptions;
use spanferry_core::schema::definition::Estimates;
use spanferry_core::schema::source::{Catalog, QualifiedName, SourceCascades, SourceTable};

/// What a start finds at the source, and what of it is selected.
#[derive(Debug, Clone)]
pub struct Today {
    /// The selected tables, as the catalog has them.
    pub selected: Vec<SourceTable>,
    /// Tables that are at the source and not selected.
    pub unselected: Vec<QualifiedName>,
    /// How tables are converted.
    pub mapping: MappingOptions,
    /// What the source does to rows by foreign keys.
    pub cascades: SourceCascades,
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
    /// The tables of a catalog, by whether they are selected.
    pub fn of(catalog: &Catalog, selects: impl Fn(&QualifiedName) -> bool, mapping: MappingOptions) -> Today {
        let tables = catalog.tables.iter().cloned();
        let (selected, unselected): (Vec<_>, Vec<_>) = tables.partition(|table| selects(&table.name));
        Today {
            selected,
            unselected: unselected.into_iter().map(|table| table.name).collect(),
            mapping,
            cascades: catalog.cascades.clone(),
        }
    }

    /// Rows and bytes of the selected tables together, by the source's own estimate.
    pub(super) fn sizes(&self) -> (u64, u64) {
        let tables = self.selected.iter();
        tables.fold((0, 0), |(rows, bytes), table| {
            (rows + table.rows_estimate, bytes + table.bytes_estimate)
        })
    }

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
