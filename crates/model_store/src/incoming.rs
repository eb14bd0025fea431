//! The folder of one pull: everything on its way lies in it, and it goes when the pull ends, however it ends.
//!
//! It lies inside the models folder, so that the last step is a rename on one file system. Its name begins with a dot,
//! so that nothing in it is ever taken for a model. A killed process leaves its folder behind; the next pull
//! recognises it by its unlocked lock file and removes it.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::intake::Arrived;
use crate::{DiskError, Record};

const PREFIX: &str = ".pull-";
const LOCK: &str = "lock";

/// A folder younger than this is left alone: its owner may not have locked it yet.
const SETTLING: Duration = Duration::from_mins(1);

/// A pull's own folder.
pub(crate) struct Incoming {
    path: PathBuf,
    /// Locked as long as the pull lives; the system lets go of it even when the process is killed.
    _lock: File,
}

impl Incoming {
    /// Makes the models folder if need be, and a new folder in it.
    pub(crate) fn begin(models: &Path) -> Result<Self, DiskError> {
        fs::create_dir_all(models).map_err(|e| DiskError::new("write", models, &e))?;
        sweep(models);
        let path = tempfile::Builder::new()
            .prefix(PREFIX)
            .tempdir_in(models)
            .map_err(|e| DiskError::new("write", models, &e))?
            .keep();
        let locked = File::create_new(path.join(LOCK)).and_then(|f| f.lock().map(|()| f));
        match locked {
            Ok(lock) => Ok(Self { path, _lock: lock }),
            Err(error) => {
                remove(&path);
                Err(DiskError::new("write", path, &error))
            }
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Gives what arrived its name. What lies beside it and the record come first: a model is never there without them.
    pub(crate) fn install(
        &self,
        (arrived, beside): (&Arrived, &[(Arrived, PathBuf)]),
        target: &Path,
        record: &Record,
    ) -> Result<(), DiskError> {
        let failed = |e: &io::Error| DiskError::new("write", target, e);
        if let Some(folder) = target.parent() {
            fs::create_dir_all(folder).map_err(|e| failed(&e))?;
        }
        for (companion, place) in beside {
            fs::rename(&companion.path, place).map_err(|e| DiskError::new("write", place, &e))?;
        }
        let draft = self.path.join("record");
        let text = serde_json::to_vec_pretty(record).map_err(|e| failed(&e.into()))?;
        fs::write(&draft, text).map_err(|e| failed(&e))?;
        File::open(&draft)
            .and_then(|f| f.sync_all())
            .map_err(|e| failed(&e))?;
        fs::rename(&draft, Record::path_beside(target)).map_err(|e| failed(&e))?;
        fs::rename(&arrived.path, target).map_err(|e| failed(&e))?;
        // A rename is durable once its folder is; where folders cannot be synced there is nothing more to do.
        if let Some(folder) = target.parent() {
            let _ = File::open(folder).and_then(|f| f.sync_all());
        }
        Ok(())
    }
}

impl Drop for Incoming {
    /// A few unlinks: short enough for any thread.
    fn drop(&mut self) {
        remove(&self.path);
    }
}

/// Removes a folder; tried again where a dying child was still putting a file into it.
fn remove(path: &Path) {
    for _ in 0..8 {
        match fs::remove_dir_all(path) {
            Ok(()) => return,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return,
            Err(error) => {
                tracing::debug!(path = %path.display(), %error, "folder of a pull is still in use");
            }
        }
    }
}

/// Removes the folders of pulls whose process is gone.
fn sweep(models: &Path) {
    let Ok(entries) = fs::read_dir(models) else {
        return;
    };
    for entry in entries.flatten() {
        if entry.file_name().to_string_lossy().starts_with(PREFIX) && is_abandoned(&entry.path()) {
            remove(&entry.path());
        }
    }
}

fn is_abandoned(path: &Path) -> bool {
    let settled = fs::metadata(path)
        .and_then(|m| m.modified())
        .ok()
        .and_then(|at| at.elapsed().ok())
        .is_some_and(|age| age > SETTLING);
    settled && File::open(path.join(LOCK)).is_ok_and(|lock| lock.try_lock().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn age(path: &Path) {
        let past = std::time::SystemTime::now() - SETTLING * 2;
        File::open(path).unwrap().set_modified(past).unwrap();
    }

    #[test]
    fn the_folder_goes_with_its_pull() {
        let models = tempfile::tempdir().unwrap();
        let incoming = Incoming::begin(models.path()).unwrap();
        fs::write(incoming.path().join("half"), b"x").unwrap();
        assert_eq!(fs::read_dir(models.path()).unwrap().count(), 1);
        drop(incoming);
        assert_eq!(fs::read_dir(models.path()).unwrap().count(), 0);
    }

    #[test]
    fn only_abandoned_folders_are_swept() {
        let models = tempfile::tempdir().unwrap();
        let live = Incoming::begin(models.path()).unwrap();
        age(live.path());
        let young = models.path().join(".pull-young");
        let dead = models.path().join(".pull-dead");
        for path in [&young, &dead] {
            fs::create_dir(path).unwrap();
            File::create(path.join(LOCK)).unwrap();
        }
        age(&dead);
        sweep(models.path());
        assert!(live.path().exists() && young.exists());
        assert!(!dead.exists());
    }
}
