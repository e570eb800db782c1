//! What the servers themselves say: asked beside the reading, and held against it.

use std::collections::BTreeSet;
use std::sync::Arc;

use spanferry_core::plan::TablePlan;
use spanferry_core::position::Position;
use spanferry_core::report::failure::Failure;
use spanferry_core::schema::source::QualifiedName;
use spanferry_core::verify::canonical::{Canonicalizer, render};
use spanferry_core::verify::witness::{
    Contradiction, SourceColumns, SourceWitness, TargetColumns, TargetWitness, WitnessSource,
};

use super::counters::Counters;
use super::verdict::{ContradictedKey, Lack, TableVerdict};

/// Both servers' witnesses. The source's is opened when it is needed, and again when it was lost.
pub(super) struct Witnesses<'a, S: WitnessSource, T> {
    source: &'a S,
    target: &'a T,
    kept: Option<S::Witness>,
    columns_source: SourceColumns,
    columns_target: TargetColumns,
}

impl<'a, S: WitnessSource, T: TargetWitness> Witnesses<'a, S, T> {
    pub(super) fn new(source: &'a S, target: &'a T) -> Witnesses<'a, S, T> {
        Witnesses {
            source,
            target,
            kept: None,
            columns_source: SourceColumns::new(),
            columns_target: TargetColumns::new(),
        }
    }

    /// A witness that has ended all that it was asked; one that failed is dropped by its borrower.
    async fn take(&mut self) -> Result<S::Witness, Failure> {
        match self.kept.take() {
            Some(witness) => Ok(witness),
            None => self.source.witness().await,
        }
    }

    /// Reads both catalogs. A position that contains what the source's showed.
    pub(super) async fn read_catalogs(&mut self) -> Result<Position, Failure> {
        let mut witness = self.take().await?;
        self.columns_source = witness.columns().await?;
        self.columns_target = self.target.columns().await?;
        let seen = witness.position().await?;
        self.kept = Some(witness);
        Ok(seen)
    }

    /// The tables in the source's own catalog.
    pub(super) fn source_tables(&self) -> impl Iterator<Item = &QualifiedName> {
        self.columns_source.keys()
    }

    /// The tables in the target's own catalog.
    pub(super) fn target_tables(&self) -> impl Iterator<Item = &String> {
        self.columns_target.keys()
    }

    /// What the target lacks of a table that is to be compared.
    pub(super) fn lack(&self, plan: &TablePlan) -> Option<Lack> {
        let Some(theirs) = self.columns_target.get(&plan.target.name) else {
            return Some(Lack::Table);
        };
        let mut columns = plan.target.columns.iter();
        columns
            .any(|column| !theirs.contains(&column.name))
            .then_some(Lack::Columns)
    }

    /// Columns of a compared table that only the target has.
    pub(super) fn columns_extra(&self, plan: &TablePlan) -> Vec<String> {
        let theirs = self.columns_target.get(&plan.target.name).into_iter().flatten();
        let is_planned = |name: &String| plan.target.columns.iter().any(|column| column.name == *name);
        theirs.filter(|name| !is_planned(name)).cloned().collect()
    }

    /// Columns that a table has at the source and not at the target. A table that one of the
    /// catalogs lacks has none of its columns.
    pub(super) fn columns_missing(&self, plan: &TablePlan) -> Vec<String> {
        let none = BTreeSet::new();
        let own = self.columns_source.get(plan.name()).unwrap_or(&none);
        let theirs = self.columns_target.get(&plan.target.name).unwrap_or(&none);
        let carried: BTreeSet<&String> = plan
            .columns
            .iter()
            .filter_map(|column| {
                let name = &plan.source.columns[column.source()?].name;
                Some((name, &plan.target.columns[column.target].name))
            })
            .filter(|(name, target)| own.contains(*name) && theirs.contains(*target))
            .map(|(name, _)| name)
            .collect();
        own.iter()
            .filter(|name| !carried.contains(name))
            .cloned()
            .collect()
    }

    /// Rows by the source's own count.
    pub(super) async fn count(&mut self, plan: &Arc<TablePlan>) -> Result<u64, Failure> {
        let mut witness = self.take().await?;
        let count = witness.count(plan).await?;
        self.kept = Some(witness);
        Ok(count)
    }

    /// Looks rows of the target up at the source. What it said against them, and a position that
    /// contains what it saw.
    pub(super) async fn compare(
        &mut self,
        plan: &Arc<TablePlan>,
        rows: &[Vec<u8>],
        counters: &Counters,
    ) -> Result<(Vec<Contradiction>, Position), Failure> {
        let mut witness = self.take().await?;
        counters.ask(rows.len());
        let said = witness.compare(plan, rows).await?;
        let seen = witness.position().await?;
        self.kept = Some(witness);
        Ok((said, seen))
    }
}

/// Contradicted rows by their keys, without those that the verdict names already.
pub(super) fn contradicted(
    plan: &TablePlan,
    rows: &[Vec<u8>],
    said: &[Contradiction],
    verdict: &TableVerdict,
) -> Vec<ContradictedKey> {
    let different = verdict.keys.iter().map(|named| &named.key);
    let known: BTreeSet<&String> = different
        .chain(verdict.refused_rows.iter().map(|named| &named.key))
        .collect();
    said.iter()
        .map(|said| ContradictedKey {
            key: readable_key(plan, &rows[said.row]),
            columns: said
                .columns
                .iter()
                .map(|column| plan.target.columns[plan.columns[*column].target].name.clone())
                .collect(),
        })
        .filter(|contradicted| !known.contains(&contradicted.key))
        .collect()
}

/// The key of a row for people; nothing of it decides.
pub(crate) fn readable_key(plan: &TablePlan, row: &[u8]) -> String {
    let canonicalizer = Canonicalizer::new(plan);
    let (mut canonical, mut key) = (Vec::new(), Vec::new());
    let read = canonicalizer
        .row(row, &mut canonical)
        .and_then(|()| canonicalizer.key(&canonical, &mut key));
    read.map_or_else(
        |_| "a row that cannot be read".to_owned(),
        |()| render(plan, &key),
    )
}
