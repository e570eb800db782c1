//! Copies, writes and removes files; a failure names its file.

use std::path::Path;

use crate::error::TaskError;

/// The length of a file in bytes.
pub(super) fn size(file: &Path) -> Result<u64, TaskError> {
    std::fs::metadata(file)
        .map(|data| data.len())
        .map_err(|source| unusable(file, source))
}

/// Copies a file; folders that are missing on the way are made.
pub(super) fn copy(from: &Path, to: &Path) -> Result<(), TaskError> {
    make_folder_of(to)?;
    std::fs::copy(from, to)
        .map(drop)
        .map_err(|source| unusable(from, source))
}

/// Writes a file; folders that are missing on the way are made.
pub(super) fn write(file: &Path, text: &str) -> Result<(), TaskError> {
    make_folder_of(file)?;
    std::fs::write(file, text).map_err(|source| unusable(file, source))
}

fn make_folder_of(file: &Path) -> Result<(), TaskError> {
    let folder = file.parent().unwrap_or(file);
    std::fs::create_dir_all(folder).map_err(|source| unusable(folder, source))
}

/// Removes a folder that an earlier run may have left.
pub(super) fn remove(folder: &Path) -> Result<(), TaskError> {
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(unusable(folder, error)),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// The failure of a file or folder.
pub(super) fn unusable(path: &Path, source: std::io::Error) -> TaskError {
    TaskError::Failed(format!("{}: {source}", path.display()))
}
