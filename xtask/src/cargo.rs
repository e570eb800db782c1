//! Running cargo and the service scripts from the workspace's root.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::error::TaskError;

/// How programs are built.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Profile {
    /// As the tests build them, so that nothing is built twice; the dependencies are optimised.
    Dev,
    /// As they are released.
    Release,
}

impl Profile {
    fn options(self) -> &'static [&'static str] {
        match self {
            Profile::Dev => &[],
            Profile::Release => &["--release"],
        }
    }

    fn folder(self) -> &'static str {
        match self {
            Profile::Dev => "debug",
            Profile::Release => "release",
        }
    }
}

/// Builds the programs of packages, all in one call so that their dependencies have the same
/// features; the folder in which the programs lie.
pub(crate) fn build(packages: &[&str], profile: Profile) -> Result<PathBuf, TaskError> {
    let mut command = cargo();
    command.arg("build").args(profile.options());
    for package in packages {
        command.args(["--package", package]);
    }
    if !succeeds(&mut command)? {
        return Err(TaskError::Failed(format!(
            "{} does not build, see above",
            packages.join(", ")
        )));
    }
    Ok(target_directory().join(profile.folder()))
}

/// Where cargo builds.
pub(crate) fn target_directory() -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    target.unwrap_or_else(|| workspace_directory().join("target"))
}

/// The root of this checkout: that of the cargo that runs us, else where we were built.
pub(crate) fn workspace_directory() -> PathBuf {
    let built_in = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let package = std::env::var_os("CARGO_MANIFEST_DIR").map_or(built_in, PathBuf::from);
    package.parent().map_or(package.clone(), Path::to_owned)
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
    Command::new(workspace_directory().join("services").join(script))
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
