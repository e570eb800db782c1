//! The file operations the log needs, as a private trait: the real ones here, simulated ones with
//! faults in the tests.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use spanferry_private_dir::{PrivateDir, PrivateError};

use crate::error::LogError;

/// Name of the file whose lock keeps a second process out.
pub(crate) const LOCK_NAME: &str = "lock";

/// One directory of flat files. All calls block.
pub(crate) trait Files: Send + Sync + 'static {
    /// The full path of a name, for messages.
    fn path(&self, name: &str) -> PathBuf;
    /// All file names, in any order.
    fn list(&self) -> io::Result<Vec<String>>;
    /// Creates an empty file for reading and writing, replacing one of the same name.
    fn create(&self, name: &str) -> io::Result<Box<dyn LogFile>>;
    /// Opens an existing file for reading and writing.
    fn open(&self, name: &str) -> io::Result<Box<dyn LogFile>>;
    /// Renames; durable only after `sync_directory`.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    /// Removes; durable only after `sync_directory`.
    fn remove(&self, name: &str) -> io::Result<()>;
    /// Makes creations, renames and removals durable.
    fn sync_directory(&self) -> io::Result<()>;
}

/// One open file. All calls block.
pub(crate) trait LogFile: Send + Sync {
    /// Reads up to `buffer.len()` bytes; 0 is the end of the file.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;
    /// Writes all bytes; after an error any prefix may have been written.
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;
    /// Makes content and length durable.
    fn sync(&self) -> io::Result<()>;
    /// Cuts or extends the file; durable only after `sync`.
    fn set_len(&self, bytes: u64) -> io::Result<()>;
    /// Length in bytes.
    fn len(&self) -> io::Result<u64>;
}

/// A locked directory of the real file system.
pub(crate) struct Directory {
    directory: PrivateDir,
    /// Holds the lock as long as it is open.
    _lock: File,
}

impl Directory {
    /// Opens the directory, or creates it if asked to, and locks it against a second process.
    pub(crate) fn lock(path: &Path, create: bool) -> Result<Directory, LogError> {
        let directory = if create {
            PrivateDir::create(path)?
        } else {
            PrivateDir::open(path)?.ok_or_else(|| LogError::NotFound {
                directory: path.to_owned(),
            })?
        };
        let lock = directory.open_or_create(LOCK_NAME)?;
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Directory {
                directory,
                _lock: lock,
            }),
            Err(rustix::io::Errno::WOULDBLOCK) => Err(LogError::Locked {
                directory: path.to_owned(),
            }),
            Err(error) => Err(LogError::from_io("locked", &path.join(LOCK_NAME), error.into())),
        }
    }
}

impl Files for Directory {
    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn list(&self) -> io::Result<Vec<String>> {
        self.directory.names().map_err(PrivateError::into_io)
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn LogFile>> {
        let file = self.directory.create_new(name).map_err(PrivateError::into_io)?;
        Ok(Box::new(DiskFile(file)))
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn LogFile>> {
        let opened = self
            .directory
            .open_to_write(name)
            .map_err(PrivateError::into_io)?;
        let file = opened.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
        Ok(Box::new(DiskFile(file)))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.directory.rename(from, to).map_err(PrivateError::into_io)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.directory.remove(name).map_err(PrivateError::into_io)
    }

    fn sync_directory(&self) -> io::Result<()> {
        self.directory.sync().map_err(PrivateError::into_io)
    }
}

/// A file of the real file system.
struct DiskFile(File);

impl LogFile for DiskFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        loop {
            match self.0.read_at(buffer, offset) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => return result,
            }
        }
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.0.write_all_at(bytes, offset)
    }

    fn sync(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        self.0.set_len(bytes)
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }
}

/// Reads exactly `buffer.len()` bytes, or fails with `UnexpectedEof`.
pub(crate) fn read_exact_at(file: &dyn LogFile, buffer: &mut [u8], offset: u64) -> io::Result<()> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read_at(&mut buffer[filled..], offset + filled as u64)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            count => filled += count,
        }
    }
    Ok(())
}
