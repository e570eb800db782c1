//! How many sessions the source lets the account open, and how many of them a snapshot may have.
//!
//! A limit belongs to the account (`MAX_USER_CONNECTIONS`, or the server's `max_user_connections`)
//! or to the whole server (`max_connections`). Both can be seen without any privilege, and so can
//! the number of sessions that are open.

use std::time::Duration;

use spanferry_core::port::source::{Allotment, SessionSource};
use spanferry_core::report::amount::count;
use spanferry_core::report::code::{self, Code};
use spanferry_core::report::failure::Failure;
use spanferry_core::report::finding::{Finding, Severity, Subject};
use spanferry_core::report::remedy::Remedy;
use tokio::time::Instant;

use crate::connection::Connection;
use crate::error::MysqlError;
use crate::flavor::Facts;
use crate::line::KEPT;
use crate::preflight::{account, set};
use crate::source::{At, MysqlSource};

/// Sessions that a migration needs beside those that read its snapshot: the change stream, one for
/// questions, one that proves the source's history, two of the snapshot's watch, and one that is
/// closed but that the server still counts.
pub const SESSIONS_BESIDE: usize = 6;
/// Sessions that `--lock` adds while a snapshot opens: the one that locks, and the one that
/// withdraws the request.
const SESSIONS_OF_LOCK: usize = 2;
/// Sessions that a verification needs: two readers with a watch of two each, the change stream, one
/// for questions, and one that is closed but that the server still counts.
const SESSIONS_OF_VERIFY: usize = 9;
/// The part of the server's sessions that stays free for the application: one in so many.
const APPLICATION_PART: u64 = 10;
/// How long other sessions of the account are waited for, and the time between two looks: the
/// server counts the change stream of an earlier process until its next heartbeat, 5 s.
const ENDED_PATIENCE: Duration = Duration::from_secs(8);
const LOOK_PAUSE: Duration = Duration::from_millis(250);

/// What bounds the number of sessions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Owner {
    Account,
    Server,
}

/// One bound and what is taken of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Limit {
    owner: Owner,
    most: u64,
    /// Sessions of others.
    taken: u64,
}

impl Limit {
    /// Sessions that are kept free for others.
    fn spare(self) -> u64 {
        match self.owner {
            Owner::Account => 0,
            Owner::Server => self.most.div_ceil(APPLICATION_PART),
        }
    }

    /// Sessions that we may have if no other program has any.
    fn room(self) -> u64 {
        self.most - self.spare()
    }

    /// Sessions that we may have now.
    fn free(self) -> u64 {
        self.room().saturating_sub(self.taken)
    }

    /// The setting that lets us have `needed` sessions beside those of others.
    fn raised(self, needed: u64) -> u64 {
        let wanted = needed + self.taken;
        match self.owner {
            Owner::Account => wanted,
            // So that what is not kept free is enough.
            Owner::Server => (wanted * APPLICATION_PART).div_ceil(APPLICATION_PART - 1) + 1,
        }
    }
}

/// What the source shows of its limits.
#[derive(Debug, Clone)]
struct Limits {
    /// The account as a statement names it.
    account: String,
    /// The server's family.
    facts: &'static Facts,
    all: Vec<Limit>,
}

/// Sessions that a migration needs beside those that read its snapshot, at the most; with `lock`
/// the snapshot opens under a read lock.
pub fn sessions_beside(lock: bool) -> usize {
    SESSIONS_BESIDE + if lock { SESSIONS_OF_LOCK } else { 0 }
}

impl SessionSource for MysqlSource {
    async fn allot_sessions(&self, wanted: usize, lock: bool) -> Result<Allotment, Failure> {
        self.allot(wanted, sessions_beside(lock)).await
    }

    async fn allot_verification(&self) -> Result<Option<Finding>, Failure> {
        let allotment = self.allot(1, SESSIONS_OF_VERIFY - 1).await?;
        Ok(allotment.finding)
    }
}

impl MysqlSource {
    async fn allot(&self, wanted: usize, beside: usize) -> Result<Allotment, Failure> {
        let begun = Instant::now();
        loop {
            let mut asking = self.ask(KEPT).await?;
            let limits = read(asking.connection()).await;
            let limits = limits.at(self)?;
            asking.keep();
            let allotment = limits.allot(wanted, beside);
            let is_final = limits.alone().allot(wanted, beside) == allotment;
            if is_final || begun.elapsed() >= ENDED_PATIENCE {
                return Ok(allotment);
            }
            tokio::time::sleep(LOOK_PAUSE).await;
        }
    }
}

/// Asks the server, over the only session that we have by now.
async fn read(connection: &mut Connection) -> Result<Limits, MysqlError> {
    let account = account(connection).await?;
    let found = connection
        .query("SELECT @@SESSION.max_user_connections, @@GLOBAL.max_connections, SUBSTRING_INDEX(CURRENT_USER(), '@', 1)")
        .await?;
    let unreadable = MysqlError::Protocol {
        expected: "the limits on sessions",
    };
    let row = found.rows.first().ok_or(unreadable)?;
    let number = |column| {
        let unreadable = MysqlError::Protocol {
            expected: "a limit on sessions",
        };
        row.number(column).ok_or(unreadable)
    };
    let user = row.text_or_empty(2);
    let status = connection
        .query("SHOW GLOBAL STATUS LIKE 'Threads_connected'")
        .await?;
    let connected = status.rows.first().and_then(|row| row.number(1)).unwrap_or(1);
    let list = connection.query("SHOW PROCESSLIST").await?;
    let of_user = list.column("User").map_or(1, |column| {
        let own = list.rows.iter().filter(|row| row.text_or_empty(column) == user);
        own.count() as u64
    });
    let limit = |owner, most, open: u64| Limit {
        owner,
        most,
        taken: open.saturating_sub(1),
    };
    let all = [
        limit(Owner::Account, number(0)?, of_user),
        limit(Owner::Server, number(1)?, connected),
    ];
    Ok(Limits {
        account,
        facts: connection.server().facts(),
        // Zero is no limit.
        all: all.into_iter().filter(|limit| limit.most > 0).collect(),
    })
}

impl Limits {
    /// The same without other sessions of the account.
    fn alone(&self) -> Limits {
        let alone = |limit: &Limit| match limit.owner {
            Owner::Account => Limit { taken: 0, ..*limit },
            Owner::Server => *limit,
        };
        Limits {
            all: self.all.iter().map(alone).collect(),
            ..self.clone()
        }
    }

    fn allot(&self, wanted: usize, beside: usize) -> Allotment {
        let (wanted, beside) = (wanted.max(1) as u64, beside as u64);
        let fits = |room: u64| room.saturating_sub(beside).clamp(1, wanted);
        let tightest = self.all.iter().min_by_key(|limit| limit.room());
        let fullest = self.all.iter().min_by_key(|limit| limit.free());
        let (Some(tightest), Some(fullest)) = (tightest, fullest) else {
            return allotment(wanted, None);
        };
        let needed = wanted + beside;
        let finding = if tightest.room() < 1 + beside {
            let text = format!(
                "{}: a migration needs {needed}, and at least {}",
                self.most(*tightest),
                1 + beside
            );
            Some((code::SOURCE_SESSIONS, Severity::Blocking, text, tightest))
        } else if fullest.free() < 1 + beside {
            let text = format!(
                "{}, and others have {} of them: a migration needs {needed}, and at least {}",
                self.most(*fullest),
                count(fullest.taken),
                1 + beside
            );
            Some((code::SOURCE_SESSIONS_TAKEN, Severity::Blocking, text, fullest))
        } else if fullest.free() < needed {
            let fewer = fits(fullest.free());
            let text = format!(
                "the snapshot is read by {fewer} instead of {wanted} sessions: {}, others have {} of them, and the migration needs \
                 {beside} for other work",
                self.most(*fullest),
                count(fullest.taken)
            );
            Some((code::SOURCE_SESSIONS, Severity::Warning, text, fullest))
        } else {
            None
        };
        let finding =
            finding.map(|(code, severity, text, limit)| self.find(code, severity, text, *limit, needed));
        allotment(fits(fullest.free()), finding)
    }

    /// The limit in words.
    fn most(&self, limit: Limit) -> String {
        match limit.owner {
            Owner::Account => format!("the account {} may have {} sessions", self.account, limit.most),
            Owner::Server => format!(
                "the server allows {} sessions, of which {} stay free for the application",
                limit.most,
                limit.spare()
            ),
        }
    }

    fn find(&self, code: Code, severity: Severity, text: String, limit: Limit, needed: u64) -> Finding {
        Finding::new(code, severity, Subject::whole(), text).remedy(self.remedy(limit, limit.raised(needed)))
    }

    /// The statement that raises the limit.
    fn remedy(&self, limit: Limit, most: u64) -> Remedy {
        match limit.owner {
            Owner::Account => Remedy::source(format!(
                "ALTER USER {} WITH MAX_USER_CONNECTIONS {most}",
                self.account
            )),
            Owner::Server => set(self.facts, "max_connections", &most.to_string()),
        }
    }
}

fn allotment(sessions: u64, finding: Option<Finding>) -> Allotment {
    Allotment {
        sessions: usize::try_from(sessions).expect("no more than were wanted"),
        finding,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connection::Flavor;

    /// `account` and `server` are a limit and what others have of it.
    fn check(account: (u64, u64), server: (u64, u64), expected: (usize, Option<(Code, Severity)>)) {
        let limit = |owner, (most, taken)| Limit { owner, most, taken };
        let limits = Limits {
            account: "'a'@'%'".to_owned(),
            facts: Flavor::Mysql.facts(),
            all: [limit(Owner::Account, account), limit(Owner::Server, server)]
                .into_iter()
                .filter(|limit| limit.most > 0)
                .collect(),
        };
        let found = limits.allot(4, SESSIONS_BESIDE);
        let kind = found
            .finding
            .as_ref()
            .map(|finding| (finding.code, finding.severity));
        assert_eq!((found.sessions, kind), expected, "{account:?} {server:?}");
        // The statement of the remedy is enough.
        if let Some(remedy) = found.finding.and_then(|finding| finding.remedy) {
            let text = remedy.to_string();
            let digits = text
                .trim_end_matches(';')
                .rsplit(' ')
                .next()
                .unwrap_or_default()
                .to_owned();
            let most: u64 = digits.parse().unwrap();
            let raised = if text.contains("ALTER USER") {
                limits.all[0].owner
            } else {
                Owner::Server
            };
            let all = limits.all.iter().map(|limit| {
                let most = if limit.owner == raised { most } else { 10_000 };
                Limit { most, ..*limit }
            });
            let all = all.collect();
            let mended = Limits { all, ..limits };
            assert_eq!(mended.allot(4, SESSIONS_BESIDE).finding, None, "{text}");
        }
    }

    #[test]
    fn a_snapshot_has_as_many_sessions_as_the_limits_leave() {
        let refused = |code| Some((code, Severity::Blocking));
        let fewer = Some((code::SOURCE_SESSIONS, Severity::Warning));
        check((0, 0), (151, 20), (4, None));
        check((10, 0), (151, 20), (4, None));
        check((9, 0), (151, 20), (3, fewer));
        check((7, 0), (151, 20), (1, fewer));
        check((10, 2), (151, 20), (2, fewer));
        check((3, 0), (151, 20), (1, refused(code::SOURCE_SESSIONS)));
        check((6, 0), (151, 20), (1, refused(code::SOURCE_SESSIONS)));
        check((10, 5), (151, 20), (1, refused(code::SOURCE_SESSIONS_TAKEN)));
        check((0, 0), (151, 125), (4, None));
        check((0, 0), (151, 127), (2, fewer));
        check((0, 0), (151, 150), (1, refused(code::SOURCE_SESSIONS_TAKEN)));
        check((0, 0), (7, 0), (1, refused(code::SOURCE_SESSIONS)));
        check((3, 0), (151, 150), (1, refused(code::SOURCE_SESSIONS)));
    }
}
