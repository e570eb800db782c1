//! The binary log of MySQL and MariaDB: a stream of raw transactions, and the pure decoder of what
//! it brought.
//!
//! A piece's body is a run of raw events, from the transaction's GTID event on, each with its
//! 19-byte header and without its checksum (verified on arrival; the size field in the header is
//! corrected). Artificial events are left out.

mod assemble;
mod assemble_error;
#[cfg(test)]
mod assemble_tests;
mod cascade;
#[cfg(test)]
mod cascade_tests;
mod columns;
mod compressed;
mod consequence;
mod content;
mod count;
mod ddl;
mod decimal;
mod decoder;
mod definitions;
mod dump;
mod event;
#[cfg(test)]
mod golden;
#[cfg(test)]
mod golden_images;
mod gtid;
#[cfg(test)]
mod hostile;
#[cfg(test)]
mod image_tests;
mod images;
mod json;
mod names;
mod network;
mod packets;
mod proof;
#[cfg(test)]
mod proof_tests;
mod query;
mod rows;
mod stream;
mod table_map;
mod tables;
mod temporal;
#[cfg(test)]
mod tests;
mod transaction;
mod two_phase;
#[cfg(test)]
mod two_phase_tests;
mod value;

pub use decoder::BinlogDecoder;
pub(crate) use dump::Reader;
pub use stream::BinlogStream;
