//! What differs between the two families of servers, as data: statements, columns and versions.
//!
//! Code asks for the fact that it needs, and not which family it is. Only what reads the server's
//! own forms (positions, the events of the binary log, the defaults of the catalog) differs by
//! family.

use crate::connection::{Flavor, Server};
use crate::preflight::{Demand, MARIADB_DEMANDS, MYSQL_DEMANDS};

/// When the server's position holds a transaction, and when sessions see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CommitOrder {
    /// Sessions may see it first: what a session has seen may be missing in the position.
    SeenBeforePosition,
    /// The position holds it first: what it holds may not be visible yet.
    PositionBeforeSeen,
}

/// The facts of one family.
#[derive(Debug)]
pub(crate) struct Facts {
    /// Its name for people.
    pub(crate) name: &'static str,
    /// The oldest version that is supported.
    pub(crate) oldest: (u16, u16, u16),
    /// One text: where the server's history stands.
    pub(crate) position: &'static str,
    /// One text: which server it is, for people.
    pub(crate) identity: &'static str,
    /// One text that is the same for all connections to one server.
    pub(crate) server_identity: &'static str,
    /// The replicas of the server, the statement of newer versions first.
    pub(crate) replicas: &'static [&'static str],
    /// What the server replicates itself, the statement of newer versions first.
    pub(crate) replica_status: &'static [&'static str],
    /// The undo history's length in transactions, in the second column.
    pub(crate) undo_history: &'static str,
    /// CHECK constraints as table, name and clause; `$in` is filled in with the schema.
    pub(crate) checks: &'static str,
    /// The default of a column in `information_schema.columns`.
    pub(crate) column_default: &'static str,
    /// The expression of an index's part in `information_schema.statistics`.
    pub(crate) index_expression: &'static str,
    /// Whether the catalog holds expressions in a form of its own (`catalog::expression`).
    pub(crate) rewrites_expressions: bool,
    /// Whether its JSON is a text with a CHECK that it is valid.
    pub(crate) json_is_checked_text: bool,
    /// One number: whether the engine carries out foreign keys, unseen by the log. None where it
    /// always does.
    pub(crate) native_foreign_keys: Option<&'static str>,
    /// Which comes first at a commit.
    pub(crate) commit_order: CommitOrder,
    /// The first version in which the commit of a prepared transaction, once executed, is visible.
    pub(crate) executed_is_visible_since: (u16, u16, u16),
    /// What a session sets to give its metadata locks back at ROLLBACK TO SAVEPOINT, with the
    /// privilege that this needs. None where every session does.
    pub(crate) lock_release: Option<LockRelease>,
    /// The words that set a global variable.
    pub(crate) set: &'static str,
    /// Whether these words keep the value over a restart.
    pub(crate) set_is_kept: bool,
    /// The variables that this family must have set, beside those of both.
    pub(crate) demands: &'static [Demand],
    /// The privilege to see the binary log's state, as GRANT takes it.
    pub(crate) monitor_privilege: &'static str,
    /// The privilege to list replicas, if it takes another one than to be a replica.
    pub(crate) replicas_privilege: Option<&'static str>,
    /// Whether SHOW GRANTS lists those of roles only if they are named.
    pub(crate) roles_must_be_named: bool,
}

/// A setting of a session and the privilege for it.
#[derive(Debug)]
pub(crate) struct LockRelease {
    pub(crate) statement: &'static str,
    pub(crate) privilege: &'static str,
}

const MYSQL: Facts = Facts {
    name: "MySQL",
    oldest: (8, 0, 0),
    position: "SELECT @@GLOBAL.gtid_executed",
    identity: "SELECT @@server_uuid",
    server_identity: "SELECT CONCAT_WS(' ', @@server_uuid, @@GLOBAL.server_id, @@hostname, @@port)",
    // SHOW REPLICAS and SHOW REPLICA STATUS exist from 8.0.22 on.
    replicas: &["SHOW REPLICAS", "SHOW SLAVE HOSTS"],
    replica_status: &["SHOW REPLICA STATUS", "SHOW SLAVE STATUS"],
    // Needs the privilege PROCESS.
    undo_history: "SELECT name, count FROM information_schema.innodb_metrics WHERE name = 'trx_rseg_history_len'",
    // Its check_constraints lack the table's name.
    checks: "SELECT t.table_name, c.constraint_name, c.check_clause FROM information_schema.check_constraints c \
             JOIN information_schema.table_constraints t ON t.constraint_schema = c.constraint_schema \
             AND t.constraint_name = c.constraint_name AND t.constraint_type = 'CHECK' \
             WHERE $in(c.constraint_schema) ORDER BY t.table_name, c.constraint_name",
    column_default: "column_default",
    index_expression: "expression",
    rewrites_expressions: true,
    json_is_checked_text: false,
    // MySQL 9.7 and later have the variable (SERVERS 2.6).
    native_foreign_keys: Some("SELECT @@GLOBAL.innodb_native_foreign_keys"),
    commit_order: CommitOrder::SeenBeforePosition,
    executed_is_visible_since: (8, 4, 0),
    lock_release: None,
    set: "SET PERSIST",
    set_is_kept: true,
    demands: MYSQL_DEMANDS,
    monitor_privilege: "REPLICATION CLIENT",
    replicas_privilege: None,
    roles_must_be_named: true,
};

const MARIADB: Facts = Facts {
    name: "MariaDB",
    oldest: (10, 5, 0),
    // A replica without log_slave_updates would seem to stand still; `check` refuses it.
    position: "SELECT @@GLOBAL.gtid_binlog_pos",
    identity: "SELECT CONCAT('domain ', @@GLOBAL.gtid_domain_id, ', server ', @@GLOBAL.server_id)",
    server_identity: "SELECT CONCAT_WS(' ', @@GLOBAL.server_id, @@hostname, @@port)",
    // The statement exists from 10.5.1 on.
    replicas: &["SHOW REPLICA HOSTS"],
    // All of its connections.
    replica_status: &["SHOW ALL SLAVES STATUS"],
    undo_history: "SHOW GLOBAL STATUS LIKE 'Innodb_history_list_length'",
    // Its table_constraints lack the checks of columns.
    checks: "SELECT table_name, constraint_name, check_clause FROM information_schema.check_constraints \
             WHERE $in(constraint_schema) ORDER BY table_name, constraint_name",
    // A default is an expression: the word NULL where there is none, and texts in quotes.
    column_default: "NULLIF(column_default, 'NULL')",
    index_expression: "NULL",
    rewrites_expressions: false,
    json_is_checked_text: true,
    native_foreign_keys: None,
    commit_order: CommitOrder::PositionBeforeSeen,
    executed_is_visible_since: (0, 0, 0),
    lock_release: Some(LockRelease {
        statement: "SET SESSION sql_log_bin = 0",
        privilege: "BINLOG ADMIN",
    }),
    set: "SET GLOBAL",
    set_is_kept: false,
    demands: MARIADB_DEMANDS,
    monitor_privilege: "BINLOG MONITOR",
    replicas_privilege: Some("REPLICATION MASTER ADMIN"),
    roles_must_be_named: false,
};

impl Flavor {
    /// What this family is like.
    pub(crate) fn facts(self) -> &'static Facts {
        match self {
            Flavor::Mysql => &MYSQL,
            Flavor::Mariadb => &MARIADB,
        }
    }
}

impl Server {
    /// What its family is like.
    pub(crate) fn facts(&self) -> &'static Facts {
        self.flavor.facts()
    }
}
