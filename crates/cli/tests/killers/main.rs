//! Cases that broke, or silently damaged data in, other migration tools, each on real servers with
//! writes during the snapshot and after it. Numbers are those of the list of known killers.
//!
//! Elsewhere: 30 in `live.rs` (every type by both roads), 14 in the `faults` tests (another replica
//! takes over).
//!
//! Not here yet, with the capability each waits for:
//!
//! - 2, changes behind a DDL: carrying DDL through. Today the group stops (`live.rs`).
//! - 6, REPLACE and INSERT IGNORE hiding a second unique value; 7, key equality of collations: the
//!   operations are carried (`unique.rs`, `keys.rs`), a target that merges keys is refused by
//!   `check` (`refusals.rs`).
//! - 11, millions of ranges: a run at size, outside of this suite.
//! - 16, compressed payloads, LOAD DATA, XA transactions that change migrated tables: the hard
//!   sources. Today the group stops (`live.rs`).
//! - 17, rows over 64 MB, 5,000 tables: speed to the limit. The bounds of today are in `limits.rs`.
//! - 21, failed switch half way: cutover.
//! - 22, online schema change tools: carrying DDL through.
//! - 23 and 31, dumps: reading dump files.

#![allow(clippy::unwrap_used, reason = "a failed step is a failed test")]

mod constraints;
mod handover;
mod keys;
mod long_names;
mod names;
mod outage;
mod positions;
mod record;
mod rewound;
mod session;
mod statements;
#[path = "../support/mod.rs"]
mod support;
mod unique;
mod values;
mod verdict;
mod visibility;
mod witness;
mod xa;

use support::{HELD_UP, World, Writer, is_loading};

/// The common life of a case: writes from before the start on, a kill once it has caught up, writes
/// while it is down, then drained and compared.
async fn survive(world: &World, writer: Writer) {
    let mut migrate = world.migrate();
    world.wait_caught_up(&mut migrate);
    writer.write_more(100).await;
    migrate.kill();
    writer.write_more(50).await;
    writer.stop().await;
    world.expect_drained();
    world.expect_equal();
}

/// The same with a load that is shown to continue while the writer makes `steps` steps, and
/// `meanwhile` during it.
async fn survive_held_up(world: &mut World, writer: Writer, steps: u64, meanwhile: impl AsyncFnOnce(&World)) {
    let interposer = world.interpose(HELD_UP);
    let mut migrate = world.migrate();
    world.wait(&mut migrate, "the first rows were loaded", is_loading);
    writer.write_more(steps).await;
    meanwhile(world).await;
    assert!(
        world.status().as_ref().is_some_and(is_loading),
        "the writes came after the load"
    );
    interposer.faults().set_rates(Vec::new());
    world.wait_caught_up(&mut migrate);
    writer.write_more(100).await;
    migrate.kill();
    writer.write_more(50).await;
    writer.stop().await;
    world.expect_drained();
    world.expect_equal();
}

fn one(statement: String) -> Vec<String> {
    vec![statement]
}
