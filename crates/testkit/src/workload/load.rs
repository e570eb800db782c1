//! The shop's application: connections that write until they are stopped.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Error, Pool};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

use super::Rows;
use super::transaction::{Kind, Shop};
use crate::random::Random;

/// Percent of the transactions that are rolled back at their end.
const ROLL_BACK_PERCENT: u64 = 8;
/// Pause before a lost connection is made again.
const RECONNECT_PAUSE: Duration = Duration::from_millis(100);

/// How hard the application writes.
#[derive(Debug, Clone)]
pub struct LoadOptions {
    /// Connections that write side by side.
    pub connections: u32,
    /// Transactions a second of all connections together, at most; without a limit they follow one
    /// another.
    pub transactions_per_second: Option<u32>,
    /// Fixes what each connection does; how they interleave is the server's.
    pub seed: u64,
}

impl Default for LoadOptions {
    fn default() -> Self {
        Self {
            connections: 4,
            transactions_per_second: None,
            seed: 1,
        }
    }
}

/// What a load has done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LoadReport {
    /// Transactions whose COMMIT was acknowledged.
    pub committed: u64,
    /// Transactions rolled back on purpose.
    pub rolled_back: u64,
    /// Transactions tried again after a deadlock or a lock that took too long.
    pub retried: u64,
    /// Transactions dropped because the server refused a duplicate key or a reference.
    pub refused: u64,
    /// Connections lost and made again; the transaction under way may or may not have been
    /// committed.
    pub reconnected: u64,
}

#[derive(Debug, Default)]
struct Counters {
    stop: AtomicBool,
    running: AtomicU64,
    committed: AtomicU64,
    rolled_back: AtomicU64,
    retried: AtomicU64,
    refused: AtomicU64,
    reconnected: AtomicU64,
}

/// A running load. Dropping it ends its connections at once; [`Load::stop`] lets each finish its
/// transaction.
#[derive(Debug)]
pub struct Load {
    counters: Arc<Counters>,
    workers: JoinSet<Result<(), Error>>,
}

impl Load {
    /// Starts writing to the shop in the pool's default schema, which was filled with `rows`.
    pub fn start(pool: &Pool, rows: &Rows, options: &LoadOptions) -> Self {
        let counters = Arc::new(Counters {
            running: AtomicU64::new(options.connections.into()),
            ..Counters::default()
        });
        let mut workers = JoinSet::new();
        let period = options
            .transactions_per_second
            .map(|rate| Duration::from_secs(options.connections.into()) / rate.max(1));
        for index in 0..options.connections {
            let worker = Worker {
                pool: pool.clone(),
                rows: rows.clone(),
                random: Random::new(options.seed).fork(index.into()),
                counters: Arc::clone(&counters),
            };
            let shared = Arc::clone(&counters);
            workers.spawn(async move {
                let outcome = worker.run(period).await;
                shared.running.fetch_sub(1, Ordering::AcqRel);
                outcome
            });
        }
        Self { counters, workers }
    }

    /// What was done so far.
    pub fn report(&self) -> LoadReport {
        let read = |counter: &AtomicU64| counter.load(Ordering::Acquire);
        LoadReport {
            committed: read(&self.counters.committed),
            rolled_back: read(&self.counters.rolled_back),
            retried: read(&self.counters.retried),
            refused: read(&self.counters.refused),
            reconnected: read(&self.counters.reconnected),
        }
    }

    /// True when no connection writes any more, which before [`Load::stop`] means that all have
    /// failed.
    pub fn is_finished(&self) -> bool {
        self.counters.running.load(Ordering::Acquire) == 0
    }

    /// Waits until every connection has finished its transaction and ended; nothing is written
    /// after this returns. The first error that a connection could not get over is returned, and
    /// means that its writes ended early.
    pub async fn stop(mut self) -> Result<LoadReport, Error> {
        self.counters.stop.store(true, Ordering::Release);
        let mut outcome = Ok(());
        while let Some(ended) = self.workers.join_next().await {
            let ended = ended.expect("a worker neither panics nor is aborted before this");
            outcome = outcome.and(ended);
        }
        outcome.map(|()| self.report())
    }
}

/// One connection of the application.
struct Worker {
    pool: Pool,
    rows: Rows,
    random: Random,
    counters: Arc<Counters>,
}

impl Worker {
    async fn run(mut self, period: Option<Duration>) -> Result<(), Error> {
        let mut connection = self.connect().await?;
        let mut ticks = period.map(interval);
        if let Some(ticks) = &mut ticks {
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        }
        while !self.stopped() {
            if let Some(ticks) = &mut ticks {
                ticks.tick().await;
            }
            let Some(open) = connection.as_mut() else { break };
            match self.transaction(open).await {
                Ok(()) => {}
                Err(error) if is_lost(&error) => {
                    self.counters.reconnected.fetch_add(1, Ordering::AcqRel);
                    connection = self.connect().await?;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn stopped(&self) -> bool {
        self.counters.stop.load(Ordering::Acquire)
    }

    /// A connection, asked for again while the server is away; none once the load was stopped.
    async fn connect(&self) -> Result<Option<Conn>, Error> {
        while !self.stopped() {
            match self.pool.get_conn().await {
                Ok(mut connection) => {
                    match connection
                        .query_drop("SET NAMES utf8mb4, time_zone = '+00:00'")
                        .await
                    {
                        Ok(()) => return Ok(Some(connection)),
                        Err(error) if is_lost(&error) => {}
                        Err(error) => return Err(error),
                    }
                }
                Err(error) if is_lost(&error) => {}
                Err(error) => return Err(error),
            }
            tokio::time::sleep(RECONNECT_PAUSE).await;
        }
        Ok(None)
    }

    /// One transaction to its end, tried again while it is the victim of a deadlock.
    async fn transaction(&mut self, connection: &mut Conn) -> Result<(), Error> {
        let kind = Kind::draw(&mut self.random);
        let rolled_back = self.random.chance(ROLL_BACK_PERCENT);
        while !self.stopped() {
            match self.attempt(connection, kind, rolled_back).await {
                Ok(()) => {
                    let counter = if rolled_back {
                        &self.counters.rolled_back
                    } else {
                        &self.counters.committed
                    };
                    counter.fetch_add(1, Ordering::AcqRel);
                    return Ok(());
                }
                Err(error) => {
                    let Some(again) = retries(&error) else {
                        return Err(error);
                    };
                    connection.query_drop("ROLLBACK").await?;
                    if !again {
                        self.counters.refused.fetch_add(1, Ordering::AcqRel);
                        return Ok(());
                    }
                    self.counters.retried.fetch_add(1, Ordering::AcqRel);
                }
            }
        }
        Ok(())
    }

    async fn attempt(&mut self, connection: &mut Conn, kind: Kind, rolled_back: bool) -> Result<(), Error> {
        connection.query_drop("START TRANSACTION").await?;
        let mut shop = Shop {
            connection,
            random: &mut self.random,
            rows: &self.rows,
        };
        shop.run(kind).await?;
        connection
            .query_drop(if rolled_back { "ROLLBACK" } else { "COMMIT" })
            .await
    }
}

/// True for the end of a connection or a server that is starting or stopping.
fn is_lost(error: &Error) -> bool {
    match error {
        Error::Io(_) | Error::Driver(_) => true,
        // Too many connections, server shutdown, connection killed.
        Error::Server(server) => matches!(server.code, 1040 | 1053 | 1927 | 3169 | 4031),
        Error::Other(_) | Error::Url(_) => false,
    }
}

/// Whether a refused transaction is tried again (deadlock, lock wait, MariaDB's "record has
/// changed") or abandoned (duplicate key, missing or present reference); none for what the
/// application does not expect.
fn retries(error: &Error) -> Option<bool> {
    let Error::Server(server) = error else { return None };
    match server.code {
        1020 | 1205 | 1213 => Some(true),
        1062 | 1451 | 1452 | 1264 | 1690 => Some(false),
        _ => None,
    }
}
