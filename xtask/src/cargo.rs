//! Running cargo and the service scripts from the workspace's root.

use std::path::PathBuf;
use std::process::Command;

use spanferry_testkit::server::{services_directory, workspace_directory};

use crate::TaskError;

/// How programs are built.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Build {
    /// Our own crates are optimised; the others are shared with the test builds, which optimise them too, so that a clean build
    /// compiles them once.
    Quick,
    /// As they are released.
    Release,
}

impl Build {
    fn options(self) -> &'static [&'static str] {
        match self {
            Build::Quick => &["--config", "profile.dev.opt-level=2"],
            Build::Release => &["--release"],
        }
    }

    fn folder(self) -> &'static str {
        match self {
            Build::Quick => "debug",
            Build::Release => "release",
        }
    }
}

/// Builds the programs of packages; the folder in which they lie.
pub(crate) fn build(packages: &[&str], how: Build) -> Result<PathBuf, TaskError> {
    let mut command = cargo();
    command.arg("build").args(how.options());
    for package in packages {
        command.args(["--package", package]);
    }
    if !succeeds(&mut command)? {
        return Err(TaskError::Failed("spanferry does not build, see above".into()));
    }
    let target = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    let target = target.unwrap_or_else(|| workspace_directory().join("target"));
    Ok(target.join(how.folder()))
}

/// The cargo that runs us.
pub(crate) fn cargo() -> Command {
    let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(program);
    command.current_dir(workspace_directory());
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
    Command::new(services_directory().join(script))
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
