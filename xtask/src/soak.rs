//! `cargo xtask soak`: the random tests again and again, each time from another seed.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::cargo::{cargo, succeeds};
use crate::error::TaskError;

/// Names a test's seed; tests read it by `spanferry_testkit::random::seed`.
const SEED_VARIABLE: &str = "SPANFERRY_SEED";
/// Part of the name of every test that draws its input from the seed.
const RANDOM_TESTS: &str = "random";

/// Options of `soak`.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// How often.
    #[arg(long, default_value_t = 10, value_name = "N")]
    runs: u64,
    /// The first run's seed; later runs count up from it [default: the time].
    #[arg(long, value_name = "SEED")]
    seed: Option<u64>,
}

/// Runs them one after another; stops at the first failure and names its seed.
pub(crate) fn run(options: &Options) -> Result<(), TaskError> {
    let first = options.seed.unwrap_or_else(now_seconds);
    for run in 0..options.runs {
        let seed = first.wrapping_add(run);
        println!("==> run {} of {}, seed {seed}", run + 1, options.runs);
        let mut command = cargo();
        command
            .args(["test", "--workspace", "--", RANDOM_TESTS])
            .env(SEED_VARIABLE, seed.to_string());
        if !succeeds(&mut command)? {
            return Err(TaskError::Failed(format!(
                "seed {seed} failed\nhint: {SEED_VARIABLE}={seed} cargo test --workspace -- {RANDOM_TESTS}"
            )));
        }
    }
    println!("{} runs passed, from seed {first}", options.runs);
    Ok(())
}

fn now_seconds() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(1, |elapsed| elapsed.as_secs())
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_seed_has_one_name() {
        assert_eq!(super::SEED_VARIABLE, spanferry_testkit::random::SEED_VARIABLE);
    }
}
