//! The run's log: `run.log` in the state directory, mode 0600, without row values or secrets.

use std::sync::Mutex;

use spanferry_core::failure::Failure;
use tracing_subscriber::EnvFilter;

use crate::state_dir::StateDir;

/// Sends everything that is traced to the state directory. `SPANFERRY_LOG` sets the filter, `info` without it.
pub(crate) fn start(state: &StateDir) -> Result<(), Failure> {
    let filter = EnvFilter::try_from_env("SPANFERRY_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(false)
        .with_target(false)
        .with_writer(Mutex::new(state.run_log()?))
        .finish();
    // A second start within one process keeps the first subscriber.
    let _already = tracing::subscriber::set_global_default(subscriber);
    Ok(())
}
