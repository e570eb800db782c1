//! The verbs, one file each.

pub(crate) mod check;
mod dry_run;
pub(crate) mod end;
pub(crate) mod explain;
pub(crate) mod migrate;
mod report;
pub(crate) mod resync;
pub(crate) mod status;
pub(crate) mod verify;
