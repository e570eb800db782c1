//! The source's snapshots, whose sessions each see another state unless a lock holds the writers
//! up.

use std::sync::Arc;
use std::time::Duration;

use spanferry_core::plan::TablePlan;
use spanferry_core::port::source::{
    Boundary, PreparedId, PreparedWait, Range, ReadRows, ReadStatus, RefusedRow, Snapshot, SnapshotMethod,
    SnapshotRequest, SnapshotSession, SnapshotSource,
};
use spanferry_core::position::Position;
use spanferry_core::report::code;
use spanferry_core::report::failure::Failure;
use spanferry_core::schema::source::SourceTable;

use crate::backward::count_lagging;
use crate::history::Row;
use crate::mapped::encode_key;
use crate::source::{SimSource, catalog_now, lost};
use crate::stream::{encoded, prepared_id};
use crate::unfit;
use crate::world::{Mutant, Shared, SourceFault, World};

/// Rows after which a faulty source ends every range.
const ROWS_OF_A_CUT_RANGE: usize = 3;

/// Holds the writers up until it is dropped.
struct ReadLock {
    shared: Shared,
    /// Whether all sessions have opened.
    is_done: bool,
}

impl ReadLock {
    fn take(shared: &Shared) -> ReadLock {
        shared.lock().administration.locks += 1;
        ReadLock {
            shared: shared.clone(),
            is_done: false,
        }
    }
}

impl Drop for ReadLock {
    fn drop(&mut self) {
        let mut world = self.shared.lock();
        if self.is_done || !world.has(SourceFault::LockKept) {
            world.administration.locks -= 1;
        }
    }
}

/// The tables must still be what their plans say.
fn expect_tables(world: &World, tables: &[Arc<TablePlan>]) -> Result<(), Failure> {
    let now = catalog_now(world).tables;
    for plan in tables {
        let same = |table: &SourceTable| table.name == *plan.name() && table.columns == plan.source.columns;
        if !now.iter().any(same) && !world.has(SourceFault::ChangedIsOpened) {
            let text = "its definition has changed";
            return Err(Failure::of_table(code::SCHEMA_MISMATCH, plan.name(), text));
        }
    }
    Ok(())
}

impl SnapshotSource for SimSource {
    type Session = SimSession;

    async fn open_snapshot(&self, request: &SnapshotRequest<'_>) -> Result<Snapshot<SimSession>, Failure> {
        let (tables, sessions) = (request.tables, request.sessions);
        self.0.step().await;
        let mut held = request.lock.then(|| ReadLock::take(&self.0));
        let (low, line) = {
            let world = self.0.lock();
            expect_tables(&world, tables)?;
            (world.committed, world.line())
        };
        let passed = wait_for_prepared(&mut self.0.lock(), low, request.prepared)?;
        let mut opened = Vec::new();
        let is_exported = held.is_none() && self.0.lock().exports;
        for _ in 0..sessions {
            if !is_exported {
                self.0.step().await;
                self.0.lock().advance(3);
            }
            opened.push(SimSession::open(&self.0));
        }
        let mut world = self.0.lock();
        if world.line() != line {
            return Err(lost(code::SOURCE_FAILED));
        }
        expect_tables(&world, tables)?;
        let (low, high) = ends(&mut world, low, &opened);
        drop(world);
        let mut method = if is_exported {
            self.0.lock().count("sessions on one exported state");
            SnapshotMethod::Exported
        } else {
            SnapshotMethod::Unlocked
        };
        if let Some(lock) = &mut held {
            lock.is_done = true;
            let held = Duration::ZERO;
            method = SnapshotMethod::Locked { held };
        }
        Ok(Snapshot {
            low,
            high,
            sessions: opened,
            method,
            passed,
        })
    }
}

/// What is prepared behind `low` transactions must have ended, but for what need not be waited for,
/// and what the list does not show: no session may see it, or a transaction is listed later than it
/// is logged.
fn wait_for_prepared(
    world: &mut World,
    low: usize,
    prepared: PreparedWait<'_>,
) -> Result<Vec<PreparedId>, Failure> {
    let PreparedWait::AllBut(harmless) = prepared else {
        return Ok(Vec::new());
    };
    let mut passed = Vec::new();
    for name in world.history.open(low).into_keys() {
        let id = prepared_id(name);
        if world.random.chance(30) {
            world.count("prepared and not listed");
        } else if harmless.contains(&id) {
            world.count("prepared and passed");
            passed.push(id);
        } else {
            world.count("prepared and waited for");
            return Err(lost(code::SOURCE_PREPARED));
        }
    }
    Ok(passed)
}

/// `low` and `high` of sessions that have just opened, the first of them behind `low` transactions.
fn ends(world: &mut World, low: usize, opened: &[SimSession]) -> (Position, Position) {
    let high = world.committed;
    world.sessions = (opened[0].at, high);
    world.count(if low == high {
        "sessions at one position"
    } else {
        "sessions at several positions"
    });
    let told = if world.mutant == Some(Mutant::HighIsLow) {
        low
    } else {
        high
    };
    count_lagging(world, low);
    (world.position(low), world.position(told))
}

pub(crate) struct SimSession {
    shared: Shared,
    at: usize,
    /// What it is a connection to.
    line: (Option<usize>, u64),
    /// Statements on each table when it was opened.
    statements: [u64; 4],
    reading: Option<Arc<TablePlan>>,
    /// The range that it reads, and whether it has refused a row of it.
    range: (Option<Boundary>, Option<Boundary>),
    has_refused: bool,
    /// What is left of the range, in falling order.
    rest: Vec<Row>,
}

impl SimSession {
    fn open(shared: &Shared) -> SimSession {
        let world = shared.lock();
        SimSession {
            shared: shared.clone(),
            at: world.committed,
            line: world.line(),
            statements: world.administration.statements,
            reading: None,
            range: (None, None),
            has_refused: false,
            rest: Vec::new(),
        }
    }

    /// A session ends with its connection, its view of a table with any statement on that.
    fn expect_view(&self, world: &World, plan: &TablePlan) -> Result<(), Failure> {
        let table = plan.id.0 as usize;
        let is_same = world.administration.statements[table] == self.statements[table];
        if world.line() == self.line && is_same {
            Ok(())
        } else {
            Err(lost(code::SNAPSHOT_LOST))
        }
    }

    /// Rows between two keys, the upper one included, in rising order.
    fn rows(&self, world: &World, plan: &TablePlan, after: Option<i64>, up_to: Option<i64>) -> Vec<Row> {
        let at = if world.has(SourceFault::SessionMovesOn) {
            world.committed
        } else {
            self.at
        };
        let is_low = |key: i64| match after {
            Some(after) if world.has(SourceFault::RangeInclusive) => key < after,
            Some(after) => key <= after,
            None => false,
        };
        let is_partial = world.has(SourceFault::SessionPartial) && at < world.committed;
        let state = world.history.state(at, u64::from(is_partial));
        let rows = state[plan.id.0 as usize].values();
        let rows_max = if world.has(SourceFault::RowsCut) {
            ROWS_OF_A_CUT_RANGE
        } else {
            usize::MAX
        };
        let within = rows.filter(|row| !is_low(row[0]) && up_to.is_none_or(|up_to| row[0] <= up_to));
        within.copied().take(rows_max).collect()
    }
}

fn key_of(boundary: Option<&Boundary>) -> Option<i64> {
    boundary.map(|boundary| boundary.0.parse().unwrap())
}

/// Encodes a row as its plan wants it, or says why it cannot.
fn convert(plan: &TablePlan, row: Row, into: &mut ReadRows) {
    match encoded(plan, row) {
        Ok(encoded) => into.rows.push(&encoded),
        Err(cell) => into.refused.push(RefusedRow {
            key: row[0].to_string(),
            encoded_key: encode_key(plan, row[0]),
            cell,
        }),
    }
}

impl SnapshotSession for SimSession {
    async fn boundary(
        &mut self,
        plan: &TablePlan,
        after: Option<&Boundary>,
        rows: u64,
    ) -> Result<Option<Boundary>, Failure> {
        self.shared.step().await;
        let mut world = self.shared.lock();
        self.expect_view(&world, plan)?;
        let asked = usize::try_from(rows).unwrap();
        let rows = world.part(asked, 2, 5) - usize::from(world.has(SourceFault::BoundaryLow) && asked > 1);
        let found = self.rows(&world, plan, key_of(after), None);
        Ok(found.get(rows - 1).map(|row| Boundary(row[0].to_string())))
    }

    async fn begin(&mut self, plan: &Arc<TablePlan>, range: &Range) -> Result<(), Failure> {
        let world = self.shared.lock();
        self.expect_view(&world, plan)?;
        let (after, up_to) = (key_of(range.after.as_ref()), key_of(range.up_to.as_ref()));
        let rest = self.rows(&world, plan, after, up_to);
        drop(world);
        self.reading = Some(Arc::clone(plan));
        self.range = (range.after.clone(), range.up_to.clone());
        self.has_refused = false;
        self.rest = rest;
        self.rest.reverse();
        Ok(())
    }

    async fn read(
        &mut self,
        into: &mut ReadRows,
        rows_max: usize,
        bytes_max: usize,
    ) -> Result<ReadStatus, Failure> {
        self.shared.step().await;
        let plan = Arc::clone(self.reading.as_ref().unwrap());
        let mut world = self.shared.lock();
        if !world.has(SourceFault::RowsKept) {
            into.rows.clear();
            into.refused.clear();
        }
        match self.expect_view(&world, &plan) {
            Err(_) if world.has(SourceFault::LostIsEnd) => return Ok(ReadStatus::End),
            expected => expected?,
        }
        if world.fails(4) {
            world.count("session lost in a range");
            return Err(lost(code::SNAPSHOT_LOST));
        }
        let (rows_max, bytes_max) = if world.has(SourceFault::SizesIgnored) {
            (usize::MAX, usize::MAX)
        } else {
            (world.part(rows_max, 1, 2), bytes_max)
        };
        while into.rows.len() + into.refused.len() < rows_max && into.rows.byte_len() < bytes_max {
            let Some(mut row) = self.rest.pop() else {
                if self.has_refused {
                    unfit::note_refused_range(&mut world, &plan, &self.range);
                }
                return Ok(ReadStatus::End);
            };
            row[2] += i64::from(world.has(SourceFault::Misread));
            convert(&plan, row, into);
            self.has_refused |= !into.refused.is_empty();
            let is_last = self.range.1.is_none();
            if world.has(SourceFault::RefusedPassedOver)
                || (world.has(SourceFault::RefusedOfLastRangeOnly) && !is_last)
            {
                into.refused.clear();
            }
        }
        Ok(ReadStatus::More)
    }
}
