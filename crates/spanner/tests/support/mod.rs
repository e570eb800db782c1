//! A Spanner emulator of its own for each test, ended with it.

use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use spanferry_core::schema::target::Dialect;
use spanferry_spanner::client::{Client, ClientOptions};
use spanferry_spanner::endpoint::{Endpoint, EndpointChoice};

/// The emulator as started by the service scripts.
pub(crate) struct Emulator {
    directory: PathBuf,
    address: String,
}

impl Emulator {
    /// Starts one on a free port.
    pub(crate) fn start() -> Emulator {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let directory = std::env::temp_dir().join(format!("sfs-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let mut emulator = Emulator {
            directory,
            address: String::new(),
        };
        let url = emulator.script("up", &["0"]);
        let address = url
            .strip_prefix("spanner://")
            .and_then(|url| url.split('/').next());
        address
            .expect("spanner://HOST:PORT/…")
            .clone_into(&mut emulator.address);
        emulator
    }

    /// A client of a database in it, which need not exist.
    pub(crate) fn client(&self, database: &str) -> Client {
        self.client_of(&format!("projects/test/instances/test/databases/{database}"))
    }

    /// The same, by its whole path.
    pub(crate) fn client_of(&self, path: &str) -> Client {
        let name = path.parse().unwrap();
        let choice = EndpointChoice {
            emulator_host: Some(self.address.clone()),
            ..EndpointChoice::default()
        };
        Client::new(name, Endpoint::choose(&choice).unwrap(), ClientOptions::default()).unwrap()
    }

    /// A client of a new database.
    #[allow(
        dead_code,
        reason = "not every test binary that includes this module needs it"
    )]
    pub(crate) async fn database(&self, database: &str, dialect: Dialect, statements: &[&str]) -> Client {
        let client = self.client(database);
        client.create_database(dialect).await.unwrap();
        let statements: Vec<String> = statements
            .iter()
            .map(|statement| (*statement).to_owned())
            .collect();
        if !statements.is_empty() {
            client.update_ddl(&statements, "setup").await.unwrap();
        }
        client
    }

    /// Stops the server without ending it: calls hang.
    #[allow(
        dead_code,
        reason = "not every test binary that includes this module needs it"
    )]
    pub(crate) fn pause(&self) {
        self.script("pause", &[]);
    }

    /// Lets a paused server continue.
    #[allow(
        dead_code,
        reason = "not every test binary that includes this module needs it"
    )]
    pub(crate) fn resume(&self) {
        self.script("resume", &[]);
    }

    fn script(&self, verb: &str, arguments: &[&str]) -> String {
        let services = std::env::var_os("SPANFERRY_SERVICES").map_or_else(
            || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../services"),
            PathBuf::from,
        );
        let mut command = Command::new(services.join("spanner.sh"));
        let output = command
            .arg(verb)
            .args(arguments)
            .arg(&self.directory)
            .output()
            .expect("spanner.sh runs");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "spanner.sh {verb}: {errors}");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        self.script("down", &[]);
        std::fs::remove_dir_all(&self.directory).unwrap();
    }
}
