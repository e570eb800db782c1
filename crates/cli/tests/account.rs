//! What concerns the source's account while a migration runs: limits on its sessions, and a
//! password that changes.

#![allow(clippy::unwrap_used, reason = "a failed step is a failed test")]

mod support;

use mysql_async::Conn;
use spanferry_testkit::server::Engine;
use support::{Running, World, said};

const SCHEMA: &str = "CREATE TABLE t (id INT PRIMARY KEY, v VARCHAR(20) NOT NULL);
    INSERT INTO t VALUES (1, 'a'), (2, 'b'), (3, 'c');
    CREATE USER narrow@'%' IDENTIFIED BY 'narrow' WITH MAX_USER_CONNECTIONS 3;
    GRANT SELECT, TRIGGER ON shop.* TO narrow@'%'";

/// Sessions of a migration whose snapshot has one, and those of a verification.
const LEAST: u32 = 7;
const OF_VERIFY: u32 = 9;

async fn world(engine: Engine) -> World {
    let grant = match engine {
        Engine::MySql => "REPLICATION SLAVE, REPLICATION CLIENT, XA_RECOVER_ADMIN",
        Engine::MariaDb => {
            "REPLICATION SLAVE, BINLOG MONITOR, REPLICATION MASTER ADMIN, SLAVE MONITOR, BINLOG ADMIN"
        }
    };
    let mut world = World::new(engine, &format!("{SCHEMA};\nGRANT {grant} ON *.* TO narrow@'%'")).await;
    world.account = "narrow";
    world
}

/// Lets the account have so many sessions.
async fn allow(world: &World, sessions: u32) {
    let sql = format!("ALTER USER narrow@'%' WITH MAX_USER_CONNECTIONS {sessions}");
    world.server.execute(None, &sql).await.unwrap();
}

fn wait_until_told(world: &World, migrate: &mut Running, words: &str) {
    world.wait(migrate, words, |status| {
        let told = status["throttled"].as_str().unwrap_or_default();
        told.contains(words)
    });
}

/// Others have sessions of the account: a start is refused, or waits for them if that was accepted,
/// and says so.
async fn taken_sessions(world: &World) {
    let account = mysql_async::OptsBuilder::default()
        .ip_or_hostname("127.0.0.1")
        .tcp_port(world.server.port())
        .user(Some("narrow"))
        .pass(Some("narrow"))
        .prefer_socket(false);
    let mut others = Vec::new();
    for _ in 0..LEAST - 3 {
        others.push(Conn::new(account.clone()).await.unwrap());
    }
    let (status, text) = world.drain();
    assert_eq!(status, 3, "{text}");
    for words in ["SF-2027", "others have 4 of them"] {
        assert!(text.contains(words), "`{words}` is missing in: {text}");
    }
    let mut migrate = world.migrate_with(&["--accept", "SF-2027"]);
    wait_until_told(world, &mut migrate, "a new one is tried for 15 minutes");
    wait_until_told(world, &mut migrate, "1226");
    for other in others {
        other.disconnect().await.unwrap();
    }
    world.wait_caught_up(&mut migrate);
    assert_eq!(migrate.interrupt(), 130);
}

/// With too few sessions the run is refused by name. With the fewest possible it works. A limit
/// that is reached while it runs is shown.
async fn few_sessions(engine: Engine) {
    let world = world(engine).await;
    let (status, text) = world.drain();
    assert_eq!(status, 3, "{text}");
    let statement = format!("ALTER USER 'narrow'@'%' WITH MAX_USER_CONNECTIONS {};", LEAST + 3);
    for words in [
        "SF-2026",
        "may have 3 sessions",
        &format!("at least {LEAST}"),
        &statement,
    ] {
        assert!(text.contains(words), "`{words}` is missing in: {text}");
    }
    allow(&world, LEAST).await;
    taken_sessions(&world).await;
    let (status, text) = world.drain();
    assert_eq!(status, 0, "{text}");
    assert!(text.contains("is read by 1 instead of 4 sessions"), "{text}");
    let (status, text) = world.verify();
    assert!(
        status == 3 && text.contains("SF-2026") && text.contains(&format!("at least {OF_VERIFY}")),
        "{status}: {text}"
    );
    allow(&world, OF_VERIFY).await;
    world.expect_equal();

    let mut migrate = world.migrate();
    world.wait_caught_up(&mut migrate);
    // One is the change stream's.
    allow(&world, 1).await;
    wait_until_told(&world, &mut migrate, "1226");
    allow(&world, LEAST).await;
    world.sql("INSERT INTO t VALUES (4, 'd')").await;
    world.wait(&mut migrate, "nothing was in the way any more", |status| {
        status["throttled"].is_null() && status["caught_up"] == true
    });
    assert_eq!(migrate.interrupt(), 130);
    allow(&world, OF_VERIFY).await;
    world.expect_drained();
    world.expect_equal();
}

#[tokio::test(flavor = "multi_thread")]
async fn few_sessions_mysql() {
    few_sessions(Engine::MySql).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn few_sessions_mariadb() {
    few_sessions(Engine::MariaDb).await;
}

/// Changes the password, and ends what the account has open: it must log in again.
async fn change_password(world: &World, password: &str) {
    let sql = format!("ALTER USER narrow@'%' IDENTIFIED BY '{password}'");
    world.server.execute(None, &sql).await.unwrap();
    let sql = "SELECT id FROM information_schema.processlist WHERE user = 'narrow'";
    for id in world.server.query::<u64>(None, sql).await.unwrap() {
        // It may have gone by itself.
        drop(world.server.execute(None, &format!("KILL {id}")).await);
    }
}

/// The password is changed at the source, and a while later in its file; then once more, without a
/// file.
async fn the_password_changes(engine: Engine) {
    let mut world = world(engine).await;
    allow(&world, 50).await;
    if engine == Engine::MySql {
        let lock = "ALTER USER narrow@'%' FAILED_LOGIN_ATTEMPTS 3 PASSWORD_LOCK_TIME 1";
        world.server.execute(None, lock).await.unwrap();
    }
    let file = world.state.with_extension("password");
    std::fs::write(&file, "narrow\n").unwrap();
    world.options = vec!["--source-password-file".to_owned(), file.display().to_string()];
    let mut migrate = world.migrate();
    world.wait_caught_up(&mut migrate);
    change_password(&world, "second").await;
    wait_until_told(&world, &mut migrate, "1045");
    wait_until_told(&world, &mut migrate, "another one is waited for in");
    world.sql("INSERT INTO t VALUES (4, 'd')").await;
    std::fs::write(&file, "second\n").unwrap();
    world.wait(&mut migrate, "the new password was taken", |status| {
        status["throttled"].is_null()
            && status["caught_up"] == true
            && status["apply"]["changes"].as_u64() >= Some(1)
    });
    assert_eq!(migrate.interrupt(), 130);
    world.expect_drained();
    world.expect_equal();

    // Without a file there is no other password: the run ends, and says so afterwards.
    change_password(&world, "narrow").await;
    world.options.clear();
    let mut migrate = world.migrate();
    world.wait_caught_up(&mut migrate);
    change_password(&world, "third").await;
    assert_eq!(migrate.ended(), Some(5));
    let (_, text) = said(&world.run("status", &[]));
    for words in [
        "not running: it ended at",
        "SF-5021",
        "the source no longer takes the password: ",
        "1045",
    ] {
        assert!(text.contains(words), "`{words}` is missing in: {text}");
    }
    change_password(&world, "narrow").await;
    world.expect_drained();
    world.expect_equal();
    std::fs::remove_file(file).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_password_changes_mysql() {
    the_password_changes(Engine::MySql).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_password_changes_mariadb() {
    the_password_changes(Engine::MariaDb).await;
}
