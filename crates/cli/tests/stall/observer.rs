//! Watches the server's locks while a migration runs: for how long a statement of the application
//! waited while a session of ours held what it waited for.
//!
//! A wait alone proves nothing about us: on a loaded machine the application's own sessions hold
//! tables for seconds.

use std::collections::{BTreeSet, HashMap};
use std::time::{Duration, Instant};

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Pool};
use spanferry_testkit::server::Engine;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// The account of the migration, which nobody else uses.
pub(crate) const ACCOUNT: &str = "ferry";
/// Longest that a statement of the application may wait for a lock because of us.
const WAIT_MAX: Duration = Duration::from_secs(1);
/// Time between two looks at the server.
const INTERVAL: Duration = Duration::from_millis(20);
/// What one look counts at most. If it takes longer, the server or this machine stood still, and no
/// session could be ended either.
const LOOK_MAX: Duration = Duration::from_millis(100);
/// Statements of the application that wait for a lock. Each has a text of its own, of the form
/// `/* app WHO TABLE */ …`.
const WAITING: &str = "SELECT info FROM information_schema.processlist WHERE info LIKE '/* app %' AND state LIKE 'Waiting for%'";
/// Metadata locks: table, mode, whether it is granted, connection, account, statement.
const LOCKS_OF_MYSQL: &str = "SELECT l.object_name, l.lock_type, l.lock_status = 'GRANTED', t.processlist_id, t.processlist_user, \
    LEFT(t.processlist_info, 200) FROM performance_schema.metadata_locks l \
    JOIN performance_schema.threads t ON t.thread_id = l.owner_thread_id";
/// The same by the plugin METADATA_LOCK_INFO, which shows granted locks only.
const LOCKS_OF_MARIADB: &str = "SELECT NULLIF(l.table_name, ''), REPLACE(l.lock_mode, 'MDL_', ''), 1, p.id, p.user, LEFT(p.info, 200) \
    FROM information_schema.metadata_lock_info l JOIN information_schema.processlist p ON p.id = l.thread_id";

/// One lock of a session.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Lock {
    /// Absent for one that concerns more than a table.
    table: Option<String>,
    mode: String,
    is_granted: bool,
    connection: u64,
    account: String,
    /// What the session runs.
    statement: Option<String>,
}

impl Lock {
    /// Whether a statement on the table may have to wait for it. The lock of a reader who waits
    /// himself holds nobody up.
    fn stands_before(&self, table: &str) -> bool {
        let concerns = match &self.table {
            Some(own) => own == table,
            None => !self.mode.starts_with("INTENTION"),
        };
        concerns && (self.is_granted || !matches!(self.mode.as_str(), "SHARED" | "SHARED_READ"))
    }

    fn is_ours(&self) -> bool {
        self.account == ACCOUNT
    }
}

/// How one statement waited.
#[derive(Debug, Default)]
struct Wait {
    /// From the first look that showed it waiting to the last.
    seen: Duration,
    /// While one of our sessions held what it waited for, without the time that the server stood
    /// still.
    by_us: Duration,
    /// Every lock that stood before it.
    holders: Vec<Lock>,
    /// When the look before showed it, and whether one of our sessions stood before it then.
    last: Option<(Instant, bool)>,
}

impl Wait {
    /// A look shows the statement waiting, with these locks before it.
    fn looked(&mut self, now: Instant, before: Vec<Lock>) {
        let is_by_us = before.iter().any(Lock::is_ours);
        if let Some((last, was_by_us)) = self.last {
            self.seen += now - last;
            if is_by_us && was_by_us {
                self.by_us += (now - last).min(LOOK_MAX);
            }
        }
        self.last = Some((now, is_by_us));
        for lock in before {
            if !self.holders.contains(&lock) {
                self.holders.push(lock);
            }
        }
    }
}

/// What was seen.
#[derive(Debug, Default)]
pub(crate) struct Waits {
    waits: HashMap<String, Wait>,
    /// The longest look: for so long the server or this machine stood still.
    longest_look: Duration,
}

impl Waits {
    /// A look at the server at an instant, and how long it took.
    fn looked(&mut self, now: Instant, took: Duration, waiting: &[String], locks: &[Lock]) {
        self.longest_look = self.longest_look.max(took);
        for (statement, wait) in &mut self.waits {
            if !waiting.contains(statement) {
                wait.last = None;
            }
        }
        for statement in waiting {
            let table = table_of(statement);
            let before = locks.iter().filter(|lock| lock.stands_before(table));
            let wait = self.waits.entry(statement.clone()).or_default();
            wait.looked(now, before.cloned().collect());
        }
    }

    /// No statement waited long for us. Some of the application's DDL waited for us at all, or
    /// nothing was shown.
    pub(crate) fn expect_short_waits(&self) {
        let longest = self.waits.iter().max_by_key(|(_, wait)| wait.by_us);
        if let Some((statement, wait)) = longest {
            let ours = wait.holders.iter().filter(|lock| lock.is_ours());
            let others: BTreeSet<_> = wait
                .holders
                .iter()
                .filter(|lock| !lock.is_ours())
                .map(|lock| lock.connection)
                .collect();
            assert!(
                wait.by_us <= WAIT_MAX,
                "`{statement}` waited for us for {:?} of {:?}; held by {:#?}; also by connections {others:?}; the longest look took {:?}",
                wait.by_us,
                wait.seen,
                ours.collect::<Vec<_>>(),
                self.longest_look
            );
        }
        let is_held_ddl = |(statement, wait): (&String, &Wait)| {
            statement.contains("ALTER TABLE") && wait.holders.iter().any(Lock::is_ours)
        };
        assert!(self.waits.iter().any(is_held_ddl), "{self:?}");
    }
}

/// The third word of the statement's comment.
fn table_of(statement: &str) -> &str {
    statement.split_ascii_whitespace().nth(3).unwrap()
}

/// Looks at the server all the time.
pub(crate) struct Observer {
    stop: watch::Sender<bool>,
    task: JoinHandle<Waits>,
}

impl Observer {
    pub(crate) async fn start(engine: Engine, pool: &Pool) -> Observer {
        let (stop, stopped) = watch::channel(false);
        let connection = pool.get_conn().await.unwrap();
        Observer {
            stop,
            task: tokio::spawn(observe(engine, connection, stopped)),
        }
    }

    pub(crate) async fn stop(self) -> Waits {
        self.stop.send_replace(true);
        self.task.await.unwrap()
    }
}

async fn observe(engine: Engine, mut connection: Conn, stopped: watch::Receiver<bool>) -> Waits {
    let mut waits = Waits::default();
    let mut pace = tokio::time::interval(INTERVAL);
    while !*stopped.borrow() {
        pace.tick().await;
        let began = Instant::now();
        let waiting: Vec<String> = connection.query(WAITING).await.unwrap();
        let locks = if waiting.is_empty() {
            Vec::new()
        } else {
            locks(engine, &mut connection).await
        };
        let now = Instant::now();
        waits.looked(now, now - began, &waiting, &locks);
    }
    waits
}

async fn locks(engine: Engine, connection: &mut Conn) -> Vec<Lock> {
    let sql = match engine {
        Engine::MySql => LOCKS_OF_MYSQL,
        Engine::MariaDb => LOCKS_OF_MARIADB,
    };
    type Row = (
        Option<String>,
        String,
        bool,
        Option<u64>,
        Option<String>,
        Option<String>,
    );
    let rows: Vec<Row> = connection.query(sql).await.unwrap();
    let locks = rows.into_iter();
    locks
        .map(|(table, mode, is_granted, connection, account, statement)| Lock {
            table,
            mode,
            is_granted,
            connection: connection.unwrap_or_default(),
            account: account.unwrap_or_default(),
            statement,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATEMENT: &str = "/* app alter t1 */ ALTER TABLE t1 ADD INDEX added (v)";

    fn lock(account: &str, mode: &str, is_granted: bool) -> Lock {
        Lock {
            table: Some("t1".to_owned()),
            mode: mode.to_owned(),
            is_granted,
            connection: 7,
            account: account.to_owned(),
            statement: None,
        }
    }

    /// For how long the statement waited because of us, if each look shows this lock.
    fn by_us(lock: &Lock, looks: &[u64]) -> Duration {
        let (mut waits, start) = (Waits::default(), Instant::now());
        for milliseconds in looks {
            let now = start + Duration::from_millis(*milliseconds);
            let locks = std::slice::from_ref(lock);
            waits.looked(now, INTERVAL, &[STATEMENT.to_owned()], locks);
        }
        waits.waits[STATEMENT].by_us
    }

    #[test]
    fn only_what_our_sessions_hold_is_counted() {
        let looks = [0, 20, 40, 30_000, 30_020];
        let counted = Duration::from_millis(160);
        for (account, mode, is_granted, expected) in [
            (ACCOUNT, "SHARED_READ", true, counted),
            (ACCOUNT, "SHARED_READ_ONLY", false, counted),
            (ACCOUNT, "SHARED_READ", false, Duration::ZERO),
            ("admin", "SHARED_WRITE", true, Duration::ZERO),
        ] {
            let lock = lock(account, mode, is_granted);
            assert_eq!(by_us(&lock, &looks), expected, "{lock:?}");
        }
        let elsewhere = Lock {
            table: Some("t2".to_owned()),
            ..lock(ACCOUNT, "SHARED_READ", true)
        };
        assert_eq!(by_us(&elsewhere, &looks), Duration::ZERO);
        let everywhere = Lock {
            table: None,
            ..lock(ACCOUNT, "SHARED", true)
        };
        assert_eq!(by_us(&everywhere, &looks), counted);
    }

    #[test]
    #[should_panic(expected = "waited for us for 1.02s of 1.02s; held by [")]
    fn a_long_wait_names_its_holder() {
        let (mut waits, start) = (Waits::default(), Instant::now());
        let ours = [lock(ACCOUNT, "SHARED_READ", true)];
        for look in 0..52 {
            waits.looked(start + INTERVAL * look, INTERVAL, &[STATEMENT.to_owned()], &ours);
        }
        waits.expect_short_waits();
    }
}
