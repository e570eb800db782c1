//! A TCP proxy whose connections can be cut, stalled, half-opened or reset on demand.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

/// Bytes moved at once; small, so that a cut falls inside a message.
const CHUNK_BYTES: usize = 16 * 1024;
/// What the kernel may hold of a server's bytes before the server's own writes wait. Left to itself
/// it grows to tens of MiB, and a server would never notice a reader that stands still.
const RECEIVE_BUFFER_BYTES: u32 = 64 * 1024;

/// What happens to the bytes. Connections that are open at a switch and those that come later are
/// treated alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Bytes flow.
    None,
    /// The next so many bytes from the server still reach the clients (all connections together),
    /// then every connection is closed at both ends, new ones too.
    CutAfter(u64),
    /// Connections stay open and are accepted, but no byte moves in either direction. Nothing is
    /// lost: after [`Fault::None`] the bytes that waited are sent.
    Stall,
    /// At most the next so many bytes from the server still reach the clients (all connections
    /// together), then it is a [`Fault::Stall`].
    StallAfter(u64),
    /// The server's side is closed while the client's stays open and silent: a peer that died
    /// without a FIN.
    HalfOpen,
    /// Both sides are ended by a TCP reset; new connections are reset as soon as they are accepted.
    Reset,
}

/// What the proxy does about a text that a client sends, where it arrives in one piece. Not for
/// connections with TLS.
#[derive(Debug, Clone, Copy)]
pub enum Rule {
    /// The text reaches the server as another of the same length.
    Rewrite {
        /// What the client sends.
        from: &'static str,
        /// What the server gets.
        to: &'static str,
    },
    /// The fault is in force from the first time on that the text comes, before the server gets it.
    Trigger {
        /// What the client sends.
        text: &'static str,
        /// What happens.
        fault: Fault,
    },
}

/// A rule at work.
#[derive(Debug)]
struct ActiveRule {
    rule: Rule,
    has_fired: AtomicBool,
    control: watch::Sender<Switch>,
}

impl ActiveRule {
    fn apply(&self, bytes: &mut [u8]) {
        match self.rule {
            Rule::Rewrite { from, to } => {
                let mut at = 0;
                while let Some(found) = position(&bytes[at..], from) {
                    at += found;
                    bytes[at..at + to.len()].copy_from_slice(to.as_bytes());
                    at += to.len();
                }
            }
            Rule::Trigger { text, fault } => {
                if position(bytes, text).is_some() && !self.has_fired.swap(true, Ordering::AcqRel) {
                    self.control.send_replace(Switch::new(fault));
                }
            }
        }
    }
}

fn position(bytes: &[u8], text: &str) -> Option<usize> {
    bytes
        .windows(text.len())
        .position(|window| window == text.as_bytes())
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
            Fault::CutAfter(bytes) | Fault::StallAfter(bytes) => bytes,
            Fault::None | Fault::Stall | Fault::HalfOpen | Fault::Reset => 0,
        };
        Self {
            fault,
            budget_bytes: Arc::new(AtomicU64::new(bytes)),
        }
    }

    /// How many of `bytes` may still pass, taken from the budget.
    fn take(&self, bytes: usize) -> usize {
        if !matches!(self.fault, Fault::CutAfter(_) | Fault::StallAfter(_)) {
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
        matches!(self.fault, Fault::CutAfter(_)) && self.is_used_up()
    }

    /// True while no byte may move.
    fn is_stalled(&self) -> bool {
        match self.fault {
            Fault::Stall => true,
            Fault::StallAfter(_) => self.is_used_up(),
            Fault::None | Fault::CutAfter(_) | Fault::HalfOpen | Fault::Reset => false,
        }
    }

    fn is_used_up(&self) -> bool {
        self.budget_bytes.load(Ordering::Acquire) == 0
    }
}

impl FaultProxy {
    /// Listens on a free loopback port and connects each client to `upstream`, without a fault at
    /// first.
    pub async fn start(upstream: SocketAddr) -> io::Result<Self> {
        Self::start_at(upstream, None).await
    }

    /// The same, with a rule about what clients send.
    ///
    /// # Panics
    /// When a text is empty, or is rewritten to one of another length, which would break the
    /// protocol's own lengths.
    pub async fn start_with(upstream: SocketAddr, rule: Rule) -> io::Result<Self> {
        match rule {
            Rule::Rewrite { from, to } => assert!(
                !from.is_empty() && from.len() == to.len(),
                "{rule:?}: expected texts of one length"
            ),
            Rule::Trigger { text, .. } => assert!(!text.is_empty(), "{rule:?}: expected a text"),
        }
        Self::start_at(upstream, Some(rule)).await
    }

    async fn start_at(upstream: SocketAddr, rule: Option<Rule>) -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let (control, _) = watch::channel(Switch::new(Fault::None));
        let connections = Arc::new(AtomicU64::new(0));
        let rule = rule.map(|rule| {
            Arc::new(ActiveRule {
                rule,
                has_fired: AtomicBool::new(false),
                control: control.clone(),
            })
        });
        let acceptor = tokio::spawn(accept(
            listener,
            (upstream, rule),
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

    /// Puts `fault` in force for all connections from now on. Bytes already handed to the kernel
    /// are not called back.
    pub fn set(&self, fault: Fault) {
        self.control.send_replace(Switch::new(fault));
    }

    /// Whether no byte moves now.
    pub fn is_stalled(&self) -> bool {
        self.control.borrow().is_stalled()
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
    route: (SocketAddr, Option<Arc<ActiveRule>>),
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
                tasks.spawn(serve(client, route.clone(), control.clone()));
            }
        }
    }
}

/// One client from its first byte to its end. Errors of either socket end the connection, which is
/// what the other end sees.
async fn serve(
    mut client: TcpStream,
    (upstream, rule): (SocketAddr, Option<Arc<ActiveRule>>),
    control: watch::Sender<Switch>,
) {
    let mut watcher = control.subscribe();
    let at_start = watcher.borrow_and_update().clone();
    if at_start.fault == Fault::Reset {
        drop(client.set_zero_linger());
        return;
    }
    let Ok(mut server) = connect(upstream).await else {
        drop(client.set_zero_linger());
        return;
    };
    // Latency is no fault of this proxy; a socket that is already gone shows at the first read.
    drop(client.set_nodelay(true));
    drop(server.set_nodelay(true));
    watcher.mark_changed();
    match relay(&mut client, &mut server, rule, &control, &mut watcher).await {
        Ending::Closed => {}
        Ending::Reset => {
            drop(client.set_zero_linger());
            drop(server.set_zero_linger());
        }
        Ending::HalfOpen => {
            drop(server);
            // Silent towards the client until something else is in force, then gone. An error means
            // the proxy is gone.
            drop(watcher.changed().await);
        }
    }
}

async fn connect(upstream: SocketAddr) -> io::Result<TcpStream> {
    let socket = if upstream.is_ipv4() {
        TcpSocket::new_v4()?
    } else {
        TcpSocket::new_v6()?
    };
    socket.set_recv_buffer_size(RECEIVE_BUFFER_BYTES)?;
    socket.connect(upstream).await
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
    rule: Option<Arc<ActiveRule>>,
    control: &watch::Sender<Switch>,
    watcher: &mut watch::Receiver<Switch>,
) -> Ending {
    let (mut client_reader, mut client_writer) = client.split();
    let (mut server_reader, mut server_writer) = server.split();
    let (mut up, mut down) = (Direction::new(rule), Direction::new(None));
    while !(up.ended && down.ended) {
        let switch = watcher.borrow_and_update().clone();
        match switch.fault {
            Fault::CutAfter(_) if switch.is_cut() => return Ending::Closed,
            Fault::Stall | Fault::StallAfter(_) if switch.is_stalled() => {
                if watcher.changed().await.is_err() {
                    return Ending::Closed;
                }
                continue;
            }
            Fault::None | Fault::CutAfter(_) | Fault::Stall | Fault::StallAfter(_) => {}
            Fault::Reset => return Ending::Reset,
            Fault::HalfOpen => return Ending::HalfOpen,
        }
        // Fair on purpose: a busy direction must not starve the other. Every branch can be dropped
        // without losing bytes.
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
    rule: Option<Arc<ActiveRule>>,
    buffer: Vec<u8>,
    filled: std::ops::Range<usize>,
    ended: bool,
}

impl Direction {
    fn new(rule: Option<Arc<ActiveRule>>) -> Self {
        Self {
            rule,
            buffer: vec![0; CHUNK_BYTES],
            filled: 0..0,
            ended: false,
        }
    }

    /// One read or one write. With `switch`, bytes count against its budget, and those beyond it
    /// are an error. Cancellation-safe: a dropped step has moved nothing.
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
        if let Some(rule) = &self.rule {
            rule.apply(&mut self.buffer[..read]);
        }
        let allowed = switch.map_or(read, |switch| switch.take(read));
        // Beyond a cut bytes are lost; beyond a stall they wait with those that came before it.
        let stalls = switch.is_some_and(|switch| matches!(switch.fault, Fault::StallAfter(_)));
        self.filled = 0..if stalls { read } else { allowed };
        if switch.is_some_and(Switch::is_cut) {
            // The last bytes before the cut; a client that does not read them must not keep the
            // connection open.
            let last = &self.buffer[self.filled.clone()];
            drop(writer.try_write(last));
            return Err(());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{Fault, FaultProxy, Rule};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};
    use tokio::time::{Duration, timeout};

    /// An echo server and a proxy in front of it.
    async fn echo() -> FaultProxy {
        echo_with(None).await
    }

    async fn echo_with(rule: Option<Rule>) -> FaultProxy {
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
        FaultProxy::start_at(upstream, rule).await.unwrap()
    }

    #[tokio::test]
    async fn every_occurrence_is_rewritten() {
        let rule = Rule::Rewrite {
            from: "= 3600",
            to: "= 0001",
        };
        let proxy = echo_with(Some(rule)).await;
        let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
        stream.write_all(b"a = 3600, b = 3600, c = 360").await.unwrap();
        let mut answer = [0; 27];
        stream.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"a = 0001, b = 0001, c = 360");
    }

    #[tokio::test]
    async fn a_trigger_acts_once() {
        let rule = Rule::Trigger {
            text: "stop",
            fault: Fault::Stall,
        };
        let proxy = echo_with(Some(rule)).await;
        let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
        exchange(&mut stream, b"before").await;
        stream.write_all(b"please stop").await.unwrap();
        let mut answer = [0; 11];
        let stalled = timeout(Duration::from_millis(100), stream.read_exact(&mut answer)).await;
        assert!(stalled.is_err() && proxy.is_stalled());
        proxy.set(Fault::None);
        stream.read_exact(&mut answer).await.unwrap();
        exchange(&mut stream, b"stop again").await;
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
        // The end may be a reset, because bytes of ours were still unread; what came before it
        // counts.
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
    async fn a_stall_after_some_bytes_loses_nothing() {
        let proxy = echo().await;
        let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
        exchange(&mut stream, b"before").await;
        proxy.set(Fault::StallAfter(6));
        exchange(&mut stream, b"pass").await;
        stream.write_all(b"waits").await.unwrap();
        let mut answer = [0; 5];
        let stalled = timeout(Duration::from_millis(100), stream.read_exact(&mut answer)).await;
        assert!(stalled.is_err(), "more than a chunk passed a stall");
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
