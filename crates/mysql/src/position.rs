//! The end of the server's history, read as a position.

use spanferry_core::position::{GtidSet, MariadbGtids, Position, PositionError};
use spanferry_core::report::code;
use spanferry_core::report::failure::{Class, Failure};

use crate::connection::{Connection, Flavor};
use crate::error::MysqlError;
use crate::options::Options;

/// The end of the server's history: everything committed before the call is contained.
pub(crate) async fn position(
    connection: &mut Connection,
) -> Result<Result<Position, PositionError>, MysqlError> {
    let server = connection.server();
    let (flavor, sql) = (server.flavor, server.facts().position);
    let text = connection.query(sql).await?.first_text().unwrap_or_default();
    Ok(match flavor {
        Flavor::Mysql => GtidSet::parse(&text).map(Position::Mysql),
        Flavor::Mariadb => MariadbGtids::parse(&text).map(Position::Mariadb),
    })
}

/// A position text of the server that this release cannot read.
pub(crate) fn unreadable(options: &Options, error: PositionError) -> Failure {
    Failure::new(
        code::SOURCE_FAILED,
        Class::StopMigration,
        options.address(),
        "the server's position cannot be read",
    )
    .caused_by(error)
}
