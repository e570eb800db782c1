//! The commands that open the stream: what the server must be told first, and where it shall begin.

use std::time::Duration;

use spanferry_core::code;
use spanferry_core::failure::{Class, Failure};
use spanferry_core::position::{GtidSet, MariadbGtids, Position};

use crate::connection::Connection;
use crate::error::MysqlError;
use crate::source::MysqlSource;

/// How often the server says that it is there while it has nothing to send.
pub(super) const HEARTBEAT: Duration = Duration::from_secs(5);
/// Silence after which the server counts as gone: three heartbeats.
const SILENCE_MAX: Duration = Duration::from_secs(15);
/// Bound of the answers before the stream begins; looking for the position may take the server a while.
const OPENING_SILENCE_MAX: Duration = Duration::from_secs(60);

/// The host name under which we register: it tells us from other replicas in the source's own list.
pub const REPLICA_HOST: &str = "spanferry";

const COM_BINLOG_DUMP: u8 = 0x12;
const COM_REGISTER_SLAVE: u8 = 0x15;
const COM_BINLOG_DUMP_GTID: u8 = 0x1e;
/// Flag of the dump command: the set of GTIDs follows.
const THROUGH_GTID: u16 = 4;

/// Opens a stream of everything that is not contained in `after`.
pub(super) async fn open(source: &MysqlSource, after: &Position) -> Result<Connection, Failure> {
    let mut connection = source.connect().await.map_err(|error| source.failure(error))?;
    connection.set_read_timeout(OPENING_SILENCE_MAX);
    expect_history(source, &mut connection, after).await?;
    tell(&mut connection, source.server_id(), after)
        .await
        .map_err(|error| source.failure(error))?;
    let command = match after {
        Position::Mysql(set) => dump_gtid(source, set)?,
        Position::Mariadb(_) => dump_plain(source.server_id()),
    };
    connection
        .send_command(&command)
        .await
        .map_err(|error| source.failure(error))?;
    connection.set_read_timeout(SILENCE_MAX);
    Ok(connection)
}

/// The source must have everything that was captured: a failover to a replica has, a rewound server has not.
async fn expect_history(
    source: &MysqlSource,
    connection: &mut Connection,
    after: &Position,
) -> Result<(), Failure> {
    let now = crate::source::position(connection)
        .await
        .map_err(|error| source.failure(error))?;
    let now = now.map_err(|error| crate::source::unreadable(source.options(), error))?;
    match now.contains_all(after) {
        Ok(true) => Ok(()),
        Ok(false) | Err(_) => {
            let text = "the source lacks transactions that were captured before: it is another server, or was rewound";
            Err(Failure::new(
                code::HISTORY_CHANGED,
                Class::StopMigration,
                source.options().address(),
                text,
            ))
        }
    }
}

async fn tell(connection: &mut Connection, server_id: u32, after: &Position) -> Result<(), MysqlError> {
    let heartbeat = HEARTBEAT.as_nanos();
    let mut settings = vec![
        "@master_binlog_checksum = @@GLOBAL.binlog_checksum".to_owned(),
        format!("@master_heartbeat_period = {heartbeat}"),
    ];
    match after {
        Position::Mysql(_) => {
            let uuid = format!("'5fa11e77-0000-4000-8000-0000{server_id:08x}'");
            settings.push("@source_binlog_checksum = @@GLOBAL.binlog_checksum".to_owned());
            settings.push(format!("@source_heartbeat_period = {heartbeat}"));
            settings.push(format!("@slave_uuid = {uuid}"));
            settings.push(format!("@replica_uuid = {uuid}"));
        }
        Position::Mariadb(gtids) => {
            settings.push("@mariadb_slave_capability = 4".to_owned());
            settings.push(format!("@slave_connect_state = '{}'", text(gtids)));
            settings.push("@slave_gtid_strict_mode = 1".to_owned());
            settings.push("@slave_gtid_ignore_duplicates = 0".to_owned());
        }
    }
    connection
        .execute(&format!("SET {}", settings.join(", ")))
        .await?;
    connection.send_command(&register(server_id)).await?;
    connection.read_answer().await.map(|_| ())
}

fn text(gtids: &MariadbGtids) -> String {
    gtids.to_string()
}

/// COM_REGISTER_SLAVE: server id, host, empty user and password, port, rank, master id.
fn register(server_id: u32) -> Vec<u8> {
    let mut command = vec![COM_REGISTER_SLAVE];
    command.extend_from_slice(&server_id.to_le_bytes());
    command.push(u8::try_from(REPLICA_HOST.len()).expect("the name is short"));
    command.extend_from_slice(REPLICA_HOST.as_bytes());
    command.extend_from_slice(&[0; 2]);
    command.extend_from_slice(&[0; 2]);
    command.extend_from_slice(&[0; 8]);
    command
}

/// COM_BINLOG_DUMP from the first file; MariaDB goes on from `@slave_connect_state`.
fn dump_plain(server_id: u32) -> Vec<u8> {
    let mut command = vec![COM_BINLOG_DUMP];
    command.extend_from_slice(&4_u32.to_le_bytes());
    command.extend_from_slice(&0_u16.to_le_bytes());
    command.extend_from_slice(&server_id.to_le_bytes());
    command
}

/// COM_BINLOG_DUMP_GTID: flags, server id, empty file name, position 4, then the set.
fn dump_gtid(source: &MysqlSource, set: &GtidSet) -> Result<Vec<u8>, Failure> {
    let encoded = encode_set(set).ok_or_else(|| {
        let text = "the source has tagged GTIDs, from which this release cannot resume";
        Failure::new(
            code::SOURCE_SETTING,
            Class::StopMigration,
            source.options().address(),
            text,
        )
    })?;
    let mut command = vec![COM_BINLOG_DUMP_GTID];
    command.extend_from_slice(&THROUGH_GTID.to_le_bytes());
    command.extend_from_slice(&source.server_id().to_le_bytes());
    command.extend_from_slice(&0_u32.to_le_bytes());
    command.extend_from_slice(&4_u64.to_le_bytes());
    let length = u32::try_from(encoded.len()).expect("a GTID set is far below 4 GiB");
    command.extend_from_slice(&length.to_le_bytes());
    command.extend_from_slice(&encoded);
    Ok(command)
}

/// `Gtid_set::encode` of MySQL: UUIDs with half-open intervals. `None` if there are tags, which have another encoding.
fn encode_set(set: &GtidSet) -> Option<Vec<u8>> {
    let mut encoded = Vec::new();
    let count = set.intervals().count() as u64;
    encoded.extend_from_slice(&count.to_le_bytes());
    for (server, tag, intervals) in set.intervals() {
        if !tag.is_empty() {
            return None;
        }
        encoded.extend_from_slice(&server.0);
        encoded.extend_from_slice(&(intervals.len() as u64).to_le_bytes());
        for (start, end) in intervals {
            encoded.extend_from_slice(&start.to_le_bytes());
            encoded.extend_from_slice(&end.to_le_bytes());
        }
    }
    Some(encoded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_are_encoded_as_the_server_does() {
        let set = GtidSet::parse("3e11fa47-71ca-11e1-9e33-c80aa9429562:1-3:7").unwrap();
        let encoded = encode_set(&set).unwrap();
        assert_eq!(encoded.len(), 8 + 16 + 8 + 4 * 8);
        assert_eq!(encoded[8..12], [0x3e, 0x11, 0xfa, 0x47]);
        assert_eq!(
            encoded[24..40],
            [2_u64.to_le_bytes(), 1_u64.to_le_bytes()].concat()
        );
        assert_eq!(encoded[40..48], 4_u64.to_le_bytes());
        assert_eq!(
            encode_set(&GtidSet::parse("3e11fa47-71ca-11e1-9e33-c80aa9429562:t:1").unwrap()),
            None
        );
    }
}
