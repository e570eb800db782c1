//! A Spanner database as the target of a migration.

mod assemble;
mod count;
mod describe;
mod epoch;
mod scan;
mod spanner;
mod state;
mod witness;

pub use scan::SpannerScan;
pub use spanner::SpannerTarget;
