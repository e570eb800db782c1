//! A MySQL or MariaDB server as a source, and a replica of it.

use std::path::{Path, PathBuf};

use mysql_async::prelude::{FromRow, Queryable};

use super::instance::{Instance, ServerError};

/// Account with every privilege that each server has; the password is the same word.
const ADMINISTRATOR: &str = "admin";

/// Which server software.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Engine {
    /// MySQL, the version of Debian sid unless an installed one is asked for.
    MySql,
    /// MariaDB, the version of Debian 12 unless another suite is asked for.
    MariaDb,
}

impl Engine {
    fn script(self) -> &'static str {
        match self {
            Self::MySql => "mysql.sh",
            Self::MariaDb => "mariadb.sh",
        }
    }
}

/// How a server differs from the default: GTIDs, row format with full images and metadata, TLS
/// offered, and commits that survive a kill of the server but not of the machine.
#[derive(Debug, Clone, Default)]
pub struct ServerOptions {
    /// Further options of the server program, such as `--sync-binlog=1`; kept for restarts. No
    /// white space inside one.
    pub arguments: Vec<String>,
    /// Debian suite to take the server from (`sid` for MySQL; `bullseye`, `bookworm` or `trixie`
    /// for MariaDB).
    pub suite: Option<String>,
    /// MySQL only: use the installed server program when there is one of version 8 or later.
    pub installed: bool,
    /// MySQL only: the certificate that MySQL makes for itself, which names no host.
    pub certificate_without_name: bool,
    /// Sync log and binlog at every commit.
    pub durable: bool,
    /// MariaDB only: Debian packages whose plugins the server finds.
    pub plugins: Option<String>,
    /// The machine's time zone as the server sees it, in the form of `TZ`.
    pub time_zone: Option<String>,
}

/// A server. Dropping it ends the process and removes its data.
#[derive(Debug)]
pub struct Server {
    engine: Engine,
    instance: Instance,
    port: u16,
}

impl Server {
    /// Starts an empty server with default options, and waits until it answers.
    pub fn start(engine: Engine) -> Result<Self, ServerError> {
        Self::start_with(engine, &ServerOptions::default())
    }

    /// Starts an empty server, and waits until it answers.
    pub fn start_with(engine: Engine, options: &ServerOptions) -> Result<Self, ServerError> {
        let instance = Instance::new(engine.script(), environment(engine, options))?;
        instance.up()?;
        let port = instance.number("port")?;
        Ok(Self {
            engine,
            instance,
            port,
        })
    }

    /// Starts a read-only replica that follows this server by GTID. It may lag; nothing waits for
    /// it here.
    pub fn replica(&self) -> Result<Self, ServerError> {
        let environment = environment(self.engine, &ServerOptions::default());
        let instance = Instance::new(self.engine.script(), environment)?;
        let (own, source) = (instance.directory_text(), self.instance.directory_text());
        instance.run(&["replica", "0", &own, &source])?;
        let port = instance.number("port")?;
        Ok(Self {
            engine: self.engine,
            instance,
            port,
        })
    }

    /// Orderly stop. The data stay for [`Server::restart`].
    pub fn stop(&self) -> Result<(), ServerError> {
        self.instance.signal("down")
    }

    /// SIGKILL. The data stay for [`Server::restart`]; with default options no acknowledged commit
    /// is lost.
    pub fn kill(&self) -> Result<(), ServerError> {
        self.instance.signal("kill")
    }

    /// Starts a stopped or killed server again on its port with its data; does nothing when it
    /// runs.
    pub fn restart(&self) -> Result<(), ServerError> {
        self.instance.up()
    }

    /// SIGSTOP: connections are accepted by the kernel, and never answered.
    pub fn pause(&self) -> Result<(), ServerError> {
        self.instance.signal("pause")
    }

    /// SIGCONT after [`Server::pause`].
    pub fn resume(&self) -> Result<(), ServerError> {
        self.instance.signal("resume")
    }

    /// Which software this is.
    pub fn engine(&self) -> Engine {
        self.engine
    }

    /// TCP port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// `mysql://admin@127.0.0.1:PORT/SCHEMA?ssl-ca=FILE`, without the password, as
    /// `spanferry --source` takes it.
    pub fn url(&self, schema: &str) -> String {
        let authority = self.certificate_authority();
        format!(
            "mysql://{ADMINISTRATOR}@127.0.0.1:{}/{schema}?ssl-ca={}",
            self.port,
            authority.display()
        )
    }

    /// Password of the account in [`Server::url`].
    pub fn password(&self) -> &'static str {
        ADMINISTRATOR
    }

    /// The directory that holds data, logs (`log/server.log`) and certificates.
    pub fn directory(&self) -> &Path {
        self.instance.directory()
    }

    /// The certificate of the authority that signed the server's certificate.
    pub fn certificate_authority(&self) -> PathBuf {
        let signed = self.directory().join("tls/ca.pem");
        if signed.exists() {
            signed
        } else {
            self.directory().join("data/ca.pem")
        }
    }

    /// A pool of connections as administrator, without TLS; `schema` is the default database if
    /// given.
    pub fn pool(&self, schema: Option<&str>) -> mysql_async::Pool {
        let options = mysql_async::OptsBuilder::default()
            .ip_or_hostname("127.0.0.1")
            .tcp_port(self.port)
            .user(Some(ADMINISTRATOR))
            .pass(Some(ADMINISTRATOR))
            .prefer_socket(false)
            .db_name(schema);
        mysql_async::Pool::new(options)
    }

    /// Runs statements, separated by semicolons, on one new connection.
    pub async fn execute(&self, schema: Option<&str>, statements: &str) -> Result<(), ServerError> {
        let pool = self.pool(schema);
        let result = async {
            let mut connection = pool.get_conn().await?;
            connection.query_drop(statements).await
        };
        let result = result.await.map_err(|source| refused(statements, source));
        pool.disconnect()
            .await
            .map_err(|source| refused("QUIT", source))?;
        result
    }

    /// Pastes text into the server's own client, as its administrator on this machine would.
    pub fn paste(&self, text: &str) -> Result<String, ServerError> {
        let directory = self.instance.directory_text();
        self.instance.run(&["sql", &directory, "-e", text])
    }

    /// All rows of one query, on a new connection.
    pub async fn query<T: FromRow + Send + 'static>(
        &self,
        schema: Option<&str>,
        query: &str,
    ) -> Result<Vec<T>, ServerError> {
        let pool = self.pool(schema);
        let result = async {
            let mut connection = pool.get_conn().await?;
            connection.query(query).await
        };
        let result = result.await.map_err(|source| refused(query, source));
        pool.disconnect()
            .await
            .map_err(|source| refused("QUIT", source))?;
        result
    }
}

fn refused(statement: &str, source: mysql_async::Error) -> ServerError {
    ServerError::Sql {
        statement: statement.chars().take(200).collect(),
        source,
    }
}

/// What the script reads for these options. The argument variable is always set, so that the
/// caller's own is not inherited.
fn environment(engine: Engine, options: &ServerOptions) -> Vec<(&'static str, String)> {
    let (arguments, suite, durable) = match engine {
        Engine::MySql => ("MYSQL_ARGS", "MYSQL_SUITE", "MYSQL_DURABLE"),
        Engine::MariaDb => ("MARIADB_ARGS", "MARIADB_SUITE", "MARIADB_DURABLE"),
    };
    let mut environment = vec![(arguments, options.arguments.join(" "))];
    if let Some(name) = &options.suite {
        environment.push((suite, name.clone()));
    }
    if let Some(packages) = &options.plugins {
        environment.push(("MARIADB_PLUGINS", packages.clone()));
    }
    if let Some(zone) = &options.time_zone {
        environment.push(("TZ", zone.clone()));
    }
    for (wanted, variable, value) in [
        (options.durable, durable, "1"),
        (options.installed, "MYSQL_INSTALLED", "1"),
        (options.certificate_without_name, "MYSQL_TLS", "auto"),
    ] {
        if wanted {
            environment.push((variable, value.to_owned()));
        }
    }
    environment
}
