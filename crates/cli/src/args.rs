//! The command line: verbs and options, as `spanferry help` shows them.

use std::num::NonZeroU64;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// Moves a live MySQL or MariaDB database into Google Cloud Spanner.
#[derive(Debug, Parser)]
#[command(
    name = "spanferry",
    version,
    about = "Moves a live MySQL or MariaDB database into Google Cloud Spanner: exact, or refused",
    max_term_width = 110,
    propagate_version = true
)]
pub(crate) struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

/// The verbs.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Look for everything that stands in the way of a migration, all at once, with the statement that fixes each.
    Check(Common),
    /// Convert the schema, copy the data and follow the changes; the same command line resumes.
    Migrate(MigrateArgs),
    /// Tell where a migration stands, while it runs and after it stopped.
    Status(Common),
    /// Compare all rows and columns of source and target, at rest.
    Verify(Common),
    /// Empty the group of a table at the target, so that the next `migrate` loads it anew.
    Resync(ResyncArgs),
    /// Give a migration up or finish it: drop the control tables, erase the change log.
    End(EndArgs),
    /// Explain an error code.
    Explain {
        /// `SF-1234`, or nothing for the whole list.
        code: Option<String>,
    },
}

/// Options that every verb takes; the configuration file has the same names.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Common {
    /// Configuration file (TOML) with the same names as these options.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// `mysql://user@host:port/schema`, with ssl-mode, ssl-ca, ssl-cert, ssl-key as query parameters.
    #[arg(long, value_name = "URL")]
    pub(crate) source: Option<String>,
    /// File that holds the source's password; otherwise SPANFERRY_SOURCE_PASSWORD, the URL, or a prompt.
    #[arg(long, value_name = "FILE")]
    pub(crate) source_password_file: Option<PathBuf>,
    /// `spanner://projects/P/instances/I/databases/D`.
    #[arg(long, value_name = "URL")]
    pub(crate) target: Option<String>,
    /// Private or regional endpoint, `host[:port]`; plaintext `http://` only to loopback.
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) target_endpoint: Option<String>,
    /// Allow a plaintext endpoint beyond loopback.
    #[arg(long)]
    pub(crate) target_allow_plaintext: bool,
    /// Change log, run log, report and status [default: ./spanferry-state].
    #[arg(long, value_name = "DIR")]
    pub(crate) state_dir: Option<PathBuf>,
    /// Only tables whose name matches this glob (`*`, `?`); may be repeated.
    #[arg(long, value_name = "GLOB")]
    pub(crate) include: Vec<String>,
    /// Not the tables whose name matches this glob; may be repeated.
    #[arg(long, value_name = "GLOB")]
    pub(crate) exclude: Vec<String>,
    /// Accept a finding by name: SF-1234[:table[.column]]; may be repeated.
    #[arg(long, value_name = "FINDING")]
    pub(crate) accept: Vec<String>,
    /// Dialect of a database that is to be created.
    #[arg(long, value_enum)]
    pub(crate) dialect: Option<DialectName>,
    /// Create the target database if it is missing; needs `--dialect`.
    #[arg(long)]
    pub(crate) create_database: bool,
    /// Sessions that read the snapshot, and lanes that load it [default: 4].
    #[arg(long, value_name = "N")]
    pub(crate) source_connections: Option<u32>,
    /// Most bytes a second that the load reads from the source, over all sessions [default: no bound].
    #[arg(long, value_name = "BYTES")]
    pub(crate) source_rate: Option<NonZeroU64>,
    /// Id under which we register as a replica; must be unique among the source's replicas.
    #[arg(long, value_name = "N")]
    pub(crate) server_id: Option<u32>,
    /// Take no lock at the source, not even for the moment in which the snapshot opens.
    #[arg(long)]
    pub(crate) no_lock: bool,
    /// Most bytes the change log may take on disk [default: 80 % of what is free at the start].
    #[arg(long, value_name = "BYTES")]
    pub(crate) log_budget: Option<u64>,
    /// Hours behind what is applied that the change log is kept, as long as it has 30 % of its budget free [default: 24].
    #[arg(long, value_name = "HOURS")]
    pub(crate) log_retention: Option<u32>,
    /// How to print.
    #[arg(long, value_enum)]
    pub(crate) output: Option<Output>,
}

/// Options of `migrate`.
#[derive(Debug, Args)]
pub(crate) struct MigrateArgs {
    #[command(flatten)]
    pub(crate) common: Common,
    /// End by itself once everything the source had is applied.
    #[arg(long, value_enum, value_name = "WHEN")]
    pub(crate) stop_when: Option<StopWhenName>,
    /// Check, show the DDL and the plan, write nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,
}

/// Options of `resync`.
#[derive(Debug, Args)]
pub(crate) struct ResyncArgs {
    /// A table of the group.
    pub(crate) table: String,
    #[command(flatten)]
    pub(crate) common: Common,
    /// Do not ask.
    #[arg(long)]
    pub(crate) yes: bool,
}

/// Options of `end`.
#[derive(Debug, Args)]
pub(crate) struct EndArgs {
    #[command(flatten)]
    pub(crate) common: Common,
    /// Do not ask.
    #[arg(long)]
    pub(crate) yes: bool,
}

/// How to print.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Output {
    /// For a person.
    #[default]
    Text,
    /// For a program: documented in docs/reference/json.md.
    Json,
}

/// Spanner's dialects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum DialectName {
    /// GoogleSQL.
    Googlesql,
    /// PostgreSQL.
    Postgresql,
}

/// Stop conditions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum StopWhenName {
    /// Once the position that the source had when every group was complete is applied.
    CaughtUp,
}
