//! The file operations the log needs, as a private trait: the real ones here, simulated ones with faults in the tests.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

use crate::error::LogError;

/// Mode of every file of the log: it holds rows of the source.
pub(crate) const FILE_MODE: u32 = 0o600;
/// Mode of the log's directory.
pub(crate) const DIRECTORY_MODE: u32 = 0o700;
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
    path: PathBuf,
    /// Holds the lock as long as it is open.
    _lock: File,
}

impl Directory {
    /// Creates the directory if asked to, narrows its mode, and locks it against a second process.
    pub(crate) fn lock(path: &Path, create: bool) -> Result<Directory, LogError> {
        if create {
            DirBuilder::new()
                .recursive(true)
                .mode(DIRECTORY_MODE)
                .create(path)
                .map_err(|error| LogError::from_io("created", path, error))?;
        } else if !path.is_dir() {
            return Err(LogError::NotFound {
                directory: path.to_owned(),
            });
        }
        narrow_mode(path)?;
        let lock_path = path.join(LOCK_NAME);
        let lock = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(FILE_MODE)
            .open(&lock_path)
            .map_err(|error| LogError::from_io("opened", &lock_path, error))?;
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Directory {
                path: path.to_owned(),
                _lock: lock,
            }),
            Err(rustix::io::Errno::WOULDBLOCK) => Err(LogError::Locked {
                directory: path.to_owned(),
            }),
            Err(error) => Err(LogError::from_io("locked", &lock_path, error.into())),
        }
    }
}

/// Takes group and others their rights, unless they have none.
fn narrow_mode(path: &Path) -> Result<(), LogError> {
    let failed = |action| move |error| LogError::from_io(action, path, error);
    let mode = fs::metadata(path).map_err(failed("read"))?.permissions().mode();
    if mode & DIRECTORY_MODE == mode & 0o777 {
        return Ok(());
    }
    fs::set_permissions(path, Permissions::from_mode(DIRECTORY_MODE)).map_err(failed("made private"))
}

impl Files for Directory {
    fn path(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.path)? {
            // A name that is not UTF-8 is none of ours.
            if let Ok(name) = entry?.file_name().into_string() {
                names.push(name);
            }
        }
        Ok(names)
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn LogFile>> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .mode(FILE_MODE)
            .open(self.path(name))?;
        Ok(Box::new(DiskFile(file)))
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn LogFile>> {
        let file = OpenOptions::new().read(true).write(true).open(self.path(name))?;
        Ok(Box::new(DiskFile(file)))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.path(from), self.path(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.path(name))
    }

    fn sync_directory(&self) -> io::Result<()> {
        File::open(&self.path)?.sync_all()
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
