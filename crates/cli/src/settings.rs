//! Settings: defaults, then the configuration file, then the command line; checked once, here.

use std::num::NonZeroU64;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use spanferry_core::report::acceptance::Acceptance;
use spanferry_core::report::code::{self, Code};
use spanferry_core::report::failure::Failure;
use spanferry_core::report::shell::quoted;
use spanferry_core::schema::target::Dialect;
use spanferry_engine::prepare::Unproved;
use spanferry_spanner::endpoint::{EMULATOR_VARIABLE, Endpoint, EndpointChoice};
use spanferry_spanner::name::DatabaseName;

use crate::args::{Common, DialectName, Output, StopWhenName, option_names};
use crate::byte_size::{ByteCount, ByteRate};
use crate::prompt;
use crate::run_file::RunFile;
use crate::source_options::{SourceOptions, URL_FORM};
use crate::suggestion::nearest;
use crate::usage_failure::usage;

/// Names the source's password in the environment.
const PASSWORD_VARIABLE: &str = "SPANFERRY_SOURCE_PASSWORD";
/// Sessions of a snapshot unless the operator says otherwise: enough for one target node, bearable
/// for a production source.
const SOURCE_CONNECTIONS: u32 = 4;
/// Most sessions of a snapshot.
const SOURCE_CONNECTIONS_MAX: u32 = 64;
/// The state directory unless the operator says otherwise.
const STATE_DIR: &str = "spanferry-state";

/// Hours behind what is applied that the change log is kept unless the operator says otherwise: a
/// working day to look into what has happened.
const LOG_RETENTION_HOURS: u32 = 24;
const HOUR: Duration = Duration::from_secs(60 * 60);

/// Blocking findings that the operator may accept: they are about time, space, sessions, which
/// tables are meant, and about facts that only the operator can know (that the source was not
/// reset, that a table is to be left out). One about exactness itself cannot be waved through.
pub(crate) const ACCEPTABLE: [Code; 5] = [
    code::SOURCE_RETENTION,
    code::SOURCE_PARTLY_VISIBLE,
    code::SOURCE_SESSIONS_TAKEN,
    code::HISTORY_UNPROVED,
    code::SELECTION_NARROWED,
];

/// The configuration file: every name as on the command line, all optional.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct File {
    pub(crate) source: Option<String>,
    source_password_file: Option<PathBuf>,
    pub(crate) target: Option<String>,
    pub(crate) target_endpoint: Option<String>,
    #[serde(default)]
    pub(crate) target_allow_plaintext: bool,
    state_dir: Option<PathBuf>,
    #[serde(default)]
    pub(crate) include: Vec<String>,
    #[serde(default)]
    pub(crate) exclude: Vec<String>,
    #[serde(default)]
    accept: Vec<String>,
    dialect: Option<DialectName>,
    #[serde(default)]
    create_database: bool,
    source_connections: Option<u32>,
    source_rate: Option<ByteRate>,
    server_id: Option<u32>,
    #[serde(default)]
    lock: bool,
    #[serde(default)]
    no_lock: bool,
    log_budget: Option<ByteCount>,
    log_retention: Option<u32>,
    #[serde(default)]
    verbose: bool,
    output: Option<Output>,
    stop_when: Option<StopWhenName>,
    #[serde(default)]
    dry_run: bool,
}

/// Everything a verb needs to know, checked.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    /// The source's URL without its password, if it is known.
    pub(crate) source: Option<SourceOptions>,
    /// Where the password came from, if it came from a file.
    pub(crate) source_password_file: Option<PathBuf>,
    /// The target, if it is known.
    pub(crate) target: Option<DatabaseName>,
    /// The endpoint as it was named, if it was.
    pub(crate) target_endpoint: Option<String>,
    pub(crate) target_allow_plaintext: bool,
    pub(crate) endpoint: Endpoint,
    pub(crate) state_dir: PathBuf,
    pub(crate) include: Vec<String>,
    pub(crate) exclude: Vec<String>,
    pub(crate) accept: Vec<Acceptance>,
    pub(crate) dialect: Option<Dialect>,
    pub(crate) create_database: bool,
    pub(crate) source_connections: u32,
    pub(crate) source_rate: Option<NonZeroU64>,
    pub(crate) server_id: Option<u32>,
    pub(crate) lock: bool,
    pub(crate) log_budget: Option<u64>,
    pub(crate) log_retention: Duration,
    pub(crate) verbose: bool,
    pub(crate) output: Output,
    /// For `migrate`.
    pub(crate) stop_when: Option<StopWhenName>,
    /// For `migrate`.
    pub(crate) dry_run: bool,
}

impl Settings {
    /// Settings of a command line with its configuration file and environment.
    pub(crate) fn load(common: &Common) -> Result<Settings, Failure> {
        Settings::merge(common, read_config(common)?)
    }

    /// How a command line asks to be answered; also if the rest of it is wrong.
    pub(crate) fn output(common: &Common) -> Output {
        let of_file = || read_config(common).ok().and_then(|file| file.output);
        common.output.or_else(of_file).unwrap_or_default()
    }

    pub(crate) fn merge(common: &Common, file: File) -> Result<Settings, Failure> {
        let given = common.from.source.as_deref().or(file.source.as_deref());
        let source = given.map(SourceOptions::parse).transpose()?;
        let given = common.to.target.as_deref().or(file.target.as_deref());
        let target = given.map(parse_target).transpose()?;
        let target_endpoint = common.to.target_endpoint.clone().or(file.target_endpoint);
        let target_allow_plaintext = common.to.target_allow_plaintext || file.target_allow_plaintext;
        let endpoint = endpoint(target_endpoint.clone(), target_allow_plaintext)?;
        let dialect = common.start.dialect.or(file.dialect).map(|name| match name {
            DialectName::Googlesql => Dialect::GoogleSql,
            DialectName::Postgresql => Dialect::PostgreSql,
        });
        let create_database = common.start.create_database || file.create_database;
        if create_database && dialect.is_none() {
            return Err(usage(
                "--create-database",
                "needs `--dialect googlesql` or `--dialect postgresql`",
            ));
        }
        if let Some(name) = target
            .as_ref()
            .filter(|name| create_database && !name.can_be_created())
        {
            let text = format!("Spanner creates no database of the id `{}`", name.database());
            let form = "It takes 2 to 30 lower-case letters, digits, `_` and `-`, a letter first and a letter or digit last.";
            return Err(usage("--target", text).hint(form));
        }
        if file.lock && file.no_lock {
            return Err(usage("lock", "`lock` and `no-lock` exclude each other"));
        }
        let password_file = file.source_password_file;
        let retention = common.following.log_retention.or(file.log_retention);
        let mut settings = Settings {
            source,
            source_password_file: None,
            target,
            target_endpoint,
            target_allow_plaintext,
            endpoint,
            state_dir: common
                .state_dir
                .clone()
                .or(file.state_dir)
                .unwrap_or_else(|| STATE_DIR.into()),
            include: joined(&common.selected.include, file.include),
            exclude: joined(&common.selected.exclude, file.exclude),
            accept: parse_accept(&joined(&common.start.accept, file.accept))?,
            dialect,
            create_database,
            source_connections: sessions(common.resources.source_connections.or(file.source_connections))?,
            source_rate: common.start.source_rate.or(file.source_rate).map(|rate| rate.0),
            server_id: common.start.server_id.or(file.server_id),
            lock: (common.start.lock || file.lock) && !common.start.no_lock,
            log_budget: common
                .resources
                .log_budget
                .or(file.log_budget)
                .map(|budget| budget.0),
            log_retention: HOUR * retention.unwrap_or(LOG_RETENTION_HOURS),
            verbose: common.listing.verbose || file.verbose,
            output: common.output.or(file.output).unwrap_or_default(),
            stop_when: file.stop_when,
            dry_run: file.dry_run,
        };
        let file = common.from.source_password_file.clone();
        settings.find_password(file.or(password_file))?;
        Ok(settings)
    }

    /// Takes the password from the file, else from the environment, else leaves that of the URL.
    pub(crate) fn find_password(&mut self, file: Option<PathBuf>) -> Result<(), Failure> {
        let Some(source) = &mut self.source else {
            return Ok(());
        };
        if let Some(file) = file {
            let named = file.display().to_string();
            // Another verb may be started elsewhere.
            let file = std::path::absolute(&file).unwrap_or(file);
            source
                .set_password_file(file.clone())
                .map_err(|cause| usage(named, "cannot be read").caused_by(cause))?;
            self.source_password_file = Some(file);
        } else if let Ok(password) = std::env::var(PASSWORD_VARIABLE) {
            source.set_password(password);
        }
        Ok(())
    }

    /// Asks a person for the source's password if none was given; without a person the login
    /// continues without one.
    pub(crate) fn with_password(mut self) -> Result<Settings, Failure> {
        let Some(source) = self.source.as_mut().filter(|source| !source.has_password()) else {
            return Ok(self);
        };
        let question = format!("password of `{}` at {}: ", source.user(), source.address());
        source.set_password(prompt::password(&question)?.unwrap_or_default());
        Ok(self)
    }

    /// The source, which this verb needs.
    pub(crate) fn need_source(&self) -> Result<&SourceOptions, Failure> {
        self.source.as_ref().ok_or_else(|| self.missing(true))
    }

    /// The target, which this verb needs.
    pub(crate) fn need_target(&self) -> Result<&DatabaseName, Failure> {
        self.target.as_ref().ok_or_else(|| self.missing(true))
    }

    /// The target, for a verb that has no option for a source.
    pub(crate) fn need_target_alone(&self) -> Result<&DatabaseName, Failure> {
        self.target.as_ref().ok_or_else(|| self.missing(false))
    }

    /// The failure of a verb that lacks the source, the target or both, which the state directory
    /// does not remember either.
    fn missing(&self, needs_source: bool) -> Failure {
        let source = ("--source", URL_FORM, needs_source && self.source.is_none());
        let target = (
            "--target",
            "spanner://projects/P/instances/I/databases/D",
            self.target.is_none(),
        );
        let lacking = [source, target]
            .into_iter()
            .filter(|(_, _, is_missing)| *is_missing);
        let (names, forms): (Vec<_>, Vec<_>) = lacking
            .map(|(name, form, _)| (name, format!("`{name} {form}`")))
            .unzip();
        let mut text = "not given".to_owned();
        if matches!(RunFile::read(&self.state_dir), Ok(None)) {
            let directory = self.state_dir.display();
            text += &format!(", and there is no migration in the state directory `{directory}`");
        }
        usage(names.join(" and "), text).hint(format!(
            "Give {}; or, for a migration that has begun, the `--state-dir` that remembers it.",
            forms.join(" and ")
        ))
    }

    /// What a printed command needs behind its verb to find this migration: nothing where it is in
    /// the usual place.
    pub(crate) fn printed_options(&self) -> String {
        if self.state_dir == Path::new(STATE_DIR) {
            return String::new();
        }
        format!(" --state-dir {}", quoted(&self.state_dir.to_string_lossy()))
    }

    /// The target as text.
    pub(crate) fn target_text(&self) -> String {
        self.target.as_ref().map(DatabaseName::path).unwrap_or_default()
    }
}

fn endpoint(named: Option<String>, allow_plaintext: bool) -> Result<Endpoint, Failure> {
    Endpoint::choose(&EndpointChoice {
        emulator_host: std::env::var(EMULATOR_VARIABLE)
            .ok()
            .filter(|host| !host.is_empty()),
        endpoint: named,
        allow_plaintext,
    })
    .map_err(|cause| usage("--target-endpoint", cause.to_string()))
}

fn sessions(given: Option<u32>) -> Result<u32, Failure> {
    let sessions = given.unwrap_or(SOURCE_CONNECTIONS);
    if !(1..=SOURCE_CONNECTIONS_MAX).contains(&sessions) {
        let text = format!("expected 1 to {SOURCE_CONNECTIONS_MAX}");
        return Err(usage("--source-connections", text));
    }
    Ok(sessions)
}

pub(crate) fn read_config(common: &Common) -> Result<File, Failure> {
    let file = common.config.as_deref().map(read_file).transpose()?;
    Ok(file.unwrap_or_default())
}

fn read_file(path: &Path) -> Result<File, Failure> {
    let object = path.display().to_string();
    let text = std::fs::read_to_string(path)
        .map_err(|cause| usage(object.clone(), "the configuration cannot be read").caused_by(cause))?;
    toml::from_str(&text).map_err(|cause| {
        let mut failure = usage(object, "the configuration is not understood").caused_by(cause);
        failure.hint = mistyped_key(&text);
        failure
    })
}

/// What the first unknown key of a configuration probably means.
fn mistyped_key(text: &str) -> Option<String> {
    let table: toml::Table = text.parse().ok()?;
    let known = option_names();
    let known = || known.iter().map(String::as_str);
    let unknown = table.keys().find(|key| known().all(|name| name != *key))?;
    let meant = nearest(unknown, known()).map_or_else(String::new, |name| format!("Did you mean `{name}`? "));
    Some(format!(
        "{meant}The keys are the options of `spanferry help migrate`, without `--`."
    ))
}

impl Settings {
    /// What happens with a source that cannot show its history.
    pub(crate) fn unproved(&self) -> Unproved {
        let is_accepted = |acceptance: &Acceptance| acceptance.code == code::HISTORY_UNPROVED;
        if self.accept.iter().any(is_accepted) {
            Unproved::Accepted
        } else {
            Unproved::Refused
        }
    }
}

fn parse_target(url: &str) -> Result<DatabaseName, Failure> {
    url.parse()
        .map_err(|cause: spanferry_spanner::name::MalformedUrl| usage("--target", cause.to_string()))
}

fn joined(first: &[String], second: Vec<String>) -> Vec<String> {
    first.iter().cloned().chain(second).collect()
}

fn parse_accept(texts: &[String]) -> Result<Vec<Acceptance>, Failure> {
    let known: Vec<String> = ACCEPTABLE
        .iter()
        .map(|code| format!("`{code}` ({})", code.title()))
        .collect();
    let refused = |text: String| {
        usage("--accept", text).hint(format!(
            "These can be accepted: {}. What stands in the way of exactness cannot: mend it, or leave the table out with `--exclude`.",
            known.join(", ")
        ))
    };
    let parse = |text: &String| match Acceptance::parse(text) {
        None => Err(refused(format!(
            "expected a known code as `SF-1234[:[schema.]table[.column]]`, found `{text}`"
        ))),
        Some(acceptance) if !ACCEPTABLE.contains(&acceptance.code) => {
            let code = acceptance.code;
            Err(refused(format!("`{code}` cannot be accepted: {}", code.title())))
        }
        Some(acceptance) => Ok(acceptance),
    };
    texts.iter().map(parse).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_knows_every_option_of_migrate() {
        for name in option_names() {
            let error = toml::from_str::<File>(&format!("{name} = {{}}")).unwrap_err();
            assert!(!error.message().contains("unknown field"), "{error}");
        }
    }

    #[test]
    fn unknown_names_in_the_file_are_refused() {
        let file: File =
            toml::from_str("source = 'x'\ncreate-database = true\nstop-when = 'caught-up'").unwrap();
        assert_eq!(file.stop_when, Some(StopWhenName::CaughtUp));
        let error = toml::from_str::<File>("sorce = 'x'").unwrap_err().to_string();
        assert!(error.contains("sorce") && error.contains("`source`"), "{error}");
    }
}
