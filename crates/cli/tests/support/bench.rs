//! Servers shared by the tests of one binary, which use them one after another.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use spanferry_testkit::server::{Emulator, Engine, Server};
use tokio::sync::{Mutex, MutexGuard};

use super::World;

static MYSQL: Mutex<Option<Bench>> = Mutex::const_new(None);
static MARIADB: Mutex<Option<Bench>> = Mutex::const_new(None);

/// A source server and an emulator. They live as long as the process; their guards end them with
/// it.
pub struct Bench {
    pub server: Arc<Server>,
    pub emulator: Arc<Emulator>,
}

impl Bench {
    /// A world in a new schema of its own.
    pub async fn world(&self, dialect: &'static str, schema_sql: &str) -> World {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let schema = format!("case{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let (server, emulator) = (Arc::clone(&self.server), Arc::clone(&self.emulator));
        World::on(server, emulator, &schema, dialect, schema_sql).await
    }
}

/// The shared servers, for the caller alone until the guard is dropped: a transaction of another
/// test at the source would be one that `verify` takes for the source having moved on.
pub async fn bench(engine: Engine) -> MutexGuard<'static, Option<Bench>> {
    let shared = match engine {
        Engine::MySql => &MYSQL,
        Engine::MariaDb => &MARIADB,
    };
    let mut bench = shared.lock().await;
    if bench.is_none() {
        *bench = Some(Bench {
            server: Arc::new(Server::start(engine).unwrap()),
            emulator: Arc::new(Emulator::start().unwrap()),
        });
    }
    bench
}
