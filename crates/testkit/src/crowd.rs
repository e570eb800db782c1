//! A scenario on several connections: one commits all the time, the others hold transactions open
//! for a set time.
//!
//! Each has keys of its own, because a transaction that is open keeps its rows locked. A row that
//! no statement touches stands between the keys of two connections, so that a lock on the gap below
//! a row does not reach into the neighbour's.

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Error, Pool};

use crate::random::Random;
use crate::scenario::{Parent, Scenario, State};

/// Connections that hold transactions open.
const HOLDERS: u64 = 3;
/// Keys of each of them.
const HOLDER_KEYS: u64 = 20;
/// Distance between the first keys of two connections.
const STRIDE: u64 = 10_000;

/// A connection and what it writes.
#[derive(Debug)]
struct Member {
    scenario: Scenario,
    connection: Conn,
}

/// All of them.
#[derive(Debug)]
pub struct Crowd {
    pool: Pool,
    main: Member,
    holders: Vec<Member>,
    fences: State,
}

impl Crowd {
    /// A crowd on the empty tables of [`crate::scenario::SCHEMA`] in the default schema of `pool`.
    /// The one that commits all the time has `keys` keys. A pure function of `seed`, as long as the
    /// same calls follow.
    ///
    /// # Panics
    /// When `keys` is 0, or so large that the next connection's keys begin before its end.
    pub async fn new(pool: Pool, seed: u64, keys: u64) -> Result<Self, Error> {
        assert!(keys < STRIDE / 2, "expected fewer keys");
        let random = Random::new(seed);
        let mut connection = connect(&pool).await?;
        let fences = fence(&mut connection).await?;
        let main = Member {
            scenario: Scenario::new(seed, keys),
            connection,
        };
        let mut holders = Vec::new();
        for number in 1..=HOLDERS {
            let first = number * STRIDE + 1;
            holders.push(Member {
                scenario: Scenario::within(random.fork(number).word(), first..=first + HOLDER_KEYS - 1),
                connection: connect(&pool).await?,
            });
        }
        Ok(Self {
            pool,
            main,
            holders,
            fences,
        })
    }

    /// Operations so far, of all connections.
    pub fn operations(&self) -> u64 {
        let held: u64 = self
            .holders
            .iter()
            .map(|holder| holder.scenario.operations())
            .sum();
        self.main.scenario.operations() + held
    }

    /// Commits (and rolls back) transactions of at least so many operations in all.
    pub async fn run(&mut self, operations: u64) -> Result<(), Error> {
        self.main
            .scenario
            .run(&mut self.main.connection, operations)
            .await
    }

    /// Each of the other connections makes so many operations in a transaction that stays open.
    pub async fn hold(&mut self, operations: u64) -> Result<(), Error> {
        for Member { scenario, connection } in &mut self.holders {
            for statement in scenario.begin_transaction(operations) {
                connection.query_drop(statement).await?;
            }
        }
        Ok(())
    }

    /// They end what they hold open.
    pub async fn let_go(&mut self) -> Result<(), Error> {
        for Member { scenario, connection } in &mut self.holders {
            connection.query_drop(scenario.end_transaction()).await?;
        }
        Ok(())
    }

    /// Disconnects; the rows that the database must hold now.
    pub async fn end(self) -> Result<State, Error> {
        let mut state = self.fences;
        for member in self.holders.into_iter().chain([self.main]) {
            state.extend(member.scenario.state().clone());
            drop(member.connection);
        }
        self.pool.disconnect().await?;
        Ok(state)
    }
}

/// A lock on a gap is taken only where a reference or a unique value is looked up.
async fn connect(pool: &Pool) -> Result<Conn, Error> {
    let mut connection = pool.get_conn().await?;
    connection
        .query_drop("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED")
        .await?;
    Ok(connection)
}

/// Writes the rows between the keys of two connections.
async fn fence(connection: &mut Conn) -> Result<State, Error> {
    let mut state = State::default();
    for number in 0..=HOLDERS {
        let id = number * STRIDE + STRIDE / 2;
        for statement in [
            format!("INSERT INTO parent VALUES ({id}, {id}, 'fence', 0)"),
            format!("INSERT INTO child VALUES (1, {id}, 'fence')"),
        ] {
            connection.query_drop(statement).await?;
        }
        let parent = Parent {
            slot: Some(id),
            text: "fence".to_owned(),
            amount: 0,
        };
        state.parents.insert(id, parent);
        state.children.insert((id, 1), "fence".to_owned());
    }
    Ok(state)
}
