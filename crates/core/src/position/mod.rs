//! Positions: where in the source's history. Values with laws; positions of different histories do
//! not compare.

mod bookmark;
pub mod checkpoint;
mod either;
mod error;
mod gtid_set;
mod mariadb;
mod server_uuid;
mod transaction;
mod witness;

pub use bookmark::{Bookmark, Witnesses};
pub use either::Position;
pub use error::PositionError;
pub use gtid_set::GtidSet;
pub use mariadb::MariadbGtids;
pub use server_uuid::ServerUuid;
pub use transaction::TransactionId;
pub use witness::{Agreement, ContentDigest, Witness};
