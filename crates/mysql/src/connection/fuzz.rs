//! Packets of the client protocol, captured from MySQL 9.7 and MariaDB 10.11, whole and damaged: no
//! panic, bounded memory.

use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};

use super::error_packet::server_error;
use super::handshake::Greeting;
use super::packet::PacketStream;
use super::result::{ColumnDefinition, ResultRow, RowView};
use crate::error::MysqlError;
use crate::fuzz::{Random, bytes};

const GREETINGS: [&str; 2] = [
    "0a392e372e342d32000a00000030186e596b233c3a00ffffff0200ffdf15000000000000000000007768094f3530545839095d5f\
     0063616368696e675f736861325f70617373776f726400",
    "0a352e352e352d31302e31312e31382d4d6172696144422d302b646562313275312d6c6f670006000000697532365940703700fe\
     ff2d0200ff81150000000000001d0000005f587c274978442839275453006d7973716c5f6e61746976655f70617373776f726400",
];
/// `one`, `t`, `n`, `d` and `long_text` of one result.
const COLUMNS: [&str; 5] = [
    "03646566000000036f6e65000c3f0002000000088100000000",
    "036465660000000174000c2d0010000000fd01001f0000",
    "03646566000000016e000c3f0000000000068000000000",
    "036465660000000164000c3f000c000000f68100030000",
    "03646566000000096c6f6e675f74657874000c2d0010040000fd0100270000",
];
/// Its row up to the last cell, 260 times `x` behind a length of three bytes.
const ROW_HEAD: &str = "01310474657874fb05312e353030fc0401";
const ERROR: &str = "ff2804233432303030596f75206861766520616e206572726f72";
/// Changed packets of each kind.
const ROUNDS: usize = 20_000;
/// Damaged conversations over a socket.
const CONVERSATIONS: usize = 200;

fn hex(text: &str) -> Vec<u8> {
    bytes(&text.replace(' ', ""))
}

fn row() -> Vec<u8> {
    let mut row = bytes(ROW_HEAD);
    row.extend_from_slice(&[b'x'; 260]);
    row
}

#[test]
fn fuzz_corpus_is_read_as_it_was_sent() {
    let versions = GREETINGS.map(|greeting| {
        Greeting::parse(&hex(greeting))
            .expect("a greeting")
            .server
            .version
    });
    assert_eq!(versions, [(9, 7, 4), (10, 11, 18)]);
    let names = COLUMNS.map(|column| ColumnDefinition::parse(&hex(column)).expect("a column").name);
    assert_eq!(names, ["one", "t", "n", "d", "long_text"]);
    let row = row();
    let row = ResultRow::new(RowView::new(&row, COLUMNS.len())).expect("a row");
    let cells: Vec<_> = (0..4).map(|index| row.text(index)).collect();
    let some = |text: &str| Some(text.to_owned());
    assert_eq!(cells, [some("1"), some("text"), None, some("1.500")]);
    assert_eq!(row.bytes(4).map(<[u8]>::len), Some(260));
    assert_eq!(server_error(&hex(ERROR)).server_code(), Some(1064));
}

#[test]
fn fuzz_packets_never_panic() {
    let mut random = Random(0x5eed);
    let mut corpus: Vec<_> = GREETINGS.iter().chain(&COLUMNS).map(|text| hex(text)).collect();
    corpus.extend([row(), hex(ERROR)]);
    for round in 0..ROUNDS {
        let mut packet = corpus[round % corpus.len()].clone();
        random.damage(&mut packet);
        let _greeting = Greeting::parse(&packet);
        let _error = server_error(&packet);
        let _column = ColumnDefinition::parse(&packet);
        let cells = RowView::new(&packet, random.below(9)).cells();
        let bytes: usize = cells.filter_map(Result::ok).flatten().map(<[u8]>::len).sum();
        assert!(bytes <= packet.len(), "cells overlap");
    }
}

/// The length of the challenge is a byte of the server's: no value of it is a panic.
#[test]
fn a_greeting_may_announce_any_length() {
    let length_at = GREETINGS.map(|greeting| {
        let version = hex(greeting)[1..].iter().position(|byte| *byte == 0);
        version.expect("a version ends with zero") + 2 + 4 + 8 + 1 + 2 + 1 + 2 + 2
    });
    for (greeting, length_at) in GREETINGS.iter().zip(length_at) {
        let mut packet = hex(greeting);
        assert!([0, 21].contains(&packet[length_at]), "{}", packet[length_at]);
        for length in 0..=u8::MAX {
            packet[length_at] = length;
            let is_whole = Greeting::parse(&packet).is_ok();
            assert!(is_whole || length > 21, "{length}");
        }
    }
}

/// Reads packets until the stream ends; how many bytes they held, and how it ended.
async fn read_all(stream: &mut PacketStream) -> (usize, MysqlError) {
    let mut bytes = 0;
    loop {
        match stream.read().await {
            Ok(packet) => bytes += stream.bytes(packet).len(),
            Err(error) => return (bytes, error),
        }
    }
}

#[tokio::test]
async fn fuzz_framing_never_panics_nor_grows() {
    let mut random = Random(0x0bad_5eed);
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    for _ in 0..CONVERSATIONS {
        let mut sent = Vec::new();
        for sequence in 0..4 {
            let payload = random.noise(300);
            let length = u32::try_from(payload.len()).expect("short");
            sent.extend_from_slice(&length.to_le_bytes()[..3]);
            sent.push(sequence);
            sent.extend_from_slice(&payload);
        }
        random.damage(&mut sent);
        let (client, server) = tokio::join!(TcpStream::connect(address), listener.accept());
        let (client, (mut server, _)) = (client.expect("a client"), server.expect("a server"));
        server.write_all(&sent).await.expect("room in the socket");
        drop(server);
        let mut stream = PacketStream::new(client, String::new(), Duration::from_secs(30));
        stream.logged_in();
        let before = stream.capacity();
        let (bytes, error) = read_all(&mut stream).await;
        assert!(bytes <= sent.len(), "{bytes} of {}", sent.len());
        assert!(
            matches!(error, MysqlError::Closed { .. } | MysqlError::Protocol { .. }),
            "{error}"
        );
        // A false length makes the buffer grow with what arrives, not with what it announces.
        assert!(stream.capacity() <= before * 2, "{}", stream.capacity());
    }
}
