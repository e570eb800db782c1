//! A stand-in for Spanner: a gRPC server that speaks its API in its place, or as an interposer
//! between our client and the emulator.
//!
//! It checks what the emulator does not (limits, tokens, headers, value forms), records every
//! violation, and injects faults.

mod catalog;
mod check;
mod ddl;
mod ddl_rules;
mod faults;
mod forward;
mod headers;
mod late;
mod message;
mod null;
mod read;
mod refusal;
mod schema;
mod server;
mod sql;
mod store;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::net::TcpListener;
use tokio::runtime::Runtime;

pub use check::Check;
pub use ddl_rules::{DdlRules, DdlStage, Outlast};
pub use faults::{Fault, FaultRate, Faults, Loss, MalformedFault, parse_rates};
pub use refusal::{Rule, Violation};

use forward::Forward;
use null::Null;
use refusal::Violations;

/// What stands behind the stand-in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mode {
    /// Nothing: control tables `spanferry_…` are kept in memory, rows of all others are checked and
    /// discarded.
    Null,
    /// Nothing, and the rows of all tables are kept in memory.
    Keep,
    /// The emulator at `HOST:PORT`: the stand-in is an interposer.
    Forward(String),
}

/// How a stand-in is to run.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// Address to listen on; port 0 takes a free one.
    pub listen: SocketAddr,
    /// What stands behind it.
    pub mode: Mode,
    /// How much of a commit is checked.
    pub check: Check,
    /// Faults by probability.
    pub rates: Vec<FaultRate>,
    /// Seed of the faults.
    pub seed: u64,
}

impl Options {
    /// A free port of the loopback address, full checks, no faults.
    pub fn new(mode: Mode) -> Options {
        let listen = SocketAddr::from(([127, 0, 0, 1], 0));
        Options {
            listen,
            mode,
            check: Check::Full,
            rates: Vec::new(),
            seed: 0,
        }
    }
}

/// What went through so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    /// Commits that were carried out.
    pub commits: u64,
    /// Rows written and keys or ranges deleted in them.
    pub rows: u64,
    /// Bytes of their requests.
    pub bytes: u64,
}

#[derive(Debug, Default)]
struct Counting {
    commits: AtomicU64,
    rows: AtomicU64,
    bytes: AtomicU64,
}

/// What all calls share.
#[derive(Debug)]
struct Shared {
    check: Check,
    faults: Faults,
    ddl_rules: DdlRules,
    violations: Violations,
    counting: Counting,
    back: Back,
    late: late::Queue,
}

#[derive(Debug)]
enum Back {
    Null(Box<Null>),
    Forward(Box<Forward>),
}

/// A running stand-in, on threads of its own; ends when dropped.
#[derive(Debug)]
pub struct StandIn {
    address: SocketAddr,
    shared: Arc<Shared>,
    runtime: Option<Runtime>,
}

/// Threads that serve calls: a sink must not be the bottleneck, nor take the machine.
const THREADS: usize = 2;

impl StandIn {
    /// Starts one. Fails when the address cannot be had. Works inside and outside of a tokio
    /// runtime.
    pub fn start(options: Options) -> io::Result<StandIn> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(THREADS)
            .thread_name("stand-in")
            .enable_all()
            .build()?;
        let listener = std::net::TcpListener::bind(options.listen)?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let _entered = runtime.enter();
        let back = match options.mode {
            Mode::Null => Back::Null(Box::new(Null::new(false))),
            Mode::Keep => Back::Null(Box::new(Null::new(true))),
            Mode::Forward(upstream) => {
                let forward = Forward::new(&upstream)
                    .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
                Back::Forward(Box::new(forward))
            }
        };
        let shared = Arc::new(Shared {
            check: options.check,
            faults: Faults::new(options.seed, options.rates),
            ddl_rules: DdlRules::default(),
            violations: Violations::default(),
            counting: Counting::default(),
            back,
            late: late::Queue::default(),
        });
        runtime.spawn(server::serve(
            TcpListener::from_std(listener)?,
            Arc::clone(&shared),
        ));
        Ok(StandIn {
            address,
            shared,
            runtime: Some(runtime),
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Faults, to be changed at run time.
    pub fn faults(&self) -> &Faults {
        &self.shared.faults
    }

    /// Rules for DDL, to be changed at run time.
    pub fn ddl_rules(&self) -> &DdlRules {
        &self.shared.ddl_rules
    }

    /// The names of the objects at which operations are held now.
    pub fn held_ddl(&self) -> Vec<String> {
        match &self.shared.back {
            Back::Null(null) => null.held_ddl(),
            Back::Forward(_) => Vec::new(),
        }
    }

    /// Lets a held operation continue behind the statement that creates `name`; if it fails, what
    /// it created is gone.
    ///
    /// # Panics
    /// When no operation is held at this name, as in forward mode.
    pub fn finish_ddl(&self, name: &str, succeeds: bool) {
        let is_found = match &self.shared.back {
            Back::Null(null) => null.finish_ddl(&self.shared, name, succeeds),
            Back::Forward(_) => false,
        };
        assert!(is_found, "no operation is held at `{name}`");
    }

    /// Violations so far, at most 1,000.
    pub fn violations(&self) -> Vec<Violation> {
        self.shared.violations.all()
    }

    /// Violations since the last call, at most 1,000.
    pub fn take_violations(&self) -> Vec<Violation> {
        self.shared.violations.take()
    }

    /// What went through so far.
    pub fn counters(&self) -> Counters {
        let counting = &self.shared.counting;
        Counters {
            commits: counting.commits.load(Ordering::Relaxed),
            rows: counting.rows.load(Ordering::Relaxed),
            bytes: counting.bytes.load(Ordering::Relaxed),
        }
    }

    /// Ends all sessions, as the service ends a multiplexed one after 28 days: calls get
    /// `Session not found`. Does nothing in forward mode.
    pub fn expire_sessions(&self) {
        match &self.shared.back {
            Back::Null(null) => null.expire_sessions(),
            Back::Forward(_) => {}
        }
    }

    /// Commits that wait to be carried out late.
    pub fn late_commits(&self) -> usize {
        self.shared.late.len()
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
