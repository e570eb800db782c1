//! Control state, DDL, and who owns the migration.

use std::collections::BTreeMap;

use spanferry_core::port::target::{
    Committer, ControlChange, ControlStore, DdlFailure, Lane, LaneStart, SchemaTarget, TablePhase,
};
use spanferry_core::report::code;
use spanferry_core::report::failure::Class;
use spanferry_core::schema::ddl;

use super::bench::{
    begin, commit, control_commit, created, definition, delete, emptied, fence, left_out_row, migration,
    name, range_row, refused_by_fence, same_kind, scanned, table_row, upsert,
};
use super::{Row, Subject};

/// Control rows are read as they were committed, by another process too.
pub(super) async fn check_control_state<S: Subject>(subject: &S) {
    let target = subject.connect();
    assert_eq!(target.read_control().await.unwrap(), None);
    target.create_control().await.unwrap();
    target.create_control().await.unwrap();
    assert_eq!(target.read_control().await.unwrap(), None);
    let starts = [
        (Lane::Control, fence(1, 0).into()),
        (Lane::MAIN, fence(1, 4).into()),
    ];
    target.begin_epoch(None, &migration(1), &starts).await.unwrap();
    let plan = subject.table();
    let defined = |table: &str, group| definition(table, &plan, group);
    let write = [
        ControlChange::Definition(defined("é", 7)),
        ControlChange::Definition(defined("é", 8)),
        ControlChange::Definition(defined("a.b", 1)),
        ControlChange::Definition(defined("c", 2)),
        ControlChange::Definition(defined("dropped it", 3)),
        ControlChange::Definition(defined("gone", 4)),
        ControlChange::Table(table_row("gone", TablePhase::Pending)),
        ControlChange::Table(table_row("é", TablePhase::Pending)),
        ControlChange::Table(table_row("é", TablePhase::Loading)),
        ControlChange::Table(table_row("a.b", TablePhase::Pending)),
        ControlChange::Table(table_row("c", TablePhase::Stopped)),
        ControlChange::Range(range_row("é", 1, None)),
        ControlChange::Range(range_row("é", 2, Some("k"))),
        ControlChange::Range(range_row("b", 1, None)),
        ControlChange::LeaveOut(left_out_row("é", "by_name", "first")),
        ControlChange::LeaveOut(left_out_row("é", "by_name", "it's refused")),
        ControlChange::LeaveOut(left_out_row("é", "gone", "x")),
        ControlChange::LeaveOut(left_out_row("b", "by_name", "y")),
    ];
    target.commit(&control_commit(0, &write)).await.unwrap();
    let forget = [
        ControlChange::ForgetRanges(name("é")),
        ControlChange::ForgetDefinition(name("gone")),
        ControlChange::ForgetTable(name("gone")),
        ControlChange::ForgetDefinition(name("never there")),
        ControlChange::Range(range_row("é", 3, Some("z"))),
        ControlChange::ForgetLeftOut(name("é"), "gone".to_owned()),
        ControlChange::ForgetLeftOut(name("é"), "never".to_owned()),
    ];
    target.commit(&control_commit(1, &forget)).await.unwrap();

    let state = subject.connect().read_control().await.unwrap().unwrap();
    assert_eq!(state.migration, migration(1));
    let expected = [
        table_row("a.b", TablePhase::Pending),
        table_row("c", TablePhase::Stopped),
        table_row("é", TablePhase::Loading),
    ];
    let expected = expected.map(|row| (row.table.clone(), row));
    assert_eq!(state.tables, BTreeMap::from(expected));
    let expected = [("a.b", 1), ("c", 2), ("dropped it", 3), ("é", 8)];
    let expected = expected.map(|(table, group)| (name(table), defined(table, group)));
    assert_eq!(state.definitions, BTreeMap::from(expected));
    let ranges: Vec<_> = state.ranges.into_values().collect();
    assert_eq!(ranges, [range_row("b", 1, None), range_row("é", 3, Some("z"))]);
    let left_out: Vec<_> = state.left_out.into_values().collect();
    let expected = [
        left_out_row("b", "by_name", "y"),
        left_out_row("é", "by_name", "it's refused"),
    ];
    assert_eq!(left_out, expected);
    let fences: Vec<_> = state.fences.into_iter().collect();
    let lane = |lane: Lane| (lane.parts().0.to_owned(), lane.parts().1);
    let expected = [
        (lane(Lane::MAIN), fence(1, 4)),
        (lane(Lane::Control), fence(1, 2)),
    ];
    assert_eq!(fences, expected);
    assert!(target.drop_control().await.unwrap());
    assert!(!target.drop_control().await.unwrap(), "nothing was left");
    assert_eq!(target.read_control().await.unwrap(), None);
}

/// DDL runs in order up to the first refused statement, which the failure names; what is there is
/// described.
pub(super) async fn check_ddl<S: Subject>(subject: &S) {
    let (target, dialect, table) = (subject.connect(), subject.dialect(), subject.table());
    let [before, behind] = subject.others();
    let index = &table.target.indexes[0];
    let create_index = ddl::create_index(&table.target, index, dialect);
    assert!(target.describe().await.unwrap().tables.is_empty());
    target
        .run_ddl(&[ddl::create_table(&table.target, dialect)])
        .await
        .unwrap();
    begin(&target, &[(Lane::MAIN, fence(1, 0))]).await;
    let twins = upsert(&table, &[[1, 5, 0], [2, 5, 0]]);
    target.commit(&commit(0, vec![twins])).await.unwrap();

    let statements = [
        ddl::create_table(&before.target, dialect),
        create_index.clone(),
        ddl::create_table(&behind.target, dialect),
    ];
    let refused = target.run_ddl(&statements).await.unwrap_err();
    assert!(
        matches!(refused, DdlFailure::Refused { statement: 1, .. }),
        "{refused:?}"
    );
    let refused = same_kind(Err(refused.into()), code::TARGET_DDL, Class::StopTable);
    assert_eq!(refused.object, create_index);
    let found = target.describe().await.unwrap();
    let mut expected = [table.target.name.clone(), before.target.name.clone()];
    expected.sort();
    assert_eq!(found.tables.keys().cloned().collect::<Vec<_>>(), expected);
    assert!(found.tables[&table.target.name].has_rows);
    assert!(!found.tables[&before.target.name].has_rows);
    assert!(found.indexes.is_empty());
    let objects = target.schema_objects().await.unwrap();
    assert_eq!(objects.tables.into_iter().collect::<Vec<_>>(), expected);
    assert!(objects.indexes.is_empty() && objects.foreign_keys.is_empty());

    target
        .commit(&commit(1, vec![delete(&table, &[2])]))
        .await
        .unwrap();
    target.run_ddl(&[create_index]).await.unwrap();
    assert_eq!(
        target.describe().await.unwrap().indexes,
        std::slice::from_ref(&index.name)
    );
    let objects = target.schema_objects().await.unwrap();
    assert_eq!(
        objects.indexes.into_iter().collect::<Vec<_>>(),
        std::slice::from_ref(&index.name)
    );
    let drops = [
        ddl::drop_index(index, dialect),
        ddl::drop_table(&table.target, dialect),
        ddl::drop_table(&before.target, dialect),
    ];
    target.run_ddl(&drops).await.unwrap();
    assert!(target.describe().await.unwrap().tables.is_empty());
    assert!(target.drop_control().await.unwrap());
}

/// A new owner replaces all fence rows; the old one can neither commit nor come back (fence.md,
/// steps 2 and 7).
pub(super) async fn check_takeover<S: Subject>(subject: &S) {
    let (old, new) = (subject.connect(), subject.connect());
    let table = created(subject, &old).await;
    let starts = [(Lane::MAIN, fence(1, 0)), (Lane::Load(3), fence(1, 0))];
    begin(&old, &starts).await;
    same_kind(
        new.begin_epoch(None, &migration(2), &[]).await,
        code::TARGET_FENCED,
        Class::StopMigration,
    );
    assert_eq!(
        old.read_fence(Lane::Load(3)).await.unwrap(),
        Some(fence(1, 0)),
        "a refused takeover changes nothing"
    );
    let takeover = [(Lane::MAIN, fence(2, 0).into())];
    new.begin_epoch(Some(&migration(1)), &migration(2), &takeover)
        .await
        .unwrap();
    assert_eq!(new.read_fence(Lane::Load(3)).await.unwrap(), None);
    assert_eq!(new.read_fence(Lane::MAIN).await.unwrap(), Some(fence(2, 0)));

    let late = commit(0, vec![upsert(&table, &[[8, 8, 8]])]);
    refused_by_fence(&old, &late).await;
    same_kind(
        old.begin_epoch(Some(&migration(1)), &migration(3), &[]).await,
        code::TARGET_FENCED,
        Class::StopMigration,
    );
    // The same call by the owner itself is the repeat of one whose outcome was unknown.
    new.begin_epoch(Some(&migration(1)), &migration(2), &takeover)
        .await
        .unwrap();
    assert_eq!(new.read_fence(Lane::MAIN).await.unwrap(), Some(fence(2, 0)));
    assert_eq!(new.read_control().await.unwrap().unwrap().migration, migration(2));
    assert_eq!(scanned(&new, &table, 1).await, Vec::<Row>::new());
    kept(subject, &new).await;
    emptied(subject, &new, &table).await;
}

/// The main stream continues where it stands when the epoch begins, whatever the new owner has read
/// before.
async fn kept<S: Subject>(subject: &S, owner: &S::Target) {
    let next = subject.connect();
    let read = next.read_control().await.unwrap().unwrap();
    // The old owner's last commit comes after that.
    let mut last = commit(0, Vec::new());
    (last.previous, last.next) = (fence(2, 0).key, fence(2, 7));
    owner.commit(&last).await.unwrap();
    for (epoch, start, sequence) in [
        (3, LaneStart::Kept, 7),
        (4, LaneStart::KeptInNewLog, 0),
        (5, LaneStart::Kept, 0),
    ] {
        let mut before = read.migration.clone();
        before.epoch = migration(epoch - 1).epoch;
        let lanes = [(Lane::MAIN, start), (Lane::Control, fence(epoch, 0).into())];
        next.begin_epoch(Some(&before), &migration(epoch), &lanes)
            .await
            .unwrap();
        let mut expected = fence(epoch, 7);
        expected.key.sequence.0 = sequence;
        assert_eq!(next.read_fence(Lane::MAIN).await.unwrap(), Some(expected));
    }
}
