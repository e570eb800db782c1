//! The binary log: its stream as raw transactions, and their decoding into changes.

mod compile;
mod decoder;
mod dump;
mod event;
mod gtid;
mod json;
mod query;
mod rows;
mod stream;
mod table_map;
mod token;
mod value;

pub use decoder::BinlogDecoder;
pub use dump::REPLICA_HOST;
pub use stream::BinlogStream;
