//! Prepared XA transactions: their identity as the server lists and logs it, and the list.

use spanferry_core::port::source::PreparedId;

use crate::connection::{Connection, ResultRow, Server};
use crate::error::MysqlError;
use crate::sql;

/// MySQL's answer to `XA RECOVER` without the privilege for it.
const XA_RECOVER_DENIED: u16 = 1401;
/// Most bytes of an identity's two parts together (`XIDDATASIZE` of both servers).
const IDENTITY_BYTES_MAX: usize = 128;
/// Transactions that a message names.
const NAMED_MAX: usize = 3;

/// A decision that a server has logged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Decision {
    Commit(PreparedId),
    Rollback(PreparedId),
}

/// The transactions that are prepared and have not ended; `None` if the account may not list them.
pub(crate) async fn list(connection: &mut Connection) -> Result<Option<Vec<PreparedId>>, MysqlError> {
    match connection.query("XA RECOVER").await {
        Ok(found) => Ok(Some(found.rows.iter().map(listed).collect())),
        Err(error) if error.is_denied() || error.server_code() == Some(XA_RECOVER_DENIED) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whether a commit of a prepared transaction that is executed is also visible, so that a snapshot
/// may do without the list. Older servers may count it as executed first
/// (docs/design/hand-off.md).
pub(crate) fn needs_list(server: &Server) -> bool {
    server.version < server.facts().executed_is_visible_since
}

/// What gives an account the list.
pub(crate) fn grant(account: &str) -> String {
    format!("GRANT XA_RECOVER_ADMIN ON *.* TO {account}")
}

/// A row of `XA RECOVER`: format, length of the global part, length of the branch's part, and both
/// parts together.
fn listed(row: &ResultRow) -> PreparedId {
    let data = row.bytes(3).unwrap_or_default();
    let length = row.number(1).and_then(|length| usize::try_from(length).ok());
    let (global, branch) = data.split_at(length.unwrap_or(data.len()).min(data.len()));
    identity(global, branch, row.number(0).unwrap_or_default())
}

/// An identity as `XA COMMIT` takes it.
fn identity(global: &[u8], branch: &[u8], format: u64) -> PreparedId {
    PreparedId(format!(
        "X'{}',X'{}',{format}",
        sql::hex(global),
        sql::hex(branch)
    ))
}

/// The body of an XA_PREPARE event: whether the transaction commits at once, its format, the
/// lengths of both parts, both parts (`XA_prepare_log_event`, the same at both servers). `None` if
/// it commits at once, or cannot be read.
pub(crate) fn of_event(body: &[u8]) -> Option<PreparedId> {
    let word = |at: usize| Some(u32::from_le_bytes(*body.get(at..)?.first_chunk()?));
    let length = |at: usize| usize::try_from(word(at)?).ok();
    if *body.first()? != 0 {
        return None;
    }
    let (format, global, branch) = (word(1)?, length(5)?, length(9)?);
    if global.saturating_add(branch) > IDENTITY_BYTES_MAX {
        return None;
    }
    let (global, rest) = body.get(13..)?.split_at_checked(global)?;
    Some(identity(global, rest.get(..branch)?, u64::from(format)))
}

/// What a logged statement decides; the servers write it as `XA COMMIT X'…',X'…',1`.
pub(crate) fn decision(text: &str) -> Option<Decision> {
    let behind = |words: &str| {
        let identity = text.strip_prefix(words)?.trim_end();
        is_identity(identity).then(|| PreparedId(identity.to_ascii_uppercase()))
    };
    let commit = behind("XA COMMIT ").map(Decision::Commit);
    commit.or_else(|| behind("XA ROLLBACK ").map(Decision::Rollback))
}

fn is_identity(text: &str) -> bool {
    let is_hex = |part: Option<&str>| {
        let digits = part.and_then(|part| part.strip_prefix("X'")?.strip_suffix('\''));
        let is_short = |digits: &str| digits.len() <= 2 * IDENTITY_BYTES_MAX;
        digits.is_some_and(|digits| is_short(digits) && digits.bytes().all(|digit| digit.is_ascii_hexdigit()))
    };
    let mut parts = text.split(',');
    is_hex(parts.next())
        && is_hex(parts.next())
        && parts.next().is_some_and(|format| format.parse::<u64>().is_ok())
        && parts.next().is_none()
}

/// The first of them, and how many more there are.
pub(crate) fn named<'a>(ids: impl ExactSizeIterator<Item = &'a PreparedId>) -> String {
    let more = ids.len().saturating_sub(NAMED_MAX);
    let first: Vec<&str> = ids.take(NAMED_MAX).map(|id| id.0.as_str()).collect();
    let first = first.join(" and ");
    if more == 0 {
        first
    } else {
        format!("{first} and {more} more")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_and_a_decision_name_the_same_transaction() {
        let event = |one_phase: u8, format: u32| {
            let numbers = [format, 3, 2].into_iter().flat_map(u32::to_le_bytes);
            let head = std::iter::once(one_phase).chain(numbers);
            head.chain(*b"g'1\x00\xff").collect::<Vec<u8>>()
        };
        let expected = PreparedId("X'672731',X'00FF',7".to_owned());
        assert_eq!(of_event(&event(0, 7)), Some(expected.clone()));
        assert_eq!(identity(b"g'1", b"\x00\xff", 7), expected);
        assert_eq!(
            decision("XA COMMIT X'672731',X'00ff',7"),
            Some(Decision::Commit(expected.clone()))
        );
        assert_eq!(
            decision("XA ROLLBACK X'672731',X'00FF',7"),
            Some(Decision::Rollback(expected))
        );
        assert_eq!(of_event(&event(1, 7)), None, "it commits at once");
        let mut long = event(0, 1);
        long[5] = 200;
        long.extend([0; 400]);
        assert_eq!(of_event(&long), None, "no server makes one so long");
        let whole = event(0, 1);
        for length in 0..whole.len() {
            assert_eq!(of_event(&whole[..length]), None);
        }
    }

    #[test]
    fn other_texts_are_no_decisions() {
        for text in [
            "",
            "COMMIT",
            "XA START X'01',X'',1",
            "XA COMMIT X'01',X'',1 ONE PHASE",
            "XA COMMIT X'01',X'',1,2",
            "XA COMMIT 'a','b',1",
            "XA COMMIT X'01',X''",
        ] {
            assert_eq!(decision(text), None, "{text}");
        }
    }

    #[test]
    fn an_old_server_needs_the_list() {
        let needs = |text: &str, mysql_bit: bool| needs_list(&Server::parse(text, mysql_bit));
        assert!(needs("8.0.43", true));
        assert!(!needs("8.4.0", true) && !needs("9.7.4-Debian", true));
        assert!(!needs("5.5.5-10.5.29-MariaDB", false));
    }

    #[test]
    fn a_message_names_few() {
        let ids: Vec<PreparedId> = ["a", "b", "c", "d"]
            .iter()
            .map(|id| PreparedId((*id).into()))
            .collect();
        assert_eq!(named(ids[..2].iter()), "a and b");
        assert_eq!(named(ids.iter()), "a and b and c and 1 more");
    }
}
