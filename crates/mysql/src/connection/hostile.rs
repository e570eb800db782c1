//! A server that announces more than it sends, or sends more than it should: what it can make us
//! keep has a bound.

use std::time::Duration;

use mysql_common::io::BufMutExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::client::Connection;
use super::error_packet::server_error;
use super::packet::{LOGIN_PACKET_BYTES_MAX, PacketStream};
use super::result::{DEFINITION_BYTES_MAX, ResultRow, RowView};
use super::server::Server;
use crate::error::MysqlError;

/// A stream at whose other end these packets have been sent, and nothing more comes.
async fn stream_of(packets: Vec<Vec<u8>>, first_sequence: u8) -> PacketStream {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let (client, server) = tokio::join!(TcpStream::connect(address), listener.accept());
    let (client, (mut server, _)) = (client.expect("a client"), server.expect("a server"));
    tokio::spawn(async move {
        for (sequence, packet) in packets.iter().enumerate() {
            let length = u32::try_from(packet.len()).expect("short").to_le_bytes();
            let number = first_sequence.wrapping_add(u8::try_from(sequence % 256).expect("a byte"));
            let framed = [&length[..3], &[number], packet].concat();
            // The client may have had enough.
            if server.write_all(&framed).await.is_err() {
                return;
            }
        }
        // What the client has sent is read, so that the end of the stream is one, and no reset.
        server.shutdown().await.expect("an end");
        drop(server.read_to_end(&mut Vec::new()).await);
    });
    PacketStream::new(client, "h:1".to_owned(), Duration::from_secs(30))
}

/// What a query brings of which these packets are the answer.
async fn answer(packets: Vec<Vec<u8>>) -> MysqlError {
    let mut stream = stream_of(packets, 1).await;
    stream.logged_in();
    let mut connection = Connection::of(stream, Server::parse("9.7.0", true), 1);
    let found = connection.query("SELECT 1").await;
    found.expect_err("it is not a whole answer")
}

fn expect(error: &MysqlError, words: &str) {
    assert!(
        matches!(error, MysqlError::Protocol { expected } if expected.contains(words)),
        "{error}"
    );
}

/// The definition of a column whose name has so many bytes.
fn definition(name_bytes: usize) -> Vec<u8> {
    let mut packet = Vec::new();
    for text in [b"def".as_slice(), b"", b"", b"", &vec![b'n'; name_bytes], b""] {
        packet.put_lenenc_str(text);
    }
    packet.extend_from_slice(&[12, 63, 0, 1, 0, 0, 0, 3, 0, 0, 0, 0, 0]);
    packet
}

#[tokio::test]
async fn columns_are_no_more_than_a_table_has() {
    for count in [
        [0xfc, 0x01, 0x10].as_slice(),
        &[0xfe, 255, 255, 255, 255, 255, 255, 255, 255],
    ] {
        expect(&answer(vec![count.to_vec()]).await, "4096 columns");
    }
    // As many as a table may have are awaited.
    let awaited = answer(vec![vec![0xfc, 0x00, 0x10], definition(1)]).await;
    assert!(matches!(awaited, MysqlError::Closed { .. }), "{awaited}");
}

#[tokio::test]
async fn definitions_of_columns_are_short() {
    let long = definition(DEFINITION_BYTES_MAX / 9);
    let mut packets = vec![vec![10]];
    packets.extend(std::iter::repeat_n(long, 10));
    expect(&answer(packets).await, "8 MiB");
}

#[tokio::test]
async fn packets_are_short_before_the_login() {
    for (bytes, is_read) in [
        (LOGIN_PACKET_BYTES_MAX - 4, true),
        (LOGIN_PACKET_BYTES_MAX - 3, false),
    ] {
        let mut stream = stream_of(vec![vec![7; bytes]], 0).await;
        match stream.read().await {
            Ok(found) => assert!(is_read && found.len() == bytes),
            Err(error) => {
                assert!(!is_read, "{error}");
                expect(&error, "64 KiB before the login");
            }
        }
        let mut stream = stream_of(vec![vec![7; bytes]], 0).await;
        stream.logged_in();
        assert_eq!(stream.read().await.expect("a packet").len(), bytes);
    }
}

#[test]
fn the_memory_of_a_row_counts_its_cells() {
    let nulls = vec![0xfb; 4_096];
    let row = RowView::new(&nulls, nulls.len());
    let owned = ResultRow::new(row).expect("a row");
    assert_eq!(owned.bytes(4_095), None);
    assert!(ResultRow::memory(row) > 20 * nulls.len());
}

#[test]
fn words_of_an_error_are_few() {
    let mut packet = b"\xff\x28\x04#42000".to_vec();
    packet.resize(1 << 20, b'w');
    let MysqlError::Server { message, .. } = server_error(&packet) else {
        panic!("expected a server error")
    };
    assert!(message.len() == 4 << 10, "{}", message.len());
}
