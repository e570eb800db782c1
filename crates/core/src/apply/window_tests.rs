//! Windows applied one after another equal a serial replay, wherever a process dies and in whatever
//! order the log comes again.

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::collection::vec;
use proptest::prelude::*;

use crate::apply::window::{TableFilter, Window, WindowBuilder, WindowLimits};
use crate::fixture;
use crate::plan::{GroupId, TableId, TablePlan};
use crate::port::change::{self, ChangeSink, NewRow, OldRow};
use crate::port::change_log::Sequence;
use crate::port::epoch::Epoch;
use crate::port::target::MutationKind;
use crate::position::checkpoint::{Checkpoint, PartialTransaction};
use crate::position::{Bookmark, Position, TransactionId, Witness};
use crate::report::code;
use crate::report::finding::{Finding, Severity, Subject};

const LIMITS: WindowLimits = WindowLimits {
    bytes_best: 30,
    bytes_max: 60,
    mutations_max: 20,
};
const SERVER: &str = "3e11fa47-71ca-11e1-9e33-c80aa9429562";
/// Tables 0 and 1 are one group, table 2 is another. The rest takes no part in the stream: table 3
/// has stopped before, table 4 is recorded only later.
const GROUPS: [u32; 5] = [0, 0, 1, 2, 3];

#[derive(Debug, Clone)]
enum Change {
    Upsert { table: u32, key: u8, value: u8 },
    Relocate { table: u32, from: u8, to: u8, value: u8 },
    Delete { table: u32, key: u8 },
}

impl Change {
    fn table(&self) -> u32 {
        match self {
            Change::Upsert { table, .. } | Change::Relocate { table, .. } | Change::Delete { table, .. } => {
                *table
            }
        }
    }
}

/// Transactions of one lane keep their order on every server; those of different lanes touch
/// different keys and do not.
#[derive(Debug, Clone)]
struct Transaction {
    number: u64,
    lane: u8,
    changes: Vec<Change>,
}

#[derive(Debug, Clone)]
struct Case {
    transactions: Vec<Transaction>,
    /// How many transactions the snapshot of table 2 holds.
    loaded: usize,
    /// The transaction and the change before which group 1 stops.
    stop: Option<(u64, usize)>,
    lives: Vec<Life>,
    /// The epoch in which table 4 is recorded.
    recorded_in: u64,
}

/// One process. The last one, behind all of these, lives on.
#[derive(Debug, Clone)]
struct Life {
    /// After how many commits it dies.
    commits: usize,
    /// Whether its log is lost then.
    loses_log: bool,
    /// Whether changes of tables that have stopped can still be decoded.
    decodes_stopped: bool,
}

type Rows = BTreeMap<(u32, u8), Vec<u8>>;

/// A row whose length is its value's.
fn row(key: u8, value: u8) -> Vec<u8> {
    let mut row = vec![key];
    row.resize(1 + usize::from(value), value);
    row
}

fn replay(rows: &mut Rows, transaction: &Transaction, counts: impl Fn(u32) -> bool) {
    for change in &transaction.changes {
        match *change {
            Change::Upsert { table, key, value } if counts(table) => {
                rows.insert((table, key), row(key, value));
            }
            Change::Relocate {
                table,
                from,
                to,
                value,
            } if counts(table) => {
                rows.remove(&(table, from));
                rows.insert((table, to), row(to, value));
            }
            Change::Delete { table, key } if counts(table) => {
                rows.remove(&(table, key));
            }
            Change::Upsert { .. } | Change::Relocate { .. } | Change::Delete { .. } => {}
        }
    }
}

fn plan(id: u32, case: &Case) -> Arc<TablePlan> {
    Arc::new(TablePlan {
        id: TableId(id),
        counted_from: Epoch(if id == 4 { case.recorded_in } else { 1 }),
        group: GroupId(GROUPS[id as usize]),
        // Every change counts two mutations then.
        backing_indexes: 1,
        ..fixture::plan(fixture::table(&format!("t{id}"), Vec::new()), [])
    })
}

fn id(number: u64) -> TransactionId {
    witness(number).id
}

fn witness(number: u64) -> Witness {
    Witness::parse(&format!("{SERVER}:{number}@{}", 1_000 + number)).unwrap()
}

fn position(transactions: &[Transaction]) -> Position {
    let mut position = Position::parse("mysql:").unwrap();
    for transaction in transactions {
        position.advance(&id(transaction.number)).unwrap();
    }
    position
}

/// The target as the windows leave it, and what its fence row says.
struct Target {
    rows: Rows,
    reached: Checkpoint,
    key: (u64, u64),
    /// Whether group 1 has stopped, and whether a part of the transaction that stops it was applied
    /// before.
    stopped: bool,
    stop_was_partial: bool,
    /// Whether a transaction that was cut has been given up for another.
    has_abandoned: bool,
}

impl Target {
    fn commit(&mut self, window: &Window, case: &Case) {
        let key = (window.sequence.0, window.reached.piece());
        assert!(key > self.key, "{key:?} follows {:?}", self.key);
        self.key = key;
        self.reached = Checkpoint::from_record(&window.reached.to_record(), window.reached.piece()).unwrap();
        assert_eq!(
            self.reached, window.reached,
            "the fence row's text holds all of it"
        );
        let (mut mutations, mut bytes, mut seen_upsert) = (0, 0, false);
        for run in &window.data {
            let table = run.table.id.0;
            mutations += 2 * run.rows.len();
            bytes += run.rows.payloads().map(<[u8]>::len).sum::<usize>();
            match run.kind {
                MutationKind::Insert | MutationKind::Update(_) => panic!("whole rows are upserted"),
                MutationKind::Delete => {
                    assert!(!seen_upsert, "deletes come first");
                    for key in run.rows.payloads() {
                        self.rows.remove(&(table, key[0]));
                    }
                }
                MutationKind::Upsert => {
                    seen_upsert = true;
                    for row in run.rows.payloads() {
                        self.rows.insert((table, row[0]), row.to_vec());
                    }
                }
            }
        }
        assert!(mutations <= LIMITS.mutations_max, "{mutations} mutations");
        assert!(bytes <= LIMITS.bytes_best + LIMITS.bytes_max, "{bytes} bytes");
        if let Some(partial) = &window.reached.partial {
            let size = |transaction: &&Transaction| witness(transaction.number) == partial.transaction;
            let transaction = case.transactions.iter().find(size).unwrap();
            assert!(
                must_be_cut(transaction),
                "only what is too large for one commit is cut"
            );
            self.stop_was_partial |= case.stop.is_some_and(|stop| stop.0 == transaction.number);
            // What was given up for another transaction stays in part until it comes again.
            self.has_abandoned |= partial.abandoned > 0;
            if !self.has_abandoned {
                self.expect_prefix(partial, transaction, case);
            }
        }
        self.stopped |= !window.stops.is_empty();
    }
}

impl Target {
    /// Tables that never stop are as after whole transactions and so many changes of the next: none
    /// is missing, none comes twice.
    fn expect_prefix(&self, partial: &PartialTransaction, transaction: &Transaction, case: &Case) {
        let mut expected = Rows::new();
        let whole = |it: &&Transaction| self.reached.position.contains(&id(it.number)).unwrap();
        for transaction in case.transactions.iter().filter(whole) {
            replay(&mut expected, transaction, |table| table < 2);
        }
        let recorded = if partial.counted_in.0 < case.recorded_in {
            4
        } else {
            5
        };
        let counted = transaction
            .changes
            .iter()
            .filter(|change| change.table() < recorded);
        let prefix = Transaction {
            changes: counted
                .take(usize::try_from(partial.changes).unwrap())
                .cloned()
                .collect(),
            ..transaction.clone()
        };
        replay(&mut expected, &prefix, |table| table < 2);
        let found: Rows = self
            .rows
            .clone()
            .into_iter()
            .filter(|((table, _), _)| *table < 2)
            .collect();
        assert_eq!(found, expected, "{partial:?}");
    }
}

/// Whether a transaction may exceed one commit: keys, rows and mutations as they are staged.
fn must_be_cut(transaction: &Transaction) -> bool {
    let (mut bytes, mut mutations) = (0, 0);
    for change in &transaction.changes {
        let (more_bytes, more_mutations) = match change {
            Change::Upsert { value, .. } => (2 + usize::from(*value), 2),
            Change::Relocate { value, .. } => (3 + usize::from(*value), 4),
            Change::Delete { .. } => (1, 2),
        };
        bytes += more_bytes;
        mutations += more_mutations;
    }
    bytes > LIMITS.bytes_max || mutations > LIMITS.mutations_max
}

fn old(key: &[u8]) -> OldRow<'_> {
    OldRow { key, row: None }
}

/// Gives a builder a transaction; changes of the tables in `passed` are only counted, those of
/// tables from `recorded` on are not known.
fn feed(
    builder: &mut WindowBuilder,
    transaction: &Transaction,
    sequence: u64,
    case: &Case,
    passed: &[u32],
    recorded: u32,
) {
    builder
        .begin(Sequence(sequence), witness(transaction.number))
        .unwrap();
    for (at, change) in transaction.changes.iter().enumerate() {
        if case.stop == Some((transaction.number, at)) {
            let finding = Finding::new(
                code::CHANGE_REJECTED,
                Severity::Blocking,
                Subject::whole(),
                "stop",
            );
            builder.stop(TableId(2), finding);
        }
        let table = change.table();
        if passed.contains(&table) || table >= recorded {
            if table < recorded {
                builder.pass(TableId(table), 1);
            }
            continue;
        }
        match *change {
            Change::Upsert { table, key, value } => {
                let (key, row) = (&[key], &row(key, value));
                builder.change(TableId(table), change::Change::Insert { key, row });
            }
            Change::Relocate {
                table,
                from,
                to,
                value,
            } => {
                let (from, to, row) = (&[from], &[to], &row(to, value));
                let (old, row) = (old(from), NewRow::Whole(row));
                builder.change(TableId(table), change::Change::Update { old, key: to, row });
            }
            Change::Delete { table, key } => {
                builder.change(TableId(table), change::Change::Delete { old: old(&[key]) });
            }
        }
    }
    builder.end(0, witness(transaction.number)).unwrap();
}

/// Another server's order: the lanes one after the other.
fn reordered(transactions: &[Transaction], first: u8) -> Vec<Transaction> {
    let lane = |lane: u8| transactions.iter().filter(move |it| it.lane == lane).cloned();
    lane(first).chain(lane(1 - first)).collect()
}

/// One process: reads the log from its watermark until it dies or the log ends; whether it reached
/// the end. Without a life it does not die.
fn live(target: &mut Target, log: &[Transaction], life: Option<&Life>, epoch: u64, case: &Case) -> bool {
    let recorded = if epoch < case.recorded_in { 4 } else { 5 };
    let plans: Vec<_> = (0..recorded).map(|id| plan(id, case)).collect();
    let from = target.key.0;
    let (reached, sequence) = (target.reached.clone(), Sequence(from));
    let mut builder = WindowBuilder::new(&plans, LIMITS, reached, sequence, Epoch(epoch));
    let passed: &[u32] = match life {
        Some(life) if life.decodes_stopped => &[],
        Some(_) | None if target.stopped => &[2, 3, 4],
        Some(_) | None => &[3],
    };
    for table in 0..3 {
        let filter = match GROUPS[table as usize] {
            1 if target.stopped => TableFilter::Ignore,
            1 => TableFilter::Apply {
                after: Some(position(&case.transactions[..case.loaded])),
            },
            _ => TableFilter::Apply { after: None },
        };
        builder.set_filter(TableId(table), filter);
    }
    let mut left = life.map_or(usize::MAX, |life| life.commits);
    let mut commit = |window: &Window| {
        if left == 0 {
            return false;
        }
        left -= 1;
        target.commit(window, case);
        true
    };
    for (transaction, sequence) in log.iter().zip(1..).filter(|(_, sequence)| *sequence > from) {
        feed(&mut builder, transaction, sequence, case, passed, recorded);
        while let Some(window) = builder.take_ready() {
            if !commit(&window) {
                return false;
            }
        }
    }
    while let Some(window) = builder.take_now() {
        if !commit(&window) {
            return false;
        }
    }
    true
}

fn run(case: &Case) {
    let mut target = Target {
        rows: Rows::new(),
        reached: Checkpoint::whole(Bookmark::unproved(position(&[]))),
        key: (0, 0),
        stopped: false,
        stop_was_partial: false,
        has_abandoned: false,
    };
    for transaction in &case.transactions[..case.loaded] {
        replay(&mut target.rows, transaction, |table| table == 2);
    }
    let mut log = case.transactions.clone();
    for ((life, epoch), first) in case.lives.iter().zip(1..).zip([1, 0].into_iter().cycle()) {
        if live(&mut target, &log, Some(life), epoch, case) {
            break;
        }
        if life.loses_log {
            // The new log begins at the position reached: sequences start again, under a new epoch.
            let applied = |it: &Transaction| target.reached.position.contains(&id(it.number)).unwrap();
            let rest: Vec<_> = case
                .transactions
                .iter()
                .filter(|it| !applied(it))
                .cloned()
                .collect();
            log = reordered(&rest, first);
            target.key = (0, target.reached.piece());
        }
    }
    let last = case.lives.len() as u64 + 1;
    live(&mut target, &log, None, last, case);

    assert_eq!(target.reached.position, position(&case.transactions));
    assert_eq!(target.reached.partial, None);
    let mut expected = Rows::new();
    // What the stream stopped at: only seen behind the snapshot of table 2, and only if it has
    // changes.
    let stop = case.stop.map(|stop| stop.0).filter(|_| target.stopped);
    for transaction in &case.transactions {
        let is_stopped = stop.is_some_and(|stop| {
            let stopping = &case.transactions[usize::try_from(stop).unwrap() - 1];
            transaction.number >= stop && transaction.lane == stopping.lane
        });
        replay(&mut expected, transaction, |table| {
            table < 2 || (table == 2 && !is_stopped)
        });
    }
    if let Some(stop) = stop {
        // The other lane stands wherever it stood when the stop came; and a cut transaction may
        // have left its first pieces.
        let lane = case.transactions[usize::try_from(stop).unwrap() - 1].lane;
        let left = |(table, key): &(u32, u8)| *table < 2 || (key % 2 == lane && !target.stop_was_partial);
        expected.retain(|key, _| left(key));
        target.rows.retain(|key, _| left(key));
    }
    assert_eq!(target.rows, expected);
}

fn change(lane: u8) -> impl Strategy<Value = Change> {
    let key = move |key: u8| 2 * key + lane;
    prop_oneof![
        3 => (0..5_u32, 0..4_u8, 0..24_u8).prop_map(move |(table, at, value)| Change::Upsert { table, key: key(at), value }),
        1 => (0..5_u32, 0..4_u8, 0..4_u8, 0..24_u8).prop_map(move |(table, from, to, value)| Change::Relocate {
            table,
            from: key(from),
            to: key(to),
            value,
        }),
        1 => (0..5_u32, 0..4_u8).prop_map(move |(table, at)| Change::Delete { table, key: key(at) }),
    ]
}

fn case() -> impl Strategy<Value = Case> {
    let transaction = (0..2_u8).prop_flat_map(|lane| {
        (
            Just(lane),
            prop_oneof![4 => vec(change(lane), 0..4), 1 => vec(change(lane), 4..30)],
        )
    });
    let life = (0..4_usize, any::<bool>(), any::<bool>());
    let life = life.prop_map(|(commits, loses_log, decodes_stopped)| Life {
        commits,
        loses_log,
        decodes_stopped,
    });
    let lives = vec(life, 0..8);
    (
        vec(transaction, 1..14),
        any::<prop::sample::Index>(),
        prop::option::weighted(0.3, (1..14_u64, 0..5_usize)),
        lives,
        1..5_u64,
    )
        .prop_map(|(transactions, loaded, stop, lives, recorded_in)| {
            let number = |((lane, changes), number)| Transaction {
                number,
                lane,
                changes,
            };
            let transactions: Vec<_> = transactions.into_iter().zip(1..).map(number).collect();
            Case {
                loaded: loaded.index(transactions.len()),
                stop,
                lives,
                recorded_in,
                transactions,
            }
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn windows_equal_a_serial_replay_across_crashes_and_reordering(case in case()) {
        run(&case);
    }
}

fn dies_and_loses_its_log(commits: usize) -> Life {
    Life {
        commits,
        loses_log: true,
        decodes_stopped: true,
    }
}

#[test]
fn a_second_torn_transaction_at_one_place_does_not_repeat_a_fence_key() {
    let large = |number, lane: u8| Transaction {
        number,
        lane,
        changes: (0..20)
            .map(|at| Change::Upsert {
                table: 0,
                key: 2 * (at % 4) + lane,
                value: 10,
            })
            .collect(),
    };
    // The first dies with three pieces of transaction 1 applied; the next log brings transaction 2
    // first, and is lost as well.
    run(&Case {
        transactions: Vec::from([large(1, 1), large(2, 0), large(3, 1)]),
        loaded: 0,
        stop: None,
        lives: [3, 0, 1].map(dies_and_loses_its_log).into(),
        recorded_in: 1,
    });
}

#[path = "window_change_tests.rs"]
mod changes;
#[path = "window_history_tests.rs"]
mod history;
