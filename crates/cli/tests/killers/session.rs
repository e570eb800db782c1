//! A server whose settings cut off, change or end what a session reads that inherits them: 33.
//!
//! Every setting of `testkit::hostile` is set globally and by `init_connect`. What the target holds
//! is compared with a model by code that shares nothing with the program, because `verify` reads
//! under the same settings.

use mysql_async::Conn;
use mysql_async::prelude::Queryable;
use spanferry_testkit::crowd::Crowd;
use spanferry_testkit::hostile;
use spanferry_testkit::patience::PATIENCE;
use spanferry_testkit::random::seed;
use spanferry_testkit::scenario::{Parent, SCHEMA, State};
use spanferry_testkit::server::Engine;
use tokio::time::timeout;

use crate::support::{HELD_UP, World, is_loading};

/// Rows of the large table.
const ROWS: usize = 5_000;
/// The server's answers to a variable that it does not have, and to one without a global value.
const NOT_GLOBAL: [u16; 2] = [1193, 1228];

const LARGE: &str = ";
    CREATE TABLE `größe` (`schlüssel` INT PRIMARY KEY, `länge` VARCHAR(200) NOT NULL) DEFAULT CHARACTER SET utf8mb4;
    CREATE TABLE numbers (n INT PRIMARY KEY);
    INSERT INTO numbers VALUES (0),(1),(2),(3),(4),(5),(6),(7),(8),(9);
    INSERT INTO `größe` SELECT a.n + 10 * b.n + 100 * c.n + 1000 * d.n, REPEAT('ä', 90) \
      FROM numbers a, numbers b, numbers c, numbers d WHERE d.n < 5;
    DROP TABLE numbers;
    CREATE USER plain@'%' IDENTIFIED BY 'plain';
    GRANT SELECT, TRIGGER ON shop.* TO plain@'%'";

/// Sets everything globally, and by `init_connect` what the account may set for itself.
async fn make_hostile(world: &World, admin: &mut Conn) {
    let settings = hostile::settings(world.server.engine() == Engine::MariaDb);
    let plain = mysql_async::OptsBuilder::default()
        .ip_or_hostname("127.0.0.1")
        .tcp_port(world.server.port())
        .user(Some("plain"))
        .pass(Some("plain"))
        .prefer_socket(false);
    let mut plain = Conn::new(plain).await.unwrap();
    let mut of_sessions = Vec::new();
    for (name, value) in settings.iter().copied() {
        let set = plain.query_drop(format!("SET SESSION {name} = {value}")).await;
        if set.is_ok() {
            of_sessions.push((name, value));
        }
    }
    drop(plain);
    for (name, value) in settings {
        match admin.query_drop(format!("SET GLOBAL {name} = {value}")).await {
            Ok(()) => {}
            Err(mysql_async::Error::Server(error)) if NOT_GLOBAL.contains(&error.code) => {}
            Err(error) => panic!("{name} = {value}: {error}"),
        }
    }
    let first = [
        "SET NAMES utf8mb4",
        "USE information_schema",
        "START TRANSACTION READ ONLY",
    ];
    let init_connect = hostile::init_connect(&first, &of_sessions).replace('\'', "''");
    let sql = format!("SET GLOBAL init_connect = '{init_connect}'");
    admin.query_drop(sql).await.unwrap();
}

async fn everything_arrives(engine: Engine) {
    let (arguments, grant): (&[&str], _) = match engine {
        Engine::MySql => (&[], "REPLICATION SLAVE, REPLICATION CLIENT"),
        Engine::MariaDb => (
            &[
                "--skip-character-set-client-handshake",
                "--query-cache-type=1",
                "--query-cache-size=1M",
            ],
            "REPLICATION SLAVE, BINLOG MONITOR, REPLICATION MASTER ADMIN, SLAVE MONITOR",
        ),
    };
    let schema = format!("{SCHEMA}{LARGE};\nGRANT {grant} ON *.* TO plain@'%'");
    let mut world = World::with_arguments(engine, arguments, &schema).await;
    // What writes and changes keeps connections that are older than the settings.
    let mut crowd = Crowd::new(world.server.pool(Some("shop")), seed(20_261_129), 100)
        .await
        .unwrap();
    crowd.run(1_000).await.unwrap();
    let pool = world.server.pool(Some("shop"));
    let mut admin = pool.get_conn().await.unwrap();
    make_hostile(&world, &mut admin).await;

    world.account = "plain";
    let interposer = world.interpose(HELD_UP);
    let mut migrate = world.migrate();
    world.wait(&mut migrate, "the first rows were loaded", is_loading);
    crowd.run(300).await.unwrap();
    let change = admin.query_drop("ALTER TABLE `größe` ADD INDEX lengths (`länge`(20))");
    timeout(PATIENCE, change)
        .await
        .expect("a DDL waits for us")
        .unwrap();
    interposer.faults().set_rates(Vec::new());
    world.wait_caught_up(&mut migrate);
    crowd.run(300).await.unwrap();
    assert_eq!(migrate.interrupt(), 130);
    crowd.run(300).await.unwrap();
    world.expect_drained();

    let expected = crowd.end().await.unwrap();
    assert_eq!(target_state(&world).await, expected);
    let large = world.target_rows("gr__e", &["schl_ssel", "l_nge"]).await;
    assert_eq!(large.len(), ROWS);
    assert!(large.iter().all(|row| row[1] == "ä".repeat(90)));
    world.expect_equal();
    drop(admin);
    timeout(PATIENCE, pool.disconnect()).await.unwrap().unwrap();
}

/// The target's rows in the form of the model.
async fn target_state(world: &World) -> State {
    let parents = world
        .target_rows("parent", &["id", "slot", "text", "amount"])
        .await;
    let children = world.target_rows("child", &["parent_id", "number", "text"]).await;
    let labels = world.target_rows("label", &["code", "text"]).await;
    let parent = |row: &Vec<String>| Parent {
        slot: row[1].parse().ok(),
        text: row[2].clone(),
        amount: thousandths(&row[3]),
    };
    let number = |text: &str| text.parse().unwrap();
    State {
        parents: parents.iter().map(|row| (number(&row[0]), parent(row))).collect(),
        children: children
            .iter()
            .map(|row| ((number(&row[0]), number(&row[1])), row[2].clone()))
            .collect(),
        labels: labels
            .iter()
            .map(|row| (base64(&row[0]), row[1].clone()))
            .collect(),
    }
}

fn thousandths(text: &str) -> u64 {
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    format!("{whole}{part:0<3}").parse().unwrap()
}

/// The bytes as text.
fn base64(text: &str) -> String {
    let digit = |letter: u8| match letter {
        b'A'..=b'Z' => u32::from(letter - b'A'),
        b'a'..=b'z' => u32::from(letter - b'a') + 26,
        b'0'..=b'9' => u32::from(letter - b'0') + 52,
        b'+' => 62,
        _ => 63,
    };
    let mut bytes = Vec::new();
    for four in text.trim_end_matches('=').as_bytes().chunks(4) {
        let word = four.iter().fold(0, |word, letter| word << 6 | digit(*letter));
        let word = word << (6 * (4 - four.len()));
        bytes.extend_from_slice(&word.to_be_bytes()[1..four.len()]);
    }
    String::from_utf8(bytes).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn killer_33_hostile_settings_lose_nothing_mysql() {
    everything_arrives(Engine::MySql).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killer_33_hostile_settings_lose_nothing_mariadb() {
    everything_arrives(Engine::MariaDb).await;
}
