//! Random operations with crashes and faults, compared with a simple model.

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;

use super::sim::SimDisk;
use super::{ID, SMALL, append, read_all};
use crate::blocking::BlockingLog;
use crate::cursor::LogCursor;
use crate::error::LogError;
use crate::piece::PieceView;

#[derive(Debug, Clone)]
enum Step {
    Append { bytes: usize, last: bool },
    Abandon,
    Seal,
    Sync,
    Crash { seed: u64 },
    Restart,
    Discard,
    Trim { tenths: u64 },
    Room { bytes: Option<u64> },
    FailSyncs { count: u32 },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        8 => (0_usize..300, any::<bool>()).prop_map(|(bytes, last)| Step::Append { bytes, last }),
        1 => Just(Step::Abandon),
        1 => Just(Step::Seal),
        4 => Just(Step::Sync),
        2 => any::<u64>().prop_map(|seed| Step::Crash { seed }),
        1 => Just(Step::Restart),
        1 => Just(Step::Discard),
        1 => (0_u64..12).prop_map(|tenths| Step::Trim { tenths }),
        1 => prop::option::of(0_u64..600).prop_map(|bytes| Step::Room { bytes }),
        1 => (1_u32..3).prop_map(|count| Step::FailSyncs { count }),
    ];
    prop::collection::vec(step, 1..70)
}

/// The bodies of one transaction.
type Bodies = Vec<Vec<u8>>;

/// A piece as (sequence, number, last, body).
type Plain = (u64, usize, bool, Vec<u8>);

fn plain(pieces: &[PieceView]) -> Vec<Plain> {
    pieces
        .iter()
        .map(|piece| {
            (
                piece.sequence,
                piece.number as usize,
                piece.last,
                piece.body.to_vec(),
            )
        })
        .collect()
}

/// What the log must be.
struct Run {
    disk: SimDisk,
    log: Arc<BlockingLog>,
    /// What was appended, by sequence; `None` is abandoned. Those past the mark may be lost at a
    /// crash.
    appended: BTreeMap<u64, Option<Bodies>>,
    /// The transaction without its last piece.
    open: Option<(u64, Bodies)>,
    complete_below: u64,
    counter: u64,
    /// A reader that continues where it was.
    follower: LogCursor,
    /// It has seen everything below.
    followed_below: u64,
}

impl Run {
    fn new() -> Run {
        let disk = SimDisk::default();
        let log =
            Arc::new(BlockingLog::create(disk.files(), ID, "source", b"mariadb:".to_vec(), SMALL).unwrap());
        let follower = LogCursor::new(Arc::clone(&log), 1).unwrap();
        Run {
            disk,
            log,
            appended: BTreeMap::new(),
            open: None,
            complete_below: 1,
            counter: 0,
            follower,
            followed_below: 1,
        }
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Append { bytes, last } => self.append(*bytes, *last),
            Step::Abandon => self.abandon(),
            Step::Seal => self.seal(),
            Step::Sync => self.sync(),
            Step::Crash { seed } => {
                self.disk.crash(*seed);
                self.reopen();
            }
            Step::Restart => self.reopen(),
            Step::Discard => self.discard(),
            Step::Trim { tenths } => {
                let _bytes = self.log.trim(self.complete_below * tenths / 10).unwrap();
            }
            Step::Room { bytes } => self.disk.leave_room(*bytes),
            Step::FailSyncs { count } => self.disk.fail_syncs(*count),
        }
        self.check();
    }

    fn append(&mut self, bytes: usize, last: bool) {
        self.counter += 1;
        let mut body = self.counter.to_le_bytes().to_vec();
        body.resize(8 + bytes, u8::try_from(self.counter % 251).unwrap());
        match append(&self.log, &body, last) {
            Ok(sequence) => {
                let (at, mut bodies) = self.open.take().unwrap_or((sequence, Vec::new()));
                assert_eq!(at, sequence);
                bodies.push(body);
                if last {
                    assert!(
                        self.appended.insert(sequence, Some(bodies)).is_none(),
                        "sequence {sequence} given twice"
                    );
                } else {
                    self.open = Some((sequence, bodies));
                }
            }
            Err(error) => self.expect_poison(&error),
        }
    }

    fn expect_poison(&self, error: &LogError) {
        assert!(matches!(error, LogError::Poisoned { .. }), "{error}");
        assert!(self.log.check_poison().is_err());
    }

    fn abandon(&mut self) {
        match self.log.abandon() {
            Ok(sequence) => {
                assert_eq!(sequence, self.open.as_ref().map(|open| open.0));
                if let Some((sequence, _)) = self.open.take() {
                    self.appended.insert(sequence, None);
                }
            }
            Err(error) => self.expect_poison(&error),
        }
    }

    /// Changes nothing that a reader sees.
    fn seal(&mut self) {
        if let Err(error) = self.log.seal(|| b"mariadb:".to_vec()) {
            self.expect_poison(&error);
        }
    }

    fn sync(&mut self) {
        match self.log.sync() {
            Ok(()) => {
                let all = self
                    .appended
                    .keys()
                    .last()
                    .map_or(1, |last| last + 1)
                    .max(self.complete_below);
                assert_eq!(
                    self.log.mark().complete_below,
                    all,
                    "a sync shows everything that is complete"
                );
            }
            Err(error) => assert!(
                matches!(error, LogError::Poisoned { .. } | LogError::DiskFull { .. }),
                "{error}"
            ),
        }
        self.advance();
    }

    /// The mark only moves over what was appended.
    fn advance(&mut self) {
        let mark = self.log.mark().complete_below;
        assert!(
            mark >= self.complete_below,
            "the mark went back from {} to {mark}",
            self.complete_below
        );
        for sequence in self.complete_below..mark {
            assert!(
                self.appended.contains_key(&sequence),
                "sequence {sequence} was never completed"
            );
        }
        self.complete_below = mark;
    }

    fn discard(&mut self) {
        match self.log.discard() {
            Ok(()) => self.lose_undurable(),
            Err(error) => self.expect_poison(&error),
        }
    }

    fn reopen(&mut self) {
        let log = loop {
            match BlockingLog::open(self.disk.files(), SMALL) {
                Ok(log) => break log,
                Err(error) => {
                    assert!(
                        matches!(error, LogError::Io { .. } | LogError::Poisoned { .. }),
                        "{error}"
                    );
                }
            }
        };
        self.log = Arc::new(log);
        self.follower = LogCursor::new(Arc::clone(&self.log), self.complete_below).unwrap();
        self.followed_below = self.complete_below;
        self.lose_undurable();
    }

    /// After a restart: what is past the mark is gone, except an open transaction whose marker
    /// waits for room.
    fn lose_undurable(&mut self) {
        let mark = self.log.mark().complete_below;
        if let Some((sequence, _)) = self.open.take() {
            self.appended.insert(sequence, None);
        }
        // A transaction that the crash left partial is abandoned, whatever was meant to follow.
        if mark > self.complete_below {
            let last = mark - 1;
            if self.log.is_abandoned(last) {
                self.appended.insert(last, None);
            }
        }
        self.advance();
        let _lost = self.appended.split_off(&self.complete_below);
        assert!(
            !self.log.abandon().is_ok_and(|open| open.is_some()),
            "nothing is open after a restart"
        );
        // A marker that waits for room will take the next sequence.
        if self.log.usage().bytes > self.log.durable_bytes() {
            self.appended.insert(self.complete_below, None);
        }
    }

    /// Readers see exactly what is complete, durable, kept and not abandoned.
    fn check(&mut self) {
        self.advance();
        let oldest = self.log.oldest();
        assert_eq!(plain(&read_all(&self.log).unwrap()), self.expected(oldest));
        self.follow();
    }

    /// A reader that was there before sees what is new, once.
    fn follow(&mut self) {
        let from = self.followed_below.max(self.log.oldest());
        let mut pieces = Vec::new();
        loop {
            match self.follower.read(self.log.mark()).unwrap() {
                chunk if chunk.is_empty() => break,
                chunk => pieces.extend(chunk),
            }
        }
        assert_eq!(plain(&pieces), self.expected(from));
        self.followed_below = self.complete_below;
    }

    fn expected(&self, from: u64) -> Vec<Plain> {
        let mut expected = Vec::new();
        for (sequence, bodies) in self.appended.range(from..self.complete_below) {
            let Some(bodies) = bodies else { continue };
            for (number, body) in bodies.iter().enumerate() {
                expected.push((*sequence, number, number + 1 == bodies.len(), body.clone()));
            }
        }
        expected
    }

    /// The faults end: everything that was taken becomes durable, and survives a crash.
    fn finish(&mut self) {
        self.disk.leave_room(None);
        self.disk.fail_syncs(0);
        if self.log.check_poison().is_err() {
            self.reopen();
        }
        self.abandon();
        self.log.sync().unwrap();
        self.check();
        let before = self.complete_below;
        self.step(&Step::Crash { seed: 1 });
        assert_eq!(self.complete_below, before);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_log_keeps_its_promises(steps in steps()) {
        let mut run = Run::new();
        for step in &steps {
            run.step(step);
        }
        run.finish();
    }
}
