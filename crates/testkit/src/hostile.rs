//! Settings of a server that would change, cut off or end what a session reads that inherits them.
//!
//! Each stands for a server that was set up for other purposes. They are set globally and by
//! `init_connect`, which the server runs in each session of an account without CONNECTION_ADMIN or
//! SUPER.
#![allow(unreachable_pub, reason = "tests of other crates include this file")]

/// A session variable and a value that harms, as SQL.
pub type Hostile = (&'static str, &'static str);

/// Variables that both servers have.
const BOTH: &[Hostile] = &[
    ("autocommit", "0"),
    ("sql_select_limit", "3"),
    ("max_join_size", "1"),
    ("sql_big_selects", "0"),
    ("time_zone", "'+05:30'"),
    ("character_set_client", "latin1"),
    ("character_set_connection", "latin1"),
    ("collation_connection", "latin1_german2_ci"),
    ("character_set_results", "utf16"),
    ("group_concat_max_len", "4"),
    ("completion_type", "2"),
    ("div_precision_increment", "0"),
    ("lc_time_names", "'de_DE'"),
    ("lc_messages", "'de_DE'"),
    ("default_week_format", "3"),
    ("sql_auto_is_null", "1"),
    ("max_sort_length", "64"),
    ("lock_wait_timeout", "1"),
    ("wait_timeout", "2"),
    ("interactive_timeout", "2"),
    ("net_write_timeout", "1"),
    ("net_read_timeout", "1"),
    ("sql_quote_show_create", "0"),
    ("innodb_lock_wait_timeout", "1"),
    ("sort_buffer_size", "32768"),
    ("join_buffer_size", "128"),
    ("tmp_table_size", "1024"),
    ("max_heap_table_size", "16384"),
    ("sql_buffer_result", "1"),
    ("sql_safe_updates", "1"),
    ("low_priority_updates", "1"),
    ("profiling", "1"),
    // Taken for harmless: they are here to prove it.
    ("foreign_key_checks", "0"),
    ("unique_checks", "0"),
    ("big_tables", "1"),
    ("sql_notes", "0"),
    ("sql_warnings", "1"),
    ("max_error_count", "0"),
    ("optimizer_search_depth", "0"),
    ("optimizer_prune_level", "0"),
    ("eq_range_index_dive_limit", "1"),
    ("max_seeks_for_key", "1"),
    ("max_sp_recursion_depth", "255"),
    ("read_buffer_size", "8192"),
    ("read_rnd_buffer_size", "1"),
    ("long_query_time", "0"),
    ("auto_increment_increment", "7"),
    ("default_storage_engine", "MEMORY"),
    (
        "optimizer_switch",
        "'derived_merge=off,index_condition_pushdown=off,materialization=off,semijoin=off'",
    ),
    ("timestamp", "1"),
    ("insert_id", "1"),
    ("last_insert_id", "1"),
    ("rand_seed1", "1"),
];

const MYSQL: &[Hostile] = &[
    (
        "sql_mode",
        "'ANSI_QUOTES,PIPES_AS_CONCAT,NO_BACKSLASH_ESCAPES,HIGH_NOT_PRECEDENCE,PAD_CHAR_TO_FULL_LENGTH,IGNORE_SPACE,REAL_AS_FLOAT'",
    ),
    ("transaction_isolation", "'READ-UNCOMMITTED'"),
    ("transaction_read_only", "1"),
    ("max_execution_time", "1"),
    ("use_secondary_engine", "FORCED"),
    ("show_gipk_in_create_table_and_information_schema", "0"),
    ("show_create_table_verbosity", "1"),
    ("show_create_table_skip_secondary_engine", "1"),
    ("range_optimizer_max_mem_size", "1"),
    ("information_schema_stats_expiry", "31536000"),
    ("internal_tmp_mem_storage_engine", "MEMORY"),
    ("cte_max_recursion_depth", "0"),
    ("windowing_use_high_precision", "0"),
    ("sql_require_primary_key", "1"),
];

const MARIADB: &[Hostile] = &[
    (
        "sql_mode",
        "'ORACLE,EMPTY_STRING_IS_NULL,TIME_ROUND_FRACTIONAL,HIGH_NOT_PRECEDENCE,NO_BACKSLASH_ESCAPES,PAD_CHAR_TO_FULL_LENGTH,REAL_AS_FLOAT'",
    ),
    ("transaction_isolation", "'READ-UNCOMMITTED'"),
    ("transaction_read_only", "1"),
    ("max_tmp_session_space_usage", "65536"),
    ("tx_isolation", "'READ-UNCOMMITTED'"),
    ("tx_read_only", "1"),
    ("max_statement_time", "0.05"),
    (
        "old_mode",
        "'NO_DUP_KEY_WARNINGS_WITH_IGNORE,ZERO_DATE_TIME_CAST'",
    ),
    ("query_cache_type", "1"),
    ("system_versioning_asof", "'2000-01-01 00:00:00'"),
    ("wsrep_dirty_reads", "1"),
    ("idle_transaction_timeout", "1"),
    ("idle_readonly_transaction_timeout", "1"),
    ("idle_write_transaction_timeout", "1"),
    ("tmp_memory_table_size", "1024"),
    ("tmp_disk_table_size", "1024"),
    ("max_session_mem_used", "1048576"),
    ("optimizer_max_sel_arg_weight", "1"),
    ("optimizer_max_sel_args", "1"),
    ("sql_if_exists", "1"),
    ("check_constraint_checks", "0"),
    ("join_cache_level", "0"),
    ("use_stat_tables", "never"),
    ("max_recursive_iterations", "0"),
    ("standard_compliant_cte", "0"),
];

/// Every hostile setting; one that this version of the server does not have may be among them.
pub fn settings(mariadb: bool) -> Vec<Hostile> {
    let own = if mariadb { MARIADB } else { MYSQL };
    BOTH.iter().chain(own).copied().collect()
}

/// An `init_connect` that sets all of them behind other statements.
pub fn init_connect(first: &[&str], settings: &[Hostile]) -> String {
    let assignments: Vec<_> = settings
        .iter()
        .map(|(name, value)| format!("{name} = {value}"))
        .collect();
    let set = format!("SET SESSION {}", assignments.join(", "));
    [first, &[set.as_str()]].concat().join("; ")
}
