//! The table that `bench` prints: medians, with the smallest and largest run.

use std::fmt::Write as _;

use super::measure::Measured;

/// One line.
#[derive(Debug)]
pub(crate) struct Line {
    name: String,
    units: u64,
    unit: &'static str,
    runs: Vec<Measured>,
}

impl Line {
    /// A line for `units` moved in each of the runs.
    pub(crate) fn new(name: &str, units: u64, unit: &'static str, runs: Vec<Measured>) -> Line {
        Line {
            name: name.to_owned(),
            units,
            unit,
            runs,
        }
    }
}

/// The table as text, Markdown so that it can be kept.
pub(crate) fn render(lines: &[Line]) -> String {
    let mut text = String::from(
        "\n| scenario | unit | a second, median (min-max) | CPU us a unit, median (min-max) | peak memory |\n|---|---|---|---|---|\n",
    );
    for line in lines {
        #[expect(
            clippy::cast_precision_loss,
            reason = "counts of a benchmark are far below 2^52"
        )]
        let units = line.units as f64;
        let rate = spread(line.runs.iter().map(|run| units / run.seconds));
        let cpu = spread(line.runs.iter().map(|run| run.cpu_seconds * 1e6 / units));
        let memory = line.runs.iter().filter_map(|run| run.memory_peak_bytes).max();
        let memory = memory.map_or_else(|| "-".to_owned(), |bytes| format!("{} MiB", bytes >> 20));
        let _infallible = writeln!(
            text,
            "| {} | {} | {:.0} ({:.0}-{:.0}) | {:.2} ({:.2}-{:.2}) | {memory} |",
            line.name, line.unit, rate.1, rate.0, rate.2, cpu.1, cpu.0, cpu.2
        );
    }
    text
}

/// Smallest, median and largest.
fn spread(values: impl Iterator<Item = f64>) -> (f64, f64, f64) {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    let at = |index: usize| values.get(index).copied().unwrap_or_default();
    (at(0), at(values.len() / 2), at(values.len().saturating_sub(1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_medians() {
        let run = |seconds, cpu_seconds| Measured {
            seconds,
            cpu_seconds,
            memory_peak_bytes: Some(3 << 20),
        };
        let line = Line::new(
            "a",
            100,
            "rows",
            vec![run(2.0, 0.0002), run(1.0, 0.0001), run(4.0, 0.0003)],
        );
        let text = render(&[line]);
        assert!(
            text.ends_with("| a | rows | 50 (25-100) | 2.00 (1.00-3.00) | 3 MiB |\n"),
            "{text}"
        );
    }
}
