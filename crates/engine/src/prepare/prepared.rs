//! What a start is given, and what it makes.

use std::collections::BTreeMap;
use std::sync::Arc;

use spanferry_core::port::target::{Epoch, FenceRow, LeftOut, Ranges, TableRow};
use spanferry_core::position::checkpoint::Checkpoint;
use spanferry_core::report::finding::Finding;
use spanferry_core::schema::definition::TableDefinition;
use spanferry_core::schema::source::QualifiedName;
use spanferry_core::schema::target::Dialect;

use crate::control::ControlLane;
use crate::history::Unproved;
use crate::lane::{FencedLane, LaneShared};
use crate::registry::Registry;

/// A migration that is ready to run.
pub struct Prepared<L, T> {
    /// The change log.
    pub log: Arc<L>,
    /// Table states.
    pub registry: Arc<Registry>,
    /// What lanes share.
    pub shared: LaneShared<T>,
    /// The lane of control state.
    pub control: Arc<ControlLane<T>>,
    /// The main stream's lane.
    pub main: FencedLane<T>,
    /// The catch-up stream's lane.
    pub catch_up: FencedLane<T>,
    /// One lane per load worker.
    pub load_lanes: Vec<FencedLane<T>>,
    /// Finished ranges.
    pub ranges: Ranges,
    /// Where the main stream's watermark stands in the source's history.
    pub reached: Checkpoint,
    /// The target's dialect.
    pub dialect: Dialect,
    /// What happens with a source that cannot show its history.
    pub unproved: Unproved,
}

/// What a start needs to know.
#[derive(Debug, Clone)]
pub struct PrepareOptions {
    /// UUID for a migration that is new.
    pub new_migration_id: String,
    /// Source and schema, for a person, without secrets; a resume with another one is only noted.
    pub source_name: String,
    /// The source's schema: another one is another migration.
    pub schema: String,
    /// Load workers.
    pub workers: u32,
    /// What happens with a source that cannot show its history.
    pub unproved: Unproved,
}

/// A start that owns the fence, before what runs it is put together.
pub(super) struct Start<L> {
    pub(super) log: L,
    pub(super) epoch: Epoch,
    pub(super) main: FenceRow,
    pub(super) reached: Checkpoint,
    pub(super) tables: BTreeMap<QualifiedName, TableRow>,
    pub(super) definitions: BTreeMap<QualifiedName, TableDefinition>,
    pub(super) ranges: Ranges,
    pub(super) left_out: LeftOut,
    pub(super) findings: Vec<Finding>,
}
