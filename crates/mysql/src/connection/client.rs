//! The connection itself: commands, raw packets.

use std::time::Duration;

use super::error_packet::server_error;
use super::packet::PacketStream;
use super::result::{
    ColumnDefinition, DEFINITION_BYTES_MAX, RESULT_BYTES_MAX, RESULT_COLUMNS_MAX, ResultRow, ResultSet,
    RowView,
};
use super::server::Server;
use super::wire::Cursor;
use crate::error::MysqlError;

const COM_QUIT: u8 = 0x01;
const COM_INIT_DB: u8 = 0x02;
const COM_QUERY: u8 = 0x03;
const COM_PING: u8 = 0x0e;
const COM_RESET_CONNECTION: u8 = 0x1f;

/// An open, authenticated connection. One conversation at a time.
///
/// Cancellation: `read_answer` is safe. Dropping any other call in the middle leaves an answer
/// unread; the next query notices (`Protocol`), so such a connection should be dropped.
#[derive(Debug)]
pub struct Connection {
    stream: PacketStream,
    server: Server,
    id: u32,
    /// Columns of the result whose rows are still to be read.
    reading: Option<usize>,
    /// A command was sent whose answer has not been read.
    pending: bool,
}

impl Connection {
    /// A connection over a stream that has logged in at `server`, where it has the number `id`.
    pub(super) fn of(stream: PacketStream, server: Server, id: u32) -> Connection {
        Connection {
            stream,
            server,
            id,
            reading: None,
            pending: false,
        }
    }

    /// Which server this is.
    pub fn server(&self) -> &Server {
        &self.server
    }

    /// The server's number of this connection, as `KILL` takes it.
    pub fn id(&self) -> u32 {
        self.id
    }

    /// Whether the conversation is encrypted.
    pub fn is_encrypted(&self) -> bool {
        self.stream.is_encrypted()
    }

    /// `host:port`.
    pub fn address(&self) -> &str {
        self.stream.address()
    }

    /// Whether the last answer was read to its end, so that the server waits for the next command.
    pub fn is_idle(&self) -> bool {
        self.reading.is_none() && !self.pending
    }

    /// Whether nothing has arrived since the last answer. What a server sends unasked is the end of
    /// the connection.
    pub fn is_quiet(&self) -> bool {
        self.stream.is_quiet()
    }

    /// Changes how long silence is borne while an answer is awaited.
    pub fn set_read_timeout(&mut self, limit: Duration) {
        self.stream.read_timeout = limit;
    }

    /// Sends a command packet: its number, then its arguments. The answer is read with
    /// `read_answer`.
    pub(crate) async fn send_command(&mut self, command: &[u8]) -> Result<(), MysqlError> {
        if self.reading.is_some() || self.pending {
            return Err(MysqlError::Protocol {
                expected: "the whole answer to be read before the next command",
            });
        }
        self.stream.restart();
        self.stream.write(command).await
    }

    /// The next packet of an answer, as it came; an error packet becomes `MysqlError::Server`.
    /// Cancellation: safe.
    pub(crate) async fn read_answer(&mut self) -> Result<&[u8], MysqlError> {
        let range = self.stream.read().await?;
        let packet = self.stream.bytes(range);
        if packet.first() == Some(&0xff) {
            Err(server_error(packet))
        } else {
            Ok(packet)
        }
    }

    /// Asks whether the server is still there.
    pub async fn ping(&mut self) -> Result<(), MysqlError> {
        self.send_command(&[COM_PING]).await?;
        self.read_answer().await.map(|_| ())
    }

    /// Ends what the session has open: transaction, locks, temporary tables, user variables. Its
    /// settings become the global ones.
    pub(super) async fn reset(&mut self) -> Result<(), MysqlError> {
        self.send_command(&[COM_RESET_CONNECTION]).await?;
        self.read_answer().await.map(|_| ())
    }

    /// Makes a schema the current one.
    pub(super) async fn choose_schema(&mut self, schema: &str) -> Result<(), MysqlError> {
        let mut command = vec![COM_INIT_DB];
        command.extend_from_slice(schema.as_bytes());
        self.send_command(&command).await?;
        self.read_answer().await.map(|_| ())
    }

    /// Ends another connection of the same account (or any, with the privilege).
    pub async fn kill(&mut self, id: u32) -> Result<(), MysqlError> {
        self.execute(&format!("KILL CONNECTION {id}")).await
    }

    /// Runs a statement and drops what it returns.
    pub async fn execute(&mut self, sql: &str) -> Result<(), MysqlError> {
        if self.begin_query(sql).await?.is_some() {
            while self.next_row().await?.is_some() {}
        }
        Ok(())
    }

    /// Runs a statement and returns all its rows, at most as many as `RESULT_BYTES_MAX` holds.
    pub async fn query(&mut self, sql: &str) -> Result<ResultSet, MysqlError> {
        let columns = self.begin_query(sql).await?.unwrap_or_default();
        let mut rows = Vec::new();
        let mut bytes = 0;
        if self.reading.is_some() {
            while let Some(row) = self.next_row().await? {
                bytes += ResultRow::memory(row);
                if bytes > RESULT_BYTES_MAX {
                    return Err(MysqlError::Protocol {
                        expected: "a control query's result of at most 512 MiB",
                    });
                }
                rows.push(ResultRow::new(row)?);
            }
        }
        Ok(ResultSet { columns, rows })
    }

    /// The same for a query that the account may not be allowed to make, or that this server does
    /// not know: `None` then.
    pub(crate) async fn query_if_allowed(&mut self, sql: &str) -> Result<Option<ResultSet>, MysqlError> {
        match self.query(sql).await {
            Ok(found) => Ok(Some(found)),
            Err(error @ MysqlError::Server { .. }) if !error.is_retryable() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Sends a statement and reads its column definitions; `None` if it returns no rows. Its rows
    /// are read with `next_row` until that returns `None`; only then may the next command be sent.
    pub async fn begin_query(&mut self, sql: &str) -> Result<Option<Vec<ColumnDefinition>>, MysqlError> {
        let mut command = Vec::with_capacity(sql.len() + 1);
        command.push(COM_QUERY);
        command.extend_from_slice(sql.as_bytes());
        self.send_command(&command).await?;
        self.pending = true;
        let head = self.read_answer().await;
        let count = match head {
            Ok([0, ..]) => None,
            Ok(head) => Some(Cursor::new(head).length()?.ok_or(MysqlError::Protocol {
                expected: "a column count",
            })?),
            Err(error) => {
                self.pending = !matches!(error, MysqlError::Server { .. });
                return Err(error);
            }
        };
        let Some(count) = count else {
            self.pending = false;
            return Ok(None);
        };
        let columns = self.column_definitions(count).await?;
        if !is_end(self.read_answer().await?) {
            return Err(MysqlError::Protocol {
                expected: "the end of the column definitions",
            });
        }
        self.pending = false;
        self.reading = Some(columns.len());
        Ok(Some(columns))
    }

    /// The definitions of so many columns, as the server announced them.
    async fn column_definitions(&mut self, count: u64) -> Result<Vec<ColumnDefinition>, MysqlError> {
        let is_too_many = usize::try_from(count).map_or(true, |count| count > RESULT_COLUMNS_MAX);
        if is_too_many {
            return Err(MysqlError::Protocol {
                expected: "a result of at most 4096 columns",
            });
        }
        let (mut columns, mut bytes) = (Vec::new(), 0);
        for _ in 0..count {
            let definition = self.read_answer().await?;
            bytes += definition.len();
            if bytes > DEFINITION_BYTES_MAX {
                return Err(MysqlError::Protocol {
                    expected: "definitions of columns of at most 8 MiB",
                });
            }
            columns.push(ColumnDefinition::parse(definition)?);
        }
        Ok(columns)
    }

    /// The next row of the statement begun with `begin_query`, or `None` at its proper end. A
    /// connection that dies or an error in the middle is an error, never an end.
    pub async fn next_row(&mut self) -> Result<Option<RowView<'_>>, MysqlError> {
        let Some(columns) = self.reading else {
            return Err(MysqlError::Protocol {
                expected: "a statement whose rows are being read",
            });
        };
        let range = self.stream.read().await?;
        let packet = self.stream.bytes(range.clone());
        if packet.first() == Some(&0xff) {
            self.reading = None;
            return Err(server_error(packet));
        }
        if is_end(packet) {
            let status = Cursor::new(&packet[1..]).integer(4).unwrap_or(0) >> 16;
            self.reading = None;
            if status & 0x0008 != 0 {
                return Err(MysqlError::Protocol {
                    expected: "one result only",
                });
            }
            return Ok(None);
        }
        Ok(Some(RowView::new(self.stream.bytes(range), columns)))
    }
}

impl Drop for Connection {
    /// Takes leave, so that the server does not count an aborted client. In the middle of an answer
    /// it would not listen.
    fn drop(&mut self) {
        if self.reading.is_none() && !self.pending {
            self.stream.restart();
            self.stream.write_now(&[COM_QUIT]);
        }
    }
}

/// An end-of-data packet: a row that begins with 0xfe is longer, because it stands for a length of
/// more than 16 MB.
fn is_end(packet: &[u8]) -> bool {
    packet.first() == Some(&0xfe) && packet.len() < 9
}
