//! A TCP proxy whose connections can be cut, stalled, half-opened or reset on demand.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

/// Bytes moved at once; small, so that a cut falls inside a message.
const CHUNK_BYTES: usize = 16 * 1024;

/// What happens to the bytes. Connections that are open at a switch and those that come later are treated alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Bytes flow.
    None,
    /// The next so many bytes from the server still reach the clients (all connections together), then every
    /// connection is closed at both ends, new ones too.
    CutAfter(u64),
    /// Connections stay open and are accepted, but no byte moves in either direction. Nothing is lost: after
    /// [`Fault::None`] the bytes that waited go on.
    Stall,
    /// The server's side is closed while the client's stays open and silent: a peer that died without a FIN.
    HalfOpen,
    /// Both sides are ended by a TCP reset; new connections are reset as soon as they are accepted.
    Reset,
}

/// Bytes of a client that reach the server as others of the same length. Only where they arrive in one piece.
#[derive(Debug, Clone, Copy)]
pub struct Rewrite {
    /// What the client sends.
    pub from: &'static str,
    /// What the server gets.
    pub to: &'static str,
}

impl Rewrite {
    fn apply(&self, bytes: &mut [u8]) {
        let (from, to) = (self.from.as_bytes(), self.to.as_bytes());
        let mut at = 0;
        while let Some(found) = bytes[at..].windows(from.len()).position(|window| window == from) {
            at += found;
            bytes[at..at + to.len()].copy_from_slice(to);
            at += to.len();
        }
    }
}

/// A listening proxy. Dropping it closes the listener and all its connections.
#[derive(Debug)]
pub struct FaultProxy {
    address: SocketAddr,
    control: watch::Sender<Switch>,
    connections: Arc<AtomicU64>,
    acceptor: JoinHandle<()>,
}

/// What is in force: the fault that was asked for, and whether its byte budget is used up.
#[derive(Debug, Clone)]
struct Switch {
    fault: Fault,
    budget_bytes: Arc<AtomicU64>,
}

impl Switch {
    fn new(fault: Fault) -> Self {
        let bytes = match fault {
            Fault::CutAfter(bytes) => bytes,
            Fault::None | Fault::Stall | Fault::HalfOpen | Fault::Reset => 0,
        };
        Self {
            fault,
            budget_bytes: Arc::new(AtomicU64::new(bytes)),
        }
    }

    /// How many of `bytes` may still pass, taken from the budget.
    fn take(&self, bytes: usize) -> usize {
        if !matches!(self.fault, Fault::CutAfter(_)) {
            return bytes;
        }
        let wanted = u64::try_from(bytes).expect("a chunk's length fits u64");
        let before = self
            .budget_bytes
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |left| {
                Some(left.saturating_sub(wanted))
            })
            .expect("the closure always gives a value");
        usize::try_from(before.min(wanted)).expect("at most the chunk's length")
    }

    /// True once a cut has let its last byte through.
    fn is_cut(&self) -> bool {
        matches!(self.fault, Fault::CutAfter(_)) && self.budget_bytes.load(Ordering::Acquire) == 0
    }
}

impl FaultProxy {
    /// Listens on a free loopback port and connects each client to `upstream`, without a fault at first.
    pub async fn start(upstream: SocketAddr) -> io::Result<Self> {
        Self::start_rewriting(upstream, None).await
    }

    /// The same, and what clients send is rewritten on its way. Not for connections with TLS.
    ///
    /// # Panics
    /// When the texts differ in length, which would break the protocol's own lengths.
    pub async fn start_rewriting(upstream: SocketAddr, rewrite: Option<Rewrite>) -> io::Result<Self> {
        if let Some(rewrite) = rewrite {
            assert!(
                !rewrite.from.is_empty() && rewrite.from.len() == rewrite.to.len(),
                "{rewrite:?}: expected texts of one length"
            );
        }
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let (control, _) = watch::channel(Switch::new(Fault::None));
        let connections = Arc::new(AtomicU64::new(0));
        let acceptor = tokio::spawn(accept(
            listener,
            (upstream, rewrite),
            control.clone(),
            Arc::clone(&connections),
        ));
        Ok(Self {
            address,
            control,
            connections,
            acceptor,
        })
    }

    /// Where clients connect.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Puts `fault` in force for all connections from now on. Bytes already handed to the kernel are not called back.
    pub fn set(&self, fault: Fault) {
        self.control.send_replace(Switch::new(fault));
    }

    /// How many connections were accepted so far.
    pub fn connections(&self) -> u64 {
        self.connections.load(Ordering::Acquire)
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        self.acceptor.abort();
    }
}

/// Owns every connection's task, so that ending this one ends them.
async fn accept(
    listener: TcpListener,
    route: (SocketAddr, Option<Rewrite>),
    control: watch::Sender<Switch>,
    connections: Arc<AtomicU64>,
) {
    let mut tasks = JoinSet::new();
    loop {
        tokio::select! {
            biased;
            Some(_) = tasks.join_next() => {}
            accepted = listener.accept() => {
                let Ok((client, _)) = accepted else { continue };
                connections.fetch_add(1, Ordering::AcqRel);
                tasks.spawn(serve(client, route, control.clone()));
            }
        }
    }
}

/// One client from its first byte to its end. Errors of either socket end the connection, which is what the other end sees.
async fn serve(
    mut client: TcpStream,
    (upstream, rewrite): (SocketAddr, Option<Rewrite>),
    control: watch::Sender<Switch>,
) {
    let mut watcher = control.subscribe();
    let at_start = watcher.borrow_and_update().clone();
    if at_start.fault == Fault::Reset {
        drop(client.set_zero_linger());
        return;
    }
    let Ok(mut server) = TcpStream::connect(upstream).await else {
        drop(client.set_zero_linger());
        return;
    };
    // Latency is no fault of this proxy; a socket that is already gone shows at the first read.
    drop(client.set_nodelay(true));
    drop(server.set_nodelay(true));
    watcher.mark_changed();
    match relay(&mut client, &mut server, rewrite, &control, &mut watcher).await {
        Ending::Closed => {}
        Ending::Reset => {
            drop(client.set_zero_linger());
            drop(server.set_zero_linger());
        }
        Ending::HalfOpen => {
            drop(server);
            // Silent towards the client until something else is in force, then gone. An error means the proxy is gone.
            drop(watcher.changed().await);
        }
    }
}

/// How a connection ends.
enum Ending {
    Closed,
    Reset,
    HalfOpen,
}

/// Moves bytes both ways until an end of both files, an error, or a fault.
async fn relay(
    client: &mut TcpStream,
    server: &mut TcpStream,
    rewrite: Option<Rewrite>,
    control: &watch::Sender<Switch>,
    watcher: &mut watch::Receiver<Switch>,
) -> Ending {
    let (mut client_reader, mut client_writer) = client.split();
    let (mut server_reader, mut server_writer) = server.split();
    let (mut up, mut down) = (Direction::new(rewrite), Direction::new(None));
    while !(up.ended && down.ended) {
        let switch = watcher.borrow_and_update().clone();
        match switch.fault {
            Fault::CutAfter(_) if switch.is_cut() => return Ending::Closed,
            Fault::None | Fault::CutAfter(_) => {}
            Fault::Reset => return Ending::Reset,
            Fault::HalfOpen => return Ending::HalfOpen,
            Fault::Stall => {
                if watcher.changed().await.is_err() {
                    return Ending::Closed;
                }
                continue;
            }
        }
        // Fair on purpose: a busy direction must not starve the other. Every branch can be dropped without losing bytes.
        let step = tokio::select! {
            changed = watcher.changed() => changed.map_err(|_| ()),
            step = up.step(&mut client_reader, &mut server_writer, None) => step,
            step = down.step(&mut server_reader, &mut client_writer, Some(&switch)) => step,
        };
        if switch.is_cut() {
            // Wakes the other connections, which share the budget.
            control.send_modify(|_| {});
        }
        if step.is_err() {
            return Ending::Closed;
        }
    }
    Ending::Closed
}

/// The bytes on their way in one direction.
struct Direction {
    rewrite: Option<Rewrite>,
    buffer: Vec<u8>,
    filled: std::ops::Range<usize>,
    ended: bool,
}

impl Direction {
    fn new(rewrite: Option<Rewrite>) -> Self {
        Self {
            rewrite,
            buffer: vec![0; CHUNK_BYTES],
            filled: 0..0,
            ended: false,
        }
    }

    /// One read or one write. With `switch`, bytes count against its budget, and those beyond it are an error.
    /// Cancellation-safe: a dropped step has moved nothing.
    async fn step(
        &mut self,
        reader: &mut ReadHalf<'_>,
        writer: &mut WriteHalf<'_>,
        switch: Option<&Switch>,
    ) -> Result<(), ()> {
        if self.ended {
            return std::future::pending().await;
        }
        if !self.filled.is_empty() {
            let written = writer
                .write(&self.buffer[self.filled.clone()])
                .await
                .map_err(|_| ())?;
            self.filled.start += written;
            return Ok(());
        }
        let read = reader.read(&mut self.buffer).await.map_err(|_| ())?;
        if read == 0 {
            self.ended = true;
            return writer.shutdown().await.map_err(|_| ());
        }
        if let Some(rewrite) = self.rewrite {
            rewrite.apply(&mut self.buffer[..read]);
        }
        let allowed = switch.map_or(read, |switch| switch.take(read));
        self.filled = 0..allowed;
        if switch.is_some_and(Switch::is_cut) {
            // The last bytes before the cut; a client that does not read them must not keep the connection open.
            let last = &self.buffer[self.filled.clone()];
            drop(writer.try_write(last));
            return Err(());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{Fault, FaultProxy, Rewrite};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};
    use tokio::time::{Duration, timeout};

    /// An echo server and a proxy in front of it.
    async fn echo() -> FaultProxy {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let upstream = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let (mut reader, mut writer) = stream.split();
                    tokio::io::copy(&mut reader, &mut writer).await.ok();
                });
            }
        });
        FaultProxy::start(upstream).await.unwrap()
    }

    #[test]
    fn every_occurrence_is_rewritten() {
        let rewrite = Rewrite {
            from: "= 3600",
            to: "= 0001",
        };
        let mut bytes = *b"a = 3600, b = 3600, c = 360";
        rewrite.apply(&mut bytes);
        assert_eq!(&bytes, b"a = 0001, b = 0001, c = 360");
    }

    async fn exchange(stream: &mut TcpStream, bytes: &[u8]) {
        stream.write_all(bytes).await.unwrap();
        let mut answer = vec![0; bytes.len()];
        stream.read_exact(&mut answer).await.unwrap();
        assert_eq!(answer, bytes);
    }

    #[tokio::test]
    async fn bytes_pass_without_a_fault() {
        let proxy = echo().await;
        let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
        exchange(&mut stream, &vec![7; 100_000]).await;
        stream.shutdown().await.unwrap();
        assert_eq!(stream.read(&mut [0; 1]).await.unwrap(), 0);
        assert_eq!(proxy.connections(), 1);
    }

    #[tokio::test]
    async fn a_cut_lets_exactly_its_bytes_through_and_ends_all_connections() {
        let proxy = echo().await;
        let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
        let mut idle = TcpStream::connect(proxy.address()).await.unwrap();
        exchange(&mut stream, b"before").await;
        exchange(&mut idle, b"before").await;
        proxy.set(Fault::CutAfter(5));
        stream.write_all(b"1234567").await.unwrap();
        let mut got = Vec::new();
        // The end may be a reset, because bytes of ours were still unread; what came before it counts.
        stream.read_to_end(&mut got).await.ok();
        assert_eq!(got, b"12345");
        assert!(matches!(idle.read(&mut [0; 1]).await, Ok(0) | Err(_)));
        let mut late = TcpStream::connect(proxy.address()).await.unwrap();
        assert!(matches!(late.read(&mut [0; 1]).await, Ok(0) | Err(_)));
        proxy.set(Fault::None);
        exchange(&mut TcpStream::connect(proxy.address()).await.unwrap(), b"again").await;
    }

    #[tokio::test]
    async fn a_stall_loses_nothing() {
        let proxy = echo().await;
        let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
        exchange(&mut stream, b"before").await;
        proxy.set(Fault::Stall);
        stream.write_all(b"waits").await.unwrap();
        let mut answer = [0; 5];
        let stalled = timeout(Duration::from_millis(100), stream.read_exact(&mut answer)).await;
        assert!(stalled.is_err(), "a byte passed a stall");
        proxy.set(Fault::None);
        stream.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"waits");
    }

    #[tokio::test]
    async fn half_open_is_silent_and_reset_is_loud() {
        let proxy = echo().await;
        let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
        exchange(&mut stream, b"before").await;
        proxy.set(Fault::HalfOpen);
        stream.write_all(b"lost").await.unwrap();
        assert!(
            timeout(Duration::from_millis(100), stream.read(&mut [0; 4]))
                .await
                .is_err()
        );
        proxy.set(Fault::Reset);
        assert!(matches!(stream.read(&mut [0; 4]).await, Ok(0) | Err(_)));
        let mut late = TcpStream::connect(proxy.address()).await.unwrap();
        assert!(matches!(late.read(&mut [0; 4]).await, Ok(0) | Err(_)));
    }
}
