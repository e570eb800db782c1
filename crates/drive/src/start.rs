//! What a task starts: its runtime, scripts and commands.

use std::process::Command;

use spanferry_testkit::server::services_directory;

use crate::error::DriveError;

/// The runtime of a task that talks to servers.
pub(crate) fn runtime() -> Result<tokio::runtime::Runtime, DriveError> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|source| DriveError::Run {
            program: "tokio".into(),
            source,
        })
}

/// A service script of this checkout.
pub(crate) fn service(script: &str) -> Command {
    Command::new(services_directory().join(script))
}

/// Runs `command` with our own terminal; true when it succeeded.
pub(crate) fn succeeds(command: &mut Command) -> Result<bool, DriveError> {
    let program = command.get_program().to_string_lossy().into_owned();
    command
        .status()
        .map(|status| status.success())
        .map_err(|source| DriveError::Run { program, source })
}
