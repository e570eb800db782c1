//! Transactions of MySQL that sessions may see, or replicas have, though `gtid_executed` does not
//! hold them yet.

use std::time::Duration;

use spanferry_core::position::{GtidSet, PositionError, ServerUuid};
use spanferry_core::report::failure::Failure;
use tokio::time::Instant;

use crate::connection::Connection;
use crate::position::unreadable;
use crate::source::{At, MysqlSource};

/// How long a commit that is under way is waited for. It is short but for `AFTER_COMMIT` of
/// semi-synchronous replication, which waits for a replica between the engine's commit and
/// `gtid_executed`.
const COMMIT_PATIENCE: Duration = Duration::from_secs(10);
/// Time between two looks.
const COMMIT_POLL: Duration = Duration::from_millis(10);

/// A transaction that a session owns: it is being committed, or the session has set `gtid_next` to
/// it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Owned {
    server: ServerUuid,
    tag: String,
    number: u64,
}

/// A set that holds every transaction visible to any session that opened before the call:
/// `docs/design/hand-off.md`, MySQL 3.
pub(crate) async fn upper_bound(
    source: &MysqlSource,
    connection: &mut Connection,
) -> Result<GtidSet, Failure> {
    let mut under_way = owned(source, connection).await?;
    let deadline = Instant::now() + COMMIT_PATIENCE;
    loop {
        // In this order: what is owned no longer was added to the executed set before, if it was
        // committed at all.
        let still = owned(source, connection).await?;
        let mut executed = executed(source, connection).await?;
        under_way.retain(|one| still.contains(one) && !executed.contains(one.server, &one.tag, one.number));
        let late = Instant::now() >= deadline;
        if under_way.is_empty() || late {
            if !under_way.is_empty() {
                tracing::warn!(
                    transactions = under_way.len(),
                    "transactions are still being committed; loaded tables count as exact only after them"
                );
            }
            for one in &under_way {
                executed.insert(one.server, &one.tag, one.number);
            }
            return Ok(executed);
        }
        tokio::time::sleep(COMMIT_POLL).await;
    }
}

/// A set that holds every transaction that the server has sent to any replica: it owns the GTID
/// before it writes the transaction to the binary log, and until after `gtid_executed` holds it. It
/// may also hold some that will be rolled back.
pub(crate) async fn executed_or_owned(
    source: &MysqlSource,
    connection: &mut Connection,
) -> Result<GtidSet, Failure> {
    // In this order: what is owned no longer was added to the executed set before.
    let under_way = owned(source, connection).await?;
    let mut executed = executed(source, connection).await?;
    for one in &under_way {
        executed.insert(one.server, &one.tag, one.number);
    }
    Ok(executed)
}

async fn owned(source: &MysqlSource, connection: &mut Connection) -> Result<Vec<Owned>, Failure> {
    let found = connection.query("SELECT @@GLOBAL.gtid_owned").await;
    let text = found.at(source)?.first_text().unwrap_or_default();
    parse(&text).ok_or_else(|| unreadable(source.options(), PositionError::Malformed(text)))
}

async fn executed(source: &MysqlSource, connection: &mut Connection) -> Result<GtidSet, Failure> {
    let found = connection.query("SELECT @@GLOBAL.gtid_executed").await;
    let text = found.at(source)?.first_text().unwrap_or_default();
    GtidSet::parse(&text).map_err(|error| unreadable(source.options(), error))
}

/// Reads `uuid:number#thread:number#thread`, `uuid:tag:number#thread`. The server writes the next
/// UUID directly behind the thread's number, so the last 36 characters of a piece that is so long
/// are that UUID.
fn parse(text: &str) -> Option<Vec<Owned>> {
    const UUID_LENGTH: usize = 36;
    let separator = |letter: char| letter.is_ascii_whitespace() || letter == ',';
    let mut pieces = text.trim_matches(separator).split(':');
    let first = pieces.next()?;
    if first.is_empty() {
        return Some(Vec::new());
    }
    let mut server = ServerUuid::parse(first)?;
    let (mut tag, mut found) = (String::new(), Vec::new());
    for piece in pieces {
        let Some((number, rest)) = piece.split_once('#') else {
            tag = piece.trim_matches(separator).to_ascii_lowercase();
            continue;
        };
        let (thread, next) = rest
            .len()
            .checked_sub(UUID_LENGTH)
            .map_or(Some((rest, None)), |at| {
                rest.split_at_checked(at)
                    .map(|(thread, next)| (thread, Some(next)))
            })?;
        thread.trim_matches(separator).parse::<u64>().ok()?;
        let number = number.trim_matches(separator).parse().ok()?;
        found.push(Owned {
            server,
            tag: tag.clone(),
            number,
        });
        if let Some(next) = next {
            server = ServerUuid::parse(next)?;
            tag.clear();
        }
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "11111111-1111-1111-1111-111111111111";
    const B: &str = "22222222-1111-1111-1111-abcdefabcdef";

    fn check(text: &str, expected: Option<&[(&str, &str, u64)]>) {
        let expected = expected.map(|list| {
            let owned = list.iter().map(|(server, tag, number)| Owned {
                server: ServerUuid::parse(server).expect("a UUID"),
                tag: (*tag).to_owned(),
                number: *number,
            });
            owned.collect::<Vec<_>>()
        });
        assert_eq!(parse(text), expected, "{text}");
    }

    #[test]
    fn owned_transactions() {
        check("", Some(&[]));
        check(&format!("{A}:5#12"), Some(&[(A, "", 5)]));
        // As MySQL 9.7 writes it: nothing stands between a thread's number and the next UUID.
        check(
            &format!("{A}:5#12:7#11{B}:abc:9#10"),
            Some(&[(A, "", 5), (A, "", 7), (B, "abc", 9)]),
        );
        check(
            &format!("\n{A}:tag_1:5#12,\n{B}:1#4294967295"),
            Some(&[(A, "tag_1", 5), (B, "", 1)]),
        );
        for text in [
            "x",
            &format!("{A}:5#"),
            &format!("{A}:x#1"),
            &format!("{A}:5#é{A}é:1#1"),
        ] {
            check(text, None);
        }
    }
}
