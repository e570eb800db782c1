//! Rows that the null mode keeps: row semantics of mutations, several versions of each row, reads
//! by keys and ranges.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::ops::Bound;

use bytes::Bytes;
use spanferry_core::wire::list_value::WireValue;
use spanferry_spanner_api::spanner::KeySet;
use spanferry_spanner_api::spanner::key_range::{EndKeyType, StartKeyType};
use tonic::Code;

use crate::check::value;
use crate::message::{Change, WriteKind, cells, rows};
use crate::refusal::Refusal;
use crate::schema::{Schema, Table};
use prost::Message;

/// Superseded versions that are kept for reads of the past; older reads are refused.
const VERSIONS_MAX: usize = 50_000;

/// One part of a key, in Spanner's order: NULL first. BYTES are compared as their base64 text,
/// other types by value.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Part {
    Null,
    Bool(bool),
    Int(i64),
    Float(u64),
    Text(Vec<u8>),
}

pub(crate) type Key = Vec<Part>;
/// A row's cells by column, each an encoded `Value`.
pub(crate) type Row = Vec<Bytes>;
/// By commit time in nanoseconds, oldest first; `None` is a deleted row.
type Versions = Vec<(u64, Option<Row>)>;

/// An encoded NULL.
pub(crate) const NULL: &[u8] = &[0x08, 0x00];

/// All kept rows of a database.
#[derive(Debug, Default)]
pub(crate) struct Store {
    tables: HashMap<String, BTreeMap<Key, Versions>>,
    superseded: VecDeque<(u64, String, Key)>,
    /// Reads before this time are refused.
    horizon: u64,
}

/// Changes of one commit that is not yet applied.
#[derive(Debug, Default)]
pub(crate) struct Staged {
    rows: BTreeMap<(String, Key), Option<Row>>,
}

fn part(cell: &[u8], number: bool) -> Result<Part, Refusal> {
    Ok(match value(cell)? {
        WireValue::Null => Part::Null,
        WireValue::Bool(truth) => Part::Bool(truth),
        WireValue::Number(float) => {
            let bits = float.to_bits();
            Part::Float(if bits >> 63 == 0 { bits | 1 << 63 } else { !bits })
        }
        WireValue::String(text) if number => {
            let number = std::str::from_utf8(text).ok().and_then(|text| text.parse().ok());
            Part::Int(number.ok_or_else(Refusal::malformed)?)
        }
        WireValue::String(text) => Part::Text(text.to_vec()),
        WireValue::List(_) => return Err(Refusal::malformed()),
    })
}

fn key(table: &Table, payload: &[u8]) -> Result<Key, Refusal> {
    let columns = table.key.iter().map(|index| &table.columns[*index]);
    let parts = cells(payload).zip(columns);
    parts
        .map(|(cell, column)| part(cell?, column.ty == super::schema::ColumnType::Int64))
        .collect()
}

impl Store {
    /// The rows of a key set at a time, in key order, with all their columns.
    pub(crate) fn read(&self, table: &Table, keys: &KeySet, at: u64) -> Result<Vec<(Key, Row)>, Refusal> {
        if at < self.horizon {
            let message = "Read timestamp is older than what the stand-in keeps.";
            return Err(Refusal::answer(Code::FailedPrecondition, message));
        }
        self.selected(table, keys, at, None)
    }

    fn selected(
        &self,
        table: &Table,
        keys: &KeySet,
        at: u64,
        staged: Option<&Staged>,
    ) -> Result<Vec<(Key, Row)>, Refusal> {
        let wanted = Selection::new(table, keys)?;
        let mut found = BTreeMap::new();
        for (key, versions) in self.tables.get(&table.name).into_iter().flatten() {
            if wanted.has(key)
                && let Some(row) = visible(versions, at)
            {
                found.insert(key.clone(), row.clone());
            }
        }
        for ((name, key), row) in staged.map(|staged| &staged.rows).into_iter().flatten() {
            if *name == table.name && wanted.has(key) {
                match row {
                    Some(row) => drop(found.insert(key.clone(), row.clone())),
                    None => drop(found.remove(key)),
                }
            }
        }
        Ok(found.into_iter().collect())
    }

    fn current(&self, staged: &Staged, table: &str, key: &Key) -> Option<Row> {
        if let Some(row) = staged.rows.get(&(table.to_owned(), key.clone())) {
            return row.clone();
        }
        let versions = self.tables.get(table)?.get(key)?;
        visible(versions, u64::MAX).cloned()
    }

    /// Carries out a mutation of a kept table against what is stored and staged.
    pub(crate) fn stage(
        &self,
        staged: &mut Staged,
        schema: &Schema,
        change: &Change<'_>,
    ) -> Result<(), Refusal> {
        match change {
            Change::Write {
                kind,
                table,
                columns,
                body,
            } => {
                let table = schema.table(table).ok_or_else(|| Refusal::unknown_table(table))?;
                for row in rows(body) {
                    self.write(staged, table, *kind, columns, row?)?;
                }
                Ok(())
            }
            Change::Delete { table, keys } => {
                let table = schema.table(table).ok_or_else(|| Refusal::unknown_table(table))?;
                let keys = KeySet::decode(*keys).map_err(|_| Refusal::malformed())?;
                for (key, _) in self.selected(table, &keys, u64::MAX, Some(staged))? {
                    staged.rows.insert((table.name.clone(), key), None);
                }
                Ok(())
            }
        }
    }

    fn write(
        &self,
        staged: &mut Staged,
        table: &Table,
        kind: WriteKind,
        columns: &[&str],
        payload: &[u8],
    ) -> Result<(), Refusal> {
        let mut row = vec![None; table.columns.len()];
        for (cell, column) in cells(payload).zip(columns) {
            let position = table
                .position(column)
                .ok_or_else(|| Refusal::unknown_column(&table.name, column))?;
            row[position] = Some(Bytes::copy_from_slice(cell?));
        }
        let key = table.key.iter().map(|index| {
            let cell = row[*index].as_deref().unwrap_or(NULL);
            part(cell, table.columns[*index].ty == super::schema::ColumnType::Int64)
        });
        let key: Key = key.collect::<Result<_, _>>()?;
        let old = self.current(staged, &table.name, &key);
        let base = match (kind, old) {
            (WriteKind::Insert, Some(_)) => {
                let message = format!("Row {key:?} in table {} already exists", table.name);
                return Err(Refusal::answer(Code::AlreadyExists, message));
            }
            (WriteKind::Update, None) => {
                let message = format!(
                    "Row {key:?} in table {} is missing. Row cannot be updated.",
                    table.name
                );
                return Err(Refusal::answer(Code::NotFound, message));
            }
            (WriteKind::Update | WriteKind::Upsert, Some(old)) => old,
            (WriteKind::Insert | WriteKind::Upsert, None) | (WriteKind::Replace, _) => {
                vec![Bytes::from_static(NULL); table.columns.len()]
            }
        };
        let row = row
            .into_iter()
            .zip(base)
            .map(|(new, old)| new.unwrap_or(old))
            .collect();
        staged.rows.insert((table.name.clone(), key), Some(row));
        Ok(())
    }

    /// Makes staged changes visible from `at` on.
    pub(crate) fn apply(&mut self, staged: Staged, at: u64) {
        for ((table, key), row) in staged.rows {
            let versions = self
                .tables
                .entry(table.clone())
                .or_default()
                .entry(key.clone())
                .or_default();
            let supersedes = !versions.is_empty() || row.is_none();
            versions.push((at, row));
            if supersedes {
                self.superseded.push_back((at, table, key));
            }
        }
        while self.superseded.len() > VERSIONS_MAX {
            let (time, table, key) = self.superseded.pop_front().expect("it is not empty");
            self.horizon = self.horizon.max(time);
            self.forget(&table, &key, time);
        }
    }

    fn forget(&mut self, table: &str, key: &Key, before: u64) {
        let Some(rows) = self.tables.get_mut(table) else {
            return;
        };
        let Some(versions) = rows.get_mut(key) else { return };
        versions.retain(|(time, _)| *time >= before);
        if matches!(versions.as_slice(), [(_, None)]) {
            rows.remove(key);
        }
    }

    /// Forgets a dropped table.
    pub(crate) fn drop_table(&mut self, table: &str) {
        self.tables.remove(table);
    }
}

fn visible(versions: &Versions, at: u64) -> Option<&Row> {
    versions.iter().rev().find(|(time, _)| *time <= at)?.1.as_ref()
}

/// Which keys are wanted.
struct Selection {
    all: bool,
    keys: Vec<Key>,
    ranges: Vec<(Bound<Key>, Bound<Key>)>,
}

impl Selection {
    fn new(table: &Table, keys: &KeySet) -> Result<Selection, Refusal> {
        let listed = keys
            .keys
            .iter()
            .map(|payload| key(table, payload))
            .collect::<Result<_, _>>()?;
        let mut ranges = Vec::new();
        for range in &keys.ranges {
            let start = match &range.start_key_type {
                Some(StartKeyType::StartClosed(payload)) => Bound::Included(key(table, payload)?),
                Some(StartKeyType::StartOpen(payload)) => Bound::Excluded(key(table, payload)?),
                None => Bound::Unbounded,
            };
            let end = match &range.end_key_type {
                Some(EndKeyType::EndClosed(payload)) => Bound::Included(key(table, payload)?),
                Some(EndKeyType::EndOpen(payload)) => Bound::Excluded(key(table, payload)?),
                None => Bound::Unbounded,
            };
            ranges.push((start, end));
        }
        Ok(Selection {
            all: keys.all,
            keys: listed,
            ranges,
        })
    }

    /// The ends of a range are prefixes: a closed one takes all keys that begin with it, an open
    /// one none of them.
    fn has(&self, key: &Key) -> bool {
        let cut = |end: &Key| key[..end.len().min(key.len())].to_vec();
        let inside = |(start, end): &(Bound<Key>, Bound<Key>)| {
            let after = match start {
                Bound::Included(start) => cut(start) >= *start,
                Bound::Excluded(start) => cut(start) > *start,
                Bound::Unbounded => true,
            };
            let before = match end {
                Bound::Included(end) => cut(end) <= *end,
                Bound::Excluded(end) => cut(end) < *end,
                Bound::Unbounded => true,
            };
            after && before
        };
        self.all || self.keys.contains(key) || self.ranges.iter().any(inside)
    }
}
