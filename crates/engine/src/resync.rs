//! Resync: tables are emptied at the target and recorded with today's definitions, so that the next
//! run loads them; or they are given up.

use std::collections::BTreeSet;

use spanferry_core::port::change_log::ChangeLog;
use spanferry_core::port::target::{
    Committer, ControlChange, SchemaTarget, TablePhase, TableRow, TargetDescription,
};
use spanferry_core::record::StopReason;
use spanferry_core::report::code;
use spanferry_core::report::failure::Failure;
use spanferry_core::report::finding::Subject;
use spanferry_core::report::remedy::Remedy;
use spanferry_core::schema::ddl;
use spanferry_core::schema::definition::TableDefinition;
use spanferry_core::schema::source::QualifiedName;
use spanferry_core::schema::target::Dialect;
use spanferry_kill_point::kill_point;

use crate::plan::Resync;
use crate::prepare::{Prepared, record_definitions};

/// Does what was decided. Its tables must not be written by anybody else meanwhile: `prepared` owns
/// the fence.
///
/// Order: the tables are recorded as stopped, then dropped at the target with everything that hangs
/// on them there, then recorded with their new definitions, then created, then recorded as pending.
/// A crash in between leaves stopped tables, of which each has a definition, and the same resync
/// can be run again (docs/design/record.md). Cancellation: as a crash.
pub async fn resync<L: ChangeLog, T: Committer + SchemaTarget>(
    prepared: &Prepared<L, T>,
    resync: &Resync,
) -> Result<(), Failure> {
    let (registry, control, target) = (
        &prepared.load.registry,
        &prepared.load.control,
        &prepared.load.shared.target,
    );
    let first = begin_rows(prepared, resync);
    control.record(registry, |_| first).await?;

    let existing = target.describe().await?;
    let statements = drops(&dropped_names(prepared, resync), &existing, prepared.load.dialect);
    kill_point("before resync drops", "");
    target.run_ddl(&statements).await?;
    kill_point("after resync drops", "");

    let definitions = resync.reload.iter().chain(&resync.changed).cloned().collect();
    record_definitions(registry, control, definitions).await?;
    let forgotten = resync
        .forget
        .iter()
        .flat_map(|known| forget_rows(prepared, known));
    let forgotten: Vec<_> = forgotten.collect();
    control.record(registry, |_| forgotten).await?;

    let creates = resync
        .reload
        .iter()
        .map(|known| ddl::create_table(&known.target, prepared.load.dialect));
    let statements: Vec<String> = creates.collect();
    kill_point("before resync tables", "");
    if !statements.is_empty() {
        target.run_ddl(&statements).await?;
    }
    kill_point("after resync tables", "");

    let pending = resync.reload.iter();
    let mut pending: Vec<_> = pending
        .map(|known| ControlChange::Table(new_row(known.name())))
        .collect();
    // All constraints are tried again over the new rows.
    pending.extend(
        resync
            .reload
            .iter()
            .flat_map(|known| forget_left_out(prepared, known.name())),
    );
    control.record(registry, |_| pending).await
}

/// The row of a table of which nothing is loaded.
pub(crate) fn new_row(table: &QualifiedName) -> TableRow {
    TableRow {
        table: table.clone(),
        phase: TablePhase::Pending,
        low: None,
        high: None,
        rows_loaded: 0,
        stopped: None,
    }
}

/// Records the tables as stopped, with nothing loaded. Tables that are new to the migration have no
/// row until the end.
fn begin_rows<L, T>(prepared: &Prepared<L, T>, resync: &Resync) -> Vec<ControlChange> {
    let stopped = |table: &QualifiedName, reason: StopReason| {
        let row = TableRow {
            phase: TablePhase::Stopped,
            stopped: Some(reason),
            ..new_row(table)
        };
        [
            ControlChange::Table(row),
            ControlChange::ForgetRanges(table.clone()),
        ]
    };
    let is_known = |table: &QualifiedName| prepared.load.registry.named(table).is_some();
    let reload = resync.reload.iter().filter(|known| is_known(known.name()));
    let reload = reload.flat_map(|known| {
        stopped(
            known.name(),
            unfinished(known.name(), &Remedy::resync(known.name())),
        )
    });
    let forget = resync.forget.iter();
    let forget = forget.flat_map(|known| {
        stopped(
            known.name(),
            unfinished(known.name(), &Remedy::forget(known.name())),
        )
    });
    let left = resync.left.iter();
    let left = left.flat_map(|stop| stopped(&stop.table, StopReason::from(&stop.finding)));
    reload.chain(forget).chain(left).collect()
}

/// What stops a table from the moment at which `resync` begins until its empty table is there.
fn unfinished(table: &QualifiedName, remedy: &Remedy) -> StopReason {
    StopReason {
        code: code::RESYNC_UNFINISHED,
        text: "`resync` has begun to empty it, and was ended before it was done".to_owned(),
        remedy: Some(remedy.clone()),
        subject: Subject::table(table),
    }
}

/// The target tables that go: as they are recorded, and as they are to be made.
fn dropped_names<L, T>(prepared: &Prepared<L, T>, resync: &Resync) -> BTreeSet<String> {
    let definitions = || resync.reload.iter().chain(&resync.forget);
    let recorded = definitions().filter_map(|known| prepared.load.registry.named(known.name()));
    let recorded = recorded.map(|plan| plan.target.name.clone());
    recorded
        .chain(definitions().map(|known| known.target.name.clone()))
        .collect()
}

/// The statements that drop tables with everything that hangs on them at the target, whether the
/// record knows it or not.
fn drops(names: &BTreeSet<String>, existing: &TargetDescription, dialect: Dialect) -> Vec<String> {
    let tables = || existing.tables.values().map(|found| &found.table);
    let mut statements = Vec::new();
    for table in tables() {
        let keys = table.foreign_keys.iter();
        let keys = keys.filter(|key| names.contains(&table.name) || names.contains(&key.parent));
        statements.extend(keys.map(|key| ddl::drop_foreign_key(table, key, dialect)));
    }
    for table in tables().filter(|table| names.contains(&table.name)) {
        let indexes = table.indexes.iter();
        statements.extend(indexes.map(|index| ddl::drop_index(index, dialect)));
        statements.push(ddl::drop_table(table, dialect));
    }
    statements
}

/// Takes a table out of the migration. Where a transaction that is applied in part was counted with
/// it, its definition stays.
fn forget_rows<L, T>(prepared: &Prepared<L, T>, definition: &TableDefinition) -> Vec<ControlChange> {
    let name = definition.name();
    let mut rows = forget_left_out(prepared, name);
    rows.push(ControlChange::ForgetTable(name.clone()));
    rows.push(if prepared.reached.partial.is_none() {
        ControlChange::ForgetDefinition(name.clone())
    } else {
        ControlChange::Definition(TableDefinition {
            is_forgotten: true,
            ..definition.clone()
        })
    });
    rows
}

/// Forgets which constraints of a table are left out.
fn forget_left_out<L, T>(prepared: &Prepared<L, T>, table: &QualifiedName) -> Vec<ControlChange> {
    let names = prepared.load.registry.left_out_of(table).into_iter();
    names
        .map(|name| ControlChange::ForgetLeftOut(table.clone(), name))
        .collect()
}
