//! What a comparison found.

use spanferry_core::schema::source::QualifiedName;

use super::refusals::NamedRefusal;

/// Keys named per table; more are only counted.
pub(super) const KEYS_NAMED_MAX: usize = 1_000;

/// How a key differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// The source has it, the target has not.
    Missing,
    /// The target has it, the source has not.
    Extra,
    /// Both have it, with other values.
    Different,
}

impl Kind {
    /// The word that is printed.
    pub fn word(self) -> &'static str {
        match self {
            Kind::Missing => "missing",
            Kind::Extra => "extra",
            Kind::Different => "different",
        }
    }
}

/// A key that differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DifferentKey {
    /// How.
    pub kind: Kind,
    /// The key, as JSON list of its converted values.
    pub key: String,
    /// The target's names of the columns whose values differ; empty unless the kind is `Different`.
    pub columns: Vec<String>,
}

/// Rows that differ, by the way they do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) missing: u64,
    pub(super) extra: u64,
    pub(super) different: u64,
}

impl Tally {
    pub(super) fn count(&mut self, kind: Kind) {
        match kind {
            Kind::Missing => self.missing += 1,
            Kind::Extra => self.extra += 1,
            Kind::Different => self.different += 1,
        }
    }
}

/// A row of the target that the source's witness contradicts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContradictedKey {
    /// The key, as JSON list of its converted values.
    pub key: String,
    /// The target's names of the columns that the source prints otherwise; empty if the source has
    /// no such row.
    pub columns: Vec<String>,
}

/// What the target lacks of a table's definition, so that its rows cannot be compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lack {
    /// The table.
    Table,
    /// Columns of it, which `Testimony::columns_missing` names.
    Columns,
}

impl Lack {
    /// The word for it in JSON.
    pub fn word(self) -> &'static str {
        match self {
            Lack::Table => "table",
            Lack::Columns => "columns",
        }
    }
}

/// What the servers themselves say of a table.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Testimony {
    /// Rows by the source's own count.
    pub rows_source: u64,
    /// Rows by the target's own count.
    pub rows_target: u64,
    /// Rows of the target that were looked up at the source.
    pub rows_asked: u64,
    /// Columns of the source that the target does not have, by the catalogs of both.
    pub columns_missing: Vec<String>,
    /// Of the rows that were looked up, those that the source prints otherwise. Those that are
    /// named as differences or as refused already are not repeated.
    pub contradicted: Vec<ContradictedKey>,
}

/// The result for one table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableVerdict {
    /// The table at the source.
    pub name: QualifiedName,
    /// Rows at the source.
    pub rows_source: u64,
    /// Rows at the target.
    pub rows_target: u64,
    /// What the target lacks. Then no row was compared: the numbers of rows are the servers' own,
    /// and nothing else was counted.
    pub lack: Option<Lack>,
    /// Rows that only the source has.
    pub missing: u64,
    /// Rows that only the target has.
    pub extra: u64,
    /// Rows that differ.
    pub different: u64,
    /// Whether the three counts above are lower bounds: more rows differ than a bounded number of
    /// passes could pair.
    pub at_least: bool,
    /// At most 1,000 of their keys.
    pub keys: Vec<DifferentKey>,
    /// Rows of the source that have no exact form at the target. They are not among the counts
    /// above, whatever the target holds for their keys.
    pub refused: u64,
    /// At most 100 of them.
    pub refused_rows: Vec<NamedRefusal>,
    /// What the witnesses say.
    pub testimony: Testimony,
}

impl TableVerdict {
    /// The verdict on a table that is empty at both ends.
    pub fn new(name: &QualifiedName) -> TableVerdict {
        TableVerdict {
            name: name.clone(),
            rows_source: 0,
            rows_target: 0,
            lack: None,
            missing: 0,
            extra: 0,
            different: 0,
            at_least: false,
            keys: Vec::new(),
            refused: 0,
            refused_rows: Vec::new(),
            testimony: Testimony::default(),
        }
    }

    /// Whether both sides hold the same rows, by what was read and by what their servers say.
    pub fn is_equal(&self) -> bool {
        self.lack.is_none() && self.refused == 0 && !self.differs()
    }

    /// Whether the sides hold other rows, by what was read or by what their servers say. Rows
    /// without an exact form are left out.
    pub(super) fn differs(&self) -> bool {
        self.missing > 0 || self.extra > 0 || self.different > 0 || !self.is_witnessed()
    }

    /// Whether the servers say nothing else than what was read.
    pub fn is_witnessed(&self) -> bool {
        let said = &self.testimony;
        (said.rows_source, said.rows_target) == (self.rows_source, self.rows_target)
            && said.columns_missing.is_empty()
            && said.contradicted.is_empty()
    }

    pub(super) fn add(&mut self, tally: Tally) {
        self.missing += tally.missing;
        self.extra += tally.extra;
        self.different += tally.different;
    }
}
