//! How the target reads its tables: in the order of keys, at one version, and only for as long as
//! it keeps that.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::time::Duration;

use spanferry_core::plan::TablePlan;
use spanferry_core::port::target::{
    CommitTimestamp, KeyInterval, ScanAt, ScanKey, ScanRequest, Scanned, TableReader, TargetScan,
};
use spanferry_core::report::failure::Failure;
use spanferry_core::value::encode::Encoding;
use spanferry_core::wire::rows::RowBatch;
use tokio::time::Instant;

use crate::history::{Row, State};
use crate::mapped::{encode_row, read};
use crate::target::{SimTarget, present};
use crate::world::{Mutant, Shared};

const HOUR: Duration = Duration::from_secs(3_600);

/// The versions that the target keeps, and how it reads them.
pub(crate) struct Versions {
    /// How long the target says that it keeps them.
    pub(crate) told: Duration,
    /// How long it keeps them.
    pub(crate) kept: Duration,
    /// How long a batch takes.
    pub(crate) batch_takes: Duration,
    /// Most rows of a batch.
    pub(crate) batch_rows: usize,
    /// Most rows that it can count in one statement.
    pub(crate) counted_max: usize,
    /// Rows at the commits that were made while nothing but its contract was asked of it.
    past: BTreeMap<CommitTimestamp, State>,
}

impl Default for Versions {
    fn default() -> Versions {
        Versions {
            told: HOUR,
            kept: HOUR,
            batch_takes: Duration::ZERO,
            batch_rows: usize::MAX,
            counted_max: usize::MAX,
            past: BTreeMap::new(),
        }
    }
}

impl Versions {
    pub(crate) fn keep(&mut self, at: CommitTimestamp, rows: State) {
        self.past.insert(at, rows);
    }
}

pub(crate) struct SimScan {
    shared: Shared,
    at: CommitTimestamp,
    begun: Instant,
    /// The rows that are left, the next one last.
    rest: Vec<Vec<u8>>,
    /// Whether a batch is not cleared before it is filled.
    keeps: bool,
}

/// The rows of a table in an interval of its keys, in key order.
pub(crate) fn rows_between(
    rows: &BTreeMap<i64, Row>,
    plan: &TablePlan,
    keys: KeyInterval<'_>,
    mutant: Option<Mutant>,
) -> Vec<Row> {
    let key = |key: &ScanKey| read(plan, plan.key(), key.payload()).unwrap()[0];
    let after = keys.after.map(key);
    let start = match after {
        Some(after) if mutant == Some(Mutant::ScanBeginsAtKey) => Bound::Included(after),
        Some(after) => Bound::Excluded(after),
        None => Bound::Unbounded,
    };
    let skipped = usize::from(after.is_some() && mutant == Some(Mutant::ScanSkipsRow));
    let up_to = keys.up_to.map(key);
    let found = rows.range((start, Bound::Unbounded)).skip(skipped);
    let found = found.filter(|(key, _)| up_to.is_none_or(|up_to| **key <= up_to));
    found.map(|(_, row)| *row).collect()
}

impl TableReader for SimTarget {
    type Scan = SimScan;

    async fn scan(&self, request: &ScanRequest<'_>) -> Result<SimScan, Failure> {
        let mut world = self.0.lock();
        let table = request.table;
        if request.keys.after.is_some() {
            world.count("scan behind a key");
        }
        // The rows are as they were written, also where the reader's plan would refuse to write
        // them.
        let mut written = TablePlan::clone(table);
        for column in &mut written.columns {
            column.encoding = Encoding::Int64;
        }
        let (at, state) = match request.at {
            ScanAt::Exactly(at) if world.mutant != Some(Mutant::ScanReadsPresent) => {
                (at, &world.target.versions.past[&at])
            }
            ScanAt::Exactly(_) | ScanAt::Now => (present(&world), &world.target.rows),
        };
        let found = rows_between(&state[table.id.0 as usize], table, request.keys, world.mutant);
        let mut rest: Vec<Vec<u8>> = found
            .into_iter()
            .map(|row| encode_row(&written, row).unwrap())
            .collect();
        if world.mutant != Some(Mutant::ScanFalls) {
            rest.reverse();
        }
        Ok(SimScan {
            shared: self.0.clone(),
            at,
            begun: Instant::now(),
            rest,
            keeps: world.mutant == Some(Mutant::BatchKept),
        })
    }

    async fn version_retention(&self) -> Result<Duration, Failure> {
        Ok(self.0.lock().target.versions.told)
    }
}

impl TargetScan for SimScan {
    fn at(&self) -> Option<CommitTimestamp> {
        Some(self.at)
    }

    async fn next(&mut self, into: &mut RowBatch, bytes_max: usize) -> Result<Scanned, Failure> {
        if !self.keeps {
            into.clear();
        }
        let (takes, rows, kept) = {
            let versions = &self.shared.lock().target.versions;
            (versions.batch_takes, versions.batch_rows, versions.kept)
        };
        tokio::time::sleep(takes).await;
        if self.begun.elapsed() > kept {
            self.shared.lock().count("version expired");
            return Ok(Scanned::Expired);
        }
        while into.is_empty() || (into.len() < rows && into.byte_len() < bytes_max) {
            let Some(row) = self.rest.pop() else { break };
            into.push(&row);
        }
        Ok(if into.is_empty() {
            Scanned::End
        } else {
            Scanned::Rows
        })
    }
}
