//! `cargo xtask dist`: the archive that users install: one program, its man pages and shell
//! completions.

mod archive;
mod files;
mod needs;

use std::path::{Path, PathBuf};

use crate::cargo::{cargo, succeeds, target_directory};
use crate::error::TaskError;
use files::{copy, remove, size, write};

/// The profile in `Cargo.toml` that the program is built with, and cargo's folder for it.
const PROFILE: &str = "dist";
/// The target that this machine builds for; set by `build.rs`.
const TARGET: &str = env!("BUILD_TARGET");
/// All crates of the workspace have one version.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Builds, checks and packs; prints the archive, the program's size and the C library that it
/// needs.
pub(crate) fn run() -> Result<(), TaskError> {
    let folder = target_directory().join("archives");
    let name = format!("spanferry-{VERSION}-{TARGET}");
    let stage = folder.join(&name);
    remove(&stage)?;
    let program = program(&folder.join("link"))?;
    let needs = needs::of(&program)?;
    needs.only_the_c_library().map_err(TaskError::Failed)?;
    manual(&stage)?;
    copy(&program, &stage.join("bin/spanferry"))?;
    copy(
        &crate::cargo::workspace_directory().join("README.md"),
        &stage.join("share/doc/spanferry/README.md"),
    )?;
    let archive = archive::pack(&folder, &name)?;
    remove(&stage)?;
    println!("==> {}", archive.path.display());
    println!("    sha256 {}", archive.sha256);
    println!(
        "    program: {} bytes; archive: {} bytes",
        size(&program)?,
        size(&archive.path)?
    );
    println!("    needs {}", needs.text());
    Ok(())
}

/// Builds the program. The compiler's own runtime (`libgcc_s`) is linked into it: in `link` its
/// name stands for the static one.
fn program(link: &Path) -> Result<PathBuf, TaskError> {
    write(&link.join("libgcc_s.so"), "INPUT(libgcc_eh.a)\n")?;
    let search = format!("link-arg=-L{}", link.display());
    let mut command = cargo();
    command.args([
        "rustc",
        "--locked",
        "--package",
        "spanferry",
        "--bin",
        "spanferry",
    ]);
    command.args(["--profile", PROFILE, "--", "-C", &search]);
    if !succeeds(&mut command)? {
        return Err(TaskError::Failed("spanferry does not build, see above".into()));
    }
    Ok(target_directory().join(PROFILE).join("spanferry"))
}

/// Writes the man pages and completions.
fn manual(stage: &Path) -> Result<(), TaskError> {
    let mut command = cargo();
    command.args([
        "run",
        "--locked",
        "--quiet",
        "--package",
        "spanferry",
        "--example",
        "manual",
        "--",
    ]);
    if succeeds(command.arg(stage))? {
        Ok(())
    } else {
        Err(TaskError::Failed(
            "the man pages cannot be written, see above".into(),
        ))
    }
}
