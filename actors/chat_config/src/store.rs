//! The settings and their file together, in the actor's seed: what a crash must not lose.
//!
//! A file is read and written by one at a time, also by what a former life left behind on the blocking pool.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::catalogue::Catalogue;
use crate::file::{Disk, FileError, SettingsFile};
use crate::flat::to_toml;
use crate::layers::Layers;
use crate::messages::ConfigError;
use crate::refusal::{Origin, Refusal, Refusals};
use crate::revisions::{Author, Revision, Revisions};

/// The settings of one process: opened before the tree starts, so that a bad file is told to whoever starts it.
#[derive(Clone)]
pub struct Store {
    revisions: Arc<Mutex<Revisions>>,
    /// Held while the disk works, on the blocking pool alone. With what was read or written last.
    file: Arc<Mutex<Known>>,
}

struct Known {
    file: SettingsFile,
    text: Option<String>,
}

impl Store {
    /// Reads the file that `layers` names and checks everything. Waits for the disk: call it before there are actors, or
    /// on the blocking pool.
    ///
    /// # Errors
    /// All that is wrong with the file, or that it cannot be read. No file at all is an empty one.
    pub fn open(
        catalogue: Arc<Catalogue>,
        layers: Layers,
        disk: Arc<dyn Disk>,
        author: Author,
    ) -> Result<Self, Refusals> {
        let file = SettingsFile::new(layers.file().to_owned(), disk);
        let text = file.read().map_err(|error| Refusal::Unreadable {
            origin: Origin::File(layers.file().to_owned()),
            reason: error.to_string(),
        })?;
        let found = text.as_deref().unwrap_or_default();
        let revisions = Revisions::start(catalogue, layers, found, author)?;
        Ok(Self {
            revisions: Arc::new(Mutex::new(revisions)),
            file: Arc::new(Mutex::new(Known { file, text })),
        })
    }

    /// The revision that holds.
    pub fn current(&self) -> Arc<Revision> {
        Arc::clone(self.revisions().current())
    }

    /// Where the file is, for people.
    pub(crate) fn path(&self) -> String {
        self.revisions().layers().file().display().to_string()
    }

    /// Never held while the disk works.
    pub(crate) fn revisions(&self) -> MutexGuard<'_, Revisions> {
        self.revisions
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes down what a planned revision sets. Waits for the disk.
    pub(crate) fn write(&self, planned: &Revision) -> Result<(), ConfigError> {
        let mut known = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let text = to_toml(planned.own()).map_err(|error| FileError::Disk {
            path: known.file.path().display().to_string(),
            verb: "written",
            reason: error.to_string(),
        })?;
        known.file.replace(known.text.as_deref(), &text)?;
        known.text = Some(text);
        Ok(())
    }

    /// Reads the file and plans the revision that it makes. Only a file that is accepted becomes known: another would be
    /// written over by the next update. Waits for the disk.
    pub(crate) fn reload(&self, author: Author) -> Result<Option<Revision>, ConfigError> {
        let mut known = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let text = known.file.read()?;
        let found = text.as_deref().unwrap_or_default();
        let planned = self.revisions().reload(author, found)?;
        known.text = text;
        Ok(planned)
    }
}
