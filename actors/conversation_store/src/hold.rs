//! Why: two servers with one file would each show the other's acts as its own. Whoever wants a file alone holds a lock beside
//! it, which the system takes back from a process that died, however it died; so no lock is ever stale.
//!
//! Whoever does not ask to be alone is not kept out: SQLite orders their writes. Works on the disk.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use crate::archive::not_made;
use crate::error::StoreError;
use crate::process::Process;

/// The longest text of a process in the lock file, in bytes; ours has some 60.
const OWNER: u64 = 200;

/// A file is held by this process, until this is dropped.
#[derive(Debug)]
pub(crate) struct Hold {
    _lock: File,
}

impl Hold {
    /// Of a file that is there. It may have several names: the lock lies beside the file itself.
    pub(crate) fn of(file: &Path) -> Result<Self, StoreError> {
        let place = beside(&fs::canonicalize(file).unwrap_or_else(|_| file.to_owned()));
        let failed = |error: io::Error| not_made(&place, &error);
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut lock = options.open(&place).map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let path = file.to_owned();
                return Err(StoreError::Taken {
                    path,
                    pid: holder(&mut lock),
                });
            }
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        let owner = Process::this().owner("holds the file beside this one");
        // The lock is what counts; on a full disk it has no name.
        let _ = lock
            .set_len(0)
            .and_then(|()| lock.write_all(owner.as_bytes()));
        Ok(Self { _lock: lock })
    }
}

fn beside(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".lock");
    name.into()
}

/// Who says to hold it, if that one is alive.
fn holder(lock: &mut File) -> Option<u32> {
    let mut owner = String::new();
    lock.take(OWNER).read_to_string(&mut owner).ok()?;
    Process::alive(&owner)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::archive::Archive;
    use crate::config::StoreConfig;

    fn open(file: &Path) -> Result<Archive, StoreError> {
        Archive::open(&StoreConfig::at(file).alone(), 0)
    }

    #[test]
    fn a_file_that_is_held_is_refused_by_its_owners_number_until_it_is_closed() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("server.db");
        let other_name = folder.path().join("other.db");
        std::os::unix::fs::symlink(&file, &other_name).unwrap();
        let first = open(&file).unwrap();
        for name in [&file, &other_name] {
            let refused = open(name).err();
            let (path, pid) = (name.clone(), Some(std::process::id()));
            assert_eq!(refused, Some(StoreError::Taken { path, pid }));
        }
        // Whoever does not ask to be alone is let in.
        drop(Archive::open(&StoreConfig::at(&file), 0).unwrap());
        let lock = folder.path().join("server.db.lock");
        let mode = fs::metadata(&lock).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        drop(first);
        drop(open(&other_name).unwrap());
    }

    #[test]
    fn what_the_lock_file_says_of_the_dead_or_in_jest_decides_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("server.db");
        let lock = folder.path().join("server.db.lock");
        for text in ["", "1 2 another-boot x", "\u{1b}[31m", &"9".repeat(1 << 20)] {
            fs::write(&lock, text).unwrap();
            drop(open(&file).unwrap());
            let held = OpenOptions::new().write(true).open(&lock).unwrap();
            held.lock().unwrap();
            fs::write(&lock, text).unwrap();
            let Some(StoreError::Taken { pid, .. }) = open(&file).err() else {
                panic!("{text:?} was believed");
            };
            assert_eq!(pid, None, "{text:?}");
        }
    }

    #[test]
    fn a_lock_that_cannot_be_made_is_refused_by_its_place() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("server.db");
        fs::create_dir(folder.path().join("server.db.lock")).unwrap();
        let refused = open(&file).err().unwrap().to_string();
        assert!(refused.contains("server.db.lock"), "{refused}");
    }
}
