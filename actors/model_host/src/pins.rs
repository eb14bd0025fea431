//! Shell: which models are pinned (loaded, never let go, never a victim); it wakes the host, and waits for nobody.
//!
//! It lives in the host's seed and is the one truth about pins: lanes ask it, so that no crash of a lane or of the host
//! loses one. A book that is dropped while its model is pinned wakes the host, which begins another lane. Nothing here
//! waits.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use domain::ModelName;
use tokio::sync::Notify;

use crate::lookup::Found;

/// Shared by the host and its lanes.
#[derive(Clone)]
pub(crate) struct Pins(Arc<Shared>);

struct Shared {
    /// Under each name that was pinned, its file once it was found.
    files: Mutex<BTreeMap<ModelName, Option<Found>>>,
    lost: Arc<Notify>,
}

/// One lane's view: whether its file is pinned.
#[derive(Clone)]
pub(crate) struct Pin {
    pins: Pins,
    key: PathBuf,
}

impl Pin {
    pub(crate) fn is_set(&self) -> bool {
        self.pins.holds(&self.key)
    }

    /// Whoever held this lives no more.
    pub(crate) fn lost(&self) {
        if self.is_set() {
            self.pins.0.lost.notify_one();
        }
    }
}

impl Pins {
    /// Those that are pinned from the start; their files are found later.
    pub(crate) fn new(names: impl IntoIterator<Item = ModelName>) -> Self {
        let files = names.into_iter().map(|name| (name, None)).collect();
        Self(Arc::new(Shared {
            files: Mutex::new(files),
            lost: Arc::default(),
        }))
    }

    fn files(&self) -> MutexGuard<'_, BTreeMap<ModelName, Option<Found>>> {
        self.0.files.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a lane of that file sees.
    pub(crate) fn of(&self, key: &Path) -> Pin {
        Pin {
            pins: self.clone(),
            key: key.to_owned(),
        }
    }

    /// Gets a permit when a pinned model's lane is gone.
    pub(crate) fn lost(&self) -> Arc<Notify> {
        Arc::clone(&self.0.lost)
    }

    /// Pins that file under that name. `false` if `most` others are pinned.
    pub(crate) fn add(&self, name: ModelName, found: Found, most: usize) -> bool {
        let mut files = self.files();
        if files.len() >= most && !files.contains_key(&name) {
            return false;
        }
        files.insert(name, Some(found));
        true
    }

    /// Whether that name is pinned, its file found or not.
    pub(crate) fn has(&self, name: &ModelName) -> bool {
        self.files().contains_key(name)
    }

    /// The file pinned under that name.
    pub(crate) fn find(&self, name: &ModelName) -> Option<PathBuf> {
        let files = self.files();
        files.get(name)?.as_ref().map(|found| found.key.clone())
    }

    /// Unpins that name, and that file under whatever name. Whether there was one.
    pub(crate) fn remove(&self, name: &ModelName, key: Option<&Path>) -> bool {
        let mut files = self.files();
        let before = files.len();
        files.retain(|pinned, found| {
            let is_file = found.as_ref().is_some_and(|f| Some(f.key.as_path()) == key);
            pinned != name && !is_file
        });
        files.len() < before
    }

    fn holds(&self, key: &Path) -> bool {
        self.files()
            .values()
            .flatten()
            .any(|found| found.key == key)
    }

    /// All, by name.
    pub(crate) fn all(&self) -> Vec<(ModelName, Option<Found>)> {
        let files = self.files();
        files.iter().map(|(n, f)| (n.clone(), f.clone())).collect()
    }
}

#[cfg(test)]
mod tests {
    use engine::ModelSource;

    use super::*;

    fn found(key: &str) -> Found {
        let path = PathBuf::from(key);
        Found {
            key: path.clone(),
            source: ModelSource { path },
        }
    }

    #[test]
    fn a_file_is_pinned_under_each_of_its_names_and_unpinned_under_any() {
        let name = ModelName::new;
        let pins = Pins::new([name("early")]);
        let pin = pins.of(Path::new("/a"));
        assert!(!pin.is_set());
        assert!(pins.add(name("a"), found("/a"), 4));
        assert!(pins.add(name("also-a"), found("/a"), 4));
        assert!(pins.add(name("b"), found("/b"), 4));
        assert!(!pins.add(name("c"), found("/c"), 4), "one too many");
        assert!(pins.add(name("b"), found("/b"), 4), "again is no more");
        assert!(pin.is_set());
        assert_eq!(pins.find(&name("a")), Some(PathBuf::from("/a")));
        assert!(pins.remove(&name("a"), Some(Path::new("/a"))));
        assert!(!pin.is_set());
        assert!(!pins.remove(&name("a"), Some(Path::new("/a"))));
        let left: Vec<ModelName> = pins.all().into_iter().map(|(name, _)| name).collect();
        assert_eq!(left, [name("b"), name("early")]);
    }
}
