//! The settings and their file together, in the actor's seed: what a crash must not lose.
//!
//! A file is read and written by one at a time: by one thread of a process, and by one process. What another did meanwhile
//! is taken over before anything else is done, so nobody writes over what they did not see.

mod rehearsal;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::catalogue::Catalogue;
use crate::file::{Disk, FileError, LARGEST_HISTORY, Lock, SettingsFile};
use crate::flat::to_toml;
use crate::history::{self, Record};
use crate::layers::Layers;
use crate::memory_disk::MemoryDisk;
use crate::messages::ConfigError;
use crate::refusal::{Origin, Refusal, Refusals};
use crate::revisions::{Author, Change, Changed, PlanError, Revision, Revisions};
use crate::watch::Changes;

pub use rehearsal::Outlook;

/// The settings of one process: opened before the tree starts, so that a bad file is told to whoever starts it.
#[derive(Clone)]
pub struct Store {
    revisions: Arc<Mutex<Revisions>>,
    /// Held while the disk works, on the blocking pool alone. With what was read or written last.
    file: Arc<Mutex<Known>>,
}

/// Looks at a file that others are writing before what was seen last is taken: far more than processes that write at once.
const LOOKS: u32 = 100;

struct Known {
    file: SettingsFile,
    text: Option<String>,
    history: String,
}

/// Something that may end in a revision.
#[derive(Clone, Debug, PartialEq)]
pub enum Wish {
    /// Changes, all or none.
    Update {
        /// The revision they were made for; `None` takes any.
        expected: Option<u64>,
        /// What to change.
        changes: Vec<Change>,
    },
    /// Back to an earlier revision, by making a new one.
    Rollback {
        /// As above.
        expected: Option<u64>,
        /// The revision to go back to.
        to: u64,
    },
    /// Whatever others did to the file.
    Reload,
}

impl Store {
    /// Reads the file that `layers` names and checks everything. `author` is who noticed what nobody wrote down. Works on
    /// the disk, without waiting for other processes: call it before there are actors, or on the blocking pool.
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
        let unreadable = |error: FileError| Refusal::Unreadable {
            origin: Origin::File(layers.file().to_owned()),
            reason: error.to_string(),
        };
        let Found {
            text,
            history,
            lock,
        } = look(&file).map_err(unreadable)?;
        let (records, bad) = history::parse(&history);
        if bad > 0 {
            tracing::warn!(lines = bad, "the history of the settings is damaged there");
        }
        let found = text.as_deref().unwrap_or_default();
        let revisions = Revisions::resume(catalogue, layers, &records, found, author)?;
        let noticed =
            records.last().map(|record| record.number) != Some(revisions.current().number);
        let store = Self {
            revisions: Arc::new(Mutex::new(revisions)),
            file: Arc::new(Mutex::new(Known {
                file,
                text,
                history,
            })),
        };
        if noticed && lock.is_some() {
            store.record(&mut store.known());
        }
        drop(lock);
        Ok(store)
    }

    /// The defaults, what `environment` and `flags` say (see [`Layers::new`]), and what is changed while the process
    /// runs: there is no file.
    ///
    /// # Errors
    /// All that is wrong with the environment and the flags.
    pub fn without_file(
        environment: impl IntoIterator<Item = (String, String)>,
        flags: &[String],
        author: Author,
    ) -> Result<Self, Refusals> {
        let catalogue = Arc::new(Catalogue::new());
        let layers = Layers::new(&catalogue, "(no settings file)".into(), environment, flags)?;
        Self::open(catalogue, layers, Arc::new(MemoryDisk::default()), author)
    }

    /// The revision that holds.
    pub fn current(&self) -> Arc<Revision> {
        Arc::clone(self.revisions().current())
    }

    /// What can be set.
    pub fn catalogue(&self) -> Arc<Catalogue> {
        Arc::clone(self.revisions().catalogue())
    }

    /// All revisions that are kept, oldest first; the last one holds.
    pub fn history(&self) -> Vec<Arc<Revision>> {
        self.revisions().history().cloned().collect()
    }

    /// What is different between two revisions that are kept.
    ///
    /// # Errors
    /// `NoRevision`.
    pub fn diff(&self, from: u64, to: u64) -> Result<Vec<Changed>, PlanError> {
        self.revisions().diff(from, to)
    }

    /// Hears of changes of the file from now on.
    pub(crate) fn watch(&self) -> std::io::Result<Option<Box<dyn Changes>>> {
        // Copied, because another may be working on the file just now.
        let file = self.known().file.clone();
        file.watch()
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

    fn known(&self) -> MutexGuard<'_, Known> {
        self.file.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes over what others did, then does what is wished for, and writes it down. Answers with the revision that then
    /// holds. Works on the disk, without waiting for other processes: see [`crate::patience::perform`].
    ///
    /// # Errors
    /// `File` with `Locked` if another process writes just now; nothing was done then. What a wish or the file is refused
    /// for. If the disk failed half way, a reload tells what came of it.
    pub fn perform(&self, author: &Author, wish: &Wish) -> Result<Arc<Revision>, ConfigError> {
        let mut known = self.known();
        let _lock = known.file.lock()?;
        let taken = self.catch_up(&mut known, author);
        taken.map_err(|error| self.meant(error, wish))?;
        let planned = planned(&self.revisions(), author, wish)?;
        if let Some(planned) = planned {
            let text = to_toml(planned.own()).map_err(|error| self.failed(&error))?;
            // A file without a history is taken for the first revision: this one is not.
            if known.history.is_empty() {
                self.record(&mut known);
            }
            known.file.replace(known.text.as_deref(), &text)?;
            known.text = Some(text);
            self.revisions().commit(planned);
            self.record(&mut known);
        }
        Ok(self.current())
    }

    /// What somebody is still editing is not written over, and not what is wished for is wrong.
    fn meant(&self, error: ConfigError, wish: &Wish) -> ConfigError {
        match error {
            ConfigError::Plan(PlanError::Refused(_)) if *wish != Wish::Reload => {
                let path = self.path();
                FileError::Edited { path }.into()
            }
            other => other,
        }
    }

    /// Only a file that is accepted becomes known.
    fn catch_up(&self, known: &mut Known, author: &Author) -> Result<(), ConfigError> {
        let Some(news) = known.news()? else {
            return Ok(());
        };
        let taken = news.take_over(&mut self.revisions(), author)?;
        let recorded = last(&news.records);
        known.text = news.text;
        known.history = news.history;
        if taken && recorded != self.current().number {
            self.record(known);
        }
        Ok(())
    }

    /// Writes the history down. Where that fails the settings hold all the same; the next process will not know who made
    /// them.
    fn record(&self, known: &mut Known) {
        let text = history::print(self.revisions().history(), LARGEST_HISTORY);
        let text = text.unwrap_or_default();
        match known.file.write_history(&text) {
            Ok(()) => known.history = text,
            Err(error) => {
                tracing::warn!(%error, "the history of the settings could not be written");
            }
        }
    }

    fn failed(&self, error: &dyn std::error::Error) -> FileError {
        FileError::Disk {
            path: self.path(),
            verb: "written",
            reason: error.to_string(),
        }
    }
}

/// What others did to the file since it was read or written last.
struct News {
    text: Option<String>,
    history: String,
    records: Vec<Record>,
}

impl Known {
    /// None if nobody did anything.
    fn news(&self) -> Result<Option<News>, FileError> {
        let text = self.file.read()?;
        let history = history_of(&self.file);
        if text == self.text && history == self.history {
            return Ok(None);
        }
        let (records, _) = history::parse(&history);
        Ok(Some(News {
            text,
            history,
            records,
        }))
    }
}

impl News {
    /// Whether there was anything; with a bad file nothing is taken over.
    fn take_over(&self, revisions: &mut Revisions, author: &Author) -> Result<bool, PlanError> {
        let found = self.text.as_deref().unwrap_or_default();
        let taken = revisions.catch_up(&self.records, found, author.clone());
        taken.map_err(PlanError::Refused)
    }
}

/// The revision that a wish would make.
fn planned(
    revisions: &Revisions,
    author: &Author,
    wish: &Wish,
) -> Result<Option<Revision>, PlanError> {
    match wish {
        Wish::Update { expected, changes } => revisions.update(author.clone(), *expected, changes),
        Wish::Rollback { expected, to } => revisions.roll_back(author.clone(), *expected, *to),
        Wish::Reload => Ok(None),
    }
}

/// What lies on the disk: the file, and the history that belongs to it.
struct Found {
    text: Option<String>,
    history: String,
    /// None where another process writes, or nothing can be locked: then what is found may not be written down.
    lock: Option<Lock>,
}

/// Looks until nobody writes between one look and the next: the file may then be ahead of its history by the revision that
/// is just being written, and never behind.
fn look(file: &SettingsFile) -> Result<Found, FileError> {
    let mut looks = 0;
    loop {
        let history = history_of(file);
        let text = file.read()?;
        if text.is_none() && history.is_empty() {
            // Nothing to write down, so no lock file is left where nothing was set.
            return Ok(Found {
                text,
                history,
                lock: None,
            });
        }
        if let Ok(lock) = file.lock() {
            return Ok(Found {
                text: file.read()?,
                history: history_of(file),
                lock: Some(lock),
            });
        }
        looks += 1;
        if history == history_of(file) || looks >= LOOKS {
            return Ok(Found {
                text,
                history,
                lock: None,
            });
        }
    }
}

fn last(records: &[Record]) -> u64 {
    records.last().map_or(0, |record| record.number)
}

/// What is told of former revisions. One that cannot be read is begun anew: it decides nothing.
fn history_of(file: &SettingsFile) -> String {
    file.history().unwrap_or_else(|error| {
        tracing::warn!(%error, "the history of the settings cannot be read; it begins anew");
        String::new()
    })
}
