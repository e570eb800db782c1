//! Logging in while the password may change: after it was accepted once, a refusal may mean that it
//! was changed at the server.
//!
//! The rules: a refused password is not sent again for `SAME_PAUSE`, so that no account is locked
//! by us. The password file is looked at meanwhile. Another content is tried when two looks have
//! shown it, so that a file is not read while it is being written. All this ends after
//! `PASSWORD_PATIENCE`.

use std::path::PathBuf;
use std::sync::Mutex;
use std::time::Duration;

use tokio::sync::MutexGuard;
use tokio::time::{Instant, timeout};

use crate::connection::Connection;
use crate::error::{MysqlError, PASSWORD_PATIENCE};
use crate::options::{Options, read_password};

/// Time between two tries of the same refused password: two in all within `PASSWORD_PATIENCE`,
/// fewer than any lock counts.
const SAME_PAUSE: Duration = Duration::from_secs(6 * 60);
/// Time between two looks at the file that show the same content.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);
/// How long a login waits for its turn. A slow line must not make one wait for the other for long.
const TURN_PATIENCE: Duration = Duration::from_secs(3);
/// For so long after a login that was accepted, several may be tried at once. Otherwise one at a
/// time finds out that the password is refused.
const PROVED_FOR: Duration = Duration::from_secs(1);

/// All logins of one source, which share what is known of the password.
#[derive(Debug)]
pub(crate) struct Login {
    memory: Mutex<Memory>,
    /// Where the password can be read again.
    file: Option<PathBuf>,
    turn: tokio::sync::Mutex<()>,
}

impl Login {
    pub(crate) fn new(options: &Options) -> Login {
        Login {
            memory: Mutex::new(Memory::new(
                options.password.clone(),
                options.password_file.is_some(),
            )),
            file: options.password_file.clone(),
            turn: tokio::sync::Mutex::new(()),
        }
    }

    /// A new connection. While the password is refused, this fails without asking the server, and
    /// may be tried again.
    pub(crate) async fn open(&self, options: &Options) -> Result<Connection, MysqlError> {
        let _turn = self.turn().await;
        let step = self.with(|memory| memory.next(Instant::now(), || self.read()));
        let password = match step {
            Step::Try(password) => password,
            Step::Wait(refusal) => return Err(self.lost(refusal, true)),
            Step::GiveUp(refusal) => return Err(self.lost(refusal, false)),
        };
        let options = options.clone().password(password.clone());
        match Connection::open(&options).await {
            Ok(connection) => {
                self.with(|memory| memory.accepted(&password, Instant::now()));
                Ok(connection)
            }
            Err(error) if error.is_login_refused() => {
                let refusal = error.for_log();
                let step = self.with(|memory| memory.refused(&password, &refusal, Instant::now()));
                match step {
                    None => Err(error),
                    Some(is_waiting) => Err(self.lost(refusal, is_waiting)),
                }
            }
            Err(error) => Err(error),
        }
    }

    /// The turn to find out whether the password is still accepted; none while that is known.
    async fn turn(&self) -> Option<MutexGuard<'_, ()>> {
        let is_proved = || self.with(|memory| memory.is_proved(Instant::now()));
        if is_proved() {
            return None;
        }
        let turn = timeout(TURN_PATIENCE, self.turn.lock()).await.ok()?;
        // The one before may have found it out.
        (!is_proved()).then_some(turn)
    }

    fn lost(&self, refusal: String, is_waiting: bool) -> MysqlError {
        MysqlError::LoginLost {
            refusal,
            file: self.file.as_ref().map(|file| file.display().to_string()),
            is_waiting,
        }
    }

    /// What the file holds now, if it holds anything.
    fn read(&self) -> Option<String> {
        let file = self.file.as_deref()?;
        // A pipe gives its content once, and would be waited for.
        if !std::fs::metadata(file).ok()?.is_file() {
            return None;
        }
        read_password(file).ok().filter(|password| !password.is_empty())
    }

    fn with<R>(&self, change: impl FnOnce(&mut Memory) -> R) -> R {
        change(&mut self.memory.lock().expect("nothing panics under this lock"))
    }
}

/// What is known of the password. Pure: time and the file's content come in.
struct Memory {
    password: String,
    can_change: bool,
    /// When it was last accepted; never before the first login.
    proved_at: Option<Instant>,
    refused: Option<Refused>,
}

/// A password that was accepted before is refused.
struct Refused {
    /// Since the first refusal.
    since: Instant,
    /// The password that was refused last, and when.
    password: String,
    tried_at: Instant,
    /// The server's words.
    refusal: String,
    /// Another content of the file, and when it was first seen.
    candidate: Option<(String, Instant)>,
}

/// What a login does next.
#[derive(Debug, PartialEq, Eq)]
enum Step {
    /// It sends this password.
    Try(String),
    /// It fails with the last refusal and may be tried again.
    Wait(String),
    /// It fails for good.
    GiveUp(String),
}

impl Memory {
    fn new(password: String, can_change: bool) -> Memory {
        Memory {
            password,
            can_change,
            proved_at: None,
            refused: None,
        }
    }

    /// Whether the password was accepted a moment ago, and not refused since.
    fn is_proved(&self, now: Instant) -> bool {
        let is_recent = |at: Instant| now.duration_since(at) < PROVED_FOR;
        self.refused.is_none() && self.proved_at.is_some_and(is_recent)
    }

    fn next(&mut self, now: Instant, read: impl FnOnce() -> Option<String>) -> Step {
        let Some(refused) = &mut self.refused else {
            return Step::Try(self.password.clone());
        };
        if !self.can_change || now.duration_since(refused.since) >= PASSWORD_PATIENCE {
            return Step::GiveUp(refused.refusal.clone());
        }
        refused.look(read(), now);
        if let Some(password) = refused.settled(now) {
            self.password.clone_from(&password);
            return Step::Try(password);
        }
        if now.duration_since(refused.tried_at) >= SAME_PAUSE {
            return Step::Try(self.password.clone());
        }
        Step::Wait(refused.refusal.clone())
    }

    fn accepted(&mut self, password: &str, now: Instant) {
        self.proved_at = Some(now);
        // A login with the old password that was under way says nothing of the new one.
        if self.password == password {
            self.refused = None;
        }
    }

    /// Notes a refusal. Whether another password is waited for; nothing if none was ever accepted.
    fn refused(&mut self, password: &str, refusal: &str, now: Instant) -> Option<bool> {
        self.proved_at?;
        if self.password != password {
            return Some(true);
        }
        let known = self.refused.take();
        self.refused = Some(Refused {
            since: known.as_ref().map_or(now, |known| known.since),
            password: password.to_owned(),
            tried_at: now,
            refusal: refusal.to_owned(),
            candidate: known.and_then(|known| known.candidate),
        });
        Some(self.can_change)
    }
}

impl Refused {
    fn look(&mut self, content: Option<String>, now: Instant) {
        let Some(content) = content.filter(|content| *content != self.password) else {
            self.candidate = None;
            return;
        };
        let is_known = self
            .candidate
            .as_ref()
            .is_some_and(|(known, _)| *known == content);
        if !is_known {
            self.candidate = Some((content, now));
        }
    }

    /// The content that the file has kept for a while.
    fn settled(&mut self, now: Instant) -> Option<String> {
        let (_, since) = self.candidate.as_ref()?;
        if now.duration_since(*since) < LOOK_INTERVAL {
            return None;
        }
        self.candidate.take().map(|(content, _)| content)
    }
}

impl std::fmt::Debug for Memory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Memory")
            .field("can_change", &self.can_change)
            .field("is_refused", &self.refused.is_some())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A memory whose password `old` was accepted, and refused at the time that is returned.
    fn refused(can_change: bool) -> (Memory, Instant) {
        let now = Instant::now();
        let mut memory = Memory::new("old".to_owned(), can_change);
        memory.accepted("old", now);
        assert!(memory.is_proved(now));
        assert_eq!(memory.refused("old", "1045", now), Some(can_change));
        assert!(!memory.is_proved(now));
        (memory, now)
    }

    fn at(memory: &mut Memory, now: Instant, content: &str) -> Step {
        let content = (!content.is_empty()).then(|| content.to_owned());
        memory.next(now, || content)
    }

    fn wait() -> Step {
        Step::Wait("1045".to_owned())
    }

    #[test]
    fn a_password_that_was_never_accepted_is_not_waited_for() {
        let now = Instant::now();
        let mut memory = Memory::new("wrong".to_owned(), true);
        assert_eq!(memory.refused("wrong", "1045", now), None);
        assert_eq!(at(&mut memory, now, "wrong"), Step::Try("wrong".to_owned()));
    }

    #[test]
    fn a_new_content_is_tried_once_two_looks_have_shown_it() {
        let (mut memory, now) = refused(true);
        let second = Duration::from_secs(1);
        assert_eq!(at(&mut memory, now, "old"), wait());
        assert_eq!(at(&mut memory, now + second, "n"), wait(), "it is being written");
        assert_eq!(at(&mut memory, now + 2 * second, ""), wait());
        assert_eq!(at(&mut memory, now + 3 * second, "new"), wait());
        let tried = at(&mut memory, now + 4 * second, "new");
        assert_eq!(tried, Step::Try("new".to_owned()));
        memory.accepted("new", now + 4 * second);
        assert!(memory.is_proved(now + 4 * second));
        assert_eq!(
            at(&mut memory, now + 5 * second, "other"),
            Step::Try("new".to_owned())
        );
    }

    #[test]
    fn a_refused_password_is_sent_twice_within_the_patience() {
        let (mut memory, now) = refused(true);
        let mut sent = 1;
        let mut seconds = 0;
        loop {
            seconds += 1;
            let later = now + Duration::from_secs(seconds);
            match at(&mut memory, later, "old") {
                Step::Try(password) => {
                    assert_eq!(memory.refused(&password, "1045", later), Some(true));
                    sent += 1;
                }
                Step::Wait(_) => {}
                Step::GiveUp(_) => break,
            }
        }
        assert_eq!((sent, seconds), (2, PASSWORD_PATIENCE.as_secs()));
    }

    #[test]
    fn without_a_file_a_refusal_is_final() {
        let (mut memory, now) = refused(false);
        assert_eq!(at(&mut memory, now, "new"), Step::GiveUp("1045".to_owned()));
    }

    #[test]
    fn a_login_under_way_does_not_judge_another_password() {
        let (mut memory, now) = refused(true);
        let second = Duration::from_secs(1);
        at(&mut memory, now + second, "new");
        assert_eq!(
            at(&mut memory, now + 2 * second, "new"),
            Step::Try("new".to_owned())
        );
        memory.accepted("new", now + 2 * second);
        assert_eq!(memory.refused("old", "1045", now + 2 * second), Some(true));
        assert_eq!(
            at(&mut memory, now + 3 * second, "new"),
            Step::Try("new".to_owned())
        );
    }
}
