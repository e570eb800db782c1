//! The law that binds the three traits: a snapshot and the changes behind its `low` are what a
//! later snapshot shows.

use std::cell::Cell;

use spanferry_core::port::source::{ChangeSource, SnapshotSession};

use super::model::{State, apply, capture, decode, range, read, state_now};
use super::{Bench, Change, Subject, Writer, in_time, open};
use crate::random::Random;

/// Rows come and go among so many keys of each table.
const KEYS: u64 = 40;
/// Transactions before, and at least so many behind the opening of the sessions.
const TRANSACTIONS: usize = 60;
/// Most changes of one transaction.
const CHANGES_MAX: u64 = 6;
/// Rows of a range.
const STEP: u64 = 7;
/// One of so many transactions is taken back.
const TAKEN_BACK: u64 = 5;

/// Draws a transaction that the state allows, and makes it there.
fn draw(random: &mut Random, state: &mut State, tables: &[u32]) -> Vec<Change> {
    let mut changes = Vec::new();
    for _ in 0..random.between(1, CHANGES_MAX) {
        let table = *random.pick(tables);
        let mut key = || i64::try_from(random.below(KEYS)).unwrap();
        let (old, new) = (key(), [key(), key(), key()]);
        let old = state.remove(&(table, old)).map(|row| row[0]);
        let stays = random.chance(70) && !state.contains_key(&(table, new[0]));
        let new = stays.then_some(new);
        if let Some(row) = new {
            state.insert((table, row[0]), row);
        }
        if old.is_some() || new.is_some() {
            let table = usize::try_from(table).unwrap();
            changes.push(Change { table, old, new });
        }
    }
    changes
}

struct Workload {
    random: Random,
    state: State,
    tables: Vec<u32>,
}

impl Workload {
    async fn step<W: Writer>(&mut self, writer: &mut W) {
        let mut state = self.state.clone();
        let changes = draw(&mut self.random, &mut state, &self.tables);
        if self.random.below(TAKEN_BACK) == 0 {
            writer.roll_back(&changes).await;
        } else {
            writer.commit(&changes).await;
            self.state = state;
        }
    }
}

/// Sessions that open and read without a lock under a random workload drawn by `seed`; then its
/// changes make them equal.
pub async fn check<S: Subject>(subject: &S, seed: u64) {
    let bench = Bench::new(subject).await;
    let mut writer = subject.writer().await;
    let mut workload = Workload {
        random: Random::new(seed),
        state: State::new(),
        tables: bench.plans.iter().map(|plan| plan.id.0).collect(),
    };
    for _ in 0..TRANSACTIONS {
        workload.step(&mut writer).await;
    }
    let done = Cell::new(false);
    let write = async {
        let mut steps = 0;
        while !done.get() || steps < TRANSACTIONS {
            workload.step(&mut writer).await;
            steps += 1;
        }
    };
    let load = async {
        let mut rows = State::new();
        let count = bench.plans.len();
        let opening = open(&bench.source, &bench.plans, count, false);
        let mut snapshot = opening.await.unwrap();
        for (plan, session) in bench.plans.iter().zip(&mut snapshot.sessions) {
            let mut after = None;
            loop {
                let up_to = session.boundary(plan, after.as_ref(), STEP).await.unwrap();
                for row in read(session, plan, &range(plan, after.as_ref(), up_to.as_ref())).await {
                    rows.insert((plan.id.0, row[0]), row);
                }
                after = up_to;
                if after.is_none() {
                    break;
                }
            }
        }
        done.set(true);
        (rows, snapshot.low)
    };
    let ((mut rows, low), ()) = in_time("a load under writes", async { tokio::join!(load, write) }).await;
    let mut decoder = bench.source.decoder(&bench.plans);
    apply(
        &mut rows,
        &decode(&mut decoder, &capture(&bench.source, &low).await),
    );
    assert_eq!(
        rows, workload.state,
        "seed {seed}: the source's application knows better"
    );
    assert_eq!(
        state_now(&bench.source, &bench.plans).await,
        workload.state,
        "seed {seed}"
    );
    // And from the beginning, by changes alone.
    let mut replayed = State::new();
    apply(
        &mut replayed,
        &decode(&mut decoder, &capture(&bench.source, &bench.start).await),
    );
    assert_eq!(replayed, workload.state, "seed {seed}");
}
