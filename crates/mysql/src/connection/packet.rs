//! Packets over a socket: framing, sequence numbers, one growing buffer.
//!
//! Facts: MySQL internals manual, "Protocol basics": 3 bytes of length, 1 byte of sequence; a
//! payload of 2^24-1 bytes is continued by the next packet.

#![expect(
    clippy::cast_possible_truncation,
    reason = "the number of bytes read or written bounds the value"
)]

use std::io::Write;
use std::mem::MaybeUninit;
use std::ops::Range;
use std::time::Duration;

use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::client::TlsStream;

use crate::error::MysqlError;

/// Most bytes of one physical packet's payload; one of exactly this size is continued.
pub(crate) const PHYSICAL_BYTES_MAX: usize = 0x00ff_ffff;

/// Most bytes of one logical packet: the server's own bound of `max_allowed_packet`, plus room for
/// the cells' lengths.
pub(crate) const PACKET_BYTES_MAX: usize = (1 << 30) + (1 << 20);

/// Most bytes of one packet before the server has let us in: greeting, keys and answers are short.
pub(super) const LOGIN_PACKET_BYTES_MAX: usize = 64 << 10;

/// Room offered to each read of the socket: large, so that a busy server is not woken for small
/// pieces.
const READ_BYTES: usize = 256 << 10;

/// A buffer that a huge packet has blown up beyond this is given back once it is empty.
const KEPT_BYTES_MAX: usize = 4 << 20;

const HEADER: usize = 4;

/// The socket, encrypted or not.
#[derive(Debug)]
pub(super) enum Socket {
    /// Plain TCP.
    Plain(TcpStream),
    /// TLS over TCP.
    Tls(Box<TlsStream<TcpStream>>),
}

/// Reads and writes packets.
#[derive(Debug)]
pub(super) struct PacketStream {
    socket: Socket,
    address: String,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    sequence: u8,
    /// Most bytes of one logical packet.
    packet_bytes_max: usize,
    pub(super) read_timeout: Duration,
}

impl PacketStream {
    pub(super) fn new(socket: TcpStream, address: String, read_timeout: Duration) -> PacketStream {
        let buffer = vec![0; READ_BYTES];
        PacketStream {
            socket: Socket::Plain(socket),
            address,
            buffer,
            start: 0,
            end: 0,
            sequence: 0,
            packet_bytes_max: LOGIN_PACKET_BYTES_MAX,
            read_timeout,
        }
    }

    pub(super) fn address(&self) -> &str {
        &self.address
    }

    pub(super) fn is_encrypted(&self) -> bool {
        matches!(self.socket, Socket::Tls(_))
    }

    /// Takes the plain socket out for the TLS handshake. Bytes already read would be lost, so there
    /// must be none: the server says nothing between its greeting and the handshake.
    pub(super) fn into_plain(self) -> Result<(TcpStream, u8), MysqlError> {
        match self.socket {
            Socket::Plain(socket) if self.start == self.end => Ok((socket, self.sequence)),
            Socket::Plain(_) | Socket::Tls(_) => Err(MysqlError::Protocol {
                expected: "silence before TLS",
            }),
        }
    }

    pub(super) fn encrypted(
        socket: TlsStream<TcpStream>,
        address: String,
        read_timeout: Duration,
        sequence: u8,
    ) -> PacketStream {
        let buffer = vec![0; READ_BYTES];
        let socket = Socket::Tls(Box::new(socket));
        PacketStream {
            socket,
            address,
            buffer,
            start: 0,
            end: 0,
            sequence,
            packet_bytes_max: LOGIN_PACKET_BYTES_MAX,
            read_timeout,
        }
    }

    /// Whether neither the buffer nor the socket holds anything to read. The end of the socket's
    /// data counts as something.
    pub(super) fn is_quiet(&self) -> bool {
        let socket = match &self.socket {
            Socket::Plain(socket) => socket,
            Socket::Tls(socket) => socket.get_ref().0,
        };
        let found = SockRef::from(socket).peek(&mut [MaybeUninit::uninit()]);
        let is_empty = found.is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock);
        is_empty && self.start == self.end
    }

    /// The server has let us in: its packets may be as long as rows are.
    pub(super) fn logged_in(&mut self) {
        self.packet_bytes_max = PACKET_BYTES_MAX;
    }

    /// A new conversation: sequence numbers begin at 0.
    pub(super) fn restart(&mut self) {
        self.sequence = 0;
    }

    /// Writes one logical packet.
    pub(super) async fn write(&mut self, payload: &[u8]) -> Result<(), MysqlError> {
        let mut framed = Vec::with_capacity(payload.len() + 2 * HEADER);
        let mut rest = payload;
        loop {
            let (piece, tail) = rest.split_at(rest.len().min(PHYSICAL_BYTES_MAX));
            framed.extend_from_slice(&(piece.len() as u32).to_le_bytes()[..3]);
            framed.push(self.sequence);
            framed.extend_from_slice(piece);
            self.sequence = self.sequence.wrapping_add(1);
            rest = tail;
            if piece.len() < PHYSICAL_BYTES_MAX {
                break;
            }
        }
        let (limit, address) = (self.read_timeout, &self.address);
        let write = async {
            match &mut self.socket {
                Socket::Plain(socket) => write_all(socket, &framed).await,
                Socket::Tls(socket) => write_all(socket.as_mut(), &framed).await,
            }
        };
        match timeout(limit, write).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(source)) => Err(MysqlError::Io {
                operation: "writing to",
                address: address.clone(),
                source,
            }),
            Err(_) => Err(MysqlError::Timeout {
                operation: "writing to",
                address: address.clone(),
                after: limit,
            }),
        }
    }

    /// Writes a short packet as far as the socket takes it at once, and closes TLS behind it.
    pub(super) fn write_now(&mut self, payload: &[u8]) {
        let mut framed = vec![payload.len() as u8, 0, 0, self.sequence];
        framed.extend_from_slice(payload);
        // A server that is gone needs no word.
        let _written = match &mut self.socket {
            Socket::Plain(socket) => AtOnce(socket).write_all(&framed),
            Socket::Tls(socket) => {
                let (socket, session) = socket.get_mut();
                let queued = session.writer().write_all(&framed);
                session.send_close_notify();
                queued.and_then(|()| session.write_tls(&mut AtOnce(socket)).map(drop))
            }
        };
    }

    /// Waits for the next logical packet and returns where it lies; `bytes` borrows it.
    ///
    /// Cancellation: safe; what has arrived stays in the buffer and nothing is consumed before the
    /// packet is whole.
    pub(super) async fn read(&mut self) -> Result<Range<usize>, MysqlError> {
        loop {
            match self.frame()? {
                Ok(end) => return self.take(end),
                Err(missing) => self.fill(missing).await?,
            }
        }
    }

    /// Memory taken for what arrives.
    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        self.buffer.capacity()
    }

    pub(super) fn bytes(&self, range: Range<usize>) -> &[u8] {
        &self.buffer[range]
    }

    /// The end of the first logical packet, or how many bytes it needs more.
    fn frame(&self) -> Result<Result<usize, usize>, MysqlError> {
        let mut at = self.start;
        loop {
            let Some(header) = self.buffer[..self.end].get(at..at + HEADER) else {
                return Ok(Err(at + HEADER - self.end));
            };
            let length = header[0] as usize | (header[1] as usize) << 8 | (header[2] as usize) << 16;
            at += HEADER + length;
            if at - self.start > self.packet_bytes_max {
                return Err(MysqlError::Protocol {
                    expected: "a packet of at most 1 GiB, or of 64 KiB before the login",
                });
            }
            if length < PHYSICAL_BYTES_MAX {
                return Ok(if at <= self.end {
                    Ok(at)
                } else {
                    Err(at - self.end)
                });
            }
        }
    }

    /// Consumes the packet that ends at `end`: checks its sequence numbers and closes the gaps of
    /// continuation headers.
    fn take(&mut self, end: usize) -> Result<Range<usize>, MysqlError> {
        let first = self.start + HEADER;
        let (mut at, mut write) = (self.start, first);
        while at < end {
            let header = &self.buffer[at..at + HEADER];
            let length = header[0] as usize | (header[1] as usize) << 8 | (header[2] as usize) << 16;
            if header[3] != self.sequence {
                return Err(MysqlError::Protocol {
                    expected: "the next packet in sequence",
                });
            }
            self.sequence = self.sequence.wrapping_add(1);
            let payload = at + HEADER..at + HEADER + length;
            at = payload.end;
            if payload.start != write {
                self.buffer.copy_within(payload, write);
            }
            write += length;
        }
        self.start = end;
        Ok(first..write)
    }

    async fn fill(&mut self, missing: usize) -> Result<(), MysqlError> {
        self.make_room(missing);
        let (limit, room) = (self.read_timeout, &mut self.buffer[self.end..]);
        let read = async {
            match &mut self.socket {
                Socket::Plain(socket) => read_some(socket, room).await,
                Socket::Tls(socket) => read_some(socket.as_mut(), room).await,
            }
        };
        match timeout(limit, read).await {
            Ok(Ok(0)) => Err(MysqlError::Closed {
                address: self.address.clone(),
            }),
            Ok(Ok(count)) => {
                self.end += count;
                Ok(())
            }
            Ok(Err(source)) => Err(MysqlError::Io {
                operation: "reading from",
                address: self.address.clone(),
                source,
            }),
            Err(_) => Err(MysqlError::Timeout {
                operation: "reading from",
                address: self.address.clone(),
                after: limit,
            }),
        }
    }

    fn make_room(&mut self, missing: usize) {
        let kept = self.end - self.start;
        if kept == 0 {
            (self.start, self.end) = (0, 0);
        } else if self.start > 0 && self.buffer.len() - self.end < missing.max(READ_BYTES / 2) {
            self.buffer.copy_within(self.start..self.end, 0);
            self.start = 0;
            self.end = kept;
        }
        if self.buffer.len() > KEPT_BYTES_MAX && kept + missing < READ_BYTES && self.start == 0 {
            self.buffer.truncate(READ_BYTES);
            self.buffer.shrink_to_fit();
        }
        // Grows with what has really arrived, so that a false length cannot make us ask for a
        // gigabyte.
        let wanted = self.end + missing.min((kept * 2).max(READ_BYTES));
        if self.buffer.len() < wanted {
            self.buffer.resize(wanted, 0);
        }
    }
}

/// Writes to a socket without waiting, also when the runtime has ended.
struct AtOnce<'a>(&'a TcpStream);

impl Write for AtOnce<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        SockRef::from(self.0).send(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

async fn write_all<S: AsyncWrite + Unpin>(socket: &mut S, bytes: &[u8]) -> std::io::Result<()> {
    socket.write_all(bytes).await?;
    socket.flush().await
}

async fn read_some<S: AsyncRead + Unpin>(socket: &mut S, room: &mut [u8]) -> std::io::Result<usize> {
    socket.read(room).await
}
