//! Requests that begin a binlog stream, and what the server's refusals mean.

use spanferry_core::position::{GtidSet, MariadbGtids, Position, TransactionId, Witness};
use spanferry_core::report::code;
use spanferry_core::report::failure::{Class, Failure, ServerWords};

use crate::error::MysqlError;

const COM_BINLOG_DUMP: u8 = 0x12;
const COM_REGISTER_SLAVE: u8 = 0x15;
const COM_BINLOG_DUMP_GTID: u8 = 0x1e;
/// Where the first event of every file begins.
const FIRST_EVENT: u32 = 4;

/// Makes the replica visible in `SHOW REPLICAS`: server id, a host by which our own earlier streams
/// are known, empty user and password, port, rank, source id.
pub(crate) fn register(server_id: u32, host: &str) -> Vec<u8> {
    let mut request = vec![COM_REGISTER_SLAVE];
    request.extend_from_slice(&server_id.to_le_bytes());
    request.push(u8::try_from(host.len()).expect("the name is short"));
    request.extend_from_slice(host.as_bytes());
    request.extend_from_slice(&[0; 2 + 2 + 4 + 4]);
    request
}

/// Who reads the binary log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reader {
    /// A replica with this id: the server ends an older stream of the same id, and sends what comes
    /// from now on.
    Replica(u32),
    /// Nobody's id: no stream is ended, and the server sends what comes from now on.
    Observer,
    /// A visitor without an id, as `mysqlbinlog`: no other stream is ended, and the server ends
    /// this one where its log ends.
    Visitor,
}

impl Reader {
    fn server_id(self) -> u32 {
        match self {
            Reader::Replica(id) => id,
            Reader::Observer | Reader::Visitor => 0,
        }
    }

    fn flags(self) -> u16 {
        const NON_BLOCKING: u16 = 1;
        match self {
            Reader::Replica(_) | Reader::Observer => 0,
            Reader::Visitor => NON_BLOCKING,
        }
    }
}

/// Asks for everything that is not in `after`, and for the awaited transactions once more.
pub(crate) fn request(reader: Reader, after: &Position, awaited: &[Witness]) -> Vec<u8> {
    match after {
        Position::Mysql(set) => request_mysql(reader, &without(set, awaited)),
        Position::Mariadb(_) => request_mariadb(reader),
    }
}

/// What has to be set in front of the request, behind other settings.
pub(crate) fn settings(after: &Position, awaited: &[Witness]) -> String {
    match after {
        Position::Mysql(_) => String::new(),
        Position::Mariadb(list) => {
            // Capability 4: GTIDs. Strict mode: a position that is not in the server's binlog is an
            // error. What lies just before an awaited transaction may be such a hole, but the
            // transaction itself must come.
            let strict = u8::from(awaited.is_empty());
            format!(
                ", @mariadb_slave_capability = 4, @slave_connect_state = '{}', @slave_gtid_strict_mode = {strict}, \
                 @slave_gtid_ignore_duplicates = 0",
                before(list, awaited)
            )
        }
    }
}

/// The set without the awaited transactions.
fn without(set: &GtidSet, awaited: &[Witness]) -> GtidSet {
    let mut rest = set.clone();
    for witness in awaited {
        if let TransactionId::Mysql { server, tag, number } = &witness.id {
            rest.remove(*server, tag, *number);
        }
    }
    rest
}

/// The position with the domains of the awaited transactions just before those.
fn before(list: &MariadbGtids, awaited: &[Witness]) -> MariadbGtids {
    let mut earlier = list.clone();
    for witness in awaited {
        if let TransactionId::Mariadb {
            domain,
            server,
            number,
        } = witness.id
        {
            earlier.set(domain, server, number.saturating_sub(1));
        }
    }
    earlier
}

/// MySQL: everything that is not in `after` (`COM_BINLOG_DUMP_GTID`).
fn request_mysql(reader: Reader, after: &GtidSet) -> Vec<u8> {
    const THROUGH_GTID: u16 = 4;
    let set = encoded(after);
    let length = u32::try_from(set.len()).unwrap_or(u32::MAX);
    let mut request = vec![COM_BINLOG_DUMP_GTID];
    request.extend_from_slice(&(THROUGH_GTID | reader.flags()).to_le_bytes());
    request.extend_from_slice(&reader.server_id().to_le_bytes());
    request.extend_from_slice(&0_u32.to_le_bytes());
    request.extend_from_slice(&u64::from(FIRST_EVENT).to_le_bytes());
    request.extend_from_slice(&length.to_le_bytes());
    request.extend_from_slice(&set);
    request
}

/// MariaDB: what `@slave_connect_state` says (`COM_BINLOG_DUMP`).
fn request_mariadb(reader: Reader) -> Vec<u8> {
    let mut request = vec![COM_BINLOG_DUMP];
    request.extend_from_slice(&FIRST_EVENT.to_le_bytes());
    request.extend_from_slice(&reader.flags().to_le_bytes());
    request.extend_from_slice(&reader.server_id().to_le_bytes());
    request
}

/// A GTID set as `Gtid_set::encode` writes it. With tags, the count carries the format number 1 in
/// its highest and lowest byte, and every UUID is followed by its tag (length shifted left by one,
/// as the server's variable-length integer).
fn encoded(set: &GtidSet) -> Vec<u8> {
    let count = set.intervals().count() as u64;
    let tagged = set.intervals().any(|(_, tag, _)| !tag.is_empty());
    let head = if tagged { 1 << 56 | count << 8 | 1 } else { count };
    let mut bytes = head.to_le_bytes().to_vec();
    for (server, tag, intervals) in set.intervals() {
        bytes.extend_from_slice(&server.0);
        if tagged {
            // Tags have at most 32 characters.
            bytes.push(u8::try_from(tag.len() << 1).unwrap_or(u8::MAX));
            bytes.extend_from_slice(tag.as_bytes());
        }
        bytes.extend_from_slice(&(intervals.len() as u64).to_le_bytes());
        for (start, end) in intervals {
            bytes.extend_from_slice(&start.to_le_bytes());
            bytes.extend_from_slice(&end.to_le_bytes());
        }
    }
    bytes
}

/// Error 1236: the server cannot send what was asked for, and says why only as text.
const CANNOT_SEND: u16 = 1236;
/// MariaDB ends the stream of a replica when another with its server id comes.
const SERVER_ID_TAKEN: u16 = 4052;

/// The failure behind an error of the stream. One that has begun may break for reasons that opening
/// it again shows more of: the file that it reads was removed, as by a reset of the log.
pub(crate) fn failure(error: MysqlError, address: &str, has_begun: bool) -> Failure {
    let MysqlError::Server {
        code: CANNOT_SEND | SERVER_ID_TAKEN,
        message,
        ..
    } = &error
    else {
        return error.into_failure(address);
    };
    let text = message.to_ascii_lowercase();
    let says = |parts: &[&str]| parts.iter().any(|part| text.contains(part));
    let code = if says(&[
        "purged",
        "could not find gtid state requested",
        "could not find first log file",
    ]) {
        code::POSITION_PURGED
    } else if says(&[
        "not in the master's binlog",
        "more gtids",
        "diverged",
        "has more",
        "not in the source's binlog",
        "is missing the gtid",
    ]) {
        code::HISTORY_CHANGED
    } else if says(&["same server_uuid/server_id", "same server_id", "same server_uuid"]) {
        code::SOURCE_SERVER_ID
    } else {
        code::SOURCE_FAILED
    };
    let class = if has_begun && code == code::SOURCE_FAILED {
        Class::Retry { after: None }
    } else {
        Class::StopMigration
    };
    Failure::new(code, class, address, code.title()).caused_by(ServerWords::from(error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_are_encoded_as_the_server_does() {
        let set = GtidSet::parse("3e11fa47-71ca-11e1-9e33-c80aa9429562:1-3:7").unwrap();
        let plain = encoded(&set);
        assert_eq!(plain.len(), 8 + 16 + 8 + 4 * 8);
        assert_eq!(plain[8..12], [0x3e, 0x11, 0xfa, 0x47]);
        assert_eq!(plain[24..40], [2_u64.to_le_bytes(), 1_u64.to_le_bytes()].concat());
        let tagged = encoded(&GtidSet::parse("3e11fa47-71ca-11e1-9e33-c80aa9429562:t:1").unwrap());
        assert_eq!(tagged[..8], [1, 1, 0, 0, 0, 0, 0, 1]);
        assert_eq!(tagged[24..27], [2, b't', 1]);
    }

    #[test]
    fn awaited_transactions_are_asked_for_once_more() {
        let witness = |text: &str| Witness::parse(text).unwrap();
        let server = "3e11fa47-71ca-11e1-9e33-c80aa9429562";
        let set = GtidSet::parse(&format!("{server}:1-5,{server}:t:1")).unwrap();
        let awaited = [
            witness(&format!("{server}:3@7")),
            witness(&format!("{server}:t:1@7")),
        ];
        assert_eq!(without(&set, &awaited).to_string(), format!("{server}:1-2:4-5"));
        let position = Position::parse("mariadb:0-1-5,3-2-1,4-1-9").unwrap();
        let awaited = [witness("3-2-1@7"), witness("0-1-5@7")];
        let text = settings(&position, &awaited);
        assert!(
            text.contains("'0-1-4,3-2-0,4-1-9', @slave_gtid_strict_mode = 0"),
            "{text}"
        );
        let text = settings(&position, &[]);
        assert!(
            text.contains("'0-1-5,3-2-1,4-1-9', @slave_gtid_strict_mode = 1"),
            "{text}"
        );
    }

    #[test]
    fn a_visitor_ends_nobodys_stream_and_does_not_wait() {
        let position = Position::parse("mariadb:0-1-5").unwrap();
        assert_eq!(
            request(Reader::Visitor, &position, &[]),
            [0x12, 4, 0, 0, 0, 1, 0, 0, 0, 0, 0]
        );
        assert_eq!(
            request(Reader::Replica(7), &position, &[]),
            [0x12, 4, 0, 0, 0, 0, 0, 7, 0, 0, 0]
        );
        let position = Position::parse("mysql:").unwrap();
        assert_eq!(
            request(Reader::Visitor, &position, &[])[..7],
            [0x1e, 5, 0, 0, 0, 0, 0]
        );
        assert_eq!(
            request(Reader::Replica(7), &position, &[])[..7],
            [0x1e, 4, 0, 7, 0, 0, 0]
        );
    }
}
