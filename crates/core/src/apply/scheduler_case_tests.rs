//! Single decisions of the apply machine, in the world of the seeded interleavings.

use super::*;
use crate::report::failure::Class;

/// Whether the main stream takes a change of a table that was in this phase when the stream was
/// opened.
fn takes_part(phase: TablePhase) -> bool {
    let mut world = World::new(0, None);
    (world.tables[0].phase, world.tables[0].low) = (phase, Some(0));
    world.history = vec![vec![Change {
        table: 0,
        key: 1,
        value: Some(1),
    }]];
    world.captured = 1;
    let mut machine = start(&world);
    let mut reader = Reader {
        sequence: 1,
        change: 0,
    };
    // A table that is loaded would catch up first: its group is looked at in a stream that is open
    // already.
    assert!(matches!(machine.poll(Tick(0)).unwrap(), Action::Open { .. }));
    machine.opened();
    assert!(read(&mut world, &mut machine, StreamId::Main, &mut reader, 1));
    machine.stream_mut(StreamId::Main).has_data()
}

#[test]
fn a_table_that_is_constrained_at_once_takes_part() {
    assert!(takes_part(TablePhase::Joined));
    assert!(takes_part(TablePhase::Constrained));
    assert!(!takes_part(TablePhase::Loaded));
    assert!(!takes_part(TablePhase::Stopped));
}

/// A machine over one transaction, a change of each of these tables, whose stream is open.
fn opened(world: &mut World, tables: &[u32]) -> Scheduler {
    let change = |table: &u32| Change {
        table: *table,
        key: 1,
        value: Some(1),
    };
    world.history = vec![tables.iter().map(change).collect()];
    world.captured = 1;
    let mut machine = start(world);
    assert!(matches!(machine.poll(Tick(0)).unwrap(), Action::Open { .. }));
    machine.opened();
    machine
}

/// The same, once all of the log is read and its changes are to be committed.
fn read_whole(world: &mut World, tables: &[u32]) -> (Scheduler, Action) {
    let mut machine = opened(world, tables);
    let mut reader = Reader {
        sequence: 1,
        change: 0,
    };
    while read(world, &mut machine, StreamId::Main, &mut reader, 1) {}
    machine.at_end(StreamId::Main);
    let action = machine.poll(Tick(0)).unwrap();
    (machine, action)
}

fn joined() -> World {
    let mut world = World::new(0, None);
    for table in &mut world.tables {
        (table.phase, table.low) = (TablePhase::Joined, Some(0));
    }
    world
}

/// Data is committed when nothing more can be read; a position alone may wait.
#[test]
fn data_waits_for_no_time_at_the_end_of_the_log() {
    let (_, action) = read_whole(&mut joined(), &[0]);
    assert!(matches!(action, Action::Commit(_)), "{action:?}");
    let (_, action) = read_whole(&mut joined(), &[]);
    assert!(matches!(action, Action::Wait { until: Some(_) }), "{action:?}");
}

/// A commit without rows can only be rejected for what is recorded with it: no table is at fault.
#[test]
fn a_rejection_without_rows_stops_no_table() {
    let (mut machine, _) = read_whole(&mut joined(), &[0]);
    let failure = machine.rejected(rejection("x"), Vec::new()).unwrap_err();
    assert_eq!(failure.code, code::TARGET_FAILED);
}

/// The machine knows of its own stops before its owner tells it of the tables. A table of the group
/// that the migration has given up has no state.
#[test]
fn a_stop_that_is_committed_counts_at_once() {
    let mut world = joined();
    let mut machine = opened(&mut world, &[]);
    machine.states = TableStates::new((0..5).map(|table| world.state(table)).collect());
    let builder = machine.stream_mut(StreamId::Main);
    builder.begin(Sequence(1), witness(1)).unwrap();
    let finding = Finding::new(code::DDL_SEEN, Severity::Blocking, Subject::Whole, "x");
    builder.stop(TableId(4), finding);
    builder.end(1, witness(1)).unwrap();
    machine.at_end(StreamId::Main);
    assert!(matches!(machine.poll(Tick(0)).unwrap(), Action::Commit(_)));
    assert!(!machine.states.is_stopped(TableId(4)));
    machine.committed();
    let phases = [3, 4, 5].map(|table| machine.states.phase(TableId(table)));
    assert_eq!(
        phases,
        [Some(TablePhase::Joined), Some(TablePhase::Stopped), None]
    );
}

/// While a log that was begun again repeats what is applied, no table joins; the log is asked once
/// at each place.
#[test]
fn a_batch_waits_for_a_log_that_holds_what_is_applied() {
    let mut world = World::new(0, None);
    (world.tables[0].phase, world.tables[0].low) = (TablePhase::Loaded, Some(0));
    world.fence.reached = Some(Checkpoint::whole(bookmark(1)));
    let mut asked = |held: u64| {
        let mut machine = opened(&mut world, &[]);
        let action = machine.poll(Tick(0)).unwrap();
        assert!(matches!(action, Action::AskReached { .. }), "{action:?}");
        machine.log_reached(&bookmark(held)).unwrap();
        machine.poll(Tick(0)).unwrap()
    };
    let action = asked(0);
    assert!(matches!(action, Action::Read { .. }), "{action:?}");
    let action = asked(1);
    assert!(matches!(action, Action::AskStarts { .. }), "{action:?}");
}

/// A log that begins behind a table's `low` lacks changes of that table.
#[test]
fn a_log_that_begins_behind_a_low_ends_the_run() {
    let mut world = World::new(0, None);
    (world.tables[0].phase, world.tables[0].low) = (TablePhase::Loaded, Some(1));
    world.fence.reached = Some(Checkpoint::whole(bookmark(2)));
    let mut begins = |before: u64| {
        let mut machine = opened(&mut world, &[]);
        let action = machine.poll(Tick(0)).unwrap();
        assert!(matches!(action, Action::AskReached { .. }), "{action:?}");
        machine.log_reached(&bookmark(2)).unwrap();
        let action = machine.poll(Tick(0)).unwrap();
        assert!(matches!(action, Action::AskStarts { .. }), "{action:?}");
        let first = Sequence(before + 1);
        let started = machine.log_starts(vec![(first, bookmark(before))]);
        started.map_err(|failure| (failure.code, failure.class))
    };
    assert_eq!(begins(0), Ok(()));
    assert_eq!(begins(1), Ok(()));
    assert_eq!(begins(2), Err((code::LOG_CORRUPT, Class::StopMigration)));
}
