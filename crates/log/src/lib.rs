//! The durable change log: append-only segments of raw source events on local disk.

mod append;
mod block;
mod blocking;
mod catalog;
mod cursor;
mod encoder;
mod error;
mod files;
mod limits;
mod log;
mod opening;
mod piece;
mod position;
mod reader;
mod recovery;
mod scan;
mod segment;
mod shared_end;
mod writer;

#[cfg(test)]
mod tests;

pub use append::DiskLogWriter;
pub use block::{MAX_BODY_BYTES, MAX_TRANSACTION_BYTES};
pub use error::LogError;
pub use log::{DEFAULT_SEGMENT_BYTES, DiskLog, LogOptions};
pub use piece::{PieceView, Text};
pub use reader::DiskLogReader;
