//! Opening a connection: reaching the server, logging in, pinning the session.

use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::client::Connection;
use super::packet::PacketStream;
use super::{handshake, session};
use crate::error::MysqlError;
use crate::options::{IDLE_MAX, Options};

/// Idle time after which the kernel asks whether the peer is still there, and the time between its
/// questions.
const KEEPALIVE: Duration = Duration::from_secs(15);
/// Unanswered questions after which the peer counts as gone.
const KEEPALIVE_RETRIES: u32 = 4;
/// Unacknowledged data older than this means that the peer is gone.
const UNACKNOWLEDGED_MAX: Duration = Duration::from_secs(75);

impl Connection {
    /// Connects, encrypts as `ssl-mode` demands, logs in, pins the session. The connection attempt
    /// is bounded by `connect_timeout`.
    pub async fn open(options: &Options) -> Result<Connection, MysqlError> {
        let limit = options.connect_timeout;
        let late = || MysqlError::Timeout {
            operation: "connecting to",
            address: options.address(),
            after: limit,
        };
        let mut connection = timeout(limit, Connection::establish(options))
            .await
            .map_err(|_| late())??;
        session::begin(&mut connection, &options.schema).await?;
        if options.idle_max != IDLE_MAX {
            let seconds = options.idle_max.as_secs();
            let sql = format!("SET SESSION wait_timeout = {seconds}");
            connection.execute(&sql).await?;
        }
        Ok(connection)
    }

    async fn establish(options: &Options) -> Result<Connection, MysqlError> {
        let failed = |source| MysqlError::Io {
            operation: "connecting to",
            address: options.address(),
            source,
        };
        let socket = TcpStream::connect((options.host.as_str(), options.port))
            .await
            .map_err(failed)?;
        guard_against_silence(&socket).map_err(failed)?;
        let stream = PacketStream::new(socket, options.address(), options.read_timeout);
        let (stream, server, id) = handshake::log_in(stream, options).await?;
        Ok(Connection::of(stream, server, id))
    }
}

fn guard_against_silence(socket: &TcpStream) -> std::io::Result<()> {
    socket.set_nodelay(true)?;
    let socket = SockRef::from(socket);
    let keepalive = TcpKeepalive::new()
        .with_time(KEEPALIVE)
        .with_interval(KEEPALIVE)
        .with_retries(KEEPALIVE_RETRIES);
    socket.set_tcp_keepalive(&keepalive)?;
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(UNACKNOWLEDGED_MAX))?;
    Ok(())
}
