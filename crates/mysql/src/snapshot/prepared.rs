//! Waits until transactions that were prepared before a snapshot have ended:
//! `docs/design/hand-off.md`.

use std::collections::BTreeSet;
use std::time::Duration;

use spanferry_core::port::source::{PreparedId, PreparedWait};
use spanferry_core::report::code;
use spanferry_core::report::failure::{Class, Failure};
use tokio::time::{Instant, sleep};

use crate::connection::Connection;
use crate::prepared::{list, named, needs_list};
use crate::source::{At, MysqlSource};

/// How long an end is waited for. A coordinator decides within milliseconds unless it is gone.
const END_PATIENCE: Duration = Duration::from_secs(5);
/// Time between two looks.
const END_POLL: Duration = Duration::from_millis(50);

/// What a wait has brought.
pub(super) struct Waited {
    /// Prepared transactions that were not to be waited for, and have not ended.
    pub(super) passed: Vec<PreparedId>,
    /// Whether one had to be waited for.
    pub(super) has_waited: bool,
}

/// Waits until every transaction that is listed as prepared now has ended, but those that are not
/// to be waited for. A list that the account may not see is not waited for.
pub(super) async fn wait(
    source: &MysqlSource,
    control: &mut Connection,
    prepared: PreparedWait<'_>,
) -> Result<Waited, Failure> {
    let mut waited = Waited {
        passed: Vec::new(),
        has_waited: false,
    };
    let PreparedWait::AllBut(harmless) = prepared else {
        return Ok(waited);
    };
    let deadline = Instant::now() + END_PATIENCE;
    let mut open = listed(source, control).await?;
    loop {
        let awaited: Vec<&PreparedId> = open.iter().filter(|id| !harmless.contains(id)).collect();
        if awaited.is_empty() {
            waited.passed.extend(open);
            return Ok(waited);
        }
        if Instant::now() >= deadline {
            return Err(undecided(&awaited, control.address()));
        }
        waited.has_waited = true;
        sleep(END_POLL).await;
        // One that is prepared from here on is nothing to this wait.
        let now = listed(source, control).await?;
        open.retain(|id| now.contains(id));
    }
}

async fn listed(source: &MysqlSource, control: &mut Connection) -> Result<BTreeSet<PreparedId>, Failure> {
    let listed = list(control).await.at(source)?;
    if listed.is_none() && needs_list(control.server()) {
        return Err(denied(control));
    }
    Ok(listed.unwrap_or_default().into_iter().collect())
}

fn denied(control: &Connection) -> Failure {
    let text =
        "prepared XA transactions cannot be listed, which MySQL before 8.4 needs for an exact snapshot";
    let class = Class::StopMigration;
    let failure = Failure::new(code::SOURCE_PRIVILEGE, class, control.address(), text);
    failure.hint("Run the GRANT statement that `spanferry check` prints.")
}

fn undecided(awaited: &[&PreparedId], address: &str) -> Failure {
    let text = format!(
        "prepared XA transactions are open that may have changed migrated tables: {}",
        named(awaited.iter().copied())
    );
    let failure = Failure::new(code::SOURCE_PREPARED, Class::Retry { after: None }, address, text);
    failure.hint("End each with `XA COMMIT` or `XA ROLLBACK`, as its coordinator decides. The load then continues by itself.")
}
