//! What a start finds at both ends before anything is written, and what it decides from that.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use spanferry_core::mapping::database_limits::{DatabaseContent, check_database};
use spanferry_core::mapping::options::MappingOptions;
use spanferry_core::plan::TablePlan;
use spanferry_core::port::source::{CatalogSource, CheckRequest, PreflightSource, SessionSource};
use spanferry_core::port::target::{
    Committer, ControlState, ControlStore, SchemaTarget, TablePhase, TargetDescription,
};
use spanferry_core::report::acceptance::{Acceptance, Accepted};
use spanferry_core::report::code;
use spanferry_core::report::failure::Failure;
use spanferry_core::report::finding::{Finding, Severity, Subject};
use spanferry_core::report::remedy::Remedy;
use spanferry_core::schema::source::{Catalog, NameCase, QualifiedName};
use spanferry_core::schema::target::{Dialect, TargetTable};

use super::decide::{Planned, TableStop, decide};
use super::today::Today;
use crate::prepare::check_empty;
use crate::progress::Progress;

/// Rows a second that a load is expected to make, for the check of the source's retention:
/// cautious.
const LOAD_ROWS_PER_SECOND: u64 = 10_000;

/// What the operator wants of a start.
#[derive(Clone, Copy)]
pub struct SurveyRequest<'a> {
    /// Whether a table is selected at a source that compares names in this way.
    pub selects: &'a (dyn Fn(&QualifiedName, NameCase) -> bool + Sync),
    /// The findings that the operator accepts.
    pub accepts: &'a [Acceptance],
    /// Sessions that the snapshot should have.
    pub sessions: usize,
    /// Whether the snapshot is to be opened under a lock.
    pub lock: bool,
    /// The dialect of a database that is yet to be created.
    pub dialect: Dialect,
    /// The tables that Spanferry creates for itself.
    pub control: &'a [TargetTable],
}

/// What is to be migrated, and everything that was found.
#[derive(Debug, Clone)]
pub struct Survey {
    /// The migrated schema, as the source spells it.
    pub schema: String,
    /// How the source compares names.
    pub names: NameCase,
    /// The names of all tables of the source, in the catalog's order.
    pub tables: Vec<QualifiedName>,
    /// The tables of the migration: newly decided, or as recorded. What it found is in `findings`.
    pub planned: Planned,
    /// What the source has today.
    pub today: Today,
    /// The target as it is found; an empty one if the database does not exist.
    pub description: TargetDescription,
    /// Everything that was found.
    pub findings: Vec<Finding>,
    /// What the operator accepts of them.
    pub accepted: Vec<Accepted>,
    /// What the operator accepts of a table that neither the source nor the migration has.
    pub accepted_nothing: Vec<Acceptance>,
    /// Those of the findings that the source's check has brought.
    pub checked: Vec<Finding>,
    /// The migration that the target holds already.
    pub control: Option<ControlState>,
    /// The target database does not exist.
    pub database_missing: bool,
    /// Rows of the selected tables by the source's own estimate.
    pub rows_estimate: u64,
    /// Bytes of the selected tables by the source's own estimate.
    pub bytes_estimate: u64,
    /// Sessions of a snapshot: as many as were asked for, or as the source allows.
    pub sessions: u32,
}

/// Why there is no survey.
#[derive(Debug)]
pub enum SurveyError {
    /// The selection leaves no table of this catalog.
    NothingSelected(Box<Catalog>),
    /// One end could not be read.
    Failed(Failure),
}

impl From<Failure> for SurveyError {
    fn from(failure: Failure) -> SurveyError {
        SurveyError::Failed(failure)
    }
}

/// What the target shows.
struct Found {
    description: Option<TargetDescription>,
    control: Option<ControlState>,
}

/// Reads both ends, decides about the tables, and gathers what is wrong with them. Writes nothing.
pub async fn survey<S, T>(
    source: &S,
    target: &T,
    request: &SurveyRequest<'_>,
    progress: &Progress,
) -> Result<Survey, SurveyError>
where
    S: CatalogSource + PreflightSource + SessionSource,
    T: Committer + ControlStore + SchemaTarget,
{
    progress.step("reading the source's schema");
    let catalog = source.catalog().await?;
    progress.step("looking at the target");
    let Found { description, control } = look(target).await?;
    let database_missing = description.is_none();
    let description = description.unwrap_or_else(|| empty_target(request.dialect));
    let mapping = MappingOptions {
        dialect: description.dialect,
        uuid_supported: target.capabilities().has_uuid,
    };
    let is_selected = |name: &QualifiedName| (request.selects)(name, catalog.names);
    let today = Today::of(&catalog, is_selected, mapping);
    if leaves_nothing(&today, control.as_ref()) {
        return Err(SurveyError::NothingSelected(Box::new(catalog)));
    }
    let (rows_estimate, bytes_estimate) = today.sizes();
    progress.step("checking the source");
    let check = CheckRequest {
        tables: today.selected.iter().map(|table| table.name.clone()).collect(),
        load_estimate: Duration::from_secs(rows_estimate / LOAD_ROWS_PER_SECOND),
        sessions: request.sessions,
        lock: request.lock,
    };
    let mut checked = source.check(&check).await?;
    let allotted = source.allot_sessions(request.sessions, request.lock).await?;
    checked.extend(allotted.finding);
    let planned = decide(&today, control.as_ref());
    let (accepted, accepted_nothing) = accepted(request.accepts, &catalog, control.as_ref());
    let mut survey = Survey {
        accepted,
        accepted_nothing,
        tables: catalog.tables.iter().map(|table| table.name.clone()).collect(),
        names: catalog.names,
        planned,
        today,
        description,
        findings: checked.clone(),
        checked,
        control,
        database_missing,
        rows_estimate,
        bytes_estimate,
        sessions: u32::try_from(allotted.sessions).expect("no more than were asked for"),
        schema: catalog.schema.clone(),
    };
    survey.find(&catalog, request.control);
    Ok(survey)
}

impl Survey {
    /// Adds what follows from the catalog, the decisions and the target.
    fn find(&mut self, catalog: &Catalog, control: &[TargetTable]) {
        self.findings.append(&mut self.planned.findings);
        let narrowed = self.narrowed();
        // Nothing stops by a selection that is refused, so its stops have no way out to show.
        let is_refused = |stop: &&TableStop| {
            let is_accepted = |finding: &Finding| self.accepted.iter().any(|known| known.covers(finding));
            let mut refusing = narrowed.iter().filter(|finding| !is_accepted(finding));
            refusing.any(|finding| finding.subject.source_table() == Some(&stop.table))
        };
        let stops = self.planned.stops.iter().filter(|stop| !is_refused(stop));
        self.findings.extend(stops.map(|stop| stop.finding.clone()));
        self.findings.extend(narrowed);
        self.findings.extend(other_objects(catalog));
        if self.planned.is_recorded() {
            return;
        }
        self.findings.extend(check_database(&DatabaseContent {
            selected: self.today.selected.len(),
            plans: &self.planned.plans,
            control,
            others: others(&self.planned.plans, &self.description),
            dialect: self.description.dialect,
        }));
        self.findings
            .extend(check_empty(&self.planned.plans, &self.description));
    }

    /// The tables that stop by this start alone, because the selection leaves them out: to take
    /// them in again, they must be loaded again.
    fn narrowed(&self) -> Vec<Finding> {
        let unselected = |stop: &&TableStop| stop.finding.code == code::TABLE_UNSELECTED;
        let follows = |table: &QualifiedName| {
            let row = self
                .control
                .as_ref()
                .and_then(|control| control.tables.get(table));
            row.is_some_and(|row| row.phase != TablePhase::Stopped)
        };
        let stops = self.planned.stops.iter().filter(unselected);
        stops
            .filter(|stop| follows(&stop.table))
            .map(|stop| {
                let text =
                    "the migration follows it, and the selection of this start leaves it out: it would stop";
                let subject = Subject::table(&stop.table);
                let way = format!(
                    "correct `--include` or `--exclude`; or, if it is to be left out, add `--accept {}`",
                    code::SELECTION_NARROWED
                );
                Finding::new(code::SELECTION_NARROWED, Severity::Blocking, subject, text)
                    .remedy(Remedy::Words(way))
            })
            .collect()
    }

    /// Whether a table that the catalog lacks is not there. Where the account may read single
    /// tables only, others are hidden from it.
    pub fn sees_all_tables(&self) -> bool {
        let mut findings = self.findings.iter();
        !findings.any(|finding| finding.code == code::SOURCE_PARTLY_VISIBLE)
    }
}

/// The target as it is found, and the migration that it holds.
async fn look<T: ControlStore + SchemaTarget>(target: &T) -> Result<Found, Failure> {
    let description = match target.describe().await {
        Err(failure) if failure.code == code::TARGET_MISSING => None,
        described => Some(described?),
    };
    let control = match description {
        Some(_) => target.read_control().await?,
        None => None,
    };
    Ok(Found { description, control })
}

/// What the operator accepts, by the tables of the source and of the migration; and what names none
/// of them.
fn accepted(
    accepts: &[Acceptance],
    catalog: &Catalog,
    control: Option<&ControlState>,
) -> (Vec<Accepted>, Vec<Acceptance>) {
    let recorded = control.into_iter().flat_map(|control| control.tables.keys());
    let tables = catalog.tables.iter().map(|table| &table.name);
    let known: Vec<&QualifiedName> = tables.chain(recorded).collect();
    let (mut accepted, mut nothing) = (Vec::new(), Vec::new());
    for acceptance in accepts {
        match acceptance.resolve(&known, catalog.names) {
            Some(meant) => accepted.push(meant),
            None => nothing.push(acceptance.clone()),
        }
    }
    (accepted, nothing)
}

/// Whether a selection leaves no table. That is a mistake, unless the tables of the migration were
/// dropped at the source.
fn leaves_nothing(today: &Today, control: Option<&ControlState>) -> bool {
    let mut recorded = control.into_iter().flat_map(|control| control.tables.keys());
    today.selected.is_empty() && recorded.all(|table| today.unselected.contains(table))
}

/// A database that is yet to be created.
fn empty_target(dialect: Dialect) -> TargetDescription {
    TargetDescription {
        dialect,
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

fn other_objects(catalog: &Catalog) -> impl Iterator<Item = Finding> {
    catalog.other_objects.iter().map(|object| {
        let text = format!(
            "the {} `{}` is not created at the target",
            object.kind, object.name
        );
        let subject = Subject::Table(QualifiedName::new(&catalog.schema, &object.name));
        let meaning = format!("the {} is not created at the target", object.kind);
        Finding::new(code::LEFT_OUT, Severity::Warning, subject, text).meaning_of(meaning)
    })
}
