//! The directory: every name in it is opened from its handle, so that the directory cannot be
//! exchanged meanwhile.

use std::ffi::OsString;
use std::fs::{self, DirBuilder, File};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, CWD, FileType, Mode, OFlags, Stat, fstat, openat, readlinkat, renameat, statat, unlinkat,
};
use rustix::io::Errno;
use rustix::process::geteuid;

use crate::error::{Fault, PrivateError};

/// Mode of every file: its owner reads and writes.
const FILE_MODE: Mode = Mode::RUSR.union(Mode::WUSR);
/// Mode of the directory.
const DIRECTORY_MODE: u32 = 0o700;
/// Rights of the group and of others.
const OTHERS: u32 = 0o077;
/// A link is an error, a pipe does not block, a terminal does not become ours, and no child
/// inherits the handle.
const SAFE: OFlags = OFlags::NOFOLLOW
    .union(OFlags::NONBLOCK)
    .union(OFlags::NOCTTY)
    .union(OFlags::CLOEXEC);

/// An open directory that belongs to this user and gives rights to no other user.
///
/// Only its own files are used: regular files of this user, without rights for others and without a
/// second name. The directories above it are not judged, and links among those are followed.
#[derive(Debug)]
pub struct PrivateDir {
    path: PathBuf,
    handle: OwnedFd,
}

impl PrivateDir {
    /// Makes the directory, and those above it, where they are missing (mode 0700), and opens it.
    pub fn create(path: &Path) -> Result<PrivateDir, PrivateError> {
        let path = without_slash(path);
        // What stands there already is judged below: a link is not followed.
        if is_missing(&path) {
            let made = DirBuilder::new()
                .recursive(true)
                .mode(DIRECTORY_MODE)
                .create(&path);
            made.map_err(|source| failed("created", &path, source))?;
        }
        let opened = PrivateDir::open(&path)?;
        opened.ok_or_else(|| failed("opened", &path, Errno::NOENT.into()))
    }

    /// Opens a directory; none if it does not exist.
    pub fn open(path: &Path) -> Result<Option<PrivateDir>, PrivateError> {
        let path = without_slash(path);
        let before = match statat(CWD, &path, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => stat,
            Err(Errno::NOENT) => return Ok(None),
            Err(errno) => return Err(failed("opened", &path, errno.into())),
        };
        let to = || readlinkat(CWD, &path, Vec::new()).map(into_path);
        expect_directory(&before, &path, to)?;
        let flags = SAFE | OFlags::RDONLY | OFlags::DIRECTORY;
        let handle = openat(CWD, &path, flags, Mode::empty());
        let handle = handle.map_err(|errno| failed("opened", &path, errno.into()))?;
        // What was opened is judged, not what stood there before.
        let opened = fstat(&handle).map_err(|errno| failed("opened", &path, errno.into()))?;
        expect_directory(&opened, &path, to)?;
        Ok(Some(PrivateDir { path, handle }))
    }

    /// Where it is, for messages.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A second handle of the same directory.
    pub fn try_clone(&self) -> Result<PrivateDir, PrivateError> {
        let handle = self.handle.try_clone();
        Ok(PrivateDir {
            handle: handle.map_err(|source| failed("opened", &self.path, source))?,
            path: self.path.clone(),
        })
    }

    /// Whether there is anything of this name.
    pub fn contains(&self, name: &str) -> bool {
        statat(&self.handle, name, AtFlags::SYMLINK_NOFOLLOW).is_ok()
    }

    /// All names, in any order; one that is not UTF-8 is none of ours.
    pub fn names(&self) -> Result<Vec<String>, PrivateError> {
        let failed = |errno: Errno| failed("listed", &self.path, errno.into());
        let mut names = Vec::new();
        for entry in rustix::fs::Dir::read_from(&self.handle).map_err(failed)? {
            let name = entry.map_err(failed)?.file_name().to_str().map(str::to_owned);
            names.extend(name.ok().filter(|name| name != "." && name != ".."));
        }
        Ok(names)
    }

    /// Opens a file for reading; none if there is none.
    pub fn open_to_read(&self, name: &str) -> Result<Option<File>, PrivateError> {
        self.open_existing(name, OFlags::RDONLY)
    }

    /// Opens a file for reading and writing; none if there is none.
    pub fn open_to_write(&self, name: &str) -> Result<Option<File>, PrivateError> {
        self.open_existing(name, OFlags::RDWR)
    }

    /// Opens a file for reading and writing, and makes it if there is none. What it holds stays.
    pub fn open_or_create(&self, name: &str) -> Result<File, PrivateError> {
        self.open_file(name, OFlags::RDWR | OFlags::CREATE)
    }

    /// Opens a file whose end is written to, and makes it if there is none.
    pub fn open_to_append(&self, name: &str) -> Result<File, PrivateError> {
        self.open_file(name, OFlags::WRONLY | OFlags::APPEND | OFlags::CREATE)
    }

    /// Makes a new file for reading and writing, in the place of whatever has this name.
    pub fn create_new(&self, name: &str) -> Result<File, PrivateError> {
        if self.contains(name) {
            self.remove(name)?;
        }
        self.open_file(name, OFlags::RDWR | OFlags::CREATE | OFlags::EXCL)
    }

    /// What a file holds; none if there is none.
    pub fn read(&self, name: &str) -> Result<Option<Vec<u8>>, PrivateError> {
        let Some(mut file) = self.open_to_read(name)? else {
            return Ok(None);
        };
        let mut content = Vec::new();
        let read = file.read_to_end(&mut content);
        read.map_err(|source| self.failed("read", name, source))?;
        Ok(Some(content))
    }

    /// Replaces a small file at once: a reader sees the old content or the new one. A power cut may
    /// leave an empty file.
    pub fn replace(&self, name: &str, content: &[u8]) -> Result<(), PrivateError> {
        self.replace_with(name, content, |_| Ok(()))
    }

    /// The same, durable when it returns: a power cut leaves the old content or the new one.
    pub fn replace_durably(&self, name: &str, content: &[u8]) -> Result<(), PrivateError> {
        self.replace_with(name, content, File::sync_all)?;
        self.sync()
    }

    fn replace_with(
        &self,
        name: &str,
        content: &[u8],
        finish: fn(&File) -> io::Result<()>,
    ) -> Result<(), PrivateError> {
        let draft = format!("{name}.new");
        let mut file = self.create_new(&draft)?;
        let written = file.write_all(content).and_then(|()| finish(&file));
        written.map_err(|source| self.failed("written", name, source))?;
        self.rename(&draft, name)
    }

    /// Renames; durable only after [`PrivateDir::sync`].
    pub fn rename(&self, from: &str, to: &str) -> Result<(), PrivateError> {
        renameat(&self.handle, from, &self.handle, to)
            .map_err(|errno| self.failed("renamed", from, errno.into()))
    }

    /// Removes a file; durable only after [`PrivateDir::sync`].
    pub fn remove(&self, name: &str) -> Result<(), PrivateError> {
        unlinkat(&self.handle, name, AtFlags::empty())
            .map_err(|errno| self.failed("removed", name, errno.into()))
    }

    /// Removes a directory in it with the files that it holds, if there is one.
    pub fn remove_directory(&self, name: &str) -> Result<(), PrivateError> {
        let Some(directory) = PrivateDir::open(&self.path.join(name))? else {
            return Ok(());
        };
        for file in directory.names()? {
            directory.remove(&file)?;
        }
        unlinkat(&self.handle, name, AtFlags::REMOVEDIR)
            .map_err(|errno| self.failed("removed", name, errno.into()))
    }

    /// Makes creations, renames and removals durable.
    pub fn sync(&self) -> Result<(), PrivateError> {
        rustix::fs::fsync(&self.handle).map_err(|errno| failed("synced", &self.path, errno.into()))
    }

    fn open_existing(&self, name: &str, flags: OFlags) -> Result<Option<File>, PrivateError> {
        match self.open_file(name, flags) {
            Err(PrivateError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(None),
            opened => opened.map(Some),
        }
    }

    fn open_file(&self, name: &str, flags: OFlags) -> Result<File, PrivateError> {
        let path = self.path.join(name);
        let to = || readlinkat(&self.handle, name, Vec::new()).map(into_path);
        let handle = match openat(&self.handle, name, SAFE | flags, FILE_MODE) {
            Ok(handle) => handle,
            Err(errno) => return Err(self.not_opened(&path, name, errno, to)),
        };
        let stat = fstat(&handle).map_err(|errno| failed("opened", &path, errno.into()))?;
        expect_file(&stat, &path, to)?;
        Ok(File::from(handle))
    }

    /// Why a name could not be opened: what stands there may be no file of ours.
    fn not_opened(
        &self,
        path: &Path,
        name: &str,
        errno: Errno,
        to: impl Fn() -> Result<PathBuf, Errno>,
    ) -> PrivateError {
        let found = statat(&self.handle, name, AtFlags::SYMLINK_NOFOLLOW);
        let fault = found.ok().and_then(|stat| expect_file(&stat, path, to).err());
        fault.unwrap_or_else(|| failed("opened", path, errno.into()))
    }

    fn failed(&self, action: &'static str, name: &str, source: io::Error) -> PrivateError {
        failed(action, &self.path.join(name), source)
    }
}

impl AsFd for PrivateDir {
    fn as_fd(&self) -> rustix::fd::BorrowedFd<'_> {
        self.handle.as_fd()
    }
}

/// The path without a slash at its end, which would follow a link.
fn without_slash(path: &Path) -> PathBuf {
    path.components().collect()
}

fn is_missing(path: &Path) -> bool {
    fs::symlink_metadata(path).is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
}

fn into_path(bytes: std::ffi::CString) -> PathBuf {
    OsString::from_vec(bytes.into_bytes()).into()
}

fn failed(action: &'static str, path: &Path, source: io::Error) -> PrivateError {
    let path = path.to_owned();
    PrivateError::Io { action, path, source }
}

fn expect_directory(
    stat: &Stat,
    path: &Path,
    to: impl Fn() -> Result<PathBuf, Errno>,
) -> Result<(), PrivateError> {
    expect(stat, FileType::Directory, path, to)
}

fn expect_file(
    stat: &Stat,
    path: &Path,
    to: impl Fn() -> Result<PathBuf, Errno>,
) -> Result<(), PrivateError> {
    expect(stat, FileType::RegularFile, path, to)?;
    // A file that was replaced after it was opened has no name any more.
    if stat.st_nlink > 1 {
        return Err(refused(path, Fault::HardLink));
    }
    Ok(())
}

/// It must be of this kind, belong to us, and give no right to anybody else.
fn expect(
    stat: &Stat,
    kind: FileType,
    path: &Path,
    to: impl Fn() -> Result<PathBuf, Errno>,
) -> Result<(), PrivateError> {
    let found = FileType::from_raw_mode(stat.st_mode);
    let is_directory = kind == FileType::Directory;
    let mode = stat.st_mode & 0o7777;
    let (owner, expected) = (stat.st_uid, geteuid().as_raw());
    let fault = if found == FileType::Symlink {
        let to = to().unwrap_or_default();
        Fault::Link { to }
    } else if found != kind && is_directory {
        Fault::NotDirectory
    } else if found != kind {
        Fault::NotFile
    } else if owner != expected {
        Fault::Owner { owner, expected }
    } else if mode & OTHERS != 0 {
        Fault::Mode { mode, is_directory }
    } else {
        return Ok(());
    };
    Err(refused(path, fault))
}

fn refused(path: &Path, fault: Fault) -> PrivateError {
    let path = path.to_owned();
    PrivateError::Unsafe { path, fault }
}

#[cfg(test)]
mod tests;
