//! Why a private directory or a file in it was not used, and the command that corrects it.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use spanferry_core::report::code;
use spanferry_core::report::failure::{Class, Failure};
use spanferry_core::report::shell::quoted;
use thiserror::Error;

/// Why a private directory or a file in it was not used.
#[derive(Debug, Error)]
pub enum PrivateError {
    /// Others can reach it, or it is not what its name promises. Nothing was read or written.
    #[error("`{}` {fault}", path.display())]
    Unsafe {
        /// The directory or file.
        path: PathBuf,
        /// What is wrong with it.
        fault: Fault,
    },
    /// A file operation failed.
    #[error("`{}` could not be {action}", path.display())]
    Io {
        /// What was attempted, as a participle.
        action: &'static str,
        /// The directory or file.
        path: PathBuf,
        /// The operating system's words.
        #[source]
        source: io::Error,
    },
}

impl PrivateError {
    /// The error for a caller that knows the action and the file itself: the operating system's, or
    /// this one within.
    pub fn into_io(self) -> io::Error {
        match self {
            PrivateError::Io { source, .. } => source,
            PrivateError::Unsafe { .. } => io::Error::new(io::ErrorKind::PermissionDenied, self),
        }
    }
}

/// What makes a directory or file unsafe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// A symbolic link stands in its place.
    Link {
        /// Where the link points.
        to: PathBuf,
    },
    /// Something else than a directory.
    NotDirectory,
    /// Something else than a regular file.
    NotFile,
    /// It belongs to another user.
    Owner {
        /// The other user's number.
        owner: u32,
        /// The number of the user that this process runs as.
        expected: u32,
    },
    /// Its mode gives rights to its group or to others.
    Mode {
        /// The permission bits.
        mode: u32,
        /// Whether it is a directory.
        is_directory: bool,
    },
    /// The same file has a second name somewhere: to write here would change it there.
    HardLink,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Link { to } => write!(f, "is a symbolic link to `{}`", to.display()),
            Fault::NotDirectory => f.write_str("is not a directory"),
            Fault::NotFile => f.write_str("is not a regular file"),
            Fault::Owner { owner, expected } => {
                write!(
                    f,
                    "belongs to user {owner}, and this process runs as user {expected}"
                )
            }
            Fault::Mode { mode, .. } => {
                write!(f, "has mode {mode:04o}: other users have rights on it")
            }
            Fault::HardLink => f.write_str("has a second name somewhere (a hard link)"),
        }
    }
}

impl Fault {
    /// The failure of a command that does not use this path.
    pub fn refusal(&self, path: &Path) -> Failure {
        let object = path.display().to_string();
        Failure::new(code::STATE_UNSAFE, Class::StopMigration, object, self.to_string())
            .hint(self.remedy(path))
    }

    /// What an operator does about it.
    pub fn remedy(&self, path: &Path) -> String {
        let text = path.to_string_lossy();
        let shown = quoted(&text);
        match self {
            Fault::Link { to } => format!(
                "Links are not followed here. Use the place itself, `{}`, or remove the link: `rm {shown}`.",
                to.display()
            ),
            Fault::NotDirectory | Fault::NotFile => format!("Move it away: `mv {shown} {shown}.old`."),
            Fault::Owner { .. } => {
                "Run as the user that it belongs to, or name another directory with `--state-dir`.".to_owned()
            }
            Fault::Mode {
                is_directory: true, ..
            } => format!(
                "Run `chmod -R go= {shown}`, or name a directory that does not exist yet with `--state-dir`."
            ),
            Fault::Mode { .. } => format!("Run `chmod go= {shown}`."),
            Fault::HardLink => {
                format!("Make a copy of its own: `cp -p {shown} {shown}.copy && mv {shown}.copy {shown}`.")
            }
        }
    }
}

impl From<PrivateError> for Failure {
    fn from(error: PrivateError) -> Failure {
        match error {
            PrivateError::Unsafe { path, fault } => fault.refusal(&path),
            PrivateError::Io { action, path, source } => {
                let text = format!("could not be {action}");
                let object = path.display().to_string();
                Failure::new(code::DISK_FAILED, Class::StopMigration, object, text).caused_by(source)
            }
        }
    }
}
