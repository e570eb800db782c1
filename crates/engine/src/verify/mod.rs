//! Verify at rest: every row and column of source and target compared by digests, then row by row
//! where they differ.
//!
//! 1. One scan of both sides: rows fall into buckets by a hash of their converted key; each bucket
//!    holds a count and sums of digests, so that the order of source and target need not agree.
//! 2. Rows of buckets that differ are read again and paired by key as they arrive ([`compare`]). A
//!    pair is settled and forgotten at once, so that a table of any size needs one such pass where
//!    both sides have one order; where collations order otherwise, what does not fit into memory
//!    waits for the next pass.
//! 3. After `COMPARE_PASSES_MAX` passes what is left is reported as lower bounds, which follow from
//!    the buckets alone.
//! 4. Beside it both servers are asked what they say themselves ([`witness`]): their counts, their
//!    catalogs, and some rows of the target as the source prints them. What the load and 1 to 3
//!    have in common (session, snapshot, catalog, conversion) cannot hide there.

mod applied;
mod at_rest;
mod buckets;
mod compare;
mod counters;
mod pieces;
mod reader;
mod refusals;
mod run;
mod sample;
mod scan;
mod verdict;
mod witness;

pub(crate) use witness::readable_key;

pub use applied::applied;
pub use counters::{Counters, Reading, Step};
pub use refusals::NamedRefusal;
pub use run::{Verification, verify};
pub use verdict::{ContradictedKey, DifferentKey, Kind, Lack, TableVerdict, Testimony};
