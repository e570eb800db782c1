//! The end of the server's history, read as a position.

use spanferry_core::position::{GtidSet, MariadbGtids, Position, PositionError};
use spanferry_core::report::code;
use spanferry_core::report::failure::{Class, Failure};

use crate::connection::{Connection, Flavor, Server};
use crate::error::MysqlError;
use crate::options::Options;
use crate::source::{At, MysqlSource};

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

/// The same, with its failures as those of the source.
pub(crate) async fn position_now(
    source: &MysqlSource,
    connection: &mut Connection,
) -> Result<Position, Failure> {
    let found = position(connection).await.at(source)?;
    found.map_err(|error| unreadable(source.options(), error))
}

/// Whether a server has positions of this kind.
pub(crate) fn is_of(server: &Server, position: &Position) -> bool {
    match (server.flavor, position) {
        (Flavor::Mysql, Position::Mysql(_)) | (Flavor::Mariadb, Position::Mariadb(_)) => true,
        (Flavor::Mysql, Position::Mariadb(_)) | (Flavor::Mariadb, Position::Mysql(_)) => false,
    }
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
