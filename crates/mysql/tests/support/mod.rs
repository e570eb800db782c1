//! Real servers for the tests of this crate: started on a free port in a short folder, brought down
//! even on panic.
#![allow(
    dead_code,
    unreachable_pub,
    reason = "each test binary uses its own part; one file is the test kit's"
)]

// The same deadline as in the test kit, which depends on crates that this one must not need.
#[path = "../../../testkit/src/patience.rs"]
pub(crate) mod patience;
pub(crate) mod plan;
pub(crate) mod schema;
pub(crate) mod stream;
pub(crate) mod types;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use spanferry_mysql::Options;
use spanferry_mysql::connection::Connection;

static COUNT: AtomicU32 = AtomicU32::new(0);

/// Options that keep a test's MySQL small.
pub(crate) const SMALL_MYSQL: &str =
    "--performance-schema=OFF --innodb-buffer-pool-size=64M --innodb-redo-log-capacity=16M";

/// A running server; dropped, it goes down and its folder with it.
pub(crate) struct Server {
    folder: PathBuf,
    script: PathBuf,
    pub(crate) port: u16,
}

impl Server {
    pub(crate) fn mysql(arguments: &str) -> Server {
        Server::start(
            "mysql.sh",
            &[("MYSQL_ARGS", format!("{SMALL_MYSQL} {arguments}"))],
        )
    }

    pub(crate) fn mysql_with_own_certificate() -> Server {
        Server::start(
            "mysql.sh",
            &[
                ("MYSQL_ARGS", SMALL_MYSQL.to_owned()),
                ("MYSQL_TLS", "auto".to_owned()),
            ],
        )
    }

    pub(crate) fn mariadb(arguments: &str) -> Server {
        Server::start("mariadb.sh", &[("MARIADB_ARGS", arguments.to_owned())])
    }

    /// A MariaDB of a Debian release with the plugins of these packages, also those for tests.
    pub(crate) fn mariadb_with_plugins(suite: &str, packages: &str) -> Server {
        Server::start(
            "mariadb.sh",
            &[
                ("MARIADB_ARGS", "--plugin-maturity=unknown".to_owned()),
                ("MARIADB_SUITE", suite.to_owned()),
                ("MARIADB_PLUGINS", packages.to_owned()),
            ],
        )
    }

    pub(crate) fn both() -> [Server; 2] {
        [
            Server::mysql(""),
            Server::mariadb("--gtid-strict-mode=1 --binlog-row-metadata=FULL"),
        ]
    }

    /// One of both, quick at definitions: one file for all tables, in memory where the machine has
    /// a folder for that.
    pub(crate) fn quick(mariadb: bool) -> Server {
        let in_memory = Path::new("/dev/shm").is_dir();
        let folder = if in_memory { "/dev/shm" } else { "/tmp" };
        let (script, variable, arguments) = if mariadb {
            let arguments = "--gtid-strict-mode=1 --binlog-row-metadata=FULL";
            ("mariadb.sh", "MARIADB_ARGS", arguments)
        } else {
            ("mysql.sh", "MYSQL_ARGS", SMALL_MYSQL)
        };
        let arguments = format!("{arguments} --innodb-file-per-table=OFF");
        Server::start_below(folder, script, &[(variable, arguments)])
    }

    fn start(script: &str, environment: &[(&str, String)]) -> Server {
        Server::start_below("/tmp", script, environment)
    }

    fn start_below(folder: &str, script: &str, environment: &[(&str, String)]) -> Server {
        let services = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../services");
        let script = services.join(script);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let folder = PathBuf::from(format!("{folder}/sfm{}-{number}", std::process::id()));
        let mut command = Command::new(&script);
        command
            .args(["up", "0"])
            .arg(&folder)
            .envs(environment.iter().map(|(name, value)| (*name, value)));
        let output = command.output().expect("the service script runs");
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        let port = std::fs::read_to_string(folder.join("port")).expect("the script writes the port");
        Server {
            port: port.trim().parse().expect("a port"),
            folder,
            script,
        }
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The last line of the server's log.
    pub(crate) fn last_words(&self) -> String {
        let log = std::fs::read(self.folder.join("log/server.log")).expect("the server has a log");
        let log = String::from_utf8_lossy(&log);
        log.lines().last().unwrap_or_default().to_owned()
    }

    /// Pastes text into the server's own client, as its administrator on this machine would.
    pub(crate) fn paste(&self, text: &str) {
        let mut client = Command::new(&self.script);
        let pasted = client.arg("sql").arg(&self.folder).args(["-e", text]).output();
        let pasted = pasted.expect("the script runs");
        let told = String::from_utf8_lossy(&pasted.stderr);
        assert!(pasted.status.success(), "{text}\n{told}");
    }

    /// What the server's own dump tool writes of a schema.
    pub(crate) fn dump(&self, options: &[&str], schema: &str) -> Vec<u8> {
        let mut tool = Command::new(&self.script);
        let dumped = tool
            .arg("dump")
            .arg(&self.folder)
            .args(options)
            .arg(schema)
            .output();
        let dumped = dumped.expect("the script runs");
        let errors = String::from_utf8_lossy(&dumped.stderr);
        assert!(dumped.status.success(), "{options:?}\n{errors}");
        dumped.stdout
    }

    pub(crate) fn command(&self, verb: &str) {
        let status = Command::new(&self.script)
            .arg(verb)
            .arg(&self.folder)
            .status()
            .expect("the script runs");
        assert!(status.success(), "{verb}");
    }

    /// Ends the server as by a crash and starts it again, on the same port.
    pub(crate) fn restart(&self) {
        self.command("kill");
        let up = Command::new(&self.script)
            .args(["up", "0"])
            .arg(&self.folder)
            .output();
        let up = up.expect("the script runs");
        assert!(up.status.success(), "{}", String::from_utf8_lossy(&up.stderr));
    }

    /// The authority that signed the server's certificate.
    pub(crate) fn authority(&self) -> PathBuf {
        let signed = self.folder.join("tls/ca.pem");
        if signed.exists() {
            signed
        } else {
            self.folder.join("data/ca.pem")
        }
    }

    /// Options for an account; `query` are URL parameters, empty for TLS with a verified
    /// certificate.
    pub(crate) fn options(&self, user: &str, password: &str, schema: &str, query: &str) -> Options {
        let verified = format!("ssl-ca={}", self.authority().display());
        let query = if query.is_empty() { &verified } else { query };
        Options::parse(&format!(
            "mysql://{user}:{password}@127.0.0.1:{}/{schema}?{query}",
            self.port
        ))
        .expect("a URL")
    }

    pub(crate) fn admin(&self, schema: &str) -> Options {
        self.options("admin", "admin", schema, "")
    }

    pub(crate) async fn connect(&self) -> Connection {
        Connection::open(&self.admin("")).await.expect("admin logs in")
    }

    /// Runs statements separated by `;` at line ends.
    pub(crate) async fn run(&self, sql: &str) -> Connection {
        let mut connection = self.connect().await;
        for statement in sql
            .split(";\n")
            .map(str::trim)
            .filter(|statement| !statement.is_empty())
        {
            if let Err(error) = connection.execute(statement).await {
                panic!("{error}: {statement}");
            }
        }
        connection
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(
            Command::new(&self.script)
                .arg("resume")
                .arg(&self.folder)
                .output(),
        );
        drop(Command::new(&self.script).arg("down").arg(&self.folder).output());
        drop(std::fs::remove_dir_all(&self.folder));
    }
}
