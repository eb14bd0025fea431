//! The settings file: replaced whole, with its five last forms beside it, so that a power cut leaves the old or the new.
//!
//! Nothing here waits for anything but the disk, and no step leaves the folder without a readable file.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::watch::{Changes, watch};

/// Former forms kept as `config.toml.1` (the latest) to `config.toml.5`.
pub const BACKUPS: u32 = 5;
/// The largest settings file that is read. All settings at their longest are less than half of it.
const LARGEST: u64 = 1 << 20;
/// The largest history that is kept beside it: some twenty of the longest settings, or thousands of usual ones.
pub(crate) const LARGEST_HISTORY: usize = 4 << 20;

/// What a disk does, one step a method, so that a test can fail or stop at each.
pub trait Disk: Send + Sync + 'static {
    /// The whole file.
    ///
    /// # Errors
    /// As the system says; `NotFound` if there is none, `FileTooLarge` if it has more than `most` bytes.
    fn read(&self, path: &Path, most: u64) -> io::Result<String>;
    /// Takes a lock that only one process has at a time; `None` if another has it. Never waits. The system takes it back
    /// from a process that died, so no lock is ever stale.
    ///
    /// # Errors
    /// As the system says.
    fn lock(&self, path: &Path) -> io::Result<Option<Lock>>;
    /// Makes or empties a file that only its owner may read, writes it and waits until it is on the disk.
    ///
    /// # Errors
    /// As the system says; the file may then be there in part.
    fn write(&self, path: &Path, text: &str) -> io::Result<()>;
    /// Gives a second name to a file.
    ///
    /// # Errors
    /// As the system says.
    fn link(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Renames, over what is there.
    ///
    /// # Errors
    /// As the system says.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Waits until the names in a folder are on the disk.
    ///
    /// # Errors
    /// As the system says.
    fn sync(&self, folder: &Path) -> io::Result<()>;
    /// Makes a folder and those above it, where they are missing.
    ///
    /// # Errors
    /// As the system says.
    fn make_folder(&self, folder: &Path) -> io::Result<()>;
    /// Hears of changes of a file from now on; `None` where only this process can change it. Needs the runtime.
    ///
    /// # Errors
    /// As the system says; then nobody hears of changes, and the file is read when someone says so.
    fn watch(&self, _path: &Path) -> io::Result<Option<Box<dyn Changes>>> {
        Ok(None)
    }
}

/// Holds a lock until it is dropped.
#[derive(Debug, Default)]
pub struct Lock {
    _file: Option<File>,
}

impl Lock {
    /// Of a disk that only one process can see.
    pub const fn alone() -> Self {
        Self { _file: None }
    }
}

/// The machine's disk.
#[derive(Clone, Copy, Debug, Default)]
pub struct RealDisk;

impl Disk for RealDisk {
    fn read(&self, path: &Path, most: u64) -> io::Result<String> {
        let mut text = String::new();
        let read = File::open(path)?
            .take(most.saturating_add(1))
            .read_to_string(&mut text)?;
        if read as u64 > most {
            return Err(io::Error::new(
                io::ErrorKind::FileTooLarge,
                format!("it is larger than {} MiB", most >> 20),
            ));
        }
        Ok(text)
    }

    fn lock(&self, path: &Path) -> io::Result<Option<Lock>> {
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = options.open(path)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Lock { _file: Some(file) })),
            Err(TryLockError::WouldBlock) => Ok(None),
            // Some network file systems have no locks; what was read last is compared before each write all the same.
            Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Unsupported => {
                Ok(Some(Lock::alone()))
            }
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    fn write(&self, path: &Path, text: &str) -> io::Result<()> {
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(path)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        // Some file systems have no second names.
        fs::hard_link(from, to).or_else(|_| fs::copy(from, to).map(drop))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn sync(&self, folder: &Path) -> io::Result<()> {
        File::open(folder)?.sync_all()
    }

    fn make_folder(&self, folder: &Path) -> io::Result<()> {
        fs::create_dir_all(folder)
    }

    fn watch(&self, path: &Path) -> io::Result<Option<Box<dyn Changes>>> {
        watch(path).map(Some)
    }
}

/// Why a file was not read or written. A refused write has changed nothing that is read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FileError {
    /// The system's answer.
    #[error("{path} could not be {verb}: {reason}")]
    Disk {
        /// The settings file.
        path: String,
        /// `read` or `written`.
        verb: &'static str,
        /// The system's words.
        reason: String,
    },
    /// Someone edited it since it was read last, and it is not accepted as it is.
    #[error(
        "{path} was changed by hand since it was read: look at it, mend it if it is refused, then change the settings"
    )]
    Edited {
        /// The settings file.
        path: String,
    },
    /// Another process is writing.
    #[error("{path} is being written by another process: try again in a moment")]
    Locked {
        /// The settings file.
        path: String,
    },
}

/// One settings file.
#[derive(Clone)]
pub struct SettingsFile {
    path: PathBuf,
    disk: Arc<dyn Disk>,
}

impl SettingsFile {
    /// The file at `path`, which need not exist; its folder is made when it is first written.
    pub fn new(path: PathBuf, disk: Arc<dyn Disk>) -> Self {
        Self { path, disk }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its text; `None` if there is no file.
    ///
    /// # Errors
    /// `Disk`, also if it is larger than 1 MiB or no UTF-8.
    pub fn read(&self) -> Result<Option<String>, FileError> {
        match self.disk.read(&self.path, LARGEST) {
            Ok(text) => Ok(Some(text)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(self.failed("read", &error)),
        }
    }

    /// Keeps other processes from writing until the lock is dropped; makes the folder if there is none. Never waits.
    ///
    /// # Errors
    /// `Locked` if another process has it; `Disk`.
    pub fn lock(&self) -> Result<Lock, FileError> {
        let path = self.real();
        let lock = self
            .disk
            .make_folder(folder(&path))
            .and_then(|()| self.disk.lock(&beside(&path, "lock")));
        match lock {
            Ok(Some(lock)) => Ok(lock),
            Ok(None) => Err(FileError::Locked {
                path: self.path.display().to_string(),
            }),
            Err(error) => Err(self.failed("locked", &error)),
        }
    }

    /// Hears of its changes from now on; makes the folder if there is none, so that a file that comes later is noticed.
    pub(crate) fn watch(&self) -> io::Result<Option<Box<dyn Changes>>> {
        self.disk.make_folder(folder(&self.path))?;
        self.disk.watch(&self.path)
    }

    /// What is told of its former revisions; empty if there is nothing.
    pub(crate) fn history(&self) -> io::Result<String> {
        let path = beside(&self.real(), "history");
        match self.disk.read(&path, LARGEST_HISTORY as u64) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
            other => other,
        }
    }

    /// Replaces that, whole.
    pub(crate) fn write_history(&self, text: &str) -> io::Result<()> {
        let path = beside(&self.real(), "history");
        let fresh = beside(&path, "new");
        self.disk.write(&fresh, text)?;
        self.disk.rename(&fresh, &path)
    }

    /// A link stays a link: what it leads to is replaced, and what is kept beside it lies there.
    fn real(&self) -> PathBuf {
        fs::canonicalize(&self.path).unwrap_or_else(|_| self.path.clone())
    }

    /// Replaces `known` (what was read or written last; `None` if there was no file) by `text`.
    ///
    /// # Errors
    /// `Edited` if something else is there; `Disk`.
    pub fn replace(&self, known: Option<&str>, text: &str) -> Result<(), FileError> {
        if self.read()?.as_deref() != known {
            let path = self.path.display().to_string();
            return Err(FileError::Edited { path });
        }
        self.write(text, known.is_some())
            .map_err(|error| self.failed("written", &error))
    }

    /// The new text is on the disk before its name is; the old one has a second name before it loses its first.
    fn write(&self, text: &str, has_former: bool) -> io::Result<()> {
        let path = self.real();
        let folder = folder(&path);
        self.disk.make_folder(folder)?;
        let fresh = beside(&path, "new");
        self.disk.write(&fresh, text)?;
        if has_former {
            for n in (1..BACKUPS).rev() {
                let from = beside(&path, &n.to_string());
                self.shift(&from, &beside(&path, &(n + 1).to_string()))?;
            }
            self.disk.link(&path, &beside(&path, "1"))?;
        }
        self.disk.rename(&fresh, &path)?;
        self.disk.sync(folder)
    }

    fn shift(&self, from: &Path, to: &Path) -> io::Result<()> {
        match self.disk.rename(from, to) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other,
        }
    }

    fn failed(&self, verb: &'static str, error: &io::Error) -> FileError {
        FileError::Disk {
            path: self.path.display().to_string(),
            verb,
            reason: error.to_string(),
        }
    }
}

/// Where a file lies.
pub(crate) fn folder(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// `config.toml.new` of `config.toml`.
fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(".");
    name.push(suffix);
    PathBuf::from(name)
}

#[cfg(test)]
mod tests;
