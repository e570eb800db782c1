//! What a lane does with a commit that the target calls too large, against a target that takes a
//! few rows at a time.

use std::sync::Mutex;

use spanferry_core::port::change_log::Sequence;
use spanferry_core::port::target::{Epoch, MutationKind, RangeRow, TargetCapabilities};

use super::*;
use crate::fixture::table;

/// A target that refuses commits of more than `rows_max` rows, and keeps what it took.
struct SmallTarget {
    rows_max: usize,
    taken: Mutex<Vec<FencedCommit>>,
}

impl SmallTarget {
    fn refusal(&self, commit: &FencedCommit) -> Option<Rejection> {
        let rows: usize = commit.data.iter().map(|mutations| mutations.rows.len()).sum();
        (rows > self.rows_max).then(|| Rejection {
            named: Vec::new(),
            status: "INVALID_ARGUMENT".to_owned(),
            message: format!("{rows} rows are too many"),
            too_large: true,
            of_value: false,
            transient: false,
        })
    }
}

impl Committer for SmallTarget {
    async fn commit(&self, commit: &FencedCommit) -> Result<CommitTimestamp, CommitError> {
        match self.refusal(commit) {
            Some(rejection) => Err(CommitError::Rejected(rejection)),
            None => {
                let mut taken = self.taken.lock().unwrap();
                taken.push(commit.clone());
                Ok(timestamp(taken.len()))
            }
        }
    }

    async fn read_fence(&self, _lane: Lane) -> Result<Option<FenceRow>, Failure> {
        let taken = self.taken.lock().unwrap();
        Ok(Some(
            taken.last().map_or_else(first_row, |commit| commit.next.clone()),
        ))
    }

    fn capabilities(&self) -> TargetCapabilities {
        TargetCapabilities::EMULATOR
    }
}

/// When the target makes its commit with this number.
fn timestamp(number: usize) -> CommitTimestamp {
    CommitTimestamp {
        seconds: i64::try_from(number).unwrap(),
        nanoseconds: 0,
    }
}

fn first_row() -> FenceRow {
    FenceRow {
        key: FenceKey {
            epoch: Epoch(1),
            sequence: Sequence::ZERO,
            piece: 0,
        },
        reached: None,
    }
}

fn mutations(name: &str, kind: MutationKind, payloads: &[&str]) -> TableMutations {
    let mut rows = RowBatch::new();
    for payload in payloads {
        rows.push(payload.as_bytes());
    }
    TableMutations {
        table: table(name),
        kind,
        rows,
    }
}

/// A commit as `-a:1,2 +a:3 !` : deletes, upserts, and whether control rows travel with it.
fn told(commit: &FencedCommit) -> String {
    let mut words = Vec::new();
    for mutations in &commit.data {
        let sign = match mutations.kind {
            MutationKind::Delete => '-',
            MutationKind::Upsert => '+',
            MutationKind::Insert => '*',
            MutationKind::Update(_) => '~',
        };
        let rows: Vec<_> = mutations.rows.payloads().map(String::from_utf8_lossy).collect();
        words.push(format!(
            "{sign}{}:{}",
            mutations.table.target.name,
            rows.join(",")
        ));
    }
    words.extend(commit.control.iter().map(|_| "!".to_owned()));
    words.join(" ")
}

fn lane(target: &Arc<SmallTarget>) -> FencedLane<SmallTarget> {
    let shared = LaneShared {
        ddl: Arc::default(),
        target: Arc::clone(target),
        gate: Arc::new(Semaphore::new(1)),
        stop: CancellationToken::new(),
        progress: Arc::new(Progress::default()),
    };
    FencedLane::new(shared, Lane::Load(0), first_row().key)
}

/// Commits seven rows to a target that takes `rows_max` at a time: what it took, and whether the
/// lane succeeded.
async fn commit_seven(rows_max: usize) -> (Vec<String>, Result<(), LaneError>) {
    let target = Arc::new(SmallTarget {
        rows_max,
        taken: Mutex::new(Vec::new()),
    });
    let mut lane = lane(&target);
    let data = vec![
        mutations("a", MutationKind::Delete, &["1", "2"]),
        mutations("a", MutationKind::Upsert, &["3", "4", "5"]),
        mutations("b", MutationKind::Upsert, &["6", "7"]),
    ];
    let control = vec![ControlChange::ForgetRanges(spanferry_core::fixture::qualified(
        "a",
    ))];
    let outcome = lane.commit_counted(data, control).await.map(drop);
    let taken = target.taken.lock().unwrap();
    let keys = taken.iter().map(|commit| (commit.previous, commit.next.key));
    let mut at = first_row().key;
    for (previous, next) in keys {
        assert_eq!(previous, at, "each commit follows the one before");
        at = next;
    }
    assert_eq!(lane.key(), at, "the lane stands where its last commit left it");
    let last = (!taken.is_empty()).then(|| timestamp(taken.len()));
    let known = lane.shared.progress.snapshot().committed_at;
    assert_eq!(known, last, "the last commit's timestamp is known");
    (taken.iter().map(told).collect(), outcome)
}

#[tokio::test(start_paused = true)]
async fn what_is_too_large_goes_in_halves_in_order() {
    let check = async |rows_max: usize, expected: &[&str]| {
        let (taken, outcome) = commit_seven(rows_max).await;
        outcome.unwrap();
        assert_eq!(taken, expected, "at most {rows_max} rows");
    };
    check(7, &["-a:1,2 +a:3,4,5 +b:6,7 !"]).await;
    check(6, &["-a:1,2 +a:3", "+a:4,5 +b:6,7 !"]).await;
    check(3, &["-a:1,2 +a:3", "+a:4,5", "+b:6,7 !"]).await;
    let one = ["-a:1", "-a:2", "+a:3", "+a:4", "+a:5", "+b:6", "+b:7 !"];
    check(1, &one).await;
}

/// Each part says how many rows are there with it, and only the last one that it is the last.
#[tokio::test(start_paused = true)]
async fn each_part_says_how_many_rows_are_there_with_it() {
    let check = async |rows_max: usize, expected: &[u64]| {
        let target = Arc::new(SmallTarget {
            rows_max,
            taken: Mutex::new(Vec::new()),
        });
        let rows = ["1", "2", "3", "4", "5", "6", "7"];
        let data = vec![mutations("a", MutationKind::Insert, &rows)];
        let record = |part: Part| {
            vec![ControlChange::Range(RangeRow {
                table: spanferry_core::fixture::qualified("a"),
                number: 0,
                after: None,
                up_to: None,
                rows: part.rows,
                is_finished: part.is_last,
            })]
        };
        let mut lane = lane(&target);
        let outcome = lane.commit_in_parts(data, Halving::TooLargeOrThere, record);
        drop(outcome.await.unwrap());
        let taken = target.taken.lock().unwrap();
        let mut counts = Vec::new();
        let mut there = 0;
        for (place, commit) in taken.iter().enumerate() {
            let [ControlChange::Range(row)] = commit.control.as_slice() else {
                panic!("one row travels: {commit:?}");
            };
            there += count(&commit.data);
            assert_eq!((row.rows, row.is_finished), (there, place + 1 == taken.len()));
            counts.push(row.rows);
        }
        assert_eq!(counts, expected, "at most {rows_max} rows");
    };
    check(7, &[7]).await;
    check(4, &[3, 7]).await;
    check(3, &[3, 5, 7]).await;
    check(1, &[1, 2, 3, 4, 5, 6, 7]).await;
}

#[tokio::test(start_paused = true)]
async fn a_row_that_is_too_large_alone_is_rejected() {
    let (taken, outcome) = commit_seven(0).await;
    assert_eq!(taken, [""; 0]);
    let Err(LaneError::Rejected(refused)) = outcome else {
        panic!("a rejection was expected")
    };
    assert!(refused.rejection.too_large);
    assert_eq!(told(&refused.commit), "-a:1", "the row is named");
    let left = refused.unsent.iter().map(|mutations| mutations.rows.len());
    assert_eq!(left.sum::<usize>(), 6, "nothing else was sent");
}

/// A key that came again would let a late copy of an earlier commit happen.
#[tokio::test(start_paused = true)]
#[should_panic(expected = "the keys of a lane rise")]
async fn a_fence_key_never_comes_again() {
    let target = Arc::new(SmallTarget {
        rows_max: 7,
        taken: Mutex::new(Vec::new()),
    });
    let outcome = lane(&target).commit(first_row(), Vec::new(), Vec::new()).await;
    outcome.unwrap();
}
