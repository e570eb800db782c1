//! Every action of ALTER TABLE, crossed with every modifier, on real servers: what the decoder
//! passes over has kept rows and columns.

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use spanferry_core::plan::TablePlan;
use spanferry_core::port::source::{ChangeDecoder, ChangeSource, PositionSource};
use spanferry_core::position::Position;
use spanferry_mysql::connection::Connection;
use spanferry_mysql::{MysqlError, MysqlSource};
use support::Server;
use support::plan::spelled_plans;
use support::stream::{Sink, assert_same, capture, snapshot};

/// The table that a statement is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    Plain,
    Partitioned,
    /// Without a primary key: the unique index `uk` serves as one.
    UniqueKey,
}

/// What must follow from an action by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expected {
    /// It keeps rows and columns, and is passed over. Only behind IGNORE it may stop the table.
    Passes,
    /// The table stops, or its rows and columns are the same as before.
    Either,
}

use Expected::{Either, Passes};
use Shape::{Partitioned, Plain, UniqueKey};

type Action = (Shape, Expected, &'static str);

/// `$` is the number of the case.
const BOTH: &[Action] = &[
    (Plain, Passes, "ADD INDEX i (v)"),
    (Plain, Passes, "ADD KEY i USING BTREE (v(3) DESC, id)"),
    (Plain, Passes, "ADD INDEX (v) KEY_BLOCK_SIZE = 4 COMMENT 'a, b)'"),
    (Plain, Passes, "ADD FULLTEXT ft (w)"),
    (Plain, Passes, "ADD FULLTEXT INDEX ft (v, w)"),
    (Plain, Passes, "ADD SPATIAL (g)"),
    (Plain, Passes, "ADD SPATIAL KEY s (g)"),
    (Plain, Passes, "ADD UNIQUE (v)"),
    (Plain, Passes, "ADD CONSTRAINT c UNIQUE INDEX i (v, id)"),
    (Plain, Passes, "DROP INDEX k"),
    (Plain, Passes, "DROP KEY u"),
    (Plain, Passes, "RENAME INDEX k TO kk"),
    (Plain, Passes, "RENAME KEY u TO uu"),
    (Plain, Passes, "DISABLE KEYS"),
    (Plain, Passes, "ENABLE KEYS"),
    (Plain, Passes, "AUTO_INCREMENT = 99"),
    (Plain, Passes, "COMMENT = 'a, DROP COLUMN v'"),
    (
        Plain,
        Passes,
        "COMMENT 'x' STATS_PERSISTENT=0 STATS_AUTO_RECALC DEFAULT",
    ),
    (Plain, Passes, "STATS_SAMPLE_PAGES = 9"),
    (Plain, Either, "ADD COLUMN c INT"),
    (Plain, Either, "ADD c INT FIRST"),
    (Plain, Either, "ADD COLUMN (c INT, d INT)"),
    (Plain, Either, "ADD CONSTRAINT c CHECK (n > 0)"),
    (
        Plain,
        Either,
        "ADD CONSTRAINT f FOREIGN KEY (n) REFERENCES o$ (id)",
    ),
    (
        Plain,
        Either,
        "ADD FOREIGN KEY (n) REFERENCES o$ (id) ON DELETE CASCADE",
    ),
    (Plain, Passes, "ALTER COLUMN v SET DEFAULT 'd'"),
    (Plain, Passes, "ALTER v SET DEFAULT (concat('a', 1 + 1))"),
    (Plain, Passes, "ALTER n SET DEFAULT -1"),
    (Plain, Passes, "ALTER v DROP DEFAULT"),
    (Plain, Either, "CHANGE v vv VARCHAR(30)"),
    (Plain, Either, "CHANGE COLUMN v v VARCHAR(20) FIRST"),
    (Plain, Either, "MODIFY v VARCHAR(200)"),
    (Plain, Either, "MODIFY COLUMN n BIGINT NOT NULL AFTER v"),
    (Plain, Either, "RENAME COLUMN v TO vv"),
    (Plain, Either, "DROP COLUMN v"),
    (Plain, Either, "DROP v"),
    (Plain, Either, "DROP PRIMARY KEY, ADD PRIMARY KEY (id)"),
    (Plain, Either, "DROP INDEX `PRIMARY`"),
    (Plain, Either, "ORDER BY v"),
    (Plain, Either, "CONVERT TO CHARACTER SET latin1"),
    (Plain, Either, "DEFAULT CHARACTER SET latin1"),
    (Plain, Either, "FORCE"),
    (Plain, Either, "ENGINE = InnoDB"),
    (Plain, Either, "ENGINE = MyISAM"),
    (Plain, Either, "ROW_FORMAT = COMPACT"),
    (Plain, Either, "RENAME TO other.r$"),
    (Plain, Either, "RENAME r$"),
    (Plain, Either, "RENAME AS r$"),
    (Partitioned, Either, "DROP PARTITION p1"),
    (Partitioned, Either, "TRUNCATE PARTITION p1"),
    (Partitioned, Either, "TRUNCATE PARTITION ALL"),
    (
        Partitioned,
        Either,
        "ADD PARTITION (PARTITION p3 VALUES LESS THAN (400))",
    ),
    (
        Partitioned,
        Either,
        "REORGANIZE PARTITION p0, p1 INTO (PARTITION p9 VALUES LESS THAN (200))",
    ),
    (Partitioned, Either, "EXCHANGE PARTITION p0 WITH TABLE o$"),
    (Partitioned, Either, "REBUILD PARTITION p0, p1"),
    (Partitioned, Either, "ANALYZE PARTITION p0"),
    (Partitioned, Either, "OPTIMIZE PARTITION ALL"),
    (Partitioned, Either, "REPAIR PARTITION p0"),
    (Partitioned, Either, "REMOVE PARTITIONING"),
    (Partitioned, Either, "PARTITION BY HASH (id) PARTITIONS 2"),
    (Partitioned, Passes, "ADD INDEX i (v)"),
    (UniqueKey, Either, "DROP INDEX uk"),
    (UniqueKey, Either, "RENAME INDEX uk TO x"),
    (UniqueKey, Either, "ADD PRIMARY KEY (id)"),
    (UniqueKey, Passes, "DROP INDEX u"),
    (UniqueKey, Either, "ADD UNIQUE x (id)"),
];

const MYSQL: &[Action] = &[
    (Plain, Passes, "ADD INDEX i ((n + 1), (abs(n)) DESC)"),
    (Plain, Passes, "ADD UNIQUE i ((concat(v, id)))"),
    (Plain, Passes, "ADD INDEX i (v) INVISIBLE"),
    (Plain, Passes, "ADD FULLTEXT ft (w) WITH PARSER ngram"),
    (Plain, Passes, "ALTER INDEX k INVISIBLE"),
    (Plain, Either, "ALTER COLUMN v SET INVISIBLE"),
    (Plain, Either, "ADD COLUMN c INT, ALGORITHM = INSTANT"),
    (Plain, Either, "DROP CONSTRAINT u"),
    (Plain, Either, "SECONDARY_ENGINE = NULL"),
    (
        Partitioned,
        Either,
        "EXCHANGE PARTITION p0 WITH TABLE o$ WITHOUT VALIDATION",
    ),
];

const MARIADB: &[Action] = &[
    (Plain, Passes, "ADD INDEX IF NOT EXISTS i (v)"),
    (Plain, Passes, "ADD INDEX IF NOT EXISTS k (v)"),
    (Plain, Passes, "ADD INDEX i (v) IGNORED"),
    (Plain, Passes, "DROP INDEX IF EXISTS k"),
    (Plain, Passes, "DROP KEY IF EXISTS nothing"),
    (Plain, Passes, "RENAME INDEX IF EXISTS k TO kk"),
    (Plain, Passes, "ALTER INDEX k IGNORED"),
    (Plain, Passes, "ALTER KEY k NOT IGNORED"),
    (Plain, Passes, "ADD UNIQUE (w)"),
    (Plain, Passes, "ADD UNIQUE IF NOT EXISTS x (v, w) USING HASH"),
    (Plain, Either, "ADD COLUMN IF NOT EXISTS c INT"),
    (Plain, Either, "DROP COLUMN IF EXISTS v"),
    (Plain, Either, "MODIFY IF EXISTS v TEXT"),
    (Plain, Either, "DROP CONSTRAINT IF EXISTS u"),
    (Plain, Either, "ADD SYSTEM VERSIONING"),
    (Partitioned, Either, "CONVERT PARTITION p1 TO TABLE c$"),
    (
        Partitioned,
        Either,
        "CONVERT TABLE o$ TO PARTITION p3 VALUES LESS THAN (400)",
    ),
    (Partitioned, Either, "DROP PARTITION IF EXISTS p1"),
];

/// How a statement is written. `$t` is the table, `$a` the action, `$q` the action inside of a text
/// literal.
const FORMS_OF_BOTH: &[&str] = &[
    "ALTER TABLE $t $a",
    "ALTER TABLE s.$t $a, ALGORITHM = DEFAULT, LOCK = DEFAULT",
    "ALTER TABLE `$t` ALGORITHM = COPY, $a",
    "ALTER TABLE $t ADD INDEX zz (v), $a",
    "ALTER TABLE $t $a, COMMENT 'zz'",
    "ALTER TABLE $t /* c */ $a -- c",
    "/*!50000 ALTER TABLE $t $a */",
    "ALTER TABLE $t /*!50000 $a */",
    "ALTER TABLE $t ADD INDEX zz (v) /*!50000 , $a */",
    "PREPARE p FROM 'ALTER TABLE $t $q';\nEXECUTE p",
    "CREATE PROCEDURE p_$t() ALTER TABLE $t $a;\nCALL p_$t()",
    "SET sql_mode = 'ANSI_QUOTES';\nALTER TABLE \"$t\" $a;\nSET sql_mode = ''",
];

/// With these, what is added is executed by one kind of server only.
const FORMS_OF_MYSQL: &[&str] = &[
    "ALTER TABLE $t ADD INDEX zz (v) /*M! , DROP COLUMN w */, $a",
    "ALTER TABLE $t WITHOUT VALIDATION, ADD COLUMN gc INT AS (n) VIRTUAL, $a",
    "ALTER TABLE $t /*!80000 $a */",
];

const FORMS_OF_MARIADB: &[&str] = &[
    "ALTER ONLINE TABLE $t $a",
    "ALTER IGNORE TABLE $t $a",
    "ALTER ONLINE IGNORE TABLE IF EXISTS $t WAIT 9 $a",
    "ALTER TABLE IF EXISTS $t $a",
    "ALTER TABLE $t WAIT 10 $a",
    "ALTER TABLE $t NOWAIT $a",
    "ALTER TABLE $t /*M! $a */",
    "ALTER TABLE $t /*M!100000 WAIT 5 */ $a",
    "ALTER TABLE $t ADD INDEX zz (v) /*!80000 , DROP COLUMN w */, $a",
    "SET STATEMENT lock_wait_timeout = 5 FOR ALTER TABLE $t $a",
    "BEGIN NOT ATOMIC ALTER TABLE $t $a; END",
    "EXECUTE IMMEDIATE 'ALTER TABLE $t $q'",
    "SET binlog_alter_two_phase = 1;\nALTER TABLE $t $a",
];

/// Other statements, each with the tables (t, o) that must stop. Those of `UniqueKey` shape have no
/// `o`.
type Other = (Shape, &'static [bool; 2], &'static str);

const OTHERS: &[Other] = &[
    (Plain, &[false, false], "CREATE INDEX i ON $t (v)"),
    (
        Plain,
        &[false, false],
        "CREATE UNIQUE INDEX i USING BTREE ON s.$t (v) COMMENT 'x' LOCK = DEFAULT",
    ),
    (
        Plain,
        &[false, false],
        "CREATE FULLTEXT INDEX i ON $t (w) ALGORITHM = INPLACE",
    ),
    (Plain, &[false, false], "DROP INDEX k ON $t"),
    (Plain, &[true, false], "DROP INDEX `PRIMARY` ON $t"),
    (UniqueKey, &[true, false], "DROP INDEX uk ON $t"),
    (Plain, &[true, false], "TRUNCATE $t"),
    (Plain, &[true, false], "TRUNCATE TABLE s.$t"),
    (Plain, &[true, true], "DROP TABLE $t, $o"),
    (Plain, &[true, false], "DROP TABLES IF EXISTS nothing, s.$t"),
    (
        Plain,
        &[true, true],
        "RENAME TABLE $t TO x$t, $o TO $t, x$t TO $o",
    ),
    (
        Plain,
        &[true, true],
        "DROP TABLE $t;\nALTER TABLE $o RENAME TO $t",
    ),
    (Plain, &[false, false], "ANALYZE TABLE $t, $o"),
    (
        Plain,
        &[false, false],
        "OPTIMIZE LOCAL TABLE $t;\nOPTIMIZE TABLE $o",
    ),
    (Plain, &[false, false], "CREATE TABLE IF NOT EXISTS $t (a INT)"),
    (
        Plain,
        &[false, false],
        "CREATE TABLE IF NOT EXISTS $t SELECT 5 AS id",
    ),
    (
        Plain,
        &[false, false],
        "CREATE TABLE c_$t (a INT PRIMARY KEY, FOREIGN KEY (a) REFERENCES $t (id) ON DELETE CASCADE)",
    ),
    (
        Plain,
        &[false, false],
        "CREATE TABLE c_$t LIKE $t;\nDROP TABLE c_$t",
    ),
    (Plain, &[false, false], "CREATE TABLE c_$t AS SELECT id FROM $t"),
    (
        Plain,
        &[false, false],
        "CREATE VIEW v_$t AS SELECT * FROM $t;\nALTER VIEW v_$t AS SELECT 1;\nDROP VIEW v_$t",
    ),
    (
        Plain,
        &[false, false],
        "CREATE TRIGGER r_$t BEFORE DELETE ON $t FOR EACH ROW SET @a = 1;\nDROP TRIGGER r_$t",
    ),
    (
        Plain,
        &[false, false],
        "CREATE PROCEDURE q_$t() BEGIN TRUNCATE $t; DROP TABLE $o; END;\nDROP PROCEDURE q_$t",
    ),
    (
        Plain,
        &[false, false],
        "CREATE EVENT e_$t ON SCHEDULE EVERY 1 YEAR STARTS '2037-01-01' DO TRUNCATE $t;\nALTER EVENT e_$t DISABLE;\nDROP EVENT e_$t",
    ),
    (
        Plain,
        &[false, false],
        "CREATE TEMPORARY TABLE $t (a INT);\nDROP TEMPORARY TABLE $t",
    ),
    (
        Plain,
        &[false, false],
        "CREATE USER u_$t;\nGRANT SELECT ON $t TO u_$t;\nREVOKE SELECT ON $t FROM u_$t;\nDROP USER u_$t",
    ),
    (Plain, &[false, false], "FLUSH TABLES $t"),
    (
        Plain,
        &[true, false],
        "CREATE TABLE d_$t (a INT);\nDROP TABLE d_$t, $t",
    ),
    (
        Plain,
        &[false, false],
        "CREATE TABLE d_$t (a INT);\nDROP /*!99999 TEMPORARY */ TABLE d_$t",
    ),
    (Plain, &[true, false], "DROP /*!99999 TEMPORARY */ TABLE $t"),
];

const OTHERS_OF_MARIADB: &[Other] = &[
    (
        Plain,
        &[true, false],
        "SET STATEMENT lock_wait_timeout = 5 FOR TRUNCATE TABLE $t",
    ),
    (
        Plain,
        &[true, false],
        "SET STATEMENT lock_wait_timeout = 5 FOR RENAME TABLE $t TO r_$t",
    ),
    (
        Plain,
        &[true, false],
        "SET STATEMENT lock_wait_timeout = 5, max_statement_time = 9 FOR DROP TABLE $t",
    ),
    (Plain, &[true, false], "CREATE OR REPLACE TABLE $t (a INT)"),
    (Plain, &[true, false], "CREATE OR REPLACE SEQUENCE $t"),
    (Plain, &[true, false], "TRUNCATE $t WAIT 3"),
    (Plain, &[true, false], "DROP TABLE $t NOWAIT"),
    (Plain, &[true, false], "RENAME TABLE IF EXISTS $t WAIT 3 TO r_$t"),
    (
        Plain,
        &[false, false],
        "CREATE INDEX IF NOT EXISTS i ON $t (v) WAIT 3",
    ),
    (Plain, &[false, false], "CREATE OR REPLACE INDEX k ON $t (v)"),
    (UniqueKey, &[true, false], "CREATE OR REPLACE INDEX uk ON $t (v)"),
    (Plain, &[false, false], "DROP INDEX IF EXISTS k ON $t NOWAIT"),
    (Plain, &[false, false], "ANALYZE TABLE $t PERSISTENT FOR ALL"),
    (
        Plain,
        &[true, false],
        "BEGIN NOT ATOMIC DELETE FROM $t; TRUNCATE $t; END",
    ),
    (Plain, &[true, false], "EXECUTE IMMEDIATE 'DROP TABLE $t'"),
];

/// One statement on tables of its own, and which of them must stop; `None`: that is left to the
/// comparison of rows.
struct Case {
    number: usize,
    shape: Shape,
    sql: String,
    stops: Option<[bool; 2]>,
    /// What it is made of.
    origins: Vec<&'static str>,
}

impl Case {
    /// `t`, and `o` if the statement names it.
    fn tables(&self) -> Vec<String> {
        let (t, o) = (format!("t{}", self.number), format!("o{}", self.number));
        let names_other = self.sql.contains(&o);
        [t].into_iter().chain(names_other.then_some(o)).collect()
    }

    /// The statements that make its tables, with three rows each.
    fn setting(&self) -> Vec<String> {
        let partitioned = self.shape == Partitioned;
        let (geometry, point) = if partitioned {
            ("", "")
        } else {
            (", g POINT NOT NULL", ", POINT(1, 2)")
        };
        let mut all = Vec::new();
        if partitioned {
            // MySQL exchanges no partitions of the tablespace for all.
            all.push("SET GLOBAL innodb_file_per_table = ON".to_owned());
        }
        for table in self.tables() {
            let is_other = table.starts_with('o');
            let key = match self.shape {
                Plain => "PRIMARY KEY (n, id), UNIQUE KEY u (id)",
                UniqueKey => "UNIQUE KEY uk (n, id), UNIQUE KEY u (v)",
                Partitioned => "PRIMARY KEY (n, id)",
            };
            let partitions = if partitioned && !is_other {
                " PARTITION BY RANGE (id) (PARTITION p0 VALUES LESS THAN (100), PARTITION p1 VALUES LESS THAN (200), PARTITION p2 VALUES LESS THAN (300))"
            } else {
                ""
            };
            let columns = "id INT NOT NULL, v VARCHAR(20), n INT NOT NULL, w TEXT";
            all.push(format!(
                "CREATE TABLE {table} ({columns}{geometry}, {key}, KEY k (v)) ENGINE = InnoDB{partitions}"
            ));
            let id = |row: usize| match (partitioned, is_other) {
                (true, false) => 100 * row - 50,
                (true, true) if self.sql.contains("CONVERT") => 300 + row,
                (_, _) => row,
            };
            let row = |row: usize| format!("({}, 'v{row}', {row}, 'w{row}'{point})", id(row));
            let rows = [1, 2, 3].map(row).join(", ");
            all.push(format!("INSERT INTO {table} VALUES {rows}"));
        }
        if partitioned {
            all.push("SET GLOBAL innodb_file_per_table = OFF".to_owned());
        }
        all
    }
}

/// A statement that shows rows, and then what it has done: one connection of ours takes only one
/// answer.
fn shows_rows(action: &str) -> bool {
    ["ANALYZE", "OPTIMIZE", "REPAIR"]
        .iter()
        .any(|verb| action.starts_with(verb))
}

fn cases(mariadb: bool) -> Vec<Case> {
    let (actions, forms, others) = if mariadb {
        (MARIADB, FORMS_OF_MARIADB, OTHERS_OF_MARIADB)
    } else {
        (MYSQL, FORMS_OF_MYSQL, [].as_slice())
    };
    let mut cases: Vec<Case> = Vec::new();
    let mut add = |shape, sql: &str, stops, origins| {
        let number = cases.len();
        let (t, o) = (format!("t{number}"), format!("o{number}"));
        let sql = sql
            .replace("$t", &t)
            .replace("$o", &o)
            .replace("o$", &o)
            .replace('$', &number.to_string());
        cases.push(Case {
            number,
            shape,
            sql,
            stops,
            origins,
        });
    };
    for (shape, expected, action) in BOTH.iter().chain(actions) {
        for form in FORMS_OF_BOTH.iter().chain(forms) {
            if form.contains("CALL") && shows_rows(action) {
                continue;
            }
            let sql = form
                .replace("$a", action)
                .replace("$q", &action.replace('\'', "''"));
            let may_stop = form.contains("IGNORE TABLE") || form.contains("ADD COLUMN");
            let passes = *expected == Passes && !may_stop;
            add(
                *shape,
                &sql,
                passes.then_some([false, false]),
                vec![*form, *action],
            );
        }
    }
    for (shape, stops, sql) in OTHERS.iter().chain(others) {
        add(*shape, sql, Some(**stops), vec![*sql]);
    }
    cases
}

/// Runs all of a case's statements; the first that is refused ends it.
async fn execute(server: &Server, connection: &mut Connection, sql: &str) -> bool {
    for statement in sql.split(";\n") {
        let result = connection.execute(statement).await;
        match result.as_ref().map_err(MysqlError::server_code) {
            Ok(()) => {}
            Err(Some(_)) => return false,
            // A statement that shows rows was executed, but the connection is lost.
            Err(None) => *connection = server.run("USE s;\nSET sql_mode = ''").await,
        }
    }
    true
}

/// What a run of all cases has shown.
struct Run {
    cases: Vec<Case>,
    /// The cases whose statements the server has executed.
    executed: BTreeSet<usize>,
    plans: BTreeMap<String, Arc<TablePlan>>,
}

impl Run {
    fn executed(&self) -> impl Iterator<Item = &Case> {
        self.cases
            .iter()
            .filter(|case| self.executed.contains(&case.number))
    }

    /// The cases in which not those tables have stopped that must.
    fn assert_stops(&self, sink: &Sink) {
        let mut wrong = Vec::new();
        for case in self.executed() {
            let stopped: Vec<bool> = case
                .tables()
                .iter()
                .map(|table| sink.is_stopped(self.plans[table].id.0))
                .collect();
            if case.stops.is_some_and(|expected| !expected.starts_with(&stopped)) {
                wrong.push(format!("{:?} stopped {stopped:?}: {}", case.shape, case.sql));
            }
        }
        assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
    }

    /// An action or a form that no server has ever executed tests nothing.
    fn assert_executed(&self) {
        let executed: BTreeSet<&str> = self.executed().flat_map(|case| case.origins.clone()).collect();
        let mut never: BTreeSet<&str> = self.cases.iter().flat_map(|case| case.origins.clone()).collect();
        never.retain(|origin| !executed.contains(origin));
        assert!(never.is_empty(), "never executed: {never:?}");
    }

    /// The tables that have not stopped.
    fn flowing(&self, sink: &Sink) -> Vec<Arc<TablePlan>> {
        let plans = self.plans.values().filter(|plan| !sink.is_stopped(plan.id.0));
        plans.map(Arc::clone).collect()
    }
}

async fn run(server: &Server, source: &MysqlSource, mariadb: bool) -> (Run, Position, Position) {
    let mut connection = server
        .run("CREATE DATABASE other;\nCREATE DATABASE s;\nUSE s;\nSET sql_mode = ''")
        .await;
    let cases = cases(mariadb);
    let before = source.position().await.expect("a position");
    for statement in cases.iter().flat_map(Case::setting) {
        connection.execute(&statement).await.expect(&statement);
    }
    let plans = spelled_plans(source).await;
    let set_up = source.position().await.expect("a position");
    let mut executed = BTreeSet::new();
    for case in &cases {
        if execute(server, &mut connection, &case.sql).await {
            executed.insert(case.number);
        }
        connection.execute("SET sql_mode = ''").await.expect("a mode");
    }
    let plans = plans
        .into_iter()
        .map(|plan| (plan.name().table.clone(), plan))
        .collect();
    (
        Run {
            cases,
            executed,
            plans,
        },
        before,
        set_up,
    )
}

async fn check(mariadb: bool) {
    let server = Server::quick(mariadb);
    let source = MysqlSource::new(server.admin("s"), 4250).expect("options");
    let (run, before, set_up) = run(&server, &source, mariadb).await;
    let plans: Vec<_> = run.plans.values().map(Arc::clone).collect();
    let mut decoder = source.decoder(&plans);
    let mut sink = Sink::default();
    for piece in capture(&source, &before).await.expect("a stream") {
        decoder.decode(&piece, &mut sink).expect("whole events");
        let id = decoder.transaction(&piece).expect("an identity");
        if set_up.contains(&id.id).expect("one kind of source") {
            // The CREATE TABLE statements.
            sink.stops.clear();
        }
    }
    run.assert_executed();
    run.assert_stops(&sink);
    let flowing = run.flowing(&sink);
    assert_same(&flowing, &sink, &snapshot(&source, &flowing).await);

    // What follows is read as before.
    let after = source.position().await.expect("a position");
    let mut connection = server.run("USE s").await;
    for plan in &flowing {
        let sql = format!("UPDATE {} SET n = n + 10, w = CONCAT(w, 'x')", plan.name().table);
        connection.execute(&sql).await.expect(&sql);
    }
    let stops = sink.stops.len();
    for piece in capture(&source, &after).await.expect("a stream") {
        decoder.decode(&piece, &mut sink).expect("whole events");
    }
    assert_eq!(sink.stops[stops..], []);
    assert_same(&flowing, &sink, &snapshot(&source, &flowing).await);
}

#[tokio::test]
async fn mysql_statements_stop_or_keep_the_rows() {
    check(false).await;
}

#[tokio::test]
async fn mariadb_statements_stop_or_keep_the_rows() {
    check(true).await;
}
