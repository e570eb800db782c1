//! Letter case in the names of schemas and tables: as the server compares them, so do we.

mod support;

use std::time::Duration;

use spanferry_core::port::source::{CatalogSource, CheckRequest, PositionSource, PreflightSource};
use spanferry_core::report::code;
use spanferry_core::report::finding::{Finding, Severity};
use spanferry_core::schema::source::{NameCase, QualifiedName};
use spanferry_mysql::MysqlSource;
use support::Server;
use support::plan::plans;
use support::stream::{Sink, assert_same, decode, snapshot};

fn lower_case() -> [Server; 2] {
    [
        Server::mysql("--lower-case-table-names=1"),
        Server::mariadb("--gtid-strict-mode=1 --binlog-row-metadata=FULL --lower-case-table-names=1"),
    ]
}

async fn check(source: &MysqlSource, tables: &[&str]) -> Vec<Finding> {
    let request = CheckRequest {
        tables: tables
            .iter()
            .map(|table| QualifiedName::new("shop2", *table))
            .collect(),
        load_estimate: Duration::from_secs(60),
        sessions: 2,
        lock: false,
    };
    source.check(&request).await.expect("a check")
}

/// `lower_case_table_names = 1`, and names in every letter case: in the URL, in grants, in
/// statements.
#[tokio::test]
async fn lower_case_names_are_found_in_any_letter_case() {
    for server in lower_case() {
        let create = "CREATE DATABASE Shop2;\nUSE SHOP2;\nCREATE TABLE Orders (N INT NOT NULL, Id INT NOT NULL, PRIMARY KEY (N, Id));\n\
            CREATE TABLE Kids (id INT PRIMARY KEY, n INT, p INT, FOREIGN KEY (n, p) REFERENCES ORDERS (n, id));\n\
            CREATE TABLE `ÄÖ` (id INT PRIMARY KEY);\n\
            CREATE USER 'reader'@'%' IDENTIFIED BY 'reader';\nGRANT SELECT, LOCK TABLES, TRIGGER ON Shop2.* TO 'reader'@'%'";
        drop(server.run(create).await);
        let source = MysqlSource::new(server.admin("sHOP2"), 4260).expect("options");
        let catalog = source.catalog().await.expect("a catalog");
        assert_eq!(
            (catalog.schema.as_str(), catalog.names),
            ("shop2", NameCase::Insensitive)
        );
        let names: Vec<String> = catalog
            .tables
            .iter()
            .map(|table| table.name.to_string())
            .collect();
        assert_eq!(names, ["shop2.kids", "shop2.orders", "shop2.äö"]);
        assert_eq!(catalog.tables[0].foreign_keys[0].parent, catalog.tables[1].name);

        let reader =
            MysqlSource::new(server.options("reader", "reader", "SHOP2", ""), 4261).expect("options");
        let found = check(&reader, &["kids", "orders", "äö"]).await;
        let on_schema =
            |finding: &&Finding| finding.severity == Severity::Blocking && finding.text.contains("SELECT");
        assert_eq!(found.iter().find(on_schema), None);

        let plans = plans(&source).await;
        let before = source.position().await.expect("a position");
        let change = "USE Shop2;\nINSERT INTO ORDERS VALUES (1, 2), (3, 4);\nUPDATE oRders SET n = 5 WHERE n = 3;\n\
            INSERT INTO `äÖ` VALUES (7);\nALTER TABLE SHOP2.ORDERS ADD INDEX i (id)";
        drop(server.run(change).await);
        let sink = decode(&source, &plans, &before).await;
        assert_eq!(sink.stops, []);
        assert_eq!(
            sink.rows
                .values()
                .map(std::collections::BTreeMap::len)
                .sum::<usize>(),
            3
        );
        assert_same(&plans, &sink, &snapshot(&source, &plans).await);

        let before = source.position().await.expect("a position");
        drop(
            server
                .run("USE Shop2;\nTRUNCATE TABLE `Äö`;\nALTER TABLE shop2.KIDS ADD x INT")
                .await,
        );
        assert_eq!(stopped(&decode(&source, &plans, &before).await), [0, 2]);
    }
}

/// `lower_case_table_names = 0`: names that differ in letter case only are those of others.
#[tokio::test]
async fn names_that_differ_in_letter_case_are_apart() {
    for server in Server::both() {
        let table = |name: &str, constraint: &str, check: &str| {
            format!(
                "CREATE TABLE {name} (id INT PRIMARY KEY, j LONGTEXT, CONSTRAINT {constraint} CHECK ({check}))"
            )
        };
        let create = [
            "CREATE DATABASE Shop;\nCREATE DATABASE shop".to_owned(),
            table("Shop.t", "a", "json_valid(j)"),
            table("shop.t", "a", "j <> 'x'"),
            table("shop.T", "b", "j <> 'y'"),
        ];
        drop(server.run(&create.join(";\n")).await);
        let source = MysqlSource::new(server.admin("shop"), 4262).expect("options");
        let catalog = source.catalog().await.expect("a catalog");
        assert_eq!(
            (catalog.schema.as_str(), catalog.names),
            ("shop", NameCase::Sensitive)
        );
        let names: Vec<String> = catalog
            .tables
            .iter()
            .map(|table| table.name.to_string())
            .collect();
        assert_eq!(names, ["shop.T", "shop.t"]);
        assert!(catalog.tables.iter().all(|table| table.checks.len() == 1));
        let plans = plans(&source).await;
        let before = source.position().await.expect("a position");
        let change = "INSERT INTO Shop.t VALUES (1, '[]');\nINSERT INTO shop.T VALUES (2, 'a');\nINSERT INTO shop.t VALUES (3, 'b');\n\
            TRUNCATE Shop.t;\nDROP DATABASE Shop;\nTRUNCATE shop.T";
        drop(server.run(change).await);
        let sink = decode(&source, &plans, &before).await;
        assert_eq!(stopped(&sink), [0]);
        assert_eq!(sink.rows[&1].len(), 1);
    }
}

/// Tables that a statement has stopped.
fn stopped(sink: &Sink) -> Vec<u32> {
    assert!(
        sink.stops
            .iter()
            .all(|(_, finding)| finding.code == code::DDL_SEEN)
    );
    let mut tables: Vec<u32> = sink.stops.iter().map(|(table, _)| *table).collect();
    tables.sort_unstable();
    tables
}
