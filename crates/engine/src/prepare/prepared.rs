//! What a start is given, and what it makes.

use std::sync::Arc;

use spanferry_core::port::target::Ranges;
use spanferry_core::position::checkpoint::Checkpoint;
use spanferry_core::schema::target::Dialect;

use crate::control::ControlLane;
use crate::history::Unproved;
use crate::lane::{FencedLane, LaneShared};
use crate::registry::Registry;

/// What every road works with: a load that is ready to run.
pub struct PreparedLoad<T> {
    /// Table states.
    pub registry: Arc<Registry>,
    /// What lanes share.
    pub shared: LaneShared<T>,
    /// The lane of control state.
    pub control: Arc<ControlLane<T>>,
    /// One lane per load worker.
    pub lanes: Vec<FencedLane<T>>,
    /// Ranges that are finished or begun.
    pub ranges: Ranges,
    /// The target's dialect.
    pub dialect: Dialect,
}

/// A migration that is ready to run: a load, and the stream of changes that follows it.
pub struct Prepared<L, T> {
    /// The load.
    pub load: PreparedLoad<T>,
    /// The change log.
    pub log: Arc<L>,
    /// The main stream's lane.
    pub main: FencedLane<T>,
    /// The catch-up stream's lane.
    pub catch_up: FencedLane<T>,
    /// Where the main stream's watermark stands in the source's history.
    pub reached: Checkpoint,
    /// What happens with a source that cannot show its history.
    pub unproved: Unproved,
}

/// What the start of a migration with a stream needs to know.
#[derive(Debug, Clone)]
pub struct PrepareOptions {
    /// For the claim of the target.
    pub claim: ClaimOptions,
    /// What happens with a source that cannot show its history.
    pub unproved: Unproved,
}

/// What a start needs to know to claim the target.
#[derive(Debug, Clone)]
pub struct ClaimOptions {
    /// UUID for a migration that is new.
    pub new_migration_id: String,
    /// Source and schema, for a person, without secrets; a resume with another one is only noted.
    pub source_name: String,
    /// The source's schema: another one is another migration.
    pub schema: String,
    /// Load workers.
    pub workers: u32,
}
