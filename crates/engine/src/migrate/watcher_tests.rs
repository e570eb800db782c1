//! Races of the claim "caught up": something happens between a look at the source and what is said
//! of it.

use std::sync::Mutex;

use spanferry_core::plan::GroupId;
use spanferry_core::port::change_log::{ChangeLogReader, ChangeLogWriter, LogId, LogUsage, Piece, Sequence};
use spanferry_core::port::target::{ControlChange, TablePhase};
use spanferry_core::report::code;
use spanferry_core::report::failure::Class;
use spanferry_core::report::finding::{Finding, Severity, Subject};
use tokio::task::JoinHandle;

use super::*;
use crate::fixture::{row, table};
use crate::history::Unproved;
use crate::progress::TableProgress;

/// What the watcher asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Call {
    Position,
    Holds,
    LogEnd,
    Prove,
}

/// What happens in that moment, behind the answer.
#[derive(Debug, Clone)]
enum Event {
    /// The source has so many transactions.
    Commit(u64),
    /// So many are applied.
    Apply(u64),
    /// So many are captured.
    Capture(u64),
    /// Capture opens or loses its stream.
    Follow(bool),
    /// The only group stops.
    StopGroup,
    /// The call fails.
    Fail(code::Code, Class),
    /// The operator interrupts.
    Interrupt,
}

/// Source, log and engine around a watcher. Each call plays the first event that waits for it.
struct Stage {
    committed: Mutex<u64>,
    captured: Mutex<u64>,
    holds: Mutex<bool>,
    reached: watch::Sender<Position>,
    following: watch::Sender<bool>,
    registry: Arc<Registry>,
    progress: Arc<Progress>,
    stop: CancellationToken,
    calls: Mutex<Vec<Call>>,
    script: Mutex<Vec<(Call, Event)>>,
}

fn at(number: u64) -> Position {
    Position::parse(&format!("mariadb:0-1-{number}")).unwrap()
}

impl Stage {
    /// A source, log and target at transaction 5, and one table in a phase.
    fn new(phase: TablePhase, script: &[(Call, Event)]) -> Arc<Stage> {
        let progress = Arc::new(Progress::new(vec![TableProgress {
            name: spanferry_core::fixture::qualified("t"),
            phase,
            rows_estimate: 0,
            rows_loaded: 0,
            bytes_loaded: 0,
            group: 0,
            stopped: None,
        }]));
        let rows = vec![row("t", phase, Some("mariadb:0-1-1"))];
        Arc::new(Stage {
            committed: Mutex::new(5),
            captured: Mutex::new(5),
            holds: Mutex::new(true),
            reached: watch::Sender::new(at(5)),
            following: watch::Sender::new(true),
            registry: Arc::new(Registry::new(vec![table("t")], rows, Arc::clone(&progress))),
            progress,
            stop: CancellationToken::new(),
            calls: Mutex::default(),
            script: Mutex::new(script.to_vec()),
        })
    }

    async fn happen(&self, event: Event) -> Result<(), Failure> {
        match event {
            Event::Commit(number) => *self.committed.lock().unwrap() = number,
            Event::Capture(number) => *self.captured.lock().unwrap() = number,
            Event::Apply(number) => drop(self.reached.send_replace(at(number))),
            Event::Follow(follows) => drop(self.following.send_replace(follows)),
            Event::StopGroup => {
                let (subject, text) = (
                    Subject::table(&spanferry_core::fixture::qualified("t")),
                    "ALTER TABLE",
                );
                let finding = Finding::new(code::DDL_SEEN, Severity::Blocking, subject, text);
                let transition = self.registry.transition().await;
                transition.adopt(&transition.stop_rows(GroupId(0), &finding));
            }
            Event::Fail(code, class) => return Err(Failure::new(code, class, "source", "it fails")),
            Event::Interrupt => self.stop.cancel(),
        }
        Ok(())
    }

    async fn play(&self, call: Call) -> Result<(), Failure> {
        self.calls.lock().unwrap().push(call);
        let due = {
            let mut script = self.script.lock().unwrap();
            let due = script.iter().position(|(at, _)| *at == call);
            due.map(|due| script.remove(due).1)
        };
        match due {
            Some(event) => self.happen(event).await,
            None => Ok(()),
        }
    }

    async fn constrain(&self) {
        let transition = self.registry.transition().await;
        let row = transition.row_with(self.registry.plans()[0].id, |row| {
            row.phase = TablePhase::Constrained;
        });
        transition.adopt(&[ControlChange::Table(row)]);
    }

    fn calls(&self) -> Vec<Call> {
        self.calls.lock().unwrap().clone()
    }

    fn is_told(&self) -> bool {
        self.progress.snapshot().is_caught_up()
    }
}

struct Source(Arc<Stage>);

impl PositionSource for Source {
    async fn position(&self) -> Result<Position, Failure> {
        let answer = at(*self.0.committed.lock().unwrap());
        self.0.play(Call::Position).await.map(|()| answer)
    }

    async fn holds(&self, _position: &Position) -> Result<bool, Failure> {
        let answer = *self.0.holds.lock().unwrap();
        self.0.play(Call::Holds).await.map(|()| answer)
    }

    async fn identity(&self) -> Result<String, Failure> {
        unreachable!("the watcher does not ask for it")
    }
}

impl HistorySource for Source {
    async fn bookmark(&self, _position: &Position) -> Result<Bookmark, Failure> {
        unreachable!("the watcher does not ask for it")
    }

    async fn prove(&self, known: &Bookmark) -> Result<(), Failure> {
        assert_eq!(known.position, at(*self.0.captured.lock().unwrap()));
        self.0.play(Call::Prove).await
    }
}

/// A log of which only the end is looked at.
struct Log(Arc<Stage>);

/// An end of the log that no task takes.
enum Nobody {}

impl ChangeLog for Log {
    type Writer = Nobody;
    type Reader = Nobody;

    fn id(&self) -> LogId {
        unreachable!("the watcher does not ask for it")
    }

    async fn writer(&self) -> Result<Nobody, Failure> {
        unreachable!("the watcher writes nothing")
    }

    async fn reader(&self, _from: Sequence) -> Result<Nobody, Failure> {
        unreachable!("the watcher reads nothing")
    }

    async fn end(&self) -> Result<(Sequence, Bookmark), Failure> {
        let captured = *self.0.captured.lock().unwrap();
        let answer = (Sequence(captured), Bookmark::unproved(at(captured)));
        self.0.play(Call::LogEnd).await.map(|()| answer)
    }

    async fn bookmark_before(&self, _at: Sequence) -> Result<Bookmark, Failure> {
        unreachable!("the watcher does not ask for it")
    }

    async fn start_for(&self, _position: &Position) -> Result<(Sequence, Bookmark), Failure> {
        unreachable!("the watcher does not ask for it")
    }

    async fn trim(&self, _below: Sequence) -> Result<(), Failure> {
        unreachable!("the watcher trims nothing")
    }

    fn usage(&self) -> LogUsage {
        unreachable!("the watcher does not ask for it")
    }
}

impl ChangeLogWriter for Nobody {
    async fn append(&mut self, _pieces: &mut [Piece]) -> Result<(), Failure> {
        match *self {}
    }

    async fn abandon(&mut self) -> Result<(), Failure> {
        match *self {}
    }

    async fn sync(&mut self) -> Result<Sequence, Failure> {
        match *self {}
    }
}

impl ChangeLogReader for Nobody {
    async fn try_next(&mut self) -> Result<Option<Piece>, Failure> {
        match *self {}
    }

    async fn readable(&mut self) -> Result<(), Failure> {
        match *self {}
    }
}

/// A running watcher: why it ended, if it did not fail and nothing else ended it.
fn run(stage: &Arc<Stage>, stop_when: StopWhen) -> JoinHandle<Result<Option<Ended>, Failure>> {
    let watcher = Watcher {
        source: Arc::new(Source(Arc::clone(stage))),
        log: Arc::new(Log(Arc::clone(stage))),
        registry: Arc::clone(&stage.registry),
        stop: stage.stop.clone(),
        reached: stage.reached.subscribe(),
        is_following: stage.following.subscribe(),
        history: HistoryWatch::default(),
        goal: None,
        silent_since: None,
        ended: Arc::default(),
        proof: ClaimProof::new(Unproved::Refused),
        progress: Arc::clone(&stage.progress),
    };
    tokio::spawn(async move {
        let ended = Arc::clone(&watcher.ended);
        watcher.run(stop_when).await?;
        Ok(ended.get().copied())
    })
}

/// Lets the watcher ask so many times more, in virtual time; none of the asks ends it.
async fn let_ask(running: &JoinHandle<Result<Option<Ended>, Failure>>, asks: u32) {
    tokio::time::sleep(ASK_INTERVAL * 2 * asks).await;
    assert!(!running.is_finished(), "it has ended");
}

#[tokio::test(start_paused = true)]
async fn what_the_source_has_is_captured_and_applied_before_it_is_claimed() {
    use Event::{Apply, Capture, Commit};
    // The source has moved on; then the log has it; then the target.
    let check = async |first: Event, second: Event| {
        let stage = Stage::new(TablePhase::Constrained, &[]);
        stage.happen(Commit(6)).await.unwrap();
        let running = run(&stage, StopWhen::CaughtUp);
        let_ask(&running, 2).await;
        stage.happen(first).await.unwrap();
        let_ask(&running, 2).await;
        assert!(!stage.is_told());
        stage.happen(second).await.unwrap();
        assert_eq!(running.await.unwrap().unwrap(), Some(Ended::CaughtUp));
        assert!(stage.is_told() && stage.stop.is_cancelled());
    };
    check(Capture(6), Apply(6)).await;
    check(Apply(6), Capture(6)).await;
}

/// The claim is about the moment of the look. What comes behind it is not waited for: a busy source
/// would never be caught up.
#[tokio::test(start_paused = true)]
async fn a_transaction_behind_the_look_is_not_waited_for() {
    for moment in [Call::Position, Call::Holds, Call::LogEnd, Call::Prove] {
        let stage = Stage::new(TablePhase::Constrained, &[(moment, Event::Commit(6))]);
        let running = run(&stage, StopWhen::CaughtUp);
        assert_eq!(
            running.await.unwrap().unwrap(),
            Some(Ended::CaughtUp),
            "{moment:?}"
        );
        let expected = [Call::Position, Call::Holds, Call::LogEnd, Call::Prove];
        assert_eq!(stage.calls(), expected, "{moment:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_look_comes_after_the_last_table_is_complete() {
    let stage = Stage::new(TablePhase::Joined, &[]);
    let running = run(&stage, StopWhen::CaughtUp);
    let_ask(&running, 30).await;
    assert_eq!(stage.calls(), []);
    stage.happen(Event::Commit(6)).await.unwrap();
    stage.constrain().await;
    let_ask(&running, 3).await;
    stage.happen(Event::Capture(6)).await.unwrap();
    stage.happen(Event::Apply(6)).await.unwrap();
    assert_eq!(running.await.unwrap().unwrap(), Some(Ended::CaughtUp));
}

#[tokio::test(start_paused = true)]
async fn the_goal_stays_where_it_was_set() {
    use Event::{Apply, Capture, Commit};
    let busy = (7..20).map(|number| (Call::Position, Commit(number)));
    let stage = Stage::new(TablePhase::Constrained, &busy.collect::<Vec<_>>());
    stage.happen(Commit(6)).await.unwrap();
    let running = run(&stage, StopWhen::CaughtUp);
    let_ask(&running, 3).await;
    stage.happen(Capture(6)).await.unwrap();
    stage.happen(Apply(6)).await.unwrap();
    assert_eq!(running.await.unwrap().unwrap(), Some(Ended::CaughtUp));
    assert!(*stage.committed.lock().unwrap() > 6);
}

/// A stream that is lost may have been one of a history that is gone; what was applied does not
/// show it.
#[tokio::test(start_paused = true)]
async fn nothing_is_claimed_without_an_open_stream() {
    use Event::{Apply, Capture, Commit, Follow};
    let stage = Stage::new(TablePhase::Constrained, &[(Call::Holds, Follow(false))]);
    let running = run(&stage, StopWhen::CaughtUp);
    let_ask(&running, 3).await;
    assert!(!stage.is_told());
    stage.happen(Follow(true)).await.unwrap();
    assert_eq!(running.await.unwrap().unwrap(), Some(Ended::CaughtUp));
    // It is lost while the watcher waits for the last transaction.
    let stage = Stage::new(TablePhase::Constrained, &[]);
    stage.happen(Commit(6)).await.unwrap();
    let running = run(&stage, StopWhen::CaughtUp);
    tokio::time::sleep(ASK_INTERVAL / 2).await;
    for event in [Follow(false), Capture(6), Apply(6)] {
        stage.happen(event).await.unwrap();
    }
    let_ask(&running, 3).await;
    assert!(!stage.is_told() && !stage.calls().contains(&Call::Prove));
}

/// The earlier answer does not stay until the new one is there.
#[tokio::test(start_paused = true)]
async fn a_source_that_is_found_ahead_is_not_caught_up_while_its_changes_are_waited_for() {
    let stage = Stage::new(TablePhase::Constrained, &[]);
    let running = run(&stage, StopWhen::Interrupted);
    tokio::time::sleep(ASK_INTERVAL / 2).await;
    assert!(stage.is_told());
    stage.happen(Event::Commit(6)).await.unwrap();
    tokio::time::sleep(ASK_INTERVAL).await;
    assert!(!stage.is_told());
    for event in [Event::Capture(6), Event::Apply(6)] {
        stage.happen(event).await.unwrap();
    }
    tokio::time::sleep(ASK_INTERVAL).await;
    assert!(stage.is_told());
    stage.stop.cancel();
    assert_eq!(running.await.unwrap().unwrap(), None);
}

#[tokio::test(start_paused = true)]
async fn a_group_that_stops_meanwhile_is_not_caught_up() {
    for moment in [Call::Position, Call::Holds, Call::LogEnd, Call::Prove] {
        for stop_when in [StopWhen::CaughtUp, StopWhen::Interrupted] {
            let stage = Stage::new(TablePhase::Constrained, &[(moment, Event::StopGroup)]);
            let running = run(&stage, stop_when);
            assert_eq!(
                running.await.unwrap().unwrap(),
                Some(Ended::AllStopped),
                "{moment:?}"
            );
            assert!(!stage.is_told(), "{moment:?}");
            assert_eq!(stage.progress.snapshot().phase, "stopped", "{moment:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_source_that_does_not_answer_is_asked_again() {
    for moment in [Call::Position, Call::Holds, Call::Prove] {
        let lost = Event::Fail(code::SOURCE_FAILED, Class::Retry { after: None });
        let stage = Stage::new(TablePhase::Constrained, &[(moment, lost)]);
        let running = run(&stage, StopWhen::CaughtUp);
        tokio::time::sleep(ASK_INTERVAL / 2).await;
        assert!(!running.is_finished() && !stage.is_told(), "{moment:?}");
        assert_eq!(
            running.await.unwrap().unwrap(),
            Some(Ended::CaughtUp),
            "{moment:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn another_history_is_a_failure() {
    for moment in [Call::Position, Call::Holds, Call::LogEnd, Call::Prove] {
        let other = Event::Fail(code::HISTORY_CHANGED, Class::StopMigration);
        let stage = Stage::new(TablePhase::Constrained, &[(moment, other)]);
        let failed = run(&stage, StopWhen::CaughtUp).await.unwrap().unwrap_err();
        assert_eq!(failed.code, code::HISTORY_CHANGED, "{moment:?}");
        assert!(!stage.is_told(), "{moment:?}");
    }
    // The numbers contain what was applied, and the source does not hold it.
    let stage = Stage::new(TablePhase::Constrained, &[]);
    *stage.holds.lock().unwrap() = false;
    let failed = run(&stage, StopWhen::CaughtUp).await.unwrap().unwrap_err();
    assert_eq!(failed.code, code::HISTORY_CHANGED);
    assert!(!stage.calls().contains(&Call::Prove) && !stage.is_told());
}

#[tokio::test(start_paused = true)]
async fn an_interrupt_claims_nothing() {
    for moment in [Call::Position, Call::Holds] {
        let stage = Stage::new(TablePhase::Constrained, &[(moment, Event::Interrupt)]);
        let running = run(&stage, StopWhen::CaughtUp);
        assert_eq!(running.await.unwrap().unwrap(), None, "{moment:?}");
        assert!(!stage.is_told(), "{moment:?}");
    }
}

/// A run that follows takes its word back as soon as it is behind.
#[tokio::test(start_paused = true)]
async fn a_run_that_follows_says_so_only_while_it_is_true() {
    use Event::{Apply, Capture, Commit};
    let stage = Stage::new(TablePhase::Constrained, &[]);
    let running = run(&stage, StopWhen::Interrupted);
    let_ask(&running, 1).await;
    assert!(stage.is_told());
    stage.happen(Commit(6)).await.unwrap();
    let_ask(&running, 2).await;
    assert!(!stage.is_told());
    stage.happen(Capture(6)).await.unwrap();
    stage.happen(Apply(6)).await.unwrap();
    let_ask(&running, 2).await;
    assert!(stage.is_told());
    stage.stop.cancel();
    assert_eq!(running.await.unwrap().unwrap(), None);
}

#[test]
fn the_goal_falls_with_a_source_that_lacks_it() {
    let set = at(5);
    let check = |set: Option<&Position>, now: u64, expected: u64| {
        let goal = next_goal(set.cloned(), at(now)).expect("they compare");
        assert_eq!(goal, at(expected), "{now}");
    };
    check(Some(&set), 9, 5);
    check(Some(&set), 4, 4);
    check(None, 7, 7);
    let mysql = Position::parse("mysql:3e11fa47-71ca-11e1-9e33-c80aa9429562:1-5").unwrap();
    next_goal(Some(set), mysql).expect_err("a source of another family");
}
