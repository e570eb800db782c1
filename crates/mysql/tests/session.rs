//! The session state of every connection, against real servers: nothing of the server's or the
//! account's settings is inherited.

#[path = "../../testkit/src/hostile.rs"]
mod hostile;
mod support;

use hostile::Hostile;
use spanferry_mysql::MysqlSource;
use spanferry_mysql::connection::{Connection, SessionVariable};
use support::Server;

/// Versions of which every session variable is known. Of others, a variable that is not listed is
/// only reported.
const KNOWN_MYSQL: [(u16, u16); 3] = [(8, 0), (8, 4), (9, 7)];
const KNOWN_MARIADB: [(u16, u16); 3] = [(10, 5), (10, 11), (11, 8)];

/// The server's answers to `SET SESSION` of a variable that a session does not have for itself.
const UNKNOWN: u16 = 1193;
const GLOBAL_ONLY: u16 = 1229;
const READ_ONLY: u16 = 1238;
const SESSION_ONLY: u16 = 1228;

#[expect(
    clippy::print_stdout,
    reason = "a version that is not listed is a notice, not a failure"
)]
async fn every_session_variable_is_listed(server: Server) {
    let mut connection = server.connect().await;
    let version = connection.server().version;
    let is_known = if connection.server().is_mariadb() {
        KNOWN_MARIADB.contains(&(version.0, version.1))
    } else {
        KNOWN_MYSQL.contains(&(version.0, version.1))
    };
    let of_server = connection.server().clone();
    let listed: Vec<_> = SessionVariable::all()
        .iter()
        .filter(|variable| variable.is_of(&of_server))
        .collect();
    let found = connection
        .query("SHOW SESSION VARIABLES")
        .await
        .expect("variables");
    let mut missing = Vec::new();
    for row in &found.rows {
        let name = row.text_or_empty(0).to_ascii_lowercase();
        if listed.iter().any(|variable| variable.name == name) {
            continue;
        }
        // The server itself says whether a session has a value of its own. A wrong type is enough
        // to hear it.
        let answer = connection
            .execute(&format!("SET SESSION {name} = @@SESSION.{name}"))
            .await;
        match answer.err().and_then(|error| error.server_code()) {
            Some(GLOBAL_ONLY | READ_ONLY) => {}
            _ => missing.push(name),
        }
    }
    if is_known {
        assert!(
            missing.is_empty(),
            "{of_server} has session variables that are not listed: {missing:?}"
        );
    } else {
        println!("of {of_server}, these session variables are not listed: {missing:?}");
    }
    // What is pinned is known to the server, so that one statement sets it all.
    for variable in listed.iter().filter(|variable| variable.pin().is_some()) {
        let answer = connection
            .query(&format!("SELECT @@SESSION.{}", variable.name))
            .await;
        let is_unknown = answer.is_err_and(|error| error.server_code() == Some(UNKNOWN));
        assert!(!is_unknown || !is_known, "{of_server} has no {}", variable.name);
    }
}

#[tokio::test]
async fn every_session_variable_is_listed_mysql() {
    every_session_variable_is_listed(Server::mysql("")).await;
}

#[tokio::test]
async fn every_session_variable_is_listed_mariadb() {
    every_session_variable_is_listed(Server::mariadb("")).await;
}

/// Those of the settings that an account may give its own sessions, as `init_connect` can.
async fn of_a_session(connection: &mut Connection) -> Vec<Hostile> {
    let mut taken = Vec::new();
    for (name, value) in hostile::settings(connection.server().is_mariadb()) {
        let set = connection.execute(&format!("SET SESSION {name} = {value}")).await;
        if set.is_ok() {
            taken.push((name, value));
        }
    }
    taken
}

/// Sets globally what can be set so.
async fn make_hostile(admin: &mut Connection) {
    for (name, value) in hostile::settings(admin.server().is_mariadb()) {
        let answer = admin.execute(&format!("SET GLOBAL {name} = {value}")).await;
        match answer.err().and_then(|error| error.server_code()) {
            None | Some(UNKNOWN | SESSION_ONLY) => {}
            Some(code) => panic!("{name} = {value}: {code}"),
        }
    }
}

async fn has_only_our_state(connection: &mut Connection, user: &str) {
    let server = connection.server().clone();
    for variable in SessionVariable::all()
        .iter()
        .filter(|variable| variable.is_of(&server))
    {
        let Some(pin) = variable.pin() else { continue };
        let name = variable.name;
        let found = connection
            .query(&format!("SELECT @@SESSION.{name}"))
            .await
            .expect(name);
        assert_eq!(found.first_text().as_deref(), Some(pin.reads), "{user}: {name}");
    }
    let rows = connection
        .query("SELECT `länge` FROM `größe` ORDER BY id")
        .await
        .expect("rows")
        .rows;
    let found: Vec<_> = rows.iter().map(|row| row.text_or_empty(0)).collect();
    assert_eq!(found, ["ä", "b", "c", "d", "\\"], "{user}");
    let found = connection
        .query("SELECT DATABASE(), @slave_connect_state")
        .await
        .expect("a row");
    assert_eq!(found.rows[0].text(0).as_deref(), Some("läden"), "{user}");
    assert_eq!(found.rows[0].text(1), None, "{user}");
}

async fn hostile_settings_reach_no_session(server: Server) {
    let mut admin = server
        .run(
            "CREATE DATABASE `läden`;\nCREATE TABLE `läden`.`größe` (id INT PRIMARY KEY, `länge` VARCHAR(20));\n\
             CREATE DATABASE other;\nCREATE TABLE other.locked (id INT PRIMARY KEY);\n\
             INSERT INTO `läden`.`größe` VALUES (1,'ä'),(2,'b'),(3,'c'),(4,'d'),(5,'\\\\');\n\
             CREATE USER plain@'%' IDENTIFIED BY 'plain';\nGRANT SELECT, CREATE TEMPORARY TABLES ON `läden`.* TO plain@'%';\nGRANT SELECT, LOCK TABLES ON other.* TO plain@'%'",
        )
        .await;
    let names: Vec<_> = hostile::settings(admin.server().is_mariadb())
        .iter()
        .map(|(name, _)| *name)
        .collect();
    for variable in SessionVariable::all() {
        let is_tried =
            names.contains(&variable.name) || variable.pin().is_none() || !variable.is_of(admin.server());
        assert!(is_tried, "no hostile value of {} is tried", variable.name);
    }
    let plain = server.options("plain", "plain", "", "");
    let settings = of_a_session(&mut Connection::open(&plain).await.expect("plain logs in")).await;
    make_hostile(&mut admin).await;
    admin
        .execute("SET SESSION lock_wait_timeout = 1")
        .await
        .expect("a setting");
    for (number, hold) in ["START TRANSACTION READ ONLY", "LOCK TABLES other.locked READ"]
        .iter()
        .enumerate()
    {
        let first = [
            "SET NAMES utf8mb4, @slave_connect_state = '0-1-1', SESSION sql_big_selects = 1",
            "SET SESSION TRANSACTION READ WRITE",
            "CREATE TEMPORARY TABLE `läden`.`größe` (id INT PRIMARY KEY)",
            hold,
            "SELECT COUNT(*) FROM other.locked",
            "USE information_schema",
        ];
        let init_connect = hostile::init_connect(&first, &settings).replace('\'', "''");
        admin
            .execute(&format!("SET GLOBAL init_connect = '{init_connect}'"))
            .await
            .expect("init_connect");
        for user in ["plain", "admin"] {
            let options = server.options(user, user, "l%C3%A4den", "");
            let mut connection = Connection::open(&options)
                .await
                .unwrap_or_else(|error| panic!("{user}: {error}; {}", server.last_words()));
            has_only_our_state(&mut connection, user).await;
            // No transaction and no lock is left: the definition can be changed at once.
            let sql = format!("ALTER TABLE other.locked ADD COLUMN of_{user}_{number} INT");
            admin
                .execute(&sql)
                .await
                .unwrap_or_else(|error| panic!("{user} holds the table: {error}"));
        }
    }

    let source = MysqlSource::new(server.options("plain", "plain", "l%C3%A4den", ""), 77).expect("a source");
    let catalog = spanferry_core::port::source::CatalogSource::catalog(&source)
        .await
        .expect("a catalog");
    let table = catalog
        .tables
        .iter()
        .find(|table| table.name.table == "größe")
        .expect("the table");
    let columns: Vec<_> = table.columns.iter().map(|column| column.name.as_str()).collect();
    assert_eq!(columns, ["id", "länge"]);
}

#[tokio::test]
async fn hostile_settings_reach_no_session_mysql() {
    hostile_settings_reach_no_session(Server::mysql("")).await;
}

#[tokio::test]
async fn hostile_settings_reach_no_session_mariadb() {
    let arguments = "--skip-character-set-client-handshake --query-cache-type=1 --query-cache-size=1M";
    hostile_settings_reach_no_session(Server::mariadb(arguments)).await;
}

/// An account without privileges needs one statement for all settings: no server refuses one of
/// them to it.
async fn one_statement_sets_everything(server: Server) {
    let mut admin = server
        .run("CREATE USER plain@'%' IDENTIFIED BY 'plain';\nCREATE ROLE reader;\nGRANT reader TO plain@'%'")
        .await;
    let options = server.options("plain", "plain", "", "");
    let mut connection = Connection::open(&options).await.expect("plain logs in");
    let found = connection
        .query("SHOW SESSION STATUS LIKE 'Com_set_option'")
        .await
        .expect("a count");
    assert_eq!(found.rows[0].number(1), Some(1));
    // A role that the server gives new sessions stays.
    admin
        .execute("SET GLOBAL init_connect = 'SET ROLE reader'")
        .await
        .expect("init_connect");
    let mut connection = Connection::open(&options).await.expect("plain logs in");
    let role = connection
        .query("SELECT CURRENT_ROLE()")
        .await
        .expect("a role")
        .first_text();
    assert!(
        role.as_deref().is_some_and(|role| role.contains("reader")),
        "{role:?}"
    );
}

#[tokio::test]
async fn one_statement_sets_everything_mysql() {
    one_statement_sets_everything(Server::mysql("")).await;
}

#[tokio::test]
async fn one_statement_sets_everything_mariadb() {
    one_statement_sets_everything(Server::mariadb("")).await;
}
