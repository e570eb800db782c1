//! MySQL and MariaDB as a source: catalog, preflight, snapshot and binlog.
