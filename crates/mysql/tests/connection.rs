//! The connection against real servers: logins, TLS, huge packets, dying and silent servers.

mod support;

use std::time::Duration;

use spanferry_mysql::connection::Connection;
use spanferry_mysql::{MysqlError, Options};
use support::Server;

async fn greeting(options: &Options) -> Result<(bool, String), MysqlError> {
    let mut connection = Connection::open(options).await?;
    connection.ping().await?;
    let user = connection
        .query("SELECT CURRENT_USER()")
        .await?
        .first_text()
        .expect("a row");
    Ok((connection.is_encrypted(), user))
}

#[tokio::test]
async fn mysql_logins_and_tls() {
    let server = Server::mysql("");
    server
        .run("CREATE USER 'fresh'@'%' IDENTIFIED BY 'p@:/%ä'; CREATE USER 'empty'@'%';\nCREATE USER 'tls'@'%' IDENTIFIED BY 't' REQUIRE SSL; CREATE USER 'sealed'@'%' IDENTIFIED WITH sha256_password BY 'p@:/%ä'; CREATE USER 'sealed_empty'@'%' IDENTIFIED WITH sha256_password".replace("; ", ";\n").as_str())
        .await;
    let ca = server.authority().display().to_string();
    let key = server.folder().join("data/public_key.pem").display().to_string();
    let password = "p%40%3A%2F%25%C3%A4";
    // full by RSA under the pinned and under the server's own key, then fast from the server's
    // cache, then full and fast under TLS
    for (query, encrypted, forget) in [
        (
            format!("ssl-mode=DISABLED&server-public-key-path={key}"),
            false,
            true,
        ),
        (
            "ssl-mode=DISABLED&get-server-public-key=true".to_owned(),
            false,
            true,
        ),
        (
            "ssl-mode=DISABLED&get-server-public-key=true".to_owned(),
            false,
            false,
        ),
        ("get-server-public-key=true".to_owned(), true, true),
        (format!("ssl-mode=VERIFY_IDENTITY&ssl-ca={ca}"), true, true),
        (format!("ssl-mode=VERIFY_CA&ssl-ca={ca}"), true, false),
        (format!("ssl-ca={ca}"), true, true),
    ] {
        if forget {
            server.connect().await.execute("FLUSH PRIVILEGES").await.unwrap();
        }
        for user in ["fresh", "sealed"] {
            let found = greeting(&server.options(user, password, "", &query))
                .await
                .expect(&query);
            assert_eq!(found, (encrypted, format!("{user}@%")), "{query}");
        }
    }
    // Nothing proves the server: refused, whether it would need the password this time or not.
    for (query, encrypted) in [
        ("ssl-mode=PREFERRED", true),
        ("ssl-mode=REQUIRED", true),
        ("ssl-mode=DISABLED", false),
    ] {
        for user in ["fresh", "sealed"] {
            let error = greeting(&server.options(user, password, "", query))
                .await
                .expect_err(query);
            let expected =
                matches!(error, MysqlError::Unverified { encrypted: found, .. } if found == encrypted);
            assert!(expected, "{query} {user}: {error}");
        }
    }
    let free = "ssl-mode=DISABLED";
    for user in ["empty", "sealed_empty"] {
        let found = greeting(&server.options(user, "", "", free)).await;
        found.unwrap_or_else(|error| panic!("{user}: {error}"));
    }
    assert!(greeting(&server.options("tls", "t", "", "")).await.is_ok());
    let allowed = "ssl-mode=DISABLED&get-server-public-key=true";
    for (user, password, schema, query, code) in [
        ("fresh", "wrong-s3cret", "", "", Some(1045)),
        ("fresh", "wrong-s3cret", "", allowed, Some(1045)),
        ("tls", "t", "", allowed, Some(1045)),
        ("sealed", "wrong-s3cret", "", allowed, Some(1045)),
        ("admin", "admin", "absent", "", Some(1049)),
        ("admin", "admin", "", "ssl-mode=VERIFY_IDENTITY", None),
        ("admin", "admin", "", "ssl-ca=/does/not/exist", None),
    ] {
        let error = greeting(&server.options(user, password, schema, query))
            .await
            .expect_err(user);
        assert_eq!(error.server_code(), code, "{error}");
        assert!(!format!("{error:?}").contains("s3cret"));
    }
}

#[tokio::test]
async fn a_certificate_without_names_passes_verify_ca_only() {
    let server = Server::mysql_with_own_certificate();
    let ca = server.authority().display().to_string();
    let with = |mode: &str| server.options("admin", "admin", "", &format!("ssl-mode={mode}&ssl-ca={ca}"));
    assert!(greeting(&with("VERIFY_CA")).await.expect("the chain is right").0);
    assert!(matches!(
        greeting(&with("VERIFY_IDENTITY")).await,
        Err(MysqlError::Tls { .. })
    ));
}

/// MariaDB's own methods begin with a challenge of 32 random bytes: of 300 one ends with zero.
const SIGNED_LOGINS: usize = 300;

#[tokio::test]
async fn mariadb_logins_by_signature_and_in_clear() {
    let server = Server::mariadb_with_plugins("trixie", "mariadb-server mariadb-test");
    server
        .run(
            "INSTALL SONAME 'auth_ed25519';\nINSTALL SONAME 'auth_parsec';\nINSTALL SONAME 'auth_test_plugin';\n\
             INSTALL SONAME 'dialog_examples';\n\
             CREATE USER signed@'%' IDENTIFIED VIA ed25519 USING PASSWORD('p@ä');\n\
             CREATE USER signed_empty@'%' IDENTIFIED VIA ed25519 USING PASSWORD('');\n\
             CREATE USER salted@'%' IDENTIFIED VIA parsec USING PASSWORD('p@ä');\n\
             CREATE USER salted_empty@'%' IDENTIFIED VIA parsec USING PASSWORD('');\n\
             CREATE USER either@'%' IDENTIFIED VIA mysql_native_password USING PASSWORD('one') OR ed25519 USING PASSWORD('two');\n\
             CREATE USER clear@'%' IDENTIFIED VIA cleartext_plugin_server USING 's3cret';\n\
             CREATE USER asked@'%' IDENTIFIED VIA two_questions USING 's3cret'",
        )
        .await;
    let ca = server.authority().display().to_string();
    let password = "p%40%C3%A4";
    for (user, password) in [
        ("signed", password),
        ("signed_empty", ""),
        ("salted", password),
        ("salted_empty", ""),
        ("either", "one"),
        ("either", "two"),
    ] {
        for query in ["ssl-mode=DISABLED", "ssl-mode=REQUIRED", ""] {
            let found = greeting(&server.options(user, password, "", query)).await;
            let found = found.unwrap_or_else(|error| panic!("{user} {query}: {error}"));
            assert_eq!(found, (query != "ssl-mode=DISABLED", format!("{user}@%")));
        }
        let refused = greeting(&server.options(user, "wrong-s3cret", "", "")).await;
        let error = refused.expect_err(user);
        assert_eq!(error.server_code(), Some(1045), "{user}: {error}");
        assert!(!format!("{error:?}").contains("s3cret"));
    }
    for round in 0..SIGNED_LOGINS {
        let opened = Connection::open(&server.options("signed", password, "", "ssl-mode=DISABLED")).await;
        assert!(opened.is_ok(), "login {round}: {opened:?}");
    }
    let allowed = format!("ssl-ca={ca}&enable-cleartext-plugin=true");
    let found = greeting(&server.options("clear", "s3cret", "", &allowed)).await;
    assert_eq!(found.expect("it may be sent"), (true, "clear@%".to_owned()));
    let found = greeting(&server.options("clear", "wrong", "", &allowed)).await;
    assert_eq!(found.expect_err("wrong").server_code(), Some(1045));
    for (query, is_verified) in [
        (format!("ssl-ca={ca}"), true),
        ("ssl-mode=DISABLED".to_owned(), false),
        ("ssl-mode=REQUIRED&get-server-public-key=true".to_owned(), false),
    ] {
        let found = greeting(&server.options("clear", "s3cret", "", &query)).await;
        let error = found.expect_err(&query);
        let expected =
            matches!(error, MysqlError::ClearPassword { is_verified: found } if found == is_verified);
        assert!(expected, "{query}: {error}");
    }
    let found = greeting(&server.options("asked", "s3cret", "", "")).await;
    let error = found.expect_err("it asks questions");
    assert!(
        matches!(&error, MysqlError::AuthPlugin { plugin } if plugin == "dialog"),
        "{error}"
    );
}

#[tokio::test]
async fn mariadb_logins() {
    let server = Server::mariadb_with_plugins("bookworm", "mariadb-server");
    server
        .run(
            "INSTALL SONAME 'auth_ed25519';\n\
             CREATE USER signed@'%' IDENTIFIED VIA ed25519 USING PASSWORD('secret');\nCREATE USER empty@'%'",
        )
        .await;
    for (user, password) in [("signed", "secret"), ("empty", "")] {
        let found = greeting(&server.options(user, password, "", "ssl-mode=DISABLED")).await;
        assert_eq!(found.expect(user), (false, format!("{user}@%")));
    }
    for query in ["ssl-mode=DISABLED", "ssl-mode=REQUIRED"] {
        let found = greeting(&server.options("admin", "admin", "", query))
            .await
            .expect(query);
        assert_eq!(found, (query.ends_with("REQUIRED"), "admin@%".to_owned()));
    }
    assert!(server.connect().await.server().is_mariadb());
}

/// What a server says where it judges data or does not understand a statement quotes values; none
/// of that may come into a log.
async fn a_log_holds_no_value_that_a_server_quotes(server: Server) {
    let mut connection = server
        .run("CREATE DATABASE words;\nCREATE TABLE words.t (id VARCHAR(20) PRIMARY KEY, d DATE);\nINSERT INTO words.t VALUES ('s3cret', NULL);\nSET SESSION sql_mode = 'STRICT_ALL_TABLES'")
        .await;
    for (statement, code) in [
        ("INSERT INTO words.t VALUES ('s3cret', NULL)", 1062),
        ("INSERT INTO words.t VALUES ('a', 's3cret')", 1292),
        ("SELECT id FROM words.t WHERE id LIMITS > 's3cret'", 1064),
    ] {
        let error = connection.execute(statement).await.expect_err(statement);
        let (whole, logged) = (error.to_string(), error.for_log());
        assert_eq!(error.server_code(), Some(code), "{whole}");
        assert!(
            whole.contains("s3cret"),
            "the server quotes nothing any more: {whole}"
        );
        assert!(
            logged.starts_with(&format!("server error {code} (")) && !logged.contains("s3cret"),
            "{logged}"
        );
        assert_eq!(error.into_failure("t").for_log().matches("s3cret").count(), 0);
    }
    // What only names objects stays: a reader of the log needs it.
    let error = connection
        .execute("SELECT 1 FROM words.absent")
        .await
        .expect_err("there is no such table");
    assert!(error.for_log().contains("words.absent"), "{}", error.for_log());
}

#[tokio::test]
async fn a_log_holds_no_value_that_a_server_quotes_mysql() {
    a_log_holds_no_value_that_a_server_quotes(Server::mysql("")).await;
}

#[tokio::test]
async fn a_log_holds_no_value_that_a_server_quotes_mariadb() {
    a_log_holds_no_value_that_a_server_quotes(Server::mariadb("")).await;
}

#[tokio::test]
async fn packets_beyond_sixteen_megabytes() {
    let server = Server::mysql("");
    let mut connection = server.connect().await;
    for length in [
        16_777_210_usize,
        16_777_211,
        16_777_214,
        16_777_215,
        16_777_216,
        40_000_000,
    ] {
        connection
            .begin_query(&format!(
                "SELECT REPEAT('x', {length}), 'after' UNION ALL SELECT 'b', NULL"
            ))
            .await
            .unwrap();
        let cells: Vec<_> = connection
            .next_row()
            .await
            .unwrap()
            .unwrap()
            .cells()
            .map(Result::unwrap)
            .collect();
        assert_eq!(
            (cells[0].unwrap().len(), cells[1]),
            (length, Some(b"after".as_slice()))
        );
        assert!(cells[0].unwrap().iter().all(|byte| *byte == b'x'));
        let cells: Vec<_> = connection
            .next_row()
            .await
            .unwrap()
            .unwrap()
            .cells()
            .map(Result::unwrap)
            .collect();
        assert_eq!(cells, [Some(b"b".as_slice()), None]);
        assert!(connection.next_row().await.unwrap().is_none());
        let sent = connection
            .query(&format!("SELECT LENGTH('{}')", "y".repeat(length)))
            .await
            .unwrap();
        assert_eq!(sent.rows[0].number(0), Some(length as u64));
    }
}

#[tokio::test]
async fn a_dying_or_silent_server_is_an_error_never_an_end() {
    let server = Server::mysql("");
    let mut other = server.connect().await;
    let mut reader = server.connect().await;
    let sql = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000000) SELECT i, REPEAT('x', 900) FROM n";
    reader
        .execute("SET cte_max_recursion_depth = 2000000")
        .await
        .unwrap();
    let id = reader.id();
    reader.begin_query(sql).await.unwrap();
    reader.next_row().await.unwrap().expect("a first row");
    other.kill(id).await.unwrap();
    let error = loop {
        match reader.next_row().await {
            Ok(Some(_)) => {}
            Ok(None) => panic!("the stream ended as if it were whole"),
            Err(error) => break error,
        }
    };
    assert!(error.is_retryable(), "{error:?}");

    let mut silent = server.connect().await;
    silent.set_read_timeout(Duration::from_millis(300));
    server.command("pause");
    let error = silent
        .query("SELECT 1")
        .await
        .expect_err("a paused server says nothing");
    assert!(matches!(error, MysqlError::Timeout { .. }));
    let mut late = server.admin("");
    late.connect_timeout = Duration::from_millis(300);
    let error = Connection::open(&late)
        .await
        .expect_err("a paused server does not greet");
    assert!(
        matches!(
            error,
            MysqlError::Timeout {
                operation: "connecting to",
                ..
            }
        ),
        "{error:?}"
    );
    server.command("resume");
}
