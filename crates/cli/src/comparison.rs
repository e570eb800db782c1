//! Shows how far a running comparison is: one line renewed on a terminal, plain lines otherwise,
//! nothing for a program.

use std::cell::RefCell;
use std::time::{Duration, Instant};

use spanferry_engine::verify::{Reading, Step};

use crate::args::Output;
use crate::render;
use crate::screen::Screen;
use crate::wrap::cut;

/// How often the line on a terminal is renewed.
pub(crate) const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// How often a plain line is printed.
const LINE_INTERVAL: Duration = Duration::from_secs(5);

/// The progress of one comparison.
pub(crate) struct Comparison {
    output: Output,
    screen: Screen,
    /// The last look that was shown, and when.
    last: RefCell<(Instant, Reading)>,
}

impl Comparison {
    /// Progress for a person at a terminal or at a log, or none.
    pub(crate) fn new(output: Output) -> Comparison {
        Comparison {
            output,
            screen: Screen::open(output),
            last: RefCell::new((Instant::now(), Reading::default())),
        }
    }

    /// Prints lines that stay.
    pub(crate) fn print(&self, lines: &[String]) {
        if self.output == Output::Text {
            self.screen
                .above(|| lines.iter().for_each(|line| render::print(line)));
        }
    }

    /// Shows where the comparison is now.
    pub(crate) fn look(&self, now: &Reading) {
        let mut last = self.last.borrow_mut();
        let since = last.0.elapsed();
        let due = self.screen.is_drawn() || since >= LINE_INTERVAL;
        if self.output == Output::Json || now.table.is_empty() || !due {
            return;
        }
        let text = line(&last.1, now, since);
        if self.screen.is_drawn() {
            self.screen.draw(cut(&text, render::terminal_size().0));
        } else {
            render::print_error(&text);
        }
        *last = (Instant::now(), now.clone());
    }

    /// Takes the renewed line away.
    pub(crate) fn finish(&self) {
        self.screen.clear();
    }
}

/// A line for a person; the rate is that since the look before.
fn line(before: &Reading, now: &Reading, since: Duration) -> String {
    let rows = now.rows_source.max(now.rows_target);
    let same = (&before.table, before.pass) == (&now.table, now.pass);
    let begun = if same {
        before.rows_source.max(before.rows_target)
    } else {
        0
    };
    match now.step {
        Step::Reading => {}
        Step::Counting => return format!("  {}: read; its servers still count its rows", now.table),
        Step::Asking(rows) => {
            let rows = render::counted(rows, "row");
            return format!("  {}: asking the source for {rows}", now.table);
        }
    }
    let rate = u128::from(rows.saturating_sub(begun)) * 1_000 / since.as_millis().max(1);
    let (about, what) = match now.pass {
        0 => ("about ", "comparing".to_owned()),
        1 => ("", "pairing rows".to_owned()),
        pass => ("", format!("pairing rows, pass {pass}")),
    };
    format!(
        "  {}: {what}, {} of {about}{}, {} rows/s",
        now.table,
        render::count(rows),
        render::rows(now.rows_expected.max(rows)),
        render::count(u64::try_from(rate).unwrap_or(u64::MAX))
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(table: &str, pass: u32, rows: (u64, u64)) -> Reading {
        Reading {
            table: table.to_owned(),
            pass,
            rows_source: rows.0,
            rows_target: rows.1,
            rows_expected: 100_000,
            step: Step::Reading,
        }
    }

    #[test]
    fn a_line_tells_table_rows_and_rate() {
        let check = |before: Reading, now: Reading, expected: &str| {
            assert_eq!(line(&before, &now, Duration::from_secs(5)), expected);
        };
        check(
            reading("a", 0, (10_000, 9_000)),
            reading("a", 0, (60_000, 59_000)),
            "  a: comparing, 60,000 of about 100,000 rows, 10,000 rows/s",
        );
        check(
            reading("a", 0, (100_000, 100_000)),
            reading("a", 1, (4_000, 5_000)),
            "  a: pairing rows, 5,000 of 100,000 rows, 1,000 rows/s",
        );
        check(
            reading("a", 2, (0, 0)),
            reading("a", 2, (150_000, 0)),
            "  a: pairing rows, pass 2, 150,000 of 150,000 rows, 30,000 rows/s",
        );
        let step = |step| Reading {
            step,
            ..reading("a", 0, (100_000, 100_000))
        };
        let before = || reading("a", 0, (90_000, 90_000));
        check(
            before(),
            step(Step::Counting),
            "  a: read; its servers still count its rows",
        );
        check(
            before(),
            step(Step::Asking(1_000)),
            "  a: asking the source for 1,000 rows",
        );
    }
}
