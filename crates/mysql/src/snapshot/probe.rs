//! The probe: does a new reader of a table have to wait?
//!
//! It reads nothing from each table, as the application would. All tables are asked in one round
//! trip, as a query of several statements, because a far source would otherwise be looked at too
//! seldom.

use crate::connection::Connection;
use crate::error::MysqlError;

use super::mark::{Mark, Role};

/// Most tables asked at once.
pub(super) const PROBES_MAX: usize = 256;
/// Seconds that a probe waits for a table; the servers know no shorter time.
const WAIT_SECONDS: u32 = 1;
/// `COM_SET_OPTION` with `MYSQL_OPTION_MULTI_STATEMENTS_ON` (MySQL's source, "Text Protocol").
const MULTI_STATEMENTS_ON: [u8; 3] = [0x1b, 0, 0];
const COM_QUERY: u8 = 0x03;
const LOCK_WAIT_TIMEOUT: u16 = 1205;
const QUERY_INTERRUPTED: u16 = 1317;
/// Packets that answer `SELECT 1 … LIMIT 0`: the column count, a column, the end of the columns,
/// the end of the rows.
const PACKETS: usize = 4;

/// The probing connection.
#[derive(Debug)]
pub(super) struct Probe {
    connection: Connection,
    /// Whether several statements may be sent at once; a proxy between us and the server may refuse
    /// that.
    several: bool,
    /// Packets of the present answer that have come.
    packets: usize,
}

/// What came of one statement.
#[derive(Debug)]
pub(super) enum Answer {
    /// A reader passes. The next statement of the query follows.
    Passed,
    /// It had to wait until it was ended. No other statement follows.
    Waited,
    /// The table cannot be read: it is gone, or refused. No other statement follows.
    Refused(MysqlError),
}

impl Probe {
    /// Prepares a connection for probing.
    pub(super) async fn new(mut connection: Connection) -> Result<Probe, MysqlError> {
        let sql = format!("SET SESSION lock_wait_timeout = {WAIT_SECONDS}");
        connection.execute(&sql).await?;
        connection.send_command(&MULTI_STATEMENTS_ON).await?;
        let several = match connection.read_answer().await {
            Ok(_) => true,
            Err(MysqlError::Server { .. }) => false,
            Err(error) => return Err(error),
        };
        Ok(Probe {
            connection,
            several,
            packets: 0,
        })
    }

    /// Asks about tables, in this order. How many of them: `answer` brings so many answers, or
    /// fewer if one is not `Passed`.
    pub(super) async fn ask(&mut self, mark: &Mark, tables: &[String]) -> Result<usize, MysqlError> {
        let most = if self.several { PROBES_MAX } else { 1 };
        let mut command = vec![COM_QUERY];
        let asked = tables.len().min(most);
        for (number, table) in tables.iter().take(asked).enumerate() {
            let comment = mark.comment(Role::Probe(number));
            let separator = if number == 0 { "" } else { ";" };
            command
                .extend_from_slice(format!("{separator}SELECT {comment} 1 FROM {table} LIMIT 0").as_bytes());
        }
        self.packets = 0;
        self.connection.send_command(&command).await?;
        Ok(asked)
    }

    /// Keeps the connection alive while no table is held.
    pub(super) async fn ping(&mut self) -> Result<(), MysqlError> {
        self.connection.ping().await
    }

    /// The answer to the next statement. Cancellation: safe.
    pub(super) async fn answer(&mut self) -> Result<Answer, MysqlError> {
        while self.packets < PACKETS {
            match self.connection.read_answer().await {
                Ok(_) => self.packets += 1,
                Err(error) => return failed(error),
            }
        }
        self.packets = 0;
        Ok(Answer::Passed)
    }
}

/// A server's error ends the whole query.
fn failed(error: MysqlError) -> Result<Answer, MysqlError> {
    match error.server_code() {
        Some(LOCK_WAIT_TIMEOUT | QUERY_INTERRUPTED) => Ok(Answer::Waited),
        Some(_) if !error.is_connection_lost() => Ok(Answer::Refused(error)),
        Some(_) | None => Err(error),
    }
}
