//! The replica ids of change streams: two migrations of one source leave each other alone.

mod support;

use spanferry_core::port::source::{ChangeSource, ChangeStream, PositionSource};
use spanferry_core::position::Bookmark;
use spanferry_core::report::code;
use spanferry_core::report::failure::Failure;
use spanferry_mysql::{MysqlSource, Options};
use support::Server;

const FIRST: u32 = 4_711;
/// What the number of a stream that chooses begins with.
const CHOSEN: u32 = FIRST | 0x4000_0000;

fn source(options: Options, name: &str) -> MysqlSource {
    MysqlSource::choosing_id(options, FIRST, name.to_owned()).expect("options")
}

/// Reads until a transaction has come.
async fn follow(stream: &mut impl ChangeStream) -> Result<(), Failure> {
    let mut pieces = Vec::new();
    while pieces.is_empty() {
        stream.next(&mut pieces, 1 << 20).await?;
    }
    Ok(())
}

async fn streams_live_side_by_side(server: Server) {
    let mut admin = server
        .run("CREATE DATABASE s;\nCREATE TABLE s.t (id INT PRIMARY KEY)")
        .await;
    let real = source(server.admin("s"), "spanferry-real");
    let rehearsal = source(server.admin("s"), "spanferry-rehearsal");
    let position = Bookmark::unproved(real.position().await.expect("a position"));
    let mut one = real.open_stream(&position).await.expect("a stream");
    let mut other = rehearsal.open_stream(&position).await.expect("a stream");
    assert_eq!((real.server_id(), rehearsal.server_id()), (CHOSEN, CHOSEN + 1));
    admin.execute("INSERT INTO s.t VALUES (1)").await.expect("a row");
    follow(&mut one).await.expect("the row");
    follow(&mut other).await.expect("the row");
    // An earlier stream of the same migration gives way to its next one, under the same number.
    let mut next = source(server.admin("s"), "spanferry-real")
        .open_stream(&position)
        .await
        .expect("a stream");
    follow(&mut next).await.expect("the row");
    admin.execute("INSERT INTO s.t VALUES (2)").await.expect("a row");
    follow(&mut other).await.expect("the row");
    let replaced = loop {
        if let Err(failure) = follow(&mut one).await {
            break failure;
        }
    };
    assert_eq!(replaced.code, code::SOURCE_SERVER_ID, "{replaced}");
}

#[tokio::test]
async fn streams_live_side_by_side_mysql() {
    streams_live_side_by_side(Server::mysql("")).await;
}

#[tokio::test]
async fn streams_live_side_by_side_mariadb() {
    streams_live_side_by_side(Server::mariadb("")).await;
}

/// An account that may not see the replicas learns of a collision when its stream is ended, and
/// continues under another number.
#[tokio::test]
async fn a_collision_that_was_not_seen_is_resolved() {
    let server = Server::mariadb("");
    let mut admin = server
        .run(
            "CREATE DATABASE s;\nCREATE TABLE s.t (id INT PRIMARY KEY);\nCREATE USER blind@'%' IDENTIFIED BY 'blind';\n\
             GRANT SELECT ON s.* TO blind@'%';\nGRANT REPLICATION SLAVE ON *.* TO blind@'%'",
        )
        .await;
    let blind = || server.options("blind", "blind", "s", "");
    let (real, rehearsal) = (
        source(blind(), "spanferry-real"),
        source(blind(), "spanferry-rehearsal"),
    );
    let position = Bookmark::unproved(real.position().await.expect("a position"));
    let mut one = real.open_stream(&position).await.expect("a stream");
    let mut other = rehearsal.open_stream(&position).await.expect("a stream");
    let ended = follow(&mut one)
        .await
        .expect_err("the stream of the same number has come");
    assert!(
        ended.code == code::SOURCE_SERVER_ID && ended.is_retry(),
        "{ended}"
    );
    let mut one = real.open_stream(&position).await.expect("a stream");
    assert_eq!((real.server_id(), rehearsal.server_id()), (CHOSEN + 1, CHOSEN));
    admin.execute("INSERT INTO s.t VALUES (1)").await.expect("a row");
    follow(&mut one).await.expect("the row");
    follow(&mut other).await.expect("the row");
    // A number that the operator gave is not changed.
    let given = MysqlSource::new(blind(), 99).expect("options");
    let mut stream = given.open_stream(&position).await.expect("a stream");
    follow(&mut stream).await.expect("the row");
    let mut taker = MysqlSource::new(blind(), 99)
        .expect("options")
        .open_stream(&position)
        .await
        .expect("a stream");
    follow(&mut taker).await.expect("the row");
    let ended = follow(&mut stream).await.expect_err("another has the number");
    assert!(
        ended.code == code::SOURCE_SERVER_ID && !ended.is_retry(),
        "{ended}"
    );
}
