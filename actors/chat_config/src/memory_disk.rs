//! The disk of those who keep no settings file: what is written is there as long as the process is, and nowhere else.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::file::{Disk, Lock};

/// Files by path. They are few and bounded: the settings, their backups and their history.
#[derive(Debug, Default)]
pub(crate) struct MemoryDisk(Mutex<BTreeMap<PathBuf, String>>);

impl MemoryDisk {
    fn files(&self) -> MutexGuard<'_, BTreeMap<PathBuf, String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Disk for MemoryDisk {
    fn read(&self, path: &Path, _: u64) -> io::Result<String> {
        let found = self.files().get(path).cloned();
        found.ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn lock(&self, _: &Path) -> io::Result<Option<Lock>> {
        Ok(Some(Lock::alone()))
    }

    fn write(&self, path: &Path, text: &str) -> io::Result<()> {
        self.files().insert(path.to_owned(), text.to_owned());
        Ok(())
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        let text = self.read(from, 0)?;
        self.write(to, &text)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut files = self.files();
        let text = files.remove(from).ok_or(io::ErrorKind::NotFound)?;
        files.insert(to.to_owned(), text);
        Ok(())
    }

    fn sync(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn make_folder(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use crate::{Author, Change, Store, Wish};

    #[test]
    fn without_a_file_settings_change_all_the_same() {
        let author = Author {
            who: "app".to_owned(),
            at: SystemTime::UNIX_EPOCH,
        };
        let store = Store::without_file([], &[], author.clone()).unwrap();
        for size in [20, 21] {
            let changes = vec![Change::Set {
                key: "ui.font_px".to_owned(),
                value: size.into(),
            }];
            let wish = Wish::Update {
                expected: None,
                changes,
            };
            store.perform(&author, &wish).unwrap();
        }
        let back = Wish::Rollback {
            expected: Some(3),
            to: 2,
        };
        let now = store.perform(&author, &back).unwrap();
        assert_eq!((now.number, now.settings.ui.font_px), (4, 20));
    }
}
