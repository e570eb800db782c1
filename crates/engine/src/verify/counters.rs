//! How far a verification is; written by it, read by the code that shows it.

use std::sync::Mutex;

/// What a verification does beside reading the rows of both sides.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Step {
    /// Both sides are being read.
    #[default]
    Reading,
    /// Both sides are read, and their servers still count.
    Counting,
    /// The source is asked for this many rows of the target.
    Asking(usize),
}

/// What is being read at the moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reading {
    /// Source name of the table; empty before the first.
    pub table: String,
    /// 0 while digests are compared; from 1 on the passes that pair the rows of differing buckets.
    pub pass: u32,
    /// Rows read from the source in this pass.
    pub rows_source: u64,
    /// Rows read from the target in this pass.
    pub rows_target: u64,
    /// Rows that the source is expected to have: its own estimate in pass 0, then the count.
    pub rows_expected: u64,
    /// What is waited for.
    pub step: Step,
}

/// Shared counters of one verification.
#[derive(Debug, Default)]
pub struct Counters(Mutex<Reading>);

impl Counters {
    /// A copy.
    pub fn reading(&self) -> Reading {
        self.0.lock().expect("no task panics while it counts").clone()
    }

    pub(super) fn begin(&self, table: &str, pass: u32, rows_expected: u64) {
        *self.0.lock().expect("no task panics while it counts") = Reading {
            table: table.to_owned(),
            pass,
            rows_expected,
            ..Reading::default()
        };
    }

    /// Both sides are read to their ends.
    pub(super) fn end_reading(&self) {
        self.set_step(Step::Counting);
    }

    /// The source is asked for rows of the target.
    pub(super) fn ask(&self, rows: usize) {
        self.set_step(Step::Asking(rows));
    }

    fn set_step(&self, step: Step) {
        self.0.lock().expect("no task panics while it counts").step = step;
    }

    pub(super) fn read(&self, rows_source: u64, rows_target: u64) {
        let mut reading = self.0.lock().expect("no task panics while it counts");
        reading.rows_source = rows_source;
        reading.rows_target = rows_target;
    }
}
