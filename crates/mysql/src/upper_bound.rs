//! A position that holds everything that any open session can see.

use spanferry_core::position::Position;
use spanferry_core::report::failure::Failure;

use crate::connection::Connection;
use crate::flavor::CommitOrder;
use crate::owned;
use crate::position::position_now;
use crate::source::MysqlSource;

/// A position that no session can have passed that has opened before the call, without a lock.
pub(crate) async fn highest(source: &MysqlSource, connection: &mut Connection) -> Result<Position, Failure> {
    match connection.server().facts().commit_order {
        CommitOrder::PositionBeforeSeen => position_now(source, connection).await,
        CommitOrder::SeenBeforePosition => owned::upper_bound(source, connection).await.map(Position::Mysql),
    }
}
