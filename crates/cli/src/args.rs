//! The command line: verbs and options, as `spanferry help` shows them.

use std::path::PathBuf;

use clap::{Arg, Args, CommandFactory, Id, Parser, Subcommand, ValueEnum};

use crate::byte_size::{ByteCount, ByteRate};

/// Headings of the options in a verb's help.
const SOURCE: &str = "Source";
const TARGET: &str = "Target";
const SELECTION: &str = "Tables and findings";
const STATE: &str = "State";
const OUTPUT: &str = "Output";

/// Groups of options, by the commands that use them.
const SOURCE_END: &str = "source-end";
const TARGET_END: &str = "target-end";
const SELECTED: &str = "selected";
const RESOURCES: &str = "resources";
const START: &str = "start";
const FOLLOWING: &str = "following";
const LISTING: &str = "listing";
const GROUPS: [&str; 7] = [
    SOURCE_END, TARGET_END, SELECTED, RESOURCES, START, FOLLOWING, LISTING,
];

/// Which option groups each command uses; `migrate` uses all. A command accepts the others too,
/// because they may stand in a shared script, but its help does not show them.
const HEEDED: [(&str, &[&str]); 5] = [
    (
        "check",
        &[SOURCE_END, TARGET_END, SELECTED, RESOURCES, START, LISTING],
    ),
    ("status", &[LISTING]),
    ("verify", &[SOURCE_END, TARGET_END, SELECTED]),
    ("resync", &[SOURCE_END, TARGET_END, RESOURCES]),
    ("end", &[TARGET_END]),
];

/// The command line, where the help of each command shows only the options that it uses.
pub(crate) fn command() -> clap::Command {
    HEEDED.iter().fold(Cli::command(), |command, (verb, heeded)| {
        command.mut_subcommand(*verb, |verb| {
            let unheeded = GROUPS.iter().filter(|group| !heeded.contains(group));
            let names: Vec<Id> = unheeded.flat_map(|group| members(&verb, group)).collect();
            let hide = |option: Arg| option.hide(true);
            names
                .into_iter()
                .fold(verb, |verb, name| verb.mut_arg(name, hide))
        })
    })
}

/// The options of a group.
fn members(verb: &clap::Command, group: &str) -> Vec<Id> {
    let mut groups = verb.get_groups();
    let group = groups.find(|known| known.get_id() == group);
    let group = group.expect("every verb takes every group");
    group.get_args().cloned().collect()
}

/// Names of the options that the configuration file may give too.
pub(crate) fn option_names() -> Vec<String> {
    let migrate = MigrateArgs::augment_args(clap::Command::new("migrate"));
    migrate
        .get_arguments()
        .filter_map(|option| option.get_long())
        .filter(|name| *name != "config")
        .map(ToOwned::to_owned)
        .collect()
}

/// Moves a live MySQL or MariaDB database into Google Cloud Spanner.
#[derive(Debug, Parser)]
#[command(
    name = "spanferry",
    version,
    about = "Moves a live MySQL or MariaDB database into Google Cloud Spanner: exact, or refused",
    max_term_width = 110,
    propagate_version = true,
    after_help = "Environment: SPANFERRY_SOURCE_PASSWORD is the source's password, SPANFERRY_LOG the filter of the run's log \
                  (`info` without it; `debug`, `warn`, `spanferry_mysql=debug,info` …), SPANNER_EMULATOR_HOST the emulator, NO_COLOR turns colours off."
)]
pub(crate) struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

/// The verbs.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Look for everything that stands in the way of a migration, all at once, with the statement
    /// that fixes each.
    Check(Common),
    /// Convert the schema, copy the data and follow the changes; run again, it resumes.
    Migrate(MigrateArgs),
    /// Show where a migration stands, while it runs and after it has ended.
    Status(Common),
    /// Compare all rows and columns of source and target, at rest.
    Verify(Common),
    /// Empty the group of a table at the target, so that the next `migrate` loads it again.
    Resync(ResyncArgs),
    /// End a migration: drop the control tables, erase the change log; refused where there is
    /// neither, or where a table is not complete.
    End(EndArgs),
    /// Explain an error code.
    Explain {
        /// `SF-1234` in any case, or nothing for the whole list.
        code: Option<String>,
    },
}

/// Options that all verbs take, under the headings of their help; the configuration file has the
/// same names. What a verb does not use is left out of its help, see [`command`].
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Common {
    /// Configuration file (TOML) with the same names as these options.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) from: SourceEnd,
    #[command(flatten)]
    pub(crate) to: TargetEnd,
    #[command(flatten)]
    pub(crate) selected: Selected,
    /// Change log, run log, report and status [default: ./spanferry-state].
    #[arg(long, value_name = "DIR", help_heading = STATE)]
    pub(crate) state_dir: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) resources: Resources,
    #[command(flatten)]
    pub(crate) start: Start,
    #[command(flatten)]
    pub(crate) following: Following,
    #[command(flatten)]
    pub(crate) listing: Listing,
    /// How to print.
    #[arg(long, value_enum, help_heading = OUTPUT)]
    pub(crate) output: Option<Output>,
}

/// Where the data is.
#[derive(Debug, Clone, Default, Args)]
#[group(id = SOURCE_END)]
pub(crate) struct SourceEnd {
    /// `mysql://user@host:port/schema`, with ssl-mode, ssl-ca, ssl-cert, ssl-key,
    /// server-public-key-path, get-server-public-key, enable-cleartext-plugin as query parameters.
    #[arg(long, value_name = "URL", help_heading = SOURCE)]
    pub(crate) source: Option<String>,
    /// File that holds the source's password; otherwise SPANFERRY_SOURCE_PASSWORD, the URL, or a
    /// prompt.
    #[arg(long, value_name = "FILE", help_heading = SOURCE)]
    pub(crate) source_password_file: Option<PathBuf>,
}

/// Where it goes.
#[derive(Debug, Clone, Default, Args)]
#[group(id = TARGET_END)]
pub(crate) struct TargetEnd {
    /// `spanner://projects/P/instances/I/databases/D`.
    #[arg(long, value_name = "URL", help_heading = TARGET)]
    pub(crate) target: Option<String>,
    /// Private or regional endpoint, `host[:port]`; plaintext `http://` only to loopback.
    #[arg(long, value_name = "ADDRESS", help_heading = TARGET)]
    pub(crate) target_endpoint: Option<String>,
    /// Allow a plaintext endpoint beyond loopback.
    #[arg(long, help_heading = TARGET)]
    pub(crate) target_allow_plaintext: bool,
}

/// Which tables.
#[derive(Debug, Clone, Default, Args)]
#[group(id = SELECTED)]
pub(crate) struct Selected {
    /// Only tables whose name matches this glob (`*`, `?`), perhaps after their schema and a dot;
    /// may be repeated.
    #[arg(long, value_name = "GLOB", help_heading = SELECTION)]
    pub(crate) include: Vec<String>,
    /// Not the tables whose name matches this glob, as for `--include`; may be repeated.
    #[arg(long, value_name = "GLOB", help_heading = SELECTION)]
    pub(crate) exclude: Vec<String>,
}

/// What a process may use.
#[derive(Debug, Clone, Default, Args)]
#[group(id = RESOURCES)]
pub(crate) struct Resources {
    /// Sessions that read the snapshot, and lanes that load it [default: 4].
    #[arg(long, value_name = "N", help_heading = SOURCE)]
    pub(crate) source_connections: Option<u32>,
    /// Most bytes the change log may take on disk, such as 64GiB [default: 80 % of what is free at
    /// the start].
    #[arg(long, value_name = "BYTES", help_heading = STATE)]
    pub(crate) log_budget: Option<ByteCount>,
}

/// How a migration is begun.
#[derive(Debug, Clone, Default, Args)]
#[group(id = START)]
pub(crate) struct Start {
    /// Most bytes a second that the load reads from the source, over all sessions, such as 50MB/s
    /// [default: no bound].
    #[arg(long, value_name = "BYTES", help_heading = SOURCE)]
    pub(crate) source_rate: Option<ByteRate>,
    /// Id under which we register as a replica; must be unique among the source's replicas.
    #[arg(long, value_name = "N", help_heading = SOURCE)]
    pub(crate) server_id: Option<u32>,
    /// Lock the tables against writers for the moment in which the snapshot opens, so that all
    /// sessions show one state. Tried once, for less than a second; a busy source is read without
    /// it. Nothing is more exact with it.
    #[arg(long, help_heading = SOURCE)]
    pub(crate) lock: bool,
    /// Take no lock at the source. This is the default.
    #[arg(long, help_heading = SOURCE, conflicts_with = "lock")]
    pub(crate) no_lock: bool,
    /// Create the target database if it is missing; needs `--dialect`.
    #[arg(long, help_heading = TARGET)]
    pub(crate) create_database: bool,
    /// Dialect of a database that is to be created.
    #[arg(long, value_enum, help_heading = TARGET)]
    pub(crate) dialect: Option<DialectName>,
    /// Accept a blocking finding by name: SF-2008 (the source's retention), SF-2012 (tables hidden
    /// from the account), SF-2027 (sessions that others have taken), SF-5030 (a source that cannot
    /// show its history), SF-5035 (a table of the migration that the selection leaves out); may be
    /// repeated. `SF-5035:TABLE` accepts it for one table.
    #[arg(long, value_name = "FINDING", help_heading = SELECTION)]
    pub(crate) accept: Vec<String>,
}

/// How findings are listed.
#[derive(Debug, Clone, Default, Args)]
#[group(id = LISTING)]
pub(crate) struct Listing {
    /// List every finding by itself. Without it those with one meaning stand together, and only a
    /// screenful is printed; findings that block are always named.
    #[arg(long, help_heading = OUTPUT)]
    pub(crate) verbose: bool,
}

/// How changes are followed.
#[derive(Debug, Clone, Default, Args)]
#[group(id = FOLLOWING)]
pub(crate) struct Following {
    /// Hours behind what is applied that the change log is kept, as long as it has 30 % of its
    /// budget free [default: 24].
    #[arg(long, value_name = "HOURS", help_heading = STATE)]
    pub(crate) log_retention: Option<u32>,
}

/// Options of `migrate`.
#[derive(Debug, Args)]
pub(crate) struct MigrateArgs {
    #[command(flatten)]
    pub(crate) common: Common,
    /// End by itself once everything the source had is applied.
    #[arg(long, value_enum, value_name = "WHEN", help_heading = "Run")]
    pub(crate) stop_when: Option<StopWhenName>,
    /// Check, show the DDL and the plan, write nothing.
    #[arg(long, help_heading = "Run")]
    pub(crate) dry_run: bool,
}

/// Options of `resync`.
#[derive(Debug, Args)]
pub(crate) struct ResyncArgs {
    /// A table of the group, or a new table that the migration is to take in: `table` or
    /// `schema.table`.
    pub(crate) table: String,
    #[command(flatten)]
    pub(crate) common: Common,
    /// Drop the table at the target and take it out of the migration: it was dropped or renamed at
    /// the source, or is not wanted.
    #[arg(long)]
    pub(crate) forget: bool,
    /// Do not ask.
    #[arg(long)]
    pub(crate) yes: bool,
}

/// Options of `end`.
#[derive(Debug, Args)]
pub(crate) struct EndArgs {
    #[command(flatten)]
    pub(crate) common: Common,
    /// End it although tables are not complete: they stay at the target as they are.
    #[arg(long)]
    pub(crate) abandon: bool,
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
