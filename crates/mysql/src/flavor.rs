//! What differs between the two families of servers, as data: statements, columns and versions.
//!
//! Where the families need another order of steps, and not only other words, the code asks for the
//! family itself.

use crate::connection::{Flavor, Server};

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
