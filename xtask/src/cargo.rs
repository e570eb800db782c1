//! Running cargo and the service scripts from the workspace's root.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::TaskError;

/// The folder of the workspace's manifest.
pub(crate) fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("xtask is a folder of the workspace")
        .to_owned()
}

/// The cargo that runs us.
pub(crate) fn cargo() -> Command {
    let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(program);
    command.current_dir(workspace());
    command
}

/// Runs `command` with our own terminal; true when it succeeded.
pub(crate) fn succeeds(command: &mut Command) -> Result<bool, TaskError> {
    let program = command.get_program().to_string_lossy().into_owned();
    command
        .status()
        .map(|status| status.success())
        .map_err(|source| TaskError::Run { program, source })
}

/// A service script of this checkout.
pub(crate) fn service(script: &str) -> Command {
    Command::new(spanferry_testkit::server::services_directory().join(script))
}

/// What a person does when this machine has no emulator.
pub(crate) fn emulator_missing() -> TaskError {
    TaskError::Missing {
        what: "this machine has no Cloud Spanner emulator, and nothing else can stand in for it".into(),
        remedy: "hint: install it with one of
  sudo apt-get install google-cloud-cli-spanner-emulator    (package source: https://cloud.google.com/sdk/docs/install#deb)
  gcloud components install cloud-spanner-emulator
or name the folder of an unpacked one (with gateway_main and emulator_main) in SPANNER_EMULATOR_DIR,
or the address of a running one in SPANNER_EMULATOR_HOST"
            .into(),
    }
}
