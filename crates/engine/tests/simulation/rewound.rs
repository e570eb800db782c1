//! A source that is rewound to a place between what was captured and what a snapshot has seen, and
//! then gives those numbers to other transactions: by the numbers alone it holds everything that is
//! known (docs/design/history.md, step 13).

use std::collections::BTreeMap;

use spanferry_core::port::target::TablePhase;

use crate::world::{Mutant, Shared, World, number_of};
use crate::{new_world, run_in};

const SEEDS: u64 = 400;

/// How far snapshots have seen, of tables that are not complete yet; 0 if none has seen anything.
fn seen(world: &World) -> usize {
    let tables = world.target.control.iter();
    let rows = tables.flat_map(|control| control.tables.values());
    let is_open = |phase| {
        matches!(
            phase,
            TablePhase::Loading | TablePhase::Loaded | TablePhase::Joined
        )
    };
    let highs = rows
        .filter(|row| is_open(row.phase))
        .filter_map(|row| row.high.as_ref());
    highs
        .map(|high| number_of(&high.position.to_string()))
        .max()
        .unwrap_or(0)
}

/// Rewinds the source now and then, once a snapshot has seen what was not captured.
pub(crate) fn rewind_unseen(world: &mut World) {
    if !world.rewinds_unseen {
        return;
    }
    let (received, seen) = (world.received, seen(world).min(world.committed));
    if received >= seen || !world.random.chance(10) {
        return;
    }
    let unseen = (seen - received) as u64;
    let kept = received + world.random.below(unseen) as usize;
    world.rewinds_unseen = false;
    world.rewind_to(kept);
    world.count("rewound behind what was captured");
}

fn world(seed: u64, mutant: Option<Mutant>) -> Shared {
    let shared = new_world(seed, mutant);
    {
        let world = &mut *shared.lock();
        (world.fails_over, world.rewinds, world.lags) = (false, false, 0);
        world.rewinds_unseen = true;
    }
    shared
}

/// The first violation, and all counts.
fn run_seeds(mutant: Option<Mutant>) -> (Option<String>, BTreeMap<&'static str, u64>) {
    let mut counts = BTreeMap::new();
    for seed in 0..SEEDS {
        let (violations, counted) = run_in(&world(seed, mutant), None);
        for (what, count) in counted {
            *counts.entry(what).or_default() += count;
        }
        if let Some(violation) = violations.first() {
            return (Some(format!("seed {seed}: {violation}")), counts);
        }
    }
    (None, counts)
}

#[test]
fn a_source_rewound_behind_what_was_captured_is_refused() {
    let (violation, counts) = run_seeds(None);
    assert_eq!(violation, None, "{counts:#?}");
    for what in ["rewound behind what was captured", "rewound source refused"] {
        assert!(
            counts.get(what).is_some_and(|count| *count > SEEDS / 10),
            "too seldom: {what}; {counts:#?}"
        );
    }
}

#[test]
fn a_snapshot_without_witnesses_is_caught() {
    let (violation, _) = run_seeds(Some(Mutant::HighUnwitnessed));
    assert!(violation.is_some(), "it passes {SEEDS} seeds");
}
