//! The settings and how they came to be: each accepted change is a revision, and a refused one is nothing.
//!
//! A change is first planned and then committed; between the two it is written down. Nothing here waits, reads a clock
//! or forgets a revision while another is planned on it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::SystemTime;

use serde_json::Value;

use crate::catalogue::Catalogue;
use crate::check::{Given, check, check_together, unknown};
use crate::flat::Flat;
use crate::layers::Layers;
use crate::paths::is_under;
use crate::refusal::{Origin, Refusal, Refusals};
use crate::settings::Settings;

/// Revisions that are kept to look at and go back to. 64: a morning of trying things out. Some 20 MB if
/// every text of every one is as long as it may be, some 300 kB as a rule.
pub const HISTORY: usize = 64;
/// The longest name of who changed something, in characters; the rest is cut.
const WHO: usize = 100;

/// One wish.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// Sets one setting.
    Set {
        /// Its path, such as `model.temperature`.
        key: String,
        /// Its new value.
        value: Value,
    },
    /// Sets one setting from text, read as on a command line: `0.5`, `90s`, `dark`.
    Text {
        /// Its path.
        key: String,
        /// Its new value.
        text: String,
    },
    /// Takes a setting, or a whole section, back to its default.
    Reset {
        /// Its path, or a section's name.
        key: String,
    },
    /// Sets these settings of a section, and takes its others back to their defaults.
    Section {
        /// The section's name.
        section: String,
        /// Values by key, without the section's name.
        values: BTreeMap<String, Value>,
    },
}

/// Why a revision came to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The process started with it.
    Started,
    /// Someone asked for changes.
    Updated,
    /// Someone went back to an earlier revision.
    RolledBack {
        /// Its number.
        to: u64,
    },
    /// The file was changed by hand.
    Reloaded,
}

/// One setting that changed, as it may be shown: secrets are not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changed {
    /// Its path.
    pub field: String,
    /// Before.
    pub from: String,
    /// After.
    pub to: String,
}

/// One accepted state of all settings.
#[derive(Clone, Debug, PartialEq)]
pub struct Revision {
    /// From 1, each one more than the last; counted for the file, by whichever process changes it.
    pub number: u64,
    /// When it was accepted.
    pub at: SystemTime,
    /// Who asked for it.
    pub who: String,
    /// Why.
    pub cause: Cause,
    /// What is different from the revision before.
    pub changed: Vec<Changed>,
    /// The settings.
    pub settings: Arc<Settings>,
    /// What the file sets.
    own: Flat,
    origins: BTreeMap<String, Origin>,
    /// The revision it was planned on.
    base: u64,
}

impl Revision {
    /// Where the value of this setting came from.
    pub fn origin(&self, path: &str) -> &Origin {
        self.origins.get(path).unwrap_or(&Origin::Default)
    }

    /// What the settings file sets.
    pub fn own(&self) -> &Flat {
        &self.own
    }
}

/// Why a change was not planned. Nothing has changed then.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum PlanError {
    /// Someone else was faster.
    #[error(
        "the settings are at revision {current}, and the change was made for revision {expected}: look at what changed \
         since and try again"
    )]
    Conflict {
        /// The revision the change was made for.
        expected: u64,
        /// The revision that holds.
        current: u64,
    },
    /// Something in it is not accepted.
    #[error("{0}")]
    Refused(Refusals),
    /// A setting that the file does not decide.
    #[error("{field} is held {by}: take it away there first, or the change would not be seen")]
    Held {
        /// The setting.
        field: String,
        /// What holds it.
        by: Origin,
    },
    /// A revision that is not kept.
    #[error("revision {wanted} is not kept: there are {oldest} to {newest}")]
    NoRevision {
        /// The one asked for.
        wanted: u64,
        /// The oldest there is.
        oldest: u64,
        /// The newest.
        newest: u64,
    },
}

/// Who asks for what.
#[derive(Clone, Debug, PartialEq)]
pub struct Author {
    /// A name, shown in the history; cut to 100 characters.
    pub who: String,
    /// When.
    pub at: SystemTime,
}

/// All settings, now and lately. A copy is cheap, and lives its own life.
#[derive(Clone, Debug)]
pub struct Revisions {
    catalogue: Arc<Catalogue>,
    layers: Layers,
    current: Arc<Revision>,
    /// Oldest first, without the current one.
    former: VecDeque<Arc<Revision>>,
}

impl Revisions {
    /// Starts at revision 1 with what the file sets (empty text if there is no file).
    ///
    /// # Errors
    /// All that is wrong with the file.
    pub fn start(
        catalogue: Arc<Catalogue>,
        layers: Layers,
        text: &str,
        author: Author,
    ) -> Result<Self, Refusals> {
        let own = layers.read(&catalogue, text)?;
        let origin = Origin::File(layers.file().to_owned());
        let given = layers.merge(&catalogue, &own, &origin);
        let settings = check(&catalogue, &given)?;
        check_together(&settings, &origin)?;
        let current = Arc::new(Revision {
            number: 1,
            at: author.at,
            who: cut(author.who),
            cause: Cause::Started,
            changed: Vec::new(),
            settings: Arc::new(settings),
            own,
            origins: origins(given),
            base: 0,
        });
        Ok(Self {
            catalogue,
            layers,
            current,
            former: VecDeque::new(),
        })
    }

    /// What can be set.
    pub fn catalogue(&self) -> &Arc<Catalogue> {
        &self.catalogue
    }

    /// What lies above the file, and where it is.
    pub fn layers(&self) -> &Layers {
        &self.layers
    }

    /// The revision that holds.
    pub fn current(&self) -> &Arc<Revision> {
        &self.current
    }

    /// Every revision that is kept, oldest first; the last one holds.
    pub fn history(&self) -> impl Iterator<Item = &Arc<Revision>> {
        self.former.iter().chain([&self.current])
    }

    /// One revision that is kept.
    ///
    /// # Errors
    /// `NoRevision`.
    pub fn revision(&self, number: u64) -> Result<&Arc<Revision>, PlanError> {
        let found = self.history().find(|revision| revision.number == number);
        found.ok_or_else(|| PlanError::NoRevision {
            wanted: number,
            oldest: self.history().next().map_or(0, |oldest| oldest.number),
            newest: self.current.number,
        })
    }

    /// What is different between two revisions that are kept.
    ///
    /// # Errors
    /// `NoRevision`.
    pub fn diff(&self, from: u64, to: u64) -> Result<Vec<Changed>, PlanError> {
        let (from, to) = (self.revision(from)?, self.revision(to)?);
        Ok(differences(&self.catalogue, &from.settings, &to.settings))
    }

    /// The revision that these changes would make, all of them or none; `None` if they change nothing.
    ///
    /// # Errors
    /// `Conflict` if `expected` is given and does not hold; `Held`; `Refused`.
    pub fn update(
        &self,
        author: Author,
        expected: Option<u64>,
        changes: &[Change],
    ) -> Result<Option<Revision>, PlanError> {
        self.expect(expected)?;
        let asked = Origin::Change(cut(author.who.clone()));
        let mut own = self.current.own.clone();
        let mut refusals = Vec::new();
        for change in changes {
            for (path, value) in self.spread(change, &asked).unwrap_or_else(|refusal| {
                refusals.push(refusal);
                Vec::new()
            }) {
                if own.get(&path) == value.as_ref() {
                    continue;
                }
                if let Some(by) = self.layers.held(&path) {
                    return Err(PlanError::Held { field: path, by });
                }
                match value {
                    Some(value) => own.insert(path, value),
                    None => own.remove(&path),
                };
            }
        }
        let fresh = own
            .iter()
            .filter(|(path, value)| self.current.own.get(*path) != Some(value));
        let fresh: Given = fresh
            .map(|(path, value)| (path.clone(), (value.clone(), asked.clone())))
            .collect();
        // The file alone has to be whole: what lies above it may be gone with the next start.
        let whole = |_| {
            let own = own.iter();
            let own = own.map(|(path, value)| (path.clone(), (value.clone(), asked.clone())));
            check_together(&check(&self.catalogue, &own.collect())?, &asked)
        };
        if let Err(wrong) = check(&self.catalogue, &fresh).and_then(whole) {
            refusals.extend(wrong.iter().cloned());
        }
        match Refusals::of(refusals) {
            Some(refusals) => Err(PlanError::Refused(refusals)),
            None => self.plan(self.next(), author, Cause::Updated, own),
        }
    }

    /// The revision that going back to an earlier one would make; `None` if it is the same as the present one.
    ///
    /// # Errors
    /// `Conflict`; `NoRevision`.
    pub fn roll_back(
        &self,
        author: Author,
        expected: Option<u64>,
        to: u64,
    ) -> Result<Option<Revision>, PlanError> {
        self.expect(expected)?;
        let own = self.revision(to)?.own.clone();
        self.plan(self.next(), author, Cause::RolledBack { to }, own)
    }

    /// The revision that a file with this text would make; `None` if it sets what is set.
    ///
    /// # Errors
    /// All that is wrong with the file.
    pub fn reload(&self, author: Author, text: &str) -> Result<Option<Revision>, PlanError> {
        let own = self.layers.read(&self.catalogue, text);
        let own = own.map_err(PlanError::Refused)?;
        self.plan(self.next(), author, Cause::Reloaded, own)
    }

    /// Takes a planned revision, which then holds. Returns it, or `None` if it was planned on another than the present
    /// one: it is dropped then.
    pub fn commit(&mut self, planned: Revision) -> Option<Arc<Revision>> {
        if planned.base != self.current.number {
            return None;
        }
        let planned = Arc::new(planned);
        let former = std::mem::replace(&mut self.current, Arc::clone(&planned));
        self.former.push_back(former);
        if self.former.len() >= HISTORY {
            self.former.pop_front();
        }
        Some(planned)
    }

    /// Refuses what was made for another revision than the one that holds.
    pub(crate) fn expect(&self, expected: Option<u64>) -> Result<(), PlanError> {
        let current = self.current.number;
        match expected {
            Some(expected) if expected != current => Err(PlanError::Conflict { expected, current }),
            _ => Ok(()),
        }
    }

    /// A wish as single settings; `None` takes one back to its default.
    fn spread(
        &self,
        change: &Change,
        asked: &Origin,
    ) -> Result<Vec<(String, Option<Value>)>, Refusal> {
        let known = |key: &String| match self.catalogue.get(key) {
            Some(_) => Ok(key.clone()),
            None => Err(unknown(&self.catalogue, key, asked)),
        };
        let all = |section: &str| {
            let own = self.current.own.keys().map(String::as_str);
            let made = own.filter(|path| is_under(path, section));
            let there = self.catalogue.in_section(section).chain(made);
            there.map(|path| (path.to_owned(), None)).collect()
        };
        match change {
            Change::Set { key, value } => Ok(vec![(known(key)?, Some(value.clone()))]),
            Change::Text { key, text } => {
                let value = crate::layers::value(&self.catalogue, key, text);
                Ok(vec![(known(key)?, Some(value))])
            }
            Change::Reset { key } if self.catalogue.is_section(key) => Ok(all(key)),
            Change::Reset { key } => Ok(vec![(known(key)?, None)]),
            Change::Section { section, values } => {
                let mut wanted: BTreeMap<String, Option<Value>> =
                    all(section).into_iter().collect();
                for (key, value) in values {
                    wanted.insert(known(&format!("{section}.{key}"))?, Some(value.clone()));
                }
                if wanted.is_empty() {
                    return Err(unknown(&self.catalogue, section, asked));
                }
                Ok(wanted.into_iter().collect())
            }
        }
    }

    fn next(&self) -> u64 {
        self.current.number.saturating_add(1)
    }

    fn plan(
        &self,
        number: u64,
        author: Author,
        cause: Cause,
        own: Flat,
    ) -> Result<Option<Revision>, PlanError> {
        if own == self.current.own {
            return Ok(None);
        }
        let built = self.built(number, author, cause, own);
        built.map(Some).map_err(PlanError::Refused)
    }

    /// A revision on the present one.
    fn built(
        &self,
        number: u64,
        author: Author,
        cause: Cause,
        own: Flat,
    ) -> Result<Revision, Refusals> {
        let origin = Origin::File(self.layers.file().to_owned());
        let given = self.layers.merge(&self.catalogue, &own, &origin);
        let settings = check(&self.catalogue, &given)?;
        check_together(&settings, &origin)?;
        Ok(Revision {
            number,
            at: author.at,
            who: cut(author.who),
            cause,
            changed: differences(&self.catalogue, &self.current.settings, &settings),
            settings: Arc::new(settings),
            own,
            origins: origins(given),
            base: self.current.number,
        })
    }
}

fn cut(mut who: String) -> String {
    if let Some((end, _)) = who.char_indices().nth(WHO) {
        who.truncate(end);
    }
    who
}

fn origins(given: Given) -> BTreeMap<String, Origin> {
    let set = given.into_iter();
    set.filter(|(_, (_, origin))| *origin != Origin::Default)
        .map(|(path, (_, origin))| (path, origin))
        .collect()
}

fn differences(catalogue: &Catalogue, from: &Settings, to: &Settings) -> Vec<Changed> {
    let (from, to) = (catalogue.flat(from), catalogue.flat(to));
    // What is made by name may be on one side alone; it counts as it is by default on the other.
    let fields: BTreeSet<&String> = from.keys().chain(to.keys()).collect();
    let value = |flat: &Flat, field: &str| {
        let there = flat.get(field);
        let usual = || catalogue.get(field).map(|entry| entry.default.clone());
        there.cloned().or_else(usual).unwrap_or_default()
    };
    fields
        .into_iter()
        .map(|field| (field, value(&from, field), value(&to, field)))
        .filter(|(_, from, to)| from != to)
        .map(|(field, from, to)| Changed {
            field: field.clone(),
            from: catalogue.show(field, &from),
            to: catalogue.show(field, &to),
        })
        .collect()
}

mod others;
#[cfg(test)]
mod tests;
