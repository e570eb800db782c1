//! Putting a run together: connects both ends, and completes what the engine finds by what follows
//! from the settings.

use std::sync::Arc;

use spanferry_core::port::target::ControlState;
use spanferry_core::report::code;
use spanferry_core::report::failure::{Class, Failure};
use spanferry_core::report::finding::{Finding, Severity, Subject};
use spanferry_core::schema::target::Dialect;
use spanferry_engine::plan::{Survey, SurveyError, SurveyRequest, survey};
use spanferry_engine::progress::Progress;
use spanferry_spanner::SpannerTarget;
use spanferry_spanner::client::{Client, ClientOptions};
use spanferry_spanner::control::definitions;

use crate::render;
use crate::selection::{accepted_nothing, nothing_selected};
use crate::settings::Settings;
use crate::source::CliSource;
use crate::state_dir::default_budget;

/// Room that a change log should have in any case.
const LOG_BYTES_MIN: u64 = 1 << 30;

/// Both ends, connected.
pub(crate) struct Session<S> {
    pub(crate) source: Arc<S>,
    pub(crate) target: Arc<SpannerTarget>,
    /// What the command is doing, and later the counters of the migration.
    pub(crate) progress: Arc<Progress>,
}

/// The migration that the target holds, which this verb needs.
pub(crate) fn need_control<'a>(survey: &'a Survey, settings: &Settings) -> Result<&'a ControlState, Failure> {
    let (code, text) = if survey.database_missing {
        (code::TARGET_MISSING, "the database does not exist")
    } else {
        (code::STATE_FOREIGN, "it holds no migration")
    };
    let missing = || {
        Failure::new(code, Class::StopMigration, settings.target_text(), text)
            .hint("Name the target that holds the migration, or the state directory that remembers it.")
    };
    survey.control.as_ref().ok_or_else(missing)
}

impl<S: CliSource> Session<S> {
    /// Adds the target to the source; connections are made by the first calls.
    pub(crate) fn open(source: S, settings: &Settings) -> Result<Session<S>, Failure> {
        Ok(Session {
            source: Arc::new(source),
            target: connect_target(settings)?,
            progress: Arc::new(Progress::new(Vec::new())),
        })
    }

    /// Reads both ends, decides about the tables, and adds what the settings make of it. Writes
    /// nothing.
    pub(crate) async fn survey(&self, settings: &Settings) -> Result<Survey, Failure> {
        let control = definitions();
        let request = SurveyRequest {
            selects: &|table, names| settings.selects(table, names),
            accepts: &settings.accept,
            sessions: settings.source_connections as usize,
            lock: settings.lock,
            // Spanner's own default.
            dialect: settings.dialect.unwrap_or(Dialect::GoogleSql),
            control: &control,
        };
        let surveyed = survey(&*self.source, &*self.target, &request, &self.progress).await;
        let mut survey = surveyed.map_err(|error| match error {
            SurveyError::NothingSelected(catalog) => nothing_selected(settings, &catalog),
            SurveyError::Failed(failure) => failure,
        })?;
        settings.expect_one_meaning(&survey.tables, survey.names)?;
        let mut found = settings.globs_without_table(&survey.tables, survey.names);
        found.extend(accepted_nothing(&survey));
        found.extend(log_space(settings, survey.bytes_estimate));
        if survey.database_missing && !settings.create_database {
            found.push(missing_database(settings));
        }
        survey.findings.extend(found);
        Ok(survey)
    }
}

fn missing_database(settings: &Settings) -> Finding {
    let text = format!("the target database `{}` does not exist", settings.target_text());
    Finding::new(code::TARGET_MISSING, Severity::Blocking, Subject::whole(), text)
        .remedy("Create it, or add `--create-database --dialect googlesql` (or `postgresql`).")
}

/// The target alone.
pub(crate) fn connect_target(settings: &Settings) -> Result<Arc<SpannerTarget>, Failure> {
    let name = settings.need_target()?.clone();
    let client = Client::new(name, settings.endpoint.clone(), ClientOptions::default()).map_err(|cause| {
        let text = "the credentials cannot be used";
        Failure::new(
            code::TARGET_LOGIN,
            Class::StopMigration,
            settings.target_text(),
            text,
        )
        .caused_by(cause)
    })?;
    Ok(Arc::new(SpannerTarget::new(client)))
}

/// Whether the change log has room for what is written while the load runs: how much is unknown; a
/// tenth of the data is usual.
fn log_space(settings: &Settings, bytes_estimate: u64) -> Option<Finding> {
    let budget = settings
        .log_budget
        .unwrap_or_else(|| default_budget(&settings.state_dir));
    let expected = LOG_BYTES_MIN.max(bytes_estimate / 10);
    if budget >= expected {
        return None;
    }
    let text = format!(
        "the change log may take {}, expected at least {}: when it is full, capture waits, and meanwhile the source may delete what was not \
         captured yet",
        render::bytes(budget),
        render::bytes(expected)
    );
    let finding = Finding::new(code::LOG_BUDGET, Severity::Warning, Subject::whole(), text);
    Some(finding.remedy("Put the `--state-dir` on a larger disk, or give a larger `--log-budget`."))
}
