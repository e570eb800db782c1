//! The source's history: tables in three groups, transactions whose every change the source's own
//! constraints allow.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use crate::random::Random;
use crate::unfit;
use spanferry_core::fixture;
use spanferry_core::mapping::convert;
use spanferry_core::mapping::options::MappingOptions;
use spanferry_core::plan::TablePlan;
use spanferry_core::schema::source::{Catalog, SourceColumn, SourceTable};
use spanferry_core::schema::target::Dialect;

/// `id`, a constrained column, and a plain one.
pub(crate) type Row = [i64; 3];
pub(crate) type State = [BTreeMap<i64, Row>; 4];
pub(crate) const AUTHOR: usize = 0;
pub(crate) const BOOK: usize = 1;
pub(crate) const ITEM: usize = 2;
pub(crate) const NOTE: usize = 3;
/// Transactions before the migration begins.
pub(crate) const BEFORE: usize = 12;

/// All of them.
const LENGTH: usize = BEFORE + 40;

#[derive(Debug, Clone, Copy)]
pub(crate) struct Change {
    pub(crate) table: usize,
    pub(crate) old: Option<i64>,
    pub(crate) new: Option<Row>,
}

#[derive(Debug, Clone)]
pub(crate) enum Transaction {
    Changes(Vec<Change>),
    /// A statement that changes rows without row events.
    Truncate(usize),
    /// A statement that changes a table's definition.
    Alter(usize),
    /// A statement that changes nothing that a row shows.
    Index(usize),
    /// A statement that creates a table, which is not migrated.
    Create(&'static str),
    /// A change is prepared under a name, or changes of other tables are. It is not visible before
    /// it is committed.
    Prepare(u64, Option<Change>),
    /// What was prepared under this name is committed: nothing here shows what it was. A session
    /// sees the change from now on.
    Commit(u64),
    /// What was prepared under this name is rolled back.
    RollBack(u64),
}

impl Transaction {
    /// The changes of rows that take effect with it.
    pub(crate) fn changes(&self) -> &[Change] {
        match self {
            Transaction::Changes(changes) => changes,
            Transaction::Truncate(_)
            | Transaction::Alter(_)
            | Transaction::Index(_)
            | Transaction::Create(_)
            | Transaction::Prepare(..)
            | Transaction::Commit(_)
            | Transaction::RollBack(_) => &[],
        }
    }
}

/// What a history has much of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Ordinary,
    /// Values that the target cannot hold.
    Unfit,
    /// Transactions that are too large for one commit.
    Large,
    /// Transactions that are prepared, and end later.
    Prepared,
}

pub(crate) struct History {
    pub(crate) transactions: Vec<Transaction>,
    /// What distinguishes each of them from any other, also from one that took its place: never
    /// given twice, from 1.
    pub(crate) stamps: Vec<u64>,
    /// The state after so many transactions.
    pub(crate) states: Vec<State>,
    /// Whether the source checks foreign keys: a session may have switched that off.
    pub(crate) checks_keys: bool,
    /// Whether some values do not fit the target, until the last transaction repairs them.
    has_unfit: bool,
    /// Whether many transactions are too large for one commit.
    is_large: bool,
    /// Whether transactions are prepared at times.
    prepares: bool,
    /// Every transaction that ever was, with the state behind it, by stamp.
    archive: BTreeMap<u64, (Transaction, State)>,
}

impl History {
    /// A history in which nothing has happened.
    pub(crate) fn empty() -> History {
        History {
            transactions: Vec::new(),
            stamps: Vec::new(),
            states: vec![State::default()],
            checks_keys: true,
            has_unfit: false,
            is_large: false,
            prepares: false,
            archive: BTreeMap::new(),
        }
    }

    fn add(&mut self, transaction: Transaction, state: State) {
        let stamp = self.archive.len() as u64 + 1;
        self.archive.insert(stamp, (transaction.clone(), state.clone()));
        self.stamps.push(stamp);
        self.transactions.push(transaction);
        self.states.push(state);
    }

    /// A transaction that is, or was, part of the history.
    pub(crate) fn transaction(&self, stamp: u64) -> &Transaction {
        &self.archive[&stamp].0
    }

    /// Every change of a row that the source ever made, also in a history that it has lost.
    pub(crate) fn changes_ever(&self) -> impl Iterator<Item = &Change> {
        let transactions = self.archive.values().map(|(transaction, _)| transaction);
        transactions.flat_map(Transaction::changes)
    }

    /// The state behind such a transaction, in the history that it was part of; at first the empty
    /// one.
    pub(crate) fn state_behind(&self, stamp: Option<u64>) -> State {
        stamp.map_or_else(State::default, |stamp| self.archive[&stamp].1.clone())
    }

    /// One more transaction, whatever it does to constraints.
    pub(crate) fn push(&mut self, transaction: Transaction) {
        let mut state = self.states.last().unwrap().clone();
        match &transaction {
            Transaction::Changes(changes) => changes.iter().for_each(|change| apply(&mut state, change)),
            Transaction::Truncate(table) => state[*table].clear(),
            Transaction::Commit(name) => self.commit(*name, &mut state),
            Transaction::Alter(_)
            | Transaction::Index(_)
            | Transaction::Create(_)
            | Transaction::Prepare(..)
            | Transaction::RollBack(_) => {}
        }
        self.add(transaction, state);
    }

    pub(crate) fn new(random: &mut Random, kind: Kind) -> History {
        let mut history = History::empty();
        history.checks_keys = random.chance(75);
        (history.has_unfit, history.is_large) = (kind == Kind::Unfit, kind == Kind::Large);
        history.prepares = kind == Kind::Prepared;
        let truncate = random.chance(25).then(|| BEFORE + random.below(30) as usize);
        history.grow(random, truncate);
        history
    }

    /// Another history from `kept` transactions on, of the same length.
    pub(crate) fn fork(&mut self, random: &mut Random, kept: usize) {
        self.truncate(kept);
        self.grow(random, None);
    }

    /// Only the first transactions.
    pub(crate) fn truncate(&mut self, kept: usize) {
        self.transactions.truncate(kept);
        self.stamps.truncate(kept);
        self.states.truncate(kept + 1);
    }

    /// Another transaction in the place of one; the states stay as they are.
    pub(crate) fn replace(&mut self, at: usize, transaction: Transaction) {
        let kept = self.archive.get_mut(&self.stamps[at]).unwrap();
        kept.0 = transaction.clone();
        self.transactions[at] = transaction;
    }

    fn grow(&mut self, random: &mut Random, truncate: Option<usize>) {
        let history = self;
        let last = LENGTH - 1;
        for number in history.transactions.len()..LENGTH {
            let mut state = history.states.last().unwrap().clone();
            let two_phase = history.prepares.then(|| history.draw_two_phase(random)).flatten();
            let transaction = if let Some(transaction) = two_phase {
                if let Transaction::Commit(name) = transaction {
                    history.commit(name, &mut state);
                }
                transaction
            } else if truncate == Some(number) {
                let table = *random.pick(&[ITEM, NOTE]);
                state[table].clear();
                Transaction::Truncate(table)
            } else if history.has_unfit && number == last {
                let changes = unfit::mend(&state);
                for change in &changes {
                    apply(&mut state, change);
                }
                Transaction::Changes(changes)
            } else {
                let wanted = if random.chance(if history.is_large { 50 } else { 15 }) {
                    14
                } else {
                    random.between(1, 4)
                };
                let unfit_percent = match history.has_unfit {
                    true if random.chance(6) => 100,
                    true => 1,
                    false => 0,
                };
                let mut changes = Vec::new();
                for _ in 0..wanted * 3 {
                    if changes.len() as u64 >= wanted {
                        break;
                    }
                    draw(
                        random,
                        &mut state,
                        &mut changes,
                        history.checks_keys,
                        unfit_percent,
                    );
                }
                Transaction::Changes(changes)
            };
            history.add(transaction, state);
        }
    }

    /// What is prepared behind the first `number` transactions.
    pub(crate) fn open(&self, number: usize) -> BTreeMap<u64, Option<Change>> {
        let mut open = BTreeMap::new();
        for transaction in &self.transactions[..number] {
            match transaction {
                Transaction::Prepare(name, change) => drop(open.insert(*name, *change)),
                Transaction::Commit(name) | Transaction::RollBack(name) => drop(open.remove(name)),
                Transaction::Changes(_)
                | Transaction::Truncate(_)
                | Transaction::Alter(_)
                | Transaction::Index(_)
                | Transaction::Create(_) => {}
            }
        }
        open
    }

    fn commit(&self, name: u64, state: &mut State) {
        let open = self.open(self.transactions.len());
        if let Some(Some(change)) = open.get(&name) {
            apply(state, change);
        }
    }

    /// Draws a transaction that is prepared, or that ends a prepared one. The rows are those of no
    /// other transaction.
    fn draw_two_phase(&self, random: &mut Random) -> Option<Transaction> {
        let number = self.transactions.len();
        let open = self.open(number);
        let left = LENGTH - number;
        if let Some(name) = open.keys().next().copied()
            && (left <= open.len() || random.chance(12))
        {
            return Some(if random.chance(75) {
                Transaction::Commit(name)
            } else {
                Transaction::RollBack(name)
            });
        }
        // At the end all of them have ended.
        if left <= open.len() + 1 {
            return None;
        }
        let name = number as u64;
        let new = [100 + number as i64, 0, 0];
        let change = random.chance(40).then_some(Change {
            table: NOTE,
            old: None,
            new: Some(new),
        });
        random.chance(10).then_some(Transaction::Prepare(name, change))
    }

    /// The state after `number` transactions and `piece` changes of the next.
    pub(crate) fn state(&self, number: usize, piece: u64) -> State {
        let mut state = self.states[number].clone();
        if piece > 0 {
            apply_first(&mut state, &self.transactions[number], piece);
        }
        state
    }
}

/// The first changes of a transaction.
pub(crate) fn apply_first(state: &mut State, transaction: &Transaction, changes: u64) {
    if let Transaction::Changes(all) = transaction {
        for change in all.iter().take(changes as usize) {
            apply(state, change);
        }
    }
}

fn apply(state: &mut State, change: &Change) {
    if let Some(old) = change.old {
        state[change.table].remove(&old);
    }
    if let Some(row) = change.new {
        state[change.table].insert(row[0], row);
    }
}

/// Draws one change (or a swap of unique values, in three) and makes it if the source would.
fn draw(
    random: &mut Random,
    state: &mut State,
    changes: &mut Vec<Change>,
    checks_keys: bool,
    unfit_percent: u64,
) {
    let table = *random.pick(&[AUTHOR, BOOK, ITEM, ITEM, NOTE]);
    let keys: Vec<i64> = state[table].keys().copied().collect();
    if table == ITEM && keys.len() > 1 && random.chance(25) {
        let (left, right) = (*random.pick(&keys), *random.pick(&keys));
        if left != right {
            let (one, two) = (state[table][&left], state[table][&right]);
            for row in [
                [left, 900, one[2]],
                [right, one[1], two[2]],
                [left, two[1], one[2]],
            ] {
                make(
                    state,
                    changes,
                    Change {
                        table,
                        old: Some(row[0]),
                        new: Some(row),
                    },
                    checks_keys,
                );
            }
            return;
        }
    }
    let old = (!keys.is_empty() && random.chance(65)).then(|| *random.pick(&keys));
    let fresh = [
        random.below(14) as i64,
        random.below(14) as i64,
        unfit::draw(random, unfit_percent),
    ];
    let change = match old {
        Some(old) if random.chance(25) => Change {
            table,
            old: Some(old),
            new: None,
        },
        Some(old) if random.chance(30) => Change {
            table,
            old: Some(old),
            new: Some(fresh),
        },
        Some(old) => Change {
            table,
            old: Some(old),
            new: Some([old, fresh[1], fresh[2]]),
        },
        None => Change {
            table,
            old: None,
            new: Some(fresh),
        },
    };
    make(state, changes, change, checks_keys);
}

fn make(state: &mut State, changes: &mut Vec<Change>, change: Change, checks_keys: bool) {
    if let (Some(row), table) = (change.new, change.table)
        && change.old != Some(row[0])
        && state[table].contains_key(&row[0])
    {
        return;
    }
    let mut next = state.clone();
    apply(&mut next, &change);
    let mut in_force = [true; 4];
    in_force[BOOK] = checks_keys;
    if broken(&next, in_force).is_none() {
        *state = next;
        changes.push(change);
    }
}

/// What the constraint of books is called.
pub(crate) const FOREIGN_KEY: &str = "foreign key";

/// The first constraint that a state breaks, of those that are in force: by table.
pub(crate) fn broken(state: &State, in_force: [bool; 4]) -> Option<&'static str> {
    for table in [AUTHOR, ITEM] {
        let mut values: Vec<i64> = state[table].values().map(|row| row[1]).collect();
        values.sort_unstable();
        if in_force[table] && values.windows(2).any(|pair| pair[0] == pair[1]) {
            return Some("unique");
        }
    }
    let orphan = |row: &Row| !state[AUTHOR].contains_key(&row[1]);
    (in_force[BOOK] && state[BOOK].values().any(orphan)).then_some(FOREIGN_KEY)
}

pub(crate) fn catalog() -> Catalog {
    let column = |name: &str| SourceColumn {
        nullable: false,
        ..fixture::column(name, fixture::BIGINT)
    };
    let table = |name: &str| SourceTable {
        rows_estimate: 10,
        bytes_estimate: 100,
        ..fixture::table(name, ["id", "tied", "plain"].map(column).into())
    };
    let unique = || fixture::index("one", true, &[1]);
    let mut tables: Vec<_> = ["author", "book", "item", "note"].map(table).into();
    tables[AUTHOR].indexes.push(unique());
    tables[ITEM].indexes.push(unique());
    let written = fixture::foreign_key("written", &[1], "author", &["id"]);
    tables[BOOK].foreign_keys.push(written);
    Catalog {
        schema: "shop".to_owned(),
        tables,
        ..Catalog::default()
    }
}

/// How the source's tables are converted.
pub(crate) const MAPPING: MappingOptions = MappingOptions {
    dialect: Dialect::GoogleSql,
    uuid_supported: false,
};

/// The plans of all tables, made once.
pub(crate) fn plans() -> Vec<Arc<TablePlan>> {
    static PLANS: LazyLock<Vec<Arc<TablePlan>>> = LazyLock::new(|| {
        let mapped = convert::map(catalog().tables, &MAPPING);
        mapped.plans.into_iter().map(Arc::new).collect()
    });
    PLANS.clone()
}
