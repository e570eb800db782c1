//! The Spanner emulator as a target.

use spanferry_spanner_api::database_admin::database_admin_client::DatabaseAdminClient;
use spanferry_spanner_api::database_admin::{CreateDatabaseRequest, DatabaseDialect};
use spanferry_spanner_api::instance_admin::instance_admin_client::InstanceAdminClient;
use spanferry_spanner_api::instance_admin::{CreateInstanceRequest, Instance as InstanceMessage};
use tonic::transport::{Channel, Endpoint};

use super::instance::{Instance, ServerError};

/// The instance that every emulator of ours has.
const INSTANCE: &str = "projects/test/instances/test";

/// The language of a database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// GoogleSQL.
    GoogleSql,
    /// PostgreSQL.
    PostgreSql,
}

/// An emulator: started by us and ended when dropped, or one that runs elsewhere.
///
/// It keeps everything in memory: after [`Emulator::kill`] instance, databases and data are gone.
#[derive(Debug)]
pub struct Emulator {
    instance: Option<Instance>,
    host_port: String,
}

impl Emulator {
    /// Starts an emulator with the instance `projects/test/instances/test` and no database. Fails,
    /// naming the package, when this machine has none.
    pub fn start() -> Result<Self, ServerError> {
        Self::start_with(&[])
    }

    /// Starts an emulator with further flags, such as `--enable_fault_injection`.
    pub fn start_with(flags: &[&str]) -> Result<Self, ServerError> {
        let instance = Instance::new("spanner.sh", vec![("SPANNER_ARGS", flags.join(" "))])?;
        instance.up()?;
        let host_port = format!("127.0.0.1:{}", instance.number("port")?);
        Ok(Self {
            instance: Some(instance),
            host_port,
        })
    }

    /// An emulator that another process runs at `host_port`; makes the instance of
    /// [`Emulator::database`] if it has none.
    pub async fn attach(host_port: &str) -> Result<Self, ServerError> {
        let emulator = Self {
            instance: None,
            host_port: host_port.to_owned(),
        };
        let mut client = InstanceAdminClient::new(emulator.channel().await?);
        let request = CreateInstanceRequest {
            parent: "projects/test".into(),
            instance_id: "test".into(),
            instance: Some(InstanceMessage {
                name: INSTANCE.into(),
                config: "projects/test/instanceConfigs/emulator-config".into(),
                display_name: "test".into(),
                node_count: 1,
                ..InstanceMessage::default()
            }),
        };
        match client.create_instance(request).await {
            Ok(_) => Ok(emulator),
            Err(status) if status.code() == tonic::Code::AlreadyExists => Ok(emulator),
            Err(status) => Err(refused("CreateInstance test", status)),
        }
    }

    /// `HOST:PORT` of the gRPC side, as `SPANNER_EMULATOR_HOST` takes it.
    pub fn host_port(&self) -> &str {
        &self.host_port
    }

    /// Full name of the database `id`, which need not exist:
    /// `projects/test/instances/test/databases/ID`.
    pub fn database(&self, id: &str) -> String {
        format!("{INSTANCE}/databases/{id}")
    }

    /// A new gRPC connection.
    pub async fn channel(&self) -> Result<Channel, ServerError> {
        let lost = |source| ServerError::Connect {
            endpoint: self.host_port.clone(),
            source,
        };
        let endpoint = Endpoint::from_shared(format!("http://{}", self.host_port)).map_err(lost)?;
        endpoint.connect().await.map_err(lost)
    }

    /// Creates the empty database `id`; its full name.
    pub async fn create_database(&self, id: &str, dialect: Dialect) -> Result<String, ServerError> {
        let mut client = DatabaseAdminClient::new(self.channel().await?);
        let (create_statement, dialect) = match dialect {
            Dialect::GoogleSql => (
                format!("CREATE DATABASE `{id}`"),
                DatabaseDialect::GoogleStandardSql,
            ),
            Dialect::PostgreSql => (format!("CREATE DATABASE \"{id}\""), DatabaseDialect::Postgresql),
        };
        let request = CreateDatabaseRequest {
            parent: INSTANCE.into(),
            create_statement,
            database_dialect: dialect.into(),
            ..CreateDatabaseRequest::default()
        };
        // The emulator answers when the database is there; the operation is done at once.
        client
            .create_database(request)
            .await
            .map_err(|status| refused(&format!("CreateDatabase {id}"), status))?;
        Ok(self.database(id))
    }

    /// SIGKILL; everything it held is lost. Does nothing to an attached emulator.
    pub fn kill(&self) -> Result<(), ServerError> {
        self.signal("kill")
    }

    /// SIGSTOP: calls hang. Does nothing to an attached emulator.
    pub fn pause(&self) -> Result<(), ServerError> {
        self.signal("pause")
    }

    /// SIGCONT: the calls that hung continue. Does nothing to an attached emulator.
    pub fn resume(&self) -> Result<(), ServerError> {
        self.signal("resume")
    }

    /// Starts a killed emulator again on its port, empty.
    pub fn restart(&self) -> Result<(), ServerError> {
        self.instance.as_ref().map_or(Ok(()), Instance::up)
    }

    fn signal(&self, command: &str) -> Result<(), ServerError> {
        self.instance
            .as_ref()
            .map_or(Ok(()), |instance| instance.signal(command))
    }
}

fn refused(call: &str, status: tonic::Status) -> ServerError {
    ServerError::Call {
        call: call.to_owned(),
        source: Box::new(status),
    }
}
