//! Putting a run together: connect both ends, read the schema, convert it, gather all findings.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use spanferry_core::mapping::convert::MappingOptions;
use spanferry_core::mapping::database_limits::{DatabaseContent, check_database};
use spanferry_core::plan::TablePlan;
use spanferry_core::port::source::{CatalogSource, CheckRequest, PreflightSource};
use spanferry_core::port::target::{Committer, ControlState, ControlStore, SchemaTarget, TargetDescription};
use spanferry_core::report::code;
use spanferry_core::report::failure::{Class, Failure};
use spanferry_core::report::finding::{Finding, Severity, Subject};
use spanferry_core::schema::source::{Catalog, NameCase, SourceTable};
use spanferry_core::schema::target::Dialect;
use spanferry_engine::plan::{Planned, Today, decide};
use spanferry_engine::prepare::check_empty;
use spanferry_engine::progress::Progress;
use spanferry_mysql::MysqlSource;
use spanferry_spanner::SpannerTarget;
use spanferry_spanner::client::{Client, ClientOptions};
use spanferry_spanner::control::definitions;

use crate::render;
use crate::selection::nothing_selected;
use crate::settings::Settings;
use crate::source::default_server_id;
use crate::state_dir::default_budget;

/// Rows a second that a load is expected to make, for the check of the source's retention:
/// cautious.
const LOAD_ROWS_PER_SECOND: u64 = 10_000;

/// Room that a change log should have in any case.
const LOG_BYTES_MIN: u64 = 1 << 30;

/// Both ends, connected.
pub(crate) struct Session {
    pub(crate) source: Arc<MysqlSource>,
    pub(crate) target: Arc<SpannerTarget>,
    /// What the command is doing, and later the counters of the migration.
    pub(crate) progress: Arc<Progress>,
}

/// What is to be migrated, and everything that was found.
pub(crate) struct Plan {
    /// The migrated schema, as the source spells it.
    pub(crate) schema: String,
    /// How the source compares names.
    pub(crate) names: NameCase,
    /// The names of all selected tables, also of those that cannot be carried.
    pub(crate) selected: Vec<String>,
    /// The tables of the migration: newly decided, or as recorded. What it found is in `findings`.
    pub(crate) planned: Planned,
    /// What the source has today.
    pub(crate) today: Today,
    pub(crate) description: TargetDescription,
    pub(crate) findings: Vec<Finding>,
    /// Those of the findings that the source's check has brought.
    pub(crate) checked: Vec<Finding>,
    /// The migration that the target holds already.
    pub(crate) control: Option<ControlState>,
    /// The target database does not exist: `description` is that of an empty one.
    pub(crate) database_missing: bool,
    /// Rows by the source's own estimate.
    pub(crate) rows_estimate: u64,
    /// Sessions of a snapshot: as many as were asked for, or as the source allows.
    pub(crate) sessions: u32,
}

impl Plan {
    /// The migration that the target holds, which this verb needs.
    pub(crate) fn need_control(&self, settings: &Settings) -> Result<&ControlState, Failure> {
        let (code, text) = if self.database_missing {
            (code::TARGET_MISSING, "the database does not exist")
        } else {
            (code::STATE_FOREIGN, "it holds no migration")
        };
        let missing = || {
            Failure::new(code, Class::StopMigration, settings.target_text(), text)
                .hint("Name the target that holds the migration, or the state directory that remembers it.")
        };
        self.control.as_ref().ok_or_else(missing)
    }
}

impl Session {
    /// Names both ends; connections are made by the first calls.
    pub(crate) fn open(settings: &Settings) -> Result<Session, Failure> {
        let source = connect_source(settings)?;
        Ok(Session {
            source: Arc::new(source),
            target: connect_target(settings)?,
            progress: Arc::new(Progress::new(Vec::new())),
        })
    }

    /// Reads the schema, converts it and gathers what `check` finds at both ends. Writes nothing.
    pub(crate) async fn plan(&self, settings: &Settings) -> Result<Plan, Failure> {
        self.progress.step("reading the source's schema");
        let catalog = self.source.catalog().await?;
        let is_selected = |table: &SourceTable| settings.selects(&table.name.table, catalog.names);
        let (selected, unselected): (Vec<_>, Vec<_>) = catalog.tables.iter().cloned().partition(is_selected);
        let unselected: Vec<_> = unselected.into_iter().map(|table| table.name).collect();
        let tables: Vec<&str> = catalog
            .tables
            .iter()
            .map(|table| table.name.table.as_str())
            .collect();
        self.progress.step("looking at the target");
        let found = self.describe().await?;
        let database_missing = found.is_none();
        let control = if database_missing {
            None
        } else {
            self.target.read_control().await?
        };
        // A selection that leaves nothing is a mistake, unless the tables of the migration were
        // dropped at the source.
        let mut recorded = control.iter().flat_map(|control| control.tables.keys());
        if selected.is_empty() && recorded.all(|table| unselected.contains(table)) {
            return Err(nothing_selected(settings, &catalog, &tables));
        }
        let description = found.unwrap_or_else(|| empty_target(settings));
        let options = MappingOptions {
            dialect: description.dialect,
            uuid_supported: self.target.capabilities().has_uuid,
        };
        let rows_estimate = selected.iter().map(|table| table.rows_estimate).sum();
        let bytes_estimate = selected.iter().map(|table| table.bytes_estimate).sum();
        let request = CheckRequest {
            tables: selected.iter().map(|table| table.name.table.clone()).collect(),
            load_estimate: Duration::from_secs(rows_estimate / LOAD_ROWS_PER_SECOND),
            sessions: settings.source_connections as usize,
            lock: settings.lock,
        };
        self.progress.step("checking the source");
        let selected_names = request.tables.clone();
        let today = Today {
            selected,
            unselected,
            mapping: options,
        };
        let mut planned = decide(&today, control.as_ref());
        let mut checked = self.source.check(&request).await?;
        let allotted = self.source.allot_sessions(request.sessions, request.lock).await?;
        checked.extend(allotted.finding);
        let mut findings = checked.clone();
        findings.append(&mut planned.findings);
        findings.extend(planned.stops.iter().map(|stop| stop.finding.clone()));
        findings.extend(settings.globs_without_table(&tables, catalog.names));
        findings.extend(other_objects(&catalog));
        findings.extend(log_space(settings, bytes_estimate));
        if !planned.is_recorded() {
            findings.extend(check_database(&DatabaseContent {
                selected: selected_names.len(),
                plans: &planned.plans,
                control: &definitions(),
                others: others(&planned.plans, &description),
                dialect: description.dialect,
            }));
        }
        if database_missing && !settings.create_database {
            findings.push(missing_database(settings));
        }
        if !planned.is_recorded() {
            findings.extend(check_empty(&planned.plans, &description));
        }
        Ok(Plan {
            schema: catalog.schema,
            names: catalog.names,
            selected: selected_names,
            planned,
            today,
            description,
            findings,
            checked,
            control,
            database_missing,
            rows_estimate,
            sessions: u32::try_from(allotted.sessions).expect("no more than were asked for"),
        })
    }

    /// The target as it is found; none if the database does not exist.
    async fn describe(&self) -> Result<Option<TargetDescription>, Failure> {
        match self.target.describe().await {
            Err(failure) if failure.code == code::TARGET_MISSING => Ok(None),
            described => described.map(Some),
        }
    }
}

/// What a database that is yet to be created will be: empty, in the dialect asked for, else in
/// Spanner's own default.
fn empty_target(settings: &Settings) -> TargetDescription {
    TargetDescription {
        dialect: settings.dialect.unwrap_or(Dialect::GoogleSql),
        tables: BTreeMap::new(),
        indexes: Vec::new(),
        foreign_keys: Vec::new(),
    }
}

/// How many tables the database has that are none of the migrated ones.
fn others(plans: &[Arc<TablePlan>], description: &TargetDescription) -> usize {
    let is_other = |name: &&String| plans.iter().all(|plan| plan.target.name != **name);
    description.tables.keys().filter(is_other).count()
}

fn missing_database(settings: &Settings) -> Finding {
    let text = format!("the target database `{}` does not exist", settings.target_text());
    Finding::new(code::TARGET_MISSING, Severity::Blocking, Subject::whole(), text)
        .remedy("Create it, or add `--create-database --dialect googlesql` (or `postgresql`).")
}

/// The source alone. It connects at its first call.
pub(crate) fn connect_source(settings: &Settings) -> Result<MysqlSource, Failure> {
    let options = settings.need_source()?.clone();
    let address = options.address();
    let source = match settings.server_id {
        Some(server_id) => MysqlSource::new(options, server_id),
        None => {
            let (first, name) = default_server_id(&options, &settings.target_text());
            MysqlSource::choosing_id(options, first, name)
        }
    };
    source.map_err(|error| error.into_failure(address))
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

fn other_objects(catalog: &Catalog) -> Vec<Finding> {
    let objects = catalog.other_objects.iter();
    objects
        .map(|object| {
            let text = format!(
                "the {} `{}` is not created at the target",
                object.kind, object.name
            );
            Finding::new(
                code::LEFT_OUT,
                Severity::Warning,
                Subject::table(object.name.clone()),
                text,
            )
        })
        .collect()
}

/// The blocking findings that were not accepted.
pub(crate) fn blocking<'a>(plan: &'a Plan, settings: &Settings) -> Vec<&'a Finding> {
    let findings = plan.findings.iter();
    findings
        .filter(|finding| is_blocking(finding, plan.names, settings))
        .collect()
}

/// Whether a finding is blocking and was not accepted.
pub(crate) fn is_blocking(finding: &Finding, names: NameCase, settings: &Settings) -> bool {
    let mut accepted = settings.accept.iter();
    finding.severity == Severity::Blocking && !accepted.any(|known| known.covers(finding, names))
}
