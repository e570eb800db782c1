//! The source as the engine sees it: options plus the schema, opening connections as they are
//! needed.

use std::sync::Arc;
use std::time::Duration;

use spanferry_core::report::failure::Failure;
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::connection::Connection;
use crate::error::MysqlError;
use crate::line::{Asking, Line};
use crate::login::Login;
use crate::options::Options;
use crate::replica_id::ReplicaId;

/// The replica id of a client that is no replica, as `mysqlbinlog` uses it: both servers end no
/// other stream for it, and end its own at the end of the binary log (`kill_zombie_dump_threads`,
/// `mysql_binlog_send`).
pub(crate) const OBSERVER_ID: u32 = 0;

/// What a call to a server has brought, with the server named where it failed.
pub(crate) trait At<T> {
    /// The same result; an error becomes a failure that names the server of `source`.
    fn at(self, source: &MysqlSource) -> Result<T, Failure>;
}

impl<T> At<T> for Result<T, MysqlError> {
    fn at(self, source: &MysqlSource) -> Result<T, Failure> {
        self.map_err(|error| source.failure(error))
    }
}

/// A MySQL or MariaDB server and the schema that is migrated. Stream and snapshot open connections
/// of their own; all questions go over one that is kept for a while.
#[derive(Debug, Clone)]
pub struct MysqlSource {
    options: Options,
    replica: Arc<ReplicaId>,
    login: Arc<Login>,
    line: Arc<Line>,
    /// One look at the history at a time, so that the number of sessions is known (`sessions`).
    visit: Arc<Semaphore>,
}

impl MysqlSource {
    /// A source whose change stream registers under `server_id`. The options must name a schema.
    pub fn new(options: Options, server_id: u32) -> Result<MysqlSource, MysqlError> {
        MysqlSource::registering(options, ReplicaId::given(server_id))
    }

    /// A source whose change stream chooses its replica id, beginning with `first`. By `name` the
    /// source distinguishes this migration's streams, also earlier ones, from those of others.
    pub fn choosing_id(options: Options, first: u32, name: String) -> Result<MysqlSource, MysqlError> {
        MysqlSource::registering(options, ReplicaId::chosen(first, name))
    }

    fn registering(options: Options, replica: ReplicaId) -> Result<MysqlSource, MysqlError> {
        if options.schema.is_empty() {
            return Err(MysqlError::Usage(
                "expected a schema after `/` in the source URL".to_owned(),
            ));
        }
        Ok(MysqlSource {
            login: Arc::new(Login::new(&options)),
            options,
            replica: Arc::new(replica),
            line: Arc::default(),
            visit: Arc::new(Semaphore::new(1)),
        })
    }

    /// The same source for a client that only looks at its changes: the stream takes no replica's
    /// place, and ends where the binary log ends.
    #[must_use]
    pub fn observer(&self) -> MysqlSource {
        MysqlSource {
            options: self.options.clone(),
            replica: Arc::new(ReplicaId::given(OBSERVER_ID)),
            login: Arc::clone(&self.login),
            line: Arc::clone(&self.line),
            visit: Arc::clone(&self.visit),
        }
    }

    /// How it connects.
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// The replica id that capture uses.
    pub fn server_id(&self) -> u32 {
        self.replica.number()
    }

    /// The number and name under which the change stream registers.
    pub(crate) fn replica(&self) -> &Arc<ReplicaId> {
        &self.replica
    }

    /// A new connection.
    pub async fn connect(&self) -> Result<Connection, MysqlError> {
        self.login.open(&self.options).await
    }

    /// The connection for a question, no older than `age_max`.
    pub(crate) async fn ask(&self, age_max: Duration) -> Result<Asking<'_>, Failure> {
        let asking = self.line.ask(&self.login, &self.options, age_max).await;
        asking.at(self)
    }

    /// The turn to look at the history over a connection of its own.
    pub(crate) async fn visit(&self) -> SemaphorePermit<'_> {
        self.visit.acquire().await.expect("it is never closed")
    }

    /// A failure that names this server.
    pub(crate) fn failure(&self, error: MysqlError) -> Failure {
        error.into_failure(self.options.address())
    }
}
