//! Counters that show where the migration stands; written by tasks, read by the code that shows
//! them.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use spanferry_core::plan::TableId;
use spanferry_core::port::source::SourceHealth;
use spanferry_core::port::target::CommitTimestamp;
use spanferry_core::port::target::TablePhase;
use spanferry_core::report::code;
use spanferry_core::report::finding::Finding;
use spanferry_core::schema::source::QualifiedName;

/// Findings kept for the report; more are only counted.
pub const FINDINGS_MAX: usize = 10_000;
/// Created tables that are kept by name.
const CREATED_MAX: usize = 10_000;

/// Where one table stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableProgress {
    /// The table at the source.
    pub name: QualifiedName,
    /// Phase.
    pub phase: TablePhase,
    /// The source's own estimate.
    pub rows_estimate: u64,
    /// Rows written by the load, also of unfinished ranges.
    pub rows_loaded: u64,
    /// Encoded bytes written by the load.
    pub bytes_loaded: u64,
    /// Number of its group.
    pub group: u32,
    /// Why it stopped, if it has.
    pub stopped: Option<String>,
}

/// A copy of all counters.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// Tables by id.
    pub tables: Vec<TableProgress>,
    /// What the migration is doing, in a word or two.
    pub phase: String,
    /// Transactions captured since this process started.
    pub captured_transactions: u64,
    /// Bytes captured since this process started.
    pub captured_bytes: u64,
    /// The transaction that was captured last, as the source names it; empty before the first of
    /// this process.
    pub captured_transaction: String,
    /// Last sequence that is durable in the change log.
    pub captured_sequence: u64,
    /// Last sequence that is durable at the target.
    pub applied_sequence: u64,
    /// Last sequence that was read while the log had nothing more to read and no change was waiting
    /// for a commit. It can be ahead of `applied_sequence` by transactions that change no migrated
    /// row.
    pub idle_sequence: u64,
    /// Transactions applied since this process started.
    pub applied_transactions: u64,
    /// Changes applied since this process started, before folding.
    pub applied_changes: u64,
    /// Changes applied of a transaction of which the rest is still to come; 0 if none is applied in
    /// part.
    pub applied_in_part: u64,
    /// When the source committed what was last captured, microseconds since 1970.
    pub captured_at_us: u64,
    /// When the source committed what was last applied, microseconds since 1970.
    pub applied_at_us: u64,
    /// Bytes of the change log on disk.
    pub log_bytes: u64,
    /// Transactions that it holds.
    pub log_transactions: u64,
    /// Most bytes it may take.
    pub log_budget_bytes: u64,
    /// Commits that the target gave up and that were sent again.
    pub aborted: u64,
    /// Why the source is out of reach, while it is.
    pub source_lost: Option<String>,
    /// Why no snapshot can be read, while a new one is tried.
    pub snapshot_lost: Option<String>,
    /// Why the source does not say where it stands, while it does not.
    pub source_silent: Option<String>,
    /// Why capture or apply wait, if they do.
    pub throttled: Option<String>,
    /// Why the load is slower than it could be, if it is.
    pub load_throttled: Option<String>,
    /// Whose indexes and foreign keys are being built, while they are.
    pub building: Option<String>,
    /// What reading costs the source while a snapshot is read.
    pub health: SourceHealth,
    /// When the target made its last acknowledged commit, by its own clock; none before the first.
    pub committed_at: Option<CommitTimestamp>,
    /// The position that apply has reached.
    pub position: String,
    /// Whether apply had reached the source's position when the source was last asked for it.
    /// `is_caught_up` returns whether that still holds.
    pub source_reached: bool,
    /// How the last snapshot was made and how long writers were held up.
    pub hand_off: Option<String>,
    /// Findings since the start.
    pub findings: Vec<Finding>,
    /// Findings that were only counted.
    pub findings_more: u64,
}

impl Snapshot {
    /// Transactions that are captured and not applied. A transaction that changes no migrated row
    /// counts until it is read.
    pub fn lag_transactions(&self) -> u64 {
        let done = self.applied_sequence.max(self.idle_sequence);
        self.captured_sequence.saturating_sub(done)
    }

    /// Why it is unknown what the source has beyond the captured transactions.
    fn capture_trouble(&self) -> Option<&str> {
        let reasons = [&self.source_lost, &self.source_silent, &self.throttled];
        reasons.into_iter().find_map(Option::as_deref)
    }

    /// Whether everything is applied that the source is known to have. Everything that shows this
    /// takes it from here. Tables that have stopped do not count.
    pub fn is_caught_up(&self) -> bool {
        let nothing_waits = self.lag_transactions() == 0 && self.applied_in_part == 0;
        self.source_reached && nothing_waits && self.capture_trouble().is_none()
    }

    /// Every reason for which something waits, for people.
    pub fn why_throttled(&self) -> Option<String> {
        let reasons: Vec<_> = [
            &self.source_lost,
            &self.snapshot_lost,
            &self.source_silent,
            &self.throttled,
            &self.load_throttled,
            &self.building,
        ]
        .into_iter()
        .filter_map(Option::as_deref)
        .collect();
        (!reasons.is_empty()).then(|| reasons.join("; "))
    }
}

/// Tables that were created at the source after the migration began. Kept apart from the findings,
/// of which some may be only counted: the exit status depends on these.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Created {
    /// Their names, at most `CREATED_MAX`.
    pub tables: BTreeSet<QualifiedName>,
    /// Whether there were more, which have no name here.
    pub more: bool,
}

/// Shared counters. Bounded: tables, `FINDINGS_MAX` findings and `CREATED_MAX` names.
#[derive(Debug, Default)]
pub struct Progress {
    state: Mutex<Snapshot>,
    created: Mutex<Created>,
    aborted: AtomicU64,
}

impl Progress {
    /// Counters for these tables.
    pub fn new(tables: Vec<TableProgress>) -> Progress {
        Progress {
            state: Mutex::new(Snapshot {
                tables,
                phase: "starting".into(),
                ..Snapshot::default()
            }),
            ..Progress::default()
        }
    }

    /// Says what the process is doing, for people.
    pub fn step(&self, what: impl Into<String>) {
        self.update(|state| state.phase = what.into());
    }

    /// Takes in the tables, once they are known. Table ids are places in this list.
    pub fn begin(&self, tables: Vec<TableProgress>) {
        self.update(|state| state.tables = tables);
    }

    /// Changes the counters; `change` must be quick.
    pub fn update(&self, change: impl FnOnce(&mut Snapshot)) {
        change(&mut self.state.lock().expect("no task panics while it counts"));
    }

    /// Changes one table's counters.
    pub fn update_table(&self, table: TableId, change: impl FnOnce(&mut TableProgress)) {
        self.update(|state| change(&mut state.tables[table.0 as usize]));
    }

    /// A copy.
    pub fn snapshot(&self) -> Snapshot {
        let mut copy = self.state.lock().expect("no task panics while it counts").clone();
        copy.aborted = self.aborted.load(Ordering::Relaxed);
        copy
    }

    /// Adds a finding to the report.
    pub fn report(&self, finding: Finding) {
        if let Some(table) = finding.subject.source_table()
            && finding.code == code::TABLE_CREATED
        {
            self.note_created(table);
        }
        self.update(|state| {
            if state.findings.contains(&finding) {
                return;
            }
            if state.findings.len() < FINDINGS_MAX {
                state.findings.push(finding);
            } else {
                state.findings_more += 1;
            }
        });
    }

    fn note_created(&self, table: &QualifiedName) {
        let mut created = self.created.lock().expect("no task panics while it counts");
        if created.tables.len() < CREATED_MAX {
            created.tables.insert(table.clone());
        } else if !created.tables.contains(table) {
            created.more = true;
        }
    }

    /// The tables that were created after the migration began.
    pub fn created(&self) -> Created {
        self.created
            .lock()
            .expect("no task panics while it counts")
            .clone()
    }

    /// Forgets the created tables that are not there any more, with their findings.
    pub fn retain_created(&self, is_there: impl Fn(&QualifiedName) -> bool) {
        let mut created = self.created.lock().expect("no task panics while it counts");
        created.tables.retain(|table| is_there(table));
        drop(created);
        let is_kept = |finding: &Finding| {
            let table = finding.subject.source_table();
            finding.code != code::TABLE_CREATED || table.is_none_or(&is_there)
        };
        self.update(|state| state.findings.retain(is_kept));
    }

    /// The target has acknowledged a commit. Lanes commit side by side, so an answer may come late.
    pub fn note_commit(&self, at: CommitTimestamp) {
        self.update(|state| state.committed_at = state.committed_at.max(Some(at)));
    }

    /// Counts a commit that must be sent again.
    pub fn count_aborted(&self) {
        self.aborted.fetch_add(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use spanferry_core::report::finding::{Severity, Subject};

    use super::*;

    #[test]
    fn caught_up_holds_only_while_nothing_waits() {
        let check = |change: fn(&mut Snapshot), expected: bool| {
            let mut snapshot = Snapshot {
                captured_sequence: 7,
                applied_sequence: 7,
                source_reached: true,
                ..Snapshot::default()
            };
            change(&mut snapshot);
            assert_eq!(snapshot.is_caught_up(), expected, "{snapshot:?}");
        };
        check(|_| {}, true);
        check(|now| now.source_reached = false, false);
        check(|now| now.captured_sequence = 8, false);
        check(|now| now.applied_in_part = 1, false);
        // Read to the end, and without a change of a migrated row.
        let read = |now: &mut Snapshot| (now.captured_sequence, now.idle_sequence) = (8, 8);
        check(read, true);
        check(|now| now.throttled = Some("no space left".into()), false);
        check(|now| now.source_lost = Some("no answer".into()), false);
        check(|now| now.source_silent = Some("no answer".into()), false);
        // These hold up the load, not the changes.
        check(|now| now.load_throttled = Some("--source-rate".into()), true);
        check(
            |now| now.building = Some("the target builds an index".into()),
            true,
        );
    }

    fn find(progress: &Progress, code: code::Code, table: &str) {
        let subject = Subject::table(&spanferry_core::fixture::qualified(table));
        progress.report(Finding::new(code, Severity::Warning, subject, "it is there"));
    }

    #[test]
    fn a_created_table_is_known_however_many_findings_there_are() {
        let progress = Progress::default();
        for number in 0..FINDINGS_MAX {
            find(&progress, code::CONSTRAINT_LEFT_OUT, &number.to_string());
        }
        find(&progress, code::TABLE_CREATED, "late");
        assert_eq!(progress.snapshot().findings_more, 1);
        let created = progress.created();
        assert_eq!(
            created.tables.into_iter().collect::<Vec<_>>(),
            [spanferry_core::fixture::qualified("late")]
        );
        assert!(!created.more);
    }

    #[test]
    fn a_created_table_of_another_schema_is_another_table() {
        let progress = Progress::default();
        let [first, second] = ["a", "b"].map(|schema| QualifiedName::new(schema, "late"));
        for table in [&first, &second] {
            let subject = Subject::table(table);
            progress.report(Finding::new(
                code::TABLE_CREATED,
                Severity::Warning,
                subject,
                "it is there",
            ));
        }
        assert_eq!(progress.created().tables.len(), 2);
        progress.retain_created(|table| *table == second);
        assert_eq!(progress.created().tables, BTreeSet::from([second]));
        assert_eq!(progress.snapshot().findings.len(), 1);
    }

    #[test]
    fn names_of_created_tables_are_bounded_and_what_is_beyond_is_told() {
        let progress = Progress::default();
        let find = |number: usize| find(&progress, code::TABLE_CREATED, &number.to_string());
        (0..CREATED_MAX).for_each(find);
        find(0);
        assert!(!progress.created().more, "one of them was created again");
        find(CREATED_MAX);
        assert!(progress.created().more);
        assert_eq!(progress.created().tables.len(), CREATED_MAX);
    }
}
