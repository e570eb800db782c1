//! Which variables of the server must have which values.

/// A variable that must have one of these values.
#[derive(Debug)]
pub(crate) struct Demand {
    pub(super) name: &'static str,
    /// Accepted values; the first one is what the remedy sets.
    pub(super) accepted: &'static [&'static str],
    /// Why.
    pub(super) reason: &'static str,
    /// Whether it can be set while the server runs.
    pub(super) dynamic: bool,
}

const fn demand(
    name: &'static str,
    accepted: &'static [&'static str],
    reason: &'static str,
    dynamic: bool,
) -> Demand {
    Demand {
        name,
        accepted,
        reason,
        dynamic,
    }
}

/// What both families must have set.
pub(super) const BOTH_DEMANDS: &[Demand] = &[
    demand(
        "log_bin",
        &["ON", "1"],
        "without the binary log no change is seen",
        false,
    ),
    demand(
        "binlog_format",
        &["ROW"],
        "other formats carry statements, not rows",
        true,
    ),
    demand(
        "binlog_row_image",
        &["FULL"],
        "partial images do not carry the whole row",
        true,
    ),
    demand(
        "binlog_row_metadata",
        &["FULL"],
        "without it a schema change behind the stream cannot be told from data",
        true,
    ),
];

/// What MySQL must have set beside it.
pub(crate) const MYSQL_DEMANDS: &[Demand] = &[
    demand("gtid_mode", &["ON"], "positions are GTID sets", true),
    demand(
        "enforce_gtid_consistency",
        &["ON", "1"],
        "positions are GTID sets",
        true,
    ),
    demand(
        "binlog_row_value_options",
        &[""],
        "partial JSON updates do not carry the whole value",
        true,
    ),
    demand(
        "binlog_transaction_compression",
        &["OFF", "0"],
        "compressed transactions are not read by this release",
        true,
    ),
];

/// What MariaDB must have set beside it.
pub(crate) const MARIADB_DEMANDS: &[Demand] = &[
    demand(
        "gtid_strict_mode",
        &["ON", "1"],
        "sequence numbers must rise within a domain",
        true,
    ),
    demand(
        "log_bin_compress",
        &["OFF", "0"],
        "compressed events are not read by this release",
        true,
    ),
];
