//! What a start decides before it writes anything: at an empty target, and at one that holds a
//! migration.

use std::collections::BTreeSet;

use spanferry_core::port::target::TablePhase;
use spanferry_core::report::acceptance::Acceptance;
use spanferry_core::report::code;
use spanferry_core::report::finding::{Finding, Severity, Subject};
use spanferry_core::schema::source::{NameCase, QualifiedName};
use spanferry_core::schema::target::Dialect;
use spanferry_engine::plan::{Comparable, NotCompared, Survey, SurveyError, SurveyRequest, survey};
use spanferry_engine::progress::Progress;

use crate::history::NOTE;
use crate::new_world;
use crate::source::SimSource;
use crate::target::SimTarget;
use crate::verification::migrated_in;
use crate::world::Shared;

/// What a start finds that selects all tables but these.
fn survey_without(shared: &Shared, excluded: &[&str]) -> Result<Survey, SurveyError> {
    survey_with(shared, excluded, &[])
}

fn survey_with(shared: &Shared, excluded: &[&str], accepts: &[Acceptance]) -> Result<Survey, SurveyError> {
    let selects = |name: &QualifiedName, _: NameCase| !excluded.contains(&name.table.as_str());
    let request = SurveyRequest {
        selects: &selects,
        accepts,
        sessions: 3,
        lock: false,
        dialect: Dialect::GoogleSql,
        control: &[],
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    let (source, target) = (SimSource(shared.clone()), SimTarget(shared.clone()));
    let progress = Progress::default();
    runtime.block_on(async {
        loop {
            match survey(&source, &target, &request, &progress).await {
                // The simulated target loses a call now and then.
                Err(SurveyError::Failed(failure)) if failure.is_retry() => {}
                found => return found,
            }
        }
    })
}

fn planned(survey: &Survey) -> Vec<&str> {
    let plans = survey.planned.plans.iter();
    plans.map(|plan| plan.name().table.as_str()).collect()
}

#[test]
fn a_first_start_decides_about_the_selected_tables() {
    let shared = new_world(3, None);
    shared.lock().bare = true;
    let mut first = survey_without(&shared, &["note"]).unwrap();
    assert!(!first.planned.is_recorded() && first.control.is_none());
    assert_eq!(planned(&first), ["author", "book", "item"]);
    assert_eq!(
        (first.rows_estimate, first.bytes_estimate, first.sessions),
        (30, 300, 3)
    );
    assert_eq!(first.judge(), None);
    // At a first start what concerns one table refuses the whole.
    let blocking = Finding::new(
        code::SOURCE_SETTING,
        Severity::Blocking,
        Subject::table(&QualifiedName::new("shop", "book")),
        "found",
    );
    first.findings.push(blocking.clone());
    assert_eq!(first.judge(), Some(blocking.clone()));
    let accept = |object: &str| {
        let accepts = [Acceptance::parse(&format!("{}:{object}", blocking.code)).unwrap()];
        let mut found = survey_with(&shared, &["note"], &accepts).unwrap();
        found.findings.push(blocking.clone());
        (found.judge(), found.accepted_nothing.len())
    };
    assert_eq!(accept("book"), (None, 0));
    assert_eq!(accept("shop.book"), (None, 0));
    assert_eq!(accept("item"), (Some(blocking.clone()), 0));
    assert_eq!(accept("other.book"), (Some(blocking.clone()), 1));
}

#[test]
fn a_selection_of_nothing_is_a_mistake() {
    let shared = new_world(3, None);
    shared.lock().bare = true;
    let all = ["author", "book", "item", "note"];
    let Err(SurveyError::NothingSelected(catalog)) = survey_without(&shared, &all) else {
        panic!("nothing is selected")
    };
    assert_eq!(catalog.tables.len(), all.len());
    // Also where the target holds a migration of these tables.
    let shared = migrated_in(|_| {});
    assert!(matches!(
        survey_without(&shared, &all),
        Err(SurveyError::NothingSelected(_))
    ));
}

/// The reasons of a comparison's other tables, by name.
fn reasons(survey: &Survey) -> Vec<(String, NotCompared)> {
    let mut comparable = Comparable::of(survey, survey.control.as_ref().unwrap());
    let (selects, shown) = (
        |name: &QualifiedName| name.table != "item",
        [
            QualifiedName::new("shop", "unknown"),
            QualifiedName::new("shop", "author"),
        ],
    );
    comparable.add_others(&shown, survey.control.as_ref().unwrap(), selects);
    let others = comparable.others.into_iter();
    let mut reasons: Vec<_> = others.map(|(name, why)| (name.table, why)).collect();
    reasons.sort_by(|(one, _), (other, _)| one.cmp(other));
    reasons
}

#[test]
fn a_resume_keeps_to_the_record() {
    let shared = migrated_in(|_| {});
    shared.lock().bare = true;
    shared.lock().administration.altered.insert(NOTE);
    shared.lock().administration.created = Some("late");
    let mut resumed = survey_without(&shared, &["item"]).unwrap();
    assert!(resumed.planned.is_recorded());
    // What is not selected any more, and what has another definition, stays in the plan.
    assert_eq!(planned(&resumed), ["author", "book", "item", "note"]);
    let name = |table: &str| {
        resumed
            .planned
            .plans
            .iter()
            .find(|plan| plan.name().table == table)
    };
    let stop = |table: &str| {
        let finding = resumed.planned.why_stopped(name(table).unwrap().name());
        finding.map(|finding| finding.code)
    };
    assert_eq!(stop("item"), Some(code::TABLE_UNSELECTED));
    assert_eq!(stop("note"), Some(code::SCHEMA_MISMATCH));
    assert_eq!(stop("author"), None);
    assert_eq!(
        reasons(&resumed),
        [
            ("item".to_owned(), NotCompared::Unselected),
            ("late".to_owned(), NotCompared::NotCarried),
            ("note".to_owned(), NotCompared::Redefined),
            ("unknown".to_owned(), NotCompared::Unseen),
        ]
    );
    // A table's own trouble stops its group and lets the resume begin.
    let found = |subject| Finding::new(code::SOURCE_SETTING, Severity::Blocking, subject, "found");
    resumed
        .findings
        .push(found(Subject::table(&QualifiedName::new("shop", "author"))));
    let refusing = resumed.judge().unwrap();
    assert_eq!(
        (refusing.code, refusing.subject.to_string()),
        (code::SELECTION_NARROWED, "item".to_owned())
    );
    resumed.findings.retain(|finding| *finding != refusing);
    assert_eq!(resumed.judge(), None);
    let author = QualifiedName::new("shop", "author");
    assert!(resumed.planned.why_stopped(&author).is_some());
    // What concerns the server refuses it.
    resumed.findings.push(found(Subject::whole()));
    assert_eq!(resumed.judge(), Some(found(Subject::whole())));
}

/// A slip in `--exclude` must not stop a table: taking it in again means that it is loaded again.
#[test]
fn a_selection_that_would_stop_a_table_is_refused_until_it_is_accepted() {
    let shared = migrated_in(|_| {});
    shared.lock().bare = true;
    let judged = |excluded: &[&str], accepted: &[&str]| {
        let accept = |object: &&str| Acceptance::parse(&format!("{}:{object}", code::SELECTION_NARROWED));
        let accepts: Vec<Acceptance> = accepted.iter().map(|object| accept(object).unwrap()).collect();
        let mut found = survey_with(&shared, excluded, &accepts).unwrap();
        let refusing = found.judge();
        let named = refusing.map(|finding| (finding.code, finding.subject.to_string()));
        let stops = found.planned.stops.iter();
        let unselected = stops.filter(|stop| stop.finding.code == code::TABLE_UNSELECTED);
        let stopped: BTreeSet<String> = unselected.map(|stop| stop.table.table.clone()).collect();
        (named, stopped)
    };
    let stops = |tables: &[&str]| tables.iter().map(|table| (*table).to_owned()).collect();
    let refused = |table: &str| Some((code::SELECTION_NARROWED, table.to_owned()));
    assert_eq!(judged(&[], &[]), (None, stops(&[])));
    assert_eq!(judged(&["item"], &[]), (refused("item"), stops(&["item"])));
    assert_eq!(judged(&["item"], &["shop.item"]), (None, stops(&["item"])));
    let both = ["item", "book"];
    assert_eq!(judged(&both, &["item"]), (refused("book"), stops(&both)));
    assert_eq!(judged(&both, &both), (None, stops(&both)));
    // A table that has stopped already loses nothing.
    let item = QualifiedName::new("shop", "item");
    let mut world = shared.lock();
    let control = world.target.control.as_mut().unwrap();
    control.tables.get_mut(&item).unwrap().phase = TablePhase::Stopped;
    drop(world);
    assert_eq!(judged(&["item"], &[]), (None, stops(&["item"])));
}
