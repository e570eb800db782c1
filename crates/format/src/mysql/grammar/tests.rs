//! What is read in statements, by both grammars.

use super::super::statement::{Effect, IndexChange, Kind, Named, Statement};
use super::super::token::Dialect;

fn name(named: &Named) -> String {
    let schema = named.schema.iter().map(|schema| format!("{schema}."));
    schema.chain([named.table.clone()]).collect()
}

fn index(change: &IndexChange) -> String {
    match change {
        IndexChange::Adds { unique: false } => " +index".to_owned(),
        IndexChange::Adds { unique: true } => " +unique".to_owned(),
        IndexChange::Drops(name) => format!(" -{name}"),
        IndexChange::Renames(from, to) => format!(" {from}>{to}"),
    }
}

fn effect(effect: &Effect) -> String {
    match effect {
        Effect::Changes(table) => format!("changes {}", name(table)),
        Effect::Truncates(table) => format!("empties {}", name(table)),
        Effect::Keeps(table, indexes) => {
            let indexes: String = indexes.iter().map(index).collect();
            format!("keeps {}{indexes}", name(table))
        }
        Effect::Creates(table) => format!("creates {}", name(table)),
        Effect::ChangesSchema(schema) => format!("schema {}", schema.as_deref().unwrap_or("default")),
        Effect::ChangesMentioned => "mentioned".to_owned(),
    }
}

fn shown(kind: &Kind) -> String {
    match kind {
        Kind::Definition(effects) => {
            let effects: Vec<String> = effects.iter().map(effect).collect();
            if effects.is_empty() {
                return "no table".to_owned();
            }
            effects.join(", ")
        }
        Kind::Begin
        | Kind::Commit
        | Kind::Rollback
        | Kind::RollbackToSavepoint
        | Kind::Nothing
        | Kind::XaStart
        | Kind::XaPrepare
        | Kind::XaEnd
        | Kind::Rows
        | Kind::UnknownDefinition
        | Kind::Unknown => format!("{kind:?}"),
    }
}

fn read(text: &str, mariadb: bool) -> String {
    let dialect = Dialect {
        mariadb,
        ansi_quotes: false,
        no_backslash: false,
    };
    shown(&Statement::read(text, dialect).kind)
}

fn both(text: &str, expected: &str) {
    mysql(text, expected);
    mariadb(text, expected);
}

fn mysql(text: &str, expected: &str) {
    assert_eq!(read(text, false), expected, "MySQL: {text}");
}

fn mariadb(text: &str, expected: &str) {
    assert_eq!(read(text, true), expected, "MariaDB: {text}");
}

#[test]
fn actions_that_keep_rows_and_columns() {
    both("ALTER TABLE t", "keeps t");
    both(
        "ALTER TABLE t ADD KEY k (a, b(3) DESC), DROP INDEX j, ALGORITHM=INPLACE, LOCK NONE",
        "keeps t +index -j",
    );
    both(
        "/* c */ ALTER TABLE `a``b`.`c d` ADD INDEX (x)",
        "keeps a`b.c d +index",
    );
    both("ALTER TABLE t ADD FULLTEXT ft (c)", "keeps t +index");
    both(
        "ALTER TABLE t ADD FULLTEXT KEY ft (c) WITH PARSER ngram",
        "keeps t +index",
    );
    both("ALTER TABLE t ADD SPATIAL INDEX (g)", "keeps t +index");
    both("ALTER TABLE t ADD UNIQUE (c)", "keeps t +unique");
    both(
        "ALTER TABLE t ADD CONSTRAINT u UNIQUE KEY u USING BTREE (c) COMMENT 'x' KEY_BLOCK_SIZE=4",
        "keeps t +unique",
    );
    both("ALTER TABLE t ADD CONSTRAINT UNIQUE (c)", "keeps t +unique");
    both("ALTER TABLE t RENAME INDEX a TO b", "keeps t a>b");
    both("ALTER TABLE t COMMENT 'x' AUTO_INCREMENT = 5", "keeps t");
    both("ALTER TABLE t DISABLE KEYS", "keeps t");
    both("ALTER TABLE t ALTER COLUMN c SET DEFAULT 'x, y'", "keeps t");
    both(
        "ALTER TABLE t ALTER c SET DEFAULT -1.50, ALTER d DROP DEFAULT",
        "keeps t",
    );
    both(
        "ALTER TABLE t ALTER c SET DEFAULT (concat('a', 1 + 1))",
        "keeps t",
    );
    both("ALTER TABLE t ALTER c SET DEFAULT NULL", "keeps t");
    both(
        "ALTER TABLE t ALTER c SET DEFAULT 1 PARTITION BY HASH (id)",
        "changes t",
    );
    both(
        "ALTER TABLE t ALTER c SET DEFAULT 'x', DROP COLUMN d",
        "changes t",
    );
    both("ALTER TABLE t ALTER c DROP DEFAULT FORCE", "changes t");
    both("ALTER TABLE t STATS_PERSISTENT=DEFAULT;", "keeps t");
    mysql(
        "ALTER TABLE t ADD INDEX ((a + (1))), ALTER INDEX i INVISIBLE",
        "keeps t +index",
    );
    mysql(
        "ALTER TABLE t WITHOUT VALIDATION, ADD INDEX (a) INVISIBLE",
        "keeps t +index",
    );
    mariadb(
        "ALTER ONLINE TABLE IF EXISTS t WAIT 10 ADD INDEX IF NOT EXISTS i (a) NOT IGNORED",
        "keeps t +index",
    );
    mariadb(
        "ALTER TABLE t NOWAIT DROP KEY IF EXISTS j, ALTER INDEX i IGNORED",
        "keeps t -j",
    );
    both(
        "CREATE UNIQUE INDEX i USING BTREE ON s.t (a)",
        "keeps s.t +unique",
    );
    both(
        "CREATE INDEX i ON t (a) COMMENT 'x' ALGORITHM=INPLACE LOCK=NONE",
        "keeps t +index",
    );
    both("DROP INDEX i ON t LOCK=NONE", "keeps t -i");
    mariadb("CREATE OR REPLACE INDEX i ON t (a) WAIT 5", "keeps t -i +index");
    mariadb("DROP INDEX IF EXISTS i ON t NOWAIT", "keeps t -i");
    both("ANALYZE NO_WRITE_TO_BINLOG TABLE a, b.c", "keeps a, keeps b.c");
    mysql("ANALYZE TABLE t UPDATE HISTOGRAM ON v WITH 5 BUCKETS", "keeps t");
    mariadb("OPTIMIZE TABLE t WAIT 5", "keeps t");
}

#[test]
fn actions_that_change() {
    for action in [
        "ADD c INT",
        "ADD COLUMN (c INT, d INT)",
        "ADD KEY k (a), ADD c INT",
        "ADD KEY k (a) PARTITION BY HASH (a)",
        "ADD PRIMARY KEY (a)",
        "ADD CONSTRAINT f FOREIGN KEY (a) REFERENCES p (a) ON DELETE CASCADE",
        "ADD CONSTRAINT c CHECK (a > 0)",
        "DROP INDEX `PRIMARY`",
        "DROP PRIMARY KEY",
        "DROP KEY `primary`",
        "RENAME INDEX a TO `PRIMARY`",
        "RENAME COLUMN a TO b",
        "CONVERT TO CHARACTER SET latin1",
        "DROP PARTITION p0",
        "TRUNCATE PARTITION p0",
        "ENGINE = InnoDB",
        "FORCE, ALGORITHM=INPLACE",
        "ADD INDEX i (a) SOME_ATTRIBUTE=1",
        "AUTO_INCREMENT = 5 ROW_FORMAT=COMPACT",
    ] {
        both(&format!("ALTER TABLE t {action}"), "changes t");
    }
    mariadb("ALTER TABLE t WAIT 10 DROP PARTITION p0", "changes t");
    mariadb("ALTER TABLE t NOWAIT TRUNCATE PARTITION p0", "changes t");
    mariadb("ALTER IGNORE TABLE t ADD UNIQUE (c)", "changes t");
    both("ALTER /*!40000 IGNORE */ TABLE t ADD UNIQUE (c)", "changes t");
    // What a server does not know is not understood.
    mysql("ALTER TABLE t WAIT 10 ADD INDEX (a)", "changes t, mentioned");
    mysql("ALTER TABLE t ADD INDEX (a) IGNORED", "changes t");
    mariadb("ALTER TABLE t ADD INDEX (a) INVISIBLE", "changes t");
    both("ALTER TABLE t FROBNICATE", "changes t, mentioned");
    both(
        "ALTER TABLE t ADD INDEX (a); DROP TABLE u",
        "changes t, mentioned",
    );
    both("ALTER TABLE t COMMENT 'x", "changes t, mentioned");
    both("REPAIR TABLE t", "changes t");
    both("TRUNCATE t", "empties t");
    both("# c\nTRUNCATE TABLE /* it */ s.t", "empties s.t");
    mariadb("TRUNCATE t WAIT 3", "empties t");
    both("TRUNCATE t, u", "changes t, mentioned");
    both("DROP INDEX `PRIMARY` ON t", "changes t");
    both("CREATE INDEX i ON t (a) SOMEHOW", "changes t, mentioned");
}

#[test]
fn other_tables_that_change() {
    both(
        "ALTER TABLE x EXCHANGE PARTITION p WITH TABLE s.t WITHOUT VALIDATION",
        "changes x, changes s.t",
    );
    mariadb(
        "ALTER TABLE other.q CONVERT TABLE shop.src TO PARTITION p VALUES LESS THAN (9), ADD INDEX (a)",
        "changes other.q, changes shop.src",
    );
    mariadb(
        "ALTER TABLE q CONVERT PARTITION p TO TABLE s.n",
        "changes q, changes s.n, creates s.n",
    );
    for to in ["TO", "AS", "=", ""] {
        let text = format!("ALTER TABLE x ADD INDEX (a), RENAME {to} s.t");
        both(&text, "changes x, changes s.t, creates s.t");
    }
    both("ALTER TABLE m UNION = (a, b)", "changes m, mentioned");
    both(
        "-- c\nDROP TABLE IF EXISTS a , `b` /* generated by server */",
        "changes a, changes b",
    );
    both("DROP TABLES a, s.b CASCADE", "changes a, changes s.b");
    mariadb("DROP TABLE a WAIT 5", "changes a");
    mysql("DROP TABLE a WAIT 5", "changes a, mentioned");
    both(
        "RENAME TABLE a TO b, c TO d.e",
        "changes a, changes b, changes c, changes d.e, creates b, creates d.e",
    );
    mariadb(
        "RENAME TABLE IF EXISTS a WAIT 5 TO b",
        "changes a, changes b, creates b",
    );
    both("CREATE TABLE t (a INT)", "changes t, creates t");
    both("CREATE TABLE IF NOT EXISTS t (a INT)", "creates t");
    both("CREATE TABLE t LIKE s.u", "changes t, creates t");
    both(
        "CREATE TABLE t (a INT) PARTITION BY RANGE (a) (PARTITION p VALUES LESS THAN (1))",
        "changes t, creates t",
    );
    mysql(
        "CREATE TABLE `t` (\n `x` int) START TRANSACTION",
        "changes t, creates t",
    );
    mariadb(
        "CREATE OR REPLACE TABLE IF NOT EXISTS t (a INT)",
        "changes t, creates t",
    );
    mariadb("CREATE OR REPLACE SEQUENCE t", "changes t");
    both("DROP SEQUENCE IF EXISTS t", "changes t");
}

#[test]
fn settings_in_front_of_a_statement() {
    mariadb(
        "SET STATEMENT lock_wait_timeout=5 FOR TRUNCATE TABLE t",
        "empties t",
    );
    mariadb(
        "SET STATEMENT a=(SELECT 1 FOR UPDATE), b='FOR' FOR RENAME TABLE a TO b",
        "changes a, changes b, creates b",
    );
    mariadb(
        "SET STATEMENT a=1 FOR SET STATEMENT b=2 FOR ALTER TABLE t ADD INDEX (a)",
        "keeps t +index",
    );
    mariadb(
        "SET STATEMENT binlog_format='STATEMENT' FOR UPDATE t SET v = 1",
        "Rows",
    );
    mariadb(
        "SET STATEMENT sql_mode='ANSI_QUOTES' FOR ALTER TABLE t COMMENT \"x\"",
        "Unknown",
    );
    mariadb("SET STATEMENT a=1", "Unknown");
    mysql("SET STATEMENT a=1 FOR TRUNCATE TABLE t", "Unknown");
}

#[test]
fn executable_comments() {
    both("/*!40000 ALTER TABLE `t` DISABLE KEYS */", "keeps t");
    both("DROP /*!40005 TEMPORARY */ TABLE IF EXISTS `t`", "Nothing");
    mysql("DROP /*!99999 TEMPORARY */ TABLE t", "changes t");
    mariadb("DROP /*!999999 TEMPORARY */ TABLE t", "changes t");
    mysql(
        "ALTER TABLE t ADD INDEX (a) /*!90100 , DROP COLUMN b */",
        "keeps t +index, changes t",
    );
    mysql(
        "ALTER TABLE t ADD INDEX (a) /*M! , DROP COLUMN b */",
        "keeps t +index",
    );
    mariadb("ALTER TABLE t ADD INDEX (a) /*M! , DROP COLUMN b */", "changes t");
    mariadb(
        "ALTER TABLE t ADD INDEX (a) /*!80000 , DROP COLUMN b */",
        "keeps t +index",
    );
    both("/*! */", "Nothing");
    mysql("/*!90100 UPDATE t SET a = 1 */", "Rows");
    mysql(
        "ALTER TABLE t /*!90100 DROP a */ /*!90200 , RENAME u */",
        "keeps t, changes t, changes t, changes u, creates u",
    );
}

#[test]
fn statements_without_tables() {
    for text in [
        "CREATE DEFINER=`table`@`%` TRIGGER r BEFORE INSERT ON t FOR EACH ROW SET @a = 1",
        "CREATE OR REPLACE ALGORITHM=MERGE DEFINER=a@192.168.0.1 SQL SECURITY DEFINER VIEW v AS SELECT 1",
        "CREATE DEFINER=CURRENT_USER() PROCEDURE p() BEGIN DROP TABLE t; END",
        "CREATE AGGREGATE FUNCTION f RETURNS INT SONAME 'x'",
        "ALTER EVENT e DISABLE",
        "DROP VIEW IF EXISTS v",
        "DROP USER 'a'@'b'",
        "GRANT SELECT ON t TO u",
        "FLUSH TABLES t",
        "SET PASSWORD FOR 'a'@'b' = 'c'",
        "SET DEFAULT ROLE r FOR u",
        "RENAME USER a TO b",
        "CREATE DATABASE s CHARACTER SET latin1",
        "ALTER DATABASE s DEFAULT CHARACTER SET = latin1 COLLATE latin1_bin",
        "ALTER SCHEMA CHARACTER SET latin1",
    ] {
        both(text, "no table");
    }
    mysql("CREATE JSON RELATIONAL DUALITY VIEW v AS SELECT 1", "no table");
    both("DROP DATABASE IF EXISTS `s`", "schema s");
    mariadb("CREATE OR REPLACE DATABASE s", "schema s");
    mysql("ALTER DATABASE s READ ONLY = 1", "schema s, schema default");
    both("CREATE TEMPORARY TABLE t (a INT)", "Nothing");
    both("DROP TEMPORARY TABLE `t` /* generated by server */", "Nothing");
}

#[test]
fn rows_as_statements() {
    for text in [
        "INSERT INTO t VALUES ('a''b\\'; DROP TABLE x')",
        "(SELECT f())",
        "WITH x AS (SELECT 1) DELETE FROM t",
        "CREATE TABLE c SELECT f() AS x",
        "CREATE TABLE c (a INT) AS (SELECT f())",
        "CREATE TEMPORARY TABLE c SELECT f()",
        "CREATE TABLE c VALUES ROW(f())",
    ] {
        both(text, "Rows");
    }
}

#[test]
fn transactions() {
    both("BEGIN", "Begin");
    both("START TRANSACTION READ ONLY", "Begin");
    both("BEGIN NOT ATOMIC TRUNCATE t; END", "Unknown");
    both("COMMIT WORK", "Commit");
    both("ROLLBACK", "Rollback");
    both("ROLLBACK TO `p`", "RollbackToSavepoint");
    both("SAVEPOINT `p`", "Nothing");
    both("XA START X'01',X'',1", "XaStart");
    both("XA END X'01',X'',1", "XaPrepare");
    both("XA COMMIT X'01',X'',1", "XaEnd");
    both("XA ROLLBACK X'01',X'',1", "XaEnd");
    both("# a comment", "Nothing");
}

#[test]
fn what_is_not_known() {
    both("WAT", "Unknown");
    both("SET x = 1", "Unknown");
    both("'x'", "Unknown");
    both("CREATE WAT t", "UnknownDefinition");
    both("DROP TABLE", "UnknownDefinition");
    both("ANALYZE UPDATE t SET a = 1", "UnknownDefinition");
    both("ALTER TABLE", "UnknownDefinition");
}

#[test]
fn titles_hold_no_values() {
    let check = |text: &str, expected: &str| {
        let dialect = Dialect {
            mariadb: true,
            ansi_quotes: false,
            no_backslash: false,
        };
        assert_eq!(Statement::read(text, dialect).title, expected, "{text}");
    };
    check("ALTER ONLINE IGNORE TABLE t ADD x INT", "ALTER TABLE");
    check("SET STATEMENT a='secret' FOR TRUNCATE t", "TRUNCATE TABLE");
    check(
        "SET STATEMENT a='secret', sql_mode='secret' FOR ALTER TABLE t ADD x INT",
        "SET STATEMENT with `sql_mode`, which decides how the rest is read",
    );
    check("INSERT INTO t VALUES (1)", "INSERT INTO");
    check("CALL p('secret')", "CALL P");
    check("SELECT 12345", "SELECT");
    check("DO 'secret'", "DO");
    check("'secret'", "a statement");
    check("CREATE UNIQUE INDEX i ON t (a)", "CREATE INDEX");
    check("XA COMMIT X'01'", "XA COMMIT");
}
