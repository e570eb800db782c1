//! A server that is none: it greets, asks for the password in one way or another, and shows what it
//! was given.

use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::rsa::{KeySize, OAEP_SHA1_MGF1SHA1, OaepPrivateDecryptingKey, PrivateDecryptingKey};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use mysql_common::packets::AuthPlugin;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::auth;
use super::client::Connection;
use crate::error::MysqlError;
use crate::options::Options;

const PASSWORD: &str = "correct horse";
const NONCE: &[u8; 20] = b"abcdefghijklmnopqrst";
const SWITCH_NONCE: &[u8; 20] = b"ABCDEFGHIJKLMNOPQRST";
const FAST: &[u8] = &[1, 3];
const FULL: &[u8] = &[1, 4];
const OK: &[u8] = &[0, 0, 0, 2, 0, 0, 0];

/// A greeting of a MySQL server without TLS.
fn greeting(plugin: &str) -> Vec<u8> {
    let capabilities: u32 = 1 | 1 << 9 | 1 << 15 | 1 << 19 | 1 << 20 | 1 << 21;
    let [low0, low1, high0, high1] = capabilities.to_le_bytes();
    let mut packet = vec![10];
    packet.extend_from_slice(b"9.7.0\0");
    packet.extend_from_slice(&[1, 0, 0, 0]);
    packet.extend_from_slice(&NONCE[..8]);
    packet.extend_from_slice(&[0, low0, low1, 45, 2, 0, high0, high1, 21]);
    packet.extend_from_slice(&[0; 10]);
    packet.extend_from_slice(&NONCE[8..]);
    packet.push(0);
    packet.extend_from_slice(plugin.as_bytes());
    packet.push(0);
    packet
}

fn switch(plugin: &str) -> Vec<u8> {
    [b"\xfe", plugin.as_bytes(), b"\0", SWITCH_NONCE, b"\0"].concat()
}

/// A key of its own, and its public part as MySQL sends it.
fn key() -> (OaepPrivateDecryptingKey, Vec<u8>) {
    let key = PrivateDecryptingKey::generate(KeySize::Rsa2048).expect("a key");
    let der: PublicKeyX509Der<'_> = key.public_key().as_der().expect("its public part");
    let pem = format!(
        "-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n",
        STANDARD.encode(der.as_ref())
    );
    (
        OaepPrivateDecryptingKey::new(key).expect("a key"),
        pem.into_bytes(),
    )
}

fn digest(method: &str, nonce: &[u8]) -> Vec<u8> {
    auth::digest(&AuthPlugin::from_bytes(method.as_bytes()), PASSWORD, nonce)
}

/// The password as the client masks it before it encrypts it.
fn masked(nonce: &[u8]) -> Vec<u8> {
    let plain = [PASSWORD.as_bytes(), &[0]].concat();
    plain
        .iter()
        .zip(nonce.iter().cycle())
        .map(|(byte, mask)| byte ^ mask)
        .collect()
}

async fn send(socket: &mut TcpStream, sequence: &mut u8, packet: &[u8]) {
    let length = u32::try_from(packet.len()).expect("short").to_le_bytes();
    let framed = [&length[..3], &[*sequence], packet].concat();
    *sequence += 2;
    socket.write_all(&framed).await.expect("the client listens");
}

async fn receive(socket: &mut TcpStream) -> Option<Vec<u8>> {
    let mut header = [0; 4];
    socket.read_exact(&mut header).await.ok()?;
    let mut packet = vec![0; usize::from(header[0]) | usize::from(header[1]) << 8];
    socket.read_exact(&mut packet).await.ok()?;
    Some(packet)
}

/// Logs in at a server that greets and then gives these answers, each after a packet of the client.
/// How it ended, and what the client sent.
async fn log_in(query: &str, plugin: &str, answers: Vec<Vec<u8>>) -> (MysqlError, Vec<Vec<u8>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let greeting = greeting(plugin);
    let server = tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.expect("a client");
        let (mut sequence, mut received) = (0, Vec::new());
        send(&mut socket, &mut sequence, &greeting).await;
        let mut answers = answers.into_iter();
        while let Some(packet) = receive(&mut socket).await {
            received.push(packet);
            match answers.next() {
                // The fast result and the acknowledgement come without a packet of the client
                // between them.
                Some(answer) if answer == FAST => {
                    send(&mut socket, &mut sequence, FAST).await;
                    sequence -= 1;
                    send(&mut socket, &mut sequence, OK).await;
                }
                Some(answer) => send(&mut socket, &mut sequence, &answer).await,
                None => break,
            }
        }
        received
    });
    let url = format!("mysql://u@127.0.0.1:{port}/?{query}");
    let options = Options::parse(&url).expect(&url).password(PASSWORD);
    let error = Connection::open(&options)
        .await
        .expect_err("the server says no more");
    (error, server.await.expect("the server ran"))
}

/// The client's first packet holds this answer, and no packet holds the password.
fn expect_answer(received: &[Vec<u8>], answer: &[u8]) {
    let mut framed = vec![u8::try_from(answer.len()).expect("short")];
    framed.extend_from_slice(answer);
    let holds = |packet: &[u8], part: &[u8]| packet.windows(part.len()).any(|window| window == part);
    assert!(holds(&received[0], &framed), "another answer");
    for packet in received {
        assert!(!holds(packet, PASSWORD.as_bytes()), "the password in clear");
    }
}

#[tokio::test]
async fn a_server_that_proves_nothing_gets_no_password() {
    let native = digest("mysql_native_password", NONCE);
    for query in ["", "ssl-mode=PREFERRED", "ssl-mode=DISABLED"] {
        for plugin in [
            "caching_sha2_password",
            "mysql_native_password",
            "sha256_password",
        ] {
            // As a server does that knows the account by caching_sha2_password.
            let answers = vec![switch("caching_sha2_password"), FULL.to_vec()];
            let (error, received) = log_in(query, plugin, answers).await;
            assert!(
                matches!(error, MysqlError::Unverified { encrypted: false, .. }),
                "{query} {plugin}: {error}"
            );
            assert_eq!(
                received.len(),
                1,
                "{query} {plugin}: nothing goes out after the switch"
            );
            expect_answer(&received, &native);
            // As one does whose account always needs the password.
            let answers = vec![switch("sha256_password"), vec![1]];
            let (error, received) = log_in(query, plugin, answers).await;
            assert!(matches!(error, MysqlError::Unverified { .. }), "{error}");
            assert_eq!(received.len(), 1, "{query} {plugin}");
            // As one does that wants the password at once, or sends its key unasked.
            for answer in [FULL.to_vec(), [&[1], key().1.as_slice()].concat()] {
                let (error, received) = log_in(query, plugin, vec![answer]).await;
                assert!(
                    matches!(error, MysqlError::Protocol { .. }),
                    "{query} {plugin}: {error}"
                );
                assert_eq!(received.len(), 1, "{query} {plugin}");
            }
        }
    }
    let failure = MysqlError::Unverified {
        address: "h:1".to_owned(),
        encrypted: false,
    }
    .into_failure("h:1");
    let hint = failure.hint.as_deref().unwrap_or_default();
    for option in [
        "ssl-ca=FILE",
        "server-public-key-path=FILE",
        "get-server-public-key=true",
    ] {
        assert!(hint.contains(option), "{hint}");
    }
}

#[tokio::test]
async fn a_password_in_clear_needs_more_than_a_request() {
    for query in ["", "ssl-mode=DISABLED", "get-server-public-key=true"] {
        for plugin in ["mysql_clear_password", "mysql_native_password"] {
            let answers = vec![switch("mysql_clear_password"), OK.to_vec()];
            let (error, received) = log_in(query, plugin, answers).await;
            assert!(
                matches!(error, MysqlError::ClearPassword { is_verified: false }),
                "{query} {plugin}: {error}"
            );
            assert_eq!(received.len(), 1, "{query} {plugin}");
            expect_answer(&received, &digest("mysql_native_password", NONCE));
        }
    }
}

#[tokio::test]
async fn a_method_that_is_not_supported_is_named() {
    for plugin in [
        "auth_gssapi_client",
        "dialog",
        "authentication_webauthn_client",
        "x",
    ] {
        let (error, received) = log_in("", "mysql_native_password", vec![switch(plugin)]).await;
        assert!(error.to_string().contains(&format!("`{plugin}`")), "{error}");
        assert_eq!(received.len(), 1, "{plugin}");
        let failure = error.into_failure("h:1");
        assert_eq!(failure.code.number(), 2023);
        assert!(failure.hint.is_some_and(|hint| hint.contains("CREATE USER")));
    }
    // The request of a server before 4.1.
    let (error, _) = log_in("", "mysql_native_password", vec![vec![0xfe]]).await;
    assert!(error.to_string().contains("`mysql_old_password`"), "{error}");
}

/// The switch to a method with a challenge of 32 bytes, whose last byte is a zero without a
/// terminator.
fn long_switch(plugin: &str) -> Vec<u8> {
    [b"\xfe", plugin.as_bytes(), b"\0", [7; 31].as_slice(), b"\0"].concat()
}

#[tokio::test]
async fn a_signature_is_of_the_whole_challenge() {
    let answers = vec![long_switch("client_ed25519"), OK.to_vec()];
    let (_, received) = log_in("", "mysql_native_password", answers).await;
    let nonce = [[7; 31].as_slice(), &[0]].concat();
    assert_eq!(received[1], auth::ed25519(PASSWORD, &nonce));
    for plugin in ["client_ed25519", "parsec"] {
        let (error, received) = log_in("", "mysql_native_password", vec![switch(plugin)]).await;
        assert!(matches!(error, MysqlError::Protocol { .. }), "{plugin}: {error}");
        assert_eq!(received.len(), 1, "a challenge of 20 bytes: {plugin}");
    }
}

#[tokio::test]
async fn parsec_asks_for_the_salt_and_signs() {
    let salt = b"P\x00abcdefghijklmnopqr";
    for mark in [b"\x01".as_slice(), b""] {
        let answers = vec![long_switch("parsec"), [mark, salt].concat(), OK.to_vec()];
        let (_, received) = log_in("", "mysql_native_password", answers).await;
        assert_eq!(received[1], [0_u8; 0], "it asks for the salt");
        assert_eq!(received[2].len(), 32 + 64, "its challenge and the signature");
        assert_eq!(received[3][0], 3, "it is logged in and sends its first statement");
    }
    // A server that would have us compute for hours, and one that sends a salt to another method.
    for answers in [
        vec![long_switch("parsec"), b"\x01P\x14abcdefghijklmnopqr".to_vec()],
        vec![
            switch("mysql_native_password"),
            [b"\x01", salt.as_slice()].concat(),
        ],
    ] {
        let (error, received) = log_in("", "mysql_native_password", answers).await;
        assert!(matches!(error, MysqlError::Protocol { .. }), "{error}");
        assert_eq!(received.len(), 2);
    }
}

#[tokio::test]
async fn a_method_that_sends_no_password_works_without_proof() {
    let answers = vec![switch("mysql_native_password"), OK.to_vec()];
    let (_, received) = log_in("", "caching_sha2_password", answers).await;
    assert_eq!(received[1], digest("mysql_native_password", SWITCH_NONCE));
    assert_eq!(received[2][0], 3, "it is logged in and sends its first statement");
}

#[tokio::test]
async fn a_pinned_key_is_used_and_no_other() {
    let (private, public) = key();
    let file = std::env::temp_dir().join(format!("spanferry-key-{}", std::process::id()));
    std::fs::write(&file, &public).expect("a file");
    let query = format!("ssl-mode=DISABLED&server-public-key-path={}", file.display());
    let answers = vec![FULL.to_vec(), OK.to_vec()];
    let (_, received) = log_in(&query, "caching_sha2_password", answers).await;
    std::fs::remove_file(&file).expect("the file");
    expect_answer(&received, &digest("caching_sha2_password", NONCE));
    let mut room = vec![0; private.min_output_size()];
    let plain = private
        .decrypt(&OAEP_SHA1_MGF1SHA1, &received[1], &mut room, None)
        .expect("sealed for this key");
    assert_eq!(plain, masked(NONCE));
    let (error, _) = log_in(&query, "caching_sha2_password", Vec::new()).await;
    assert!(matches!(error, MysqlError::Usage(_)), "the file is gone: {error}");
}

#[tokio::test]
async fn an_operator_may_allow_it() {
    let (private, public) = key();
    let answers = vec![FULL.to_vec(), [&[1], public.as_slice()].concat(), OK.to_vec()];
    let (_, received) = log_in("get-server-public-key=true", "caching_sha2_password", answers).await;
    assert_eq!(received[1], [2], "it asks for the key");
    let mut room = vec![0; private.min_output_size()];
    let plain = private
        .decrypt(&OAEP_SHA1_MGF1SHA1, &received[2], &mut room, None)
        .expect("sealed for the server's key");
    assert_eq!(plain, masked(NONCE));
    let (_, received) = log_in(
        "get-server-public-key=true",
        "caching_sha2_password",
        vec![FAST.to_vec()],
    )
    .await;
    expect_answer(&received, &digest("caching_sha2_password", NONCE));
}
