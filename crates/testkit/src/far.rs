//! A TCP relay that makes its two ends far from each other: every byte arrives later, and none is
//! lost.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, sleep_until};

/// Bytes moved at once.
const CHUNK_BYTES: usize = 64 * 1024;
/// Chunks on their way in one direction; a sender that is faster waits, as on a real line.
const CHUNKS_MAX: usize = 64;

/// A listening relay. Dropped, it closes all its connections.
#[derive(Debug)]
pub struct FarLine {
    address: SocketAddr,
    acceptor: JoinHandle<()>,
}

impl FarLine {
    /// Listens on a free loopback port. What is sent to it reaches `upstream` half a `round_trip`
    /// later, and the other way round.
    pub async fn start(upstream: SocketAddr, round_trip: Duration) -> io::Result<FarLine> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let acceptor = tokio::spawn(accept(listener, upstream, round_trip / 2));
        Ok(FarLine { address, acceptor })
    }

    /// Where clients connect.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for FarLine {
    fn drop(&mut self) {
        self.acceptor.abort();
    }
}

/// Owns every connection's task, so that ending this one ends them.
async fn accept(listener: TcpListener, upstream: SocketAddr, delay: Duration) {
    let mut tasks = JoinSet::new();
    loop {
        tokio::select! {
            biased;
            Some(_) = tasks.join_next() => {}
            accepted = listener.accept() => {
                let Ok((client, _)) = accepted else { continue };
                tasks.spawn(serve(client, upstream, delay));
            }
        }
    }
}

/// One connection. An error of either socket ends both, a delay later.
async fn serve(client: TcpStream, upstream: SocketAddr, delay: Duration) {
    let Ok(server) = TcpStream::connect(upstream).await else {
        return;
    };
    // A socket that is already gone shows at the first read.
    drop(client.set_nodelay(true));
    drop(server.set_nodelay(true));
    let (client_reader, client_writer) = client.into_split();
    let (server_reader, server_writer) = server.into_split();
    let mut directions = JoinSet::new();
    directions.spawn(carry(client_reader, server_writer, delay));
    directions.spawn(carry(server_reader, client_writer, delay));
    while let Some(ended) = directions.join_next().await {
        if !matches!(ended, Ok(Ok(()))) {
            return;
        }
    }
}

/// Carries one direction to its end of file.
async fn carry(mut reader: OwnedReadHalf, mut writer: OwnedWriteHalf, delay: Duration) -> io::Result<()> {
    let (sender, mut receiver) = mpsc::channel::<(Instant, io::Result<Vec<u8>>)>(CHUNKS_MAX);
    let read = async move {
        loop {
            let mut chunk = vec![0; CHUNK_BYTES];
            let read = reader.read(&mut chunk).await.map(|bytes| {
                chunk.truncate(bytes);
                chunk
            });
            let is_last = read.as_ref().map_or(true, Vec::is_empty);
            let sent = sender.send((Instant::now() + delay, read)).await;
            if is_last || sent.is_err() {
                return;
            }
        }
    };
    let write = async move {
        while let Some((at, chunk)) = receiver.recv().await {
            sleep_until(at).await;
            let chunk = chunk?;
            if chunk.is_empty() {
                return writer.shutdown().await;
            }
            writer.write_all(&chunk).await?;
        }
        Ok(())
    };
    tokio::pin!(read, write);
    tokio::select! {
        biased;
        written = &mut write => return written,
        () = &mut read => {}
    }
    write.await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn bytes_arrive_later_and_in_order() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let round_trip = Duration::from_millis(60);
        let upstream = listener.local_addr().unwrap();
        let line = FarLine::start(upstream, round_trip).await.unwrap();
        let echo = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let (mut reader, mut writer) = stream.split();
            tokio::io::copy(&mut reader, &mut writer).await.unwrap();
            writer.shutdown().await.unwrap();
        };
        let ask = async {
            let mut client = TcpStream::connect(line.address()).await.unwrap();
            let sent: Vec<u8> = (0..1_000_000_u32).map(|number| (number % 251) as u8).collect();
            let since = Instant::now();
            let (mut reader, mut writer) = client.split();
            let mut back = Vec::new();
            let (written, read) = tokio::join!(
                async {
                    writer.write_all(&sent).await?;
                    writer.shutdown().await
                },
                reader.read_to_end(&mut back)
            );
            written.unwrap();
            read.unwrap();
            assert!(since.elapsed() >= round_trip);
            assert!(back == sent);
        };
        tokio::join!(echo, ask);
    }
}
