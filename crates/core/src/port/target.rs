//! The boundary to the target as a whole: all its capabilities under one name.
//!
//! Code that needs only some of them asks for those: [`Committer`], [`ControlStore`],
//! [`SchemaTarget`], [`TableReader`].

pub use crate::port::capabilities::TargetCapabilities;
pub use crate::port::commit::{
    CommitError, Committer, FencedCommit, MutationKind, Rejection, TableMutations,
};
pub use crate::port::control::{
    CONTROL_VERSION, ControlChange, ControlState, ControlStore, LeftOut, LeftOutRow, MigrationRow, RangeRow,
    Ranges, StreamRow, TablePhase, TableRow,
};
pub use crate::port::epoch::Epoch;
pub use crate::port::lane::{FenceKey, FenceRow, Lane, LaneStart};
pub use crate::port::schema_target::{
    DdlFailure, ExistingTable, SchemaObjects, SchemaTarget, TargetDescription,
};
pub use crate::port::table_reader::{
    KeyInterval, ScanAt, ScanKey, ScanKeyColumns, ScanRequest, Scanned, TableReader, TargetScan,
};
pub use crate::port::timestamp::CommitTimestamp;

/// The target database, with everything that a whole migration needs of it.
pub trait Target: Committer + ControlStore + SchemaTarget + TableReader {}

impl<T: Committer + ControlStore + SchemaTarget + TableReader> Target for T {}
