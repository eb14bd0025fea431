//! The folder of models: what is there, what a name leads to, and how one comes and goes.

use std::ffi::OsString;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use domain::{Bytes, FieldError, ModelName};

use crate::catalogue::built_in;
use crate::folder::models_folder;
use crate::intake::{Expected, sha256_of};
use crate::pull::{self, Plan, PullEvent, Reach, blocking};
use crate::{
    DiskError, Entry, HubFile, Installed, Kind, PullError, Record, ResolveError, Shown, Source,
    StoreError, Verdict, Wanted,
};

/// How a store is opened. The default is what a user of the machine expects.
#[derive(Clone, Debug, Default)]
pub struct StoreConfig {
    /// The folder; none is `$XDG_DATA_HOME/paraphym/models`, else `$HOME/.local/share/paraphym/models`.
    pub dir: Option<PathBuf>,
    /// The models known by name; none is the built-in catalogue.
    pub catalogue: Option<Vec<Entry>>,
    /// Where Hugging Face is; none is `$HF_ENDPOINT`, else the public one.
    pub hugging_face: Option<String>,
    /// Where `python3` and `pip` are looked for; none is `$PATH`.
    pub search_path: Option<OsString>,
}

impl StoreConfig {
    /// The default, in `dir` if one is given.
    pub fn at(dir: Option<PathBuf>) -> Self {
        Self {
            dir,
            ..Self::default()
        }
    }
}

/// The models of one folder. Cheap to clone; holds no file open.
#[derive(Clone, Debug)]
pub struct Store {
    dir: PathBuf,
    catalogue: Arc<[Entry]>,
    reach: Reach,
}

impl Store {
    /// Decides on the folder; it is made when something is pulled.
    ///
    /// # Errors
    /// `NoFolder` where the environment names none.
    pub fn open(config: StoreConfig) -> Result<Self, StoreError> {
        let dir = config
            .dir
            .or_else(|| models_folder(|name| std::env::var_os(name)))
            .ok_or(StoreError::NoFolder)?;
        Ok(Self {
            dir,
            catalogue: config.catalogue.unwrap_or_else(built_in).into(),
            reach: Reach {
                hugging_face: config.hugging_face,
                search_path: config.search_path,
            },
        })
    }

    /// The folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The models known by name.
    pub fn catalogue(&self) -> &[Entry] {
        &self.catalogue
    }

    /// Every model in the folder, by name.
    ///
    /// # Errors
    /// `Disk` where the folder cannot be read; a folder that is not there is empty.
    pub async fn list(&self) -> Result<Vec<Installed>, StoreError> {
        let store = self.clone();
        Ok(blocking(move || store.list_now()).await??)
    }

    /// What a name leads to: a catalogue name, a file's name with or without `.gguf`, or a path. Looks at the disk
    /// a few times and reads nothing: short enough for any thread.
    ///
    /// # Errors
    /// `NotHere` with what to do, `NotAFile`, or a name that is none.
    pub fn resolve(&self, name: &ModelName) -> Result<PathBuf, ResolveError> {
        self.look(&Wanted::parse(name)?).map(|found| found.path)
    }

    /// The model of that name, if it is here.
    ///
    /// # Errors
    /// As [`Store::resolve`], except that nothing there is `None`.
    pub async fn find(&self, name: &ModelName) -> Result<Option<Installed>, ResolveError> {
        let (store, wanted) = (self.clone(), Wanted::parse(name)?);
        match blocking(move || store.look(&wanted)).await? {
            Ok(found) => Ok(Some(found)),
            Err(ResolveError::NotHere { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// All that is known of a model, here or not.
    ///
    /// # Errors
    /// `NotHere` where neither the folder nor the catalogue knows it.
    pub async fn show(&self, name: &ModelName) -> Result<Shown, ResolveError> {
        let (store, wanted) = (self.clone(), Wanted::parse(name)?);
        let entry = match &wanted {
            Wanted::Name(text) => self.entry(text).cloned(),
            _ => None,
        };
        match blocking(move || store.look(&wanted)).await? {
            Ok(found) => {
                let entry = entry.or_else(|| self.entry(found.name.as_str()).cloned());
                Ok(Shown {
                    installed: Some(found),
                    entry,
                })
            }
            Err(ResolveError::NotHere { .. }) if entry.is_some() => Ok(Shown {
                installed: None,
                entry,
            }),
            Err(error) => Err(error),
        }
    }

    /// Reads the whole file and compares its checksum. About a second per gigabyte.
    ///
    /// # Errors
    /// As [`Store::resolve`]; `Disk` where it cannot be read.
    pub async fn verify(&self, name: &ModelName) -> Result<Verdict, StoreError> {
        let (store, wanted) = (
            self.clone(),
            Wanted::parse(name).map_err(ResolveError::from)?,
        );
        blocking(move || {
            let found = store.look(&wanted)?;
            let actual = sha256_of(&found.path)?;
            let entry = store.entry(found.name.as_str());
            if let Some(damaged) = entry.and_then(|e| damaged_beside(e, &found.path)) {
                return Ok(damaged);
            }
            let expected = entry
                .map(|e| e.sha256.to_string())
                .or(found.record.map(|r| r.sha256));
            Ok(match expected {
                None => Verdict::Unknown { sha256: actual },
                Some(expected) if expected == actual => Verdict::Sound { sha256: actual },
                Some(expected) => Verdict::Damaged { expected, actual },
            })
        })
        .await?
    }

    /// Brings a model of the catalogue, or `hf:OWNER/REPO/FILE.gguf`. One that is here already is not brought again.
    /// Dropping the future ends it and leaves nothing behind.
    ///
    /// # Errors
    /// Every source and why it failed, or the disk.
    pub async fn pull(
        &self,
        name: &ModelName,
        progress: &mut (dyn FnMut(PullEvent) + Send),
    ) -> Result<Installed, PullError> {
        let plan = self.plan(name)?;
        let (store, target) = (self.clone(), plan.target.clone());
        let (expected, sources) = (plan.expected.clone(), plan.sources.clone());
        let present = blocking(move || store.present(&target, &expected, &sources)).await??;
        if let Some(found) = present {
            progress(PullEvent::AlreadyHere);
            return Ok(found);
        }
        let record = pull::run(&plan, &self.reach, progress).await?;
        Ok(Installed {
            name: self.name_of(&plan.target),
            kind: self.kind_of(&plan.target),
            size: Bytes(record.size_bytes),
            path: plan.target,
            record: Some(record),
        })
    }

    /// Removes a model and its record from the folder.
    ///
    /// # Errors
    /// `NotInStore` for a path elsewhere; as [`Store::resolve`]; `Disk`.
    pub async fn remove(&self, name: &ModelName) -> Result<Installed, StoreError> {
        let (store, name) = (self.clone(), name.clone());
        blocking(move || {
            let wanted = Wanted::parse(&name).map_err(ResolveError::from)?;
            let found = store.look(&wanted)?;
            let entry = store.entry_at(&found.path);
            if entry.is_none() && found.path.parent() != Some(store.dir.as_path()) {
                return Err(StoreError::NotInStore {
                    name: name.to_string(),
                    dir: store.dir,
                });
            }
            let failed = |e: &std::io::Error| DiskError::new("remove", &found.path, e);
            fs::remove_file(&found.path).map_err(|e| failed(&e))?;
            let companions = entry.iter().flat_map(|entry| &entry.companions);
            let beside = companions.map(|c| found.path.with_file_name(&*c.file));
            for path in beside.chain([Record::path_beside(&found.path)]) {
                match fs::remove_file(path) {
                    Err(error) if error.kind() != ErrorKind::NotFound => {
                        return Err(failed(&error).into());
                    }
                    _ => {}
                }
            }
            if let Some(folder) = found.path.parent().filter(|folder| *folder != store.dir) {
                // One in which somebody put something else stays.
                let _ = fs::remove_dir(folder);
            }
            Ok(found)
        })
        .await?
    }

    fn entry(&self, text: &str) -> Option<&Entry> {
        self.catalogue.iter().find(|entry| entry.is_called(text))
    }

    /// What to bring for a name.
    fn plan(&self, name: &ModelName) -> Result<Plan, PullError> {
        match Wanted::parse(name)? {
            Wanted::Name(text) => {
                let entry = self.entry(&text).ok_or_else(|| PullError::NotInCatalogue {
                    name: text,
                    known: self.known(),
                })?;
                Ok(Plan {
                    model: entry.name.to_string(),
                    models: self.dir.clone(),
                    target: self.dir.join(&*entry.file),
                    expected: expected(entry.size, &entry.sha256, entry.kind),
                    companions: entry
                        .companions
                        .iter()
                        .map(|c| (c.file.to_string(), expected(c.size, &c.sha256, entry.kind)))
                        .collect(),
                    sources: entry.sources.clone(),
                })
            }
            Wanted::HuggingFace(file) => Ok(Plan {
                model: file.to_string(),
                models: self.dir.clone(),
                target: self.dir.join(file.file_name()),
                expected: Expected::default(),
                companions: Vec::new(),
                sources: vec![Source::HuggingFace(file)],
            }),
            Wanted::Path(_) => Err(FieldError::new(
                "model",
                name,
                "a catalogue name or hf:OWNER/REPO/FILE.gguf; a file on this machine needs no pull",
            )
            .into()),
        }
    }

    fn known(&self) -> String {
        let names: Vec<&str> = self.catalogue.iter().map(|e| &*e.name).collect();
        names.join(", ")
    }

    /// The model at `target` if it is the one expected; none if it is to be brought; an error if another is in the way.
    fn present(
        &self,
        target: &Path,
        expected: &Expected,
        sources: &[Source],
    ) -> Result<Option<Installed>, PullError> {
        let Some(found) = self.installed(target)? else {
            return Ok(None);
        };
        let entry = self.entry_at(target);
        if entry.is_some_and(|entry| damaged_beside(entry, target).is_some()) {
            return Ok(None);
        }
        let came_from = |record: &Record| sources.iter().any(|s| s.to_string() == record.source);
        let whole = |record: &Record| record.size_bytes == found.size.0;
        let here = match (&expected.sha256, &found.record) {
            // The catalogue knows it: by its record if size and checksum agree, else by reading it.
            (Some(sha), Some(record)) if record.sha256 == *sha && whole(record) => true,
            (Some(sha), _) => expected.size == Some(found.size.0) && sha256_of(target)? == *sha,
            (None, Some(record)) => came_from(record) && whole(record),
            (None, None) => false,
        };
        match found.record.as_ref() {
            _ if here => Ok(Some(found)),
            // One of our own that was damaged is brought again.
            Some(record) if came_from(record) => Ok(None),
            record => Err(PullError::Taken {
                path: target.to_owned(),
                source_of_it: record.map_or("an unknown source".into(), |r| r.source.clone()),
            }),
        }
    }

    /// What is wanted, looked for on the disk.
    fn look(&self, wanted: &Wanted) -> Result<Installed, ResolveError> {
        let places = self.places(wanted);
        for place in &places {
            if let Some(found) = self.installed(place)?.filter(|f| is_meant(wanted, f)) {
                return Ok(found);
            }
        }
        if let Some(folder) = places.into_iter().find(|place| place.is_dir()) {
            return Err(ResolveError::NotAFile { path: folder });
        }
        let (name, hint) = self.not_here(wanted);
        Err(ResolveError::NotHere { name, hint })
    }

    /// Where it may lie, likeliest first.
    fn places(&self, wanted: &Wanted) -> Vec<PathBuf> {
        match wanted {
            Wanted::Name(text) => {
                let known = self.entry(text).map(|e| self.dir.join(&*e.file));
                let by_file = self.dir.join(format!("{text}.gguf"));
                known.into_iter().chain([by_file]).collect()
            }
            Wanted::Path(path) => {
                let bare = path.components().count() == 1;
                let in_store = bare.then(|| self.dir.join(path));
                [path.clone()].into_iter().chain(in_store).collect()
            }
            Wanted::HuggingFace(file) => vec![self.dir.join(file.file_name())],
        }
    }

    fn not_here(&self, wanted: &Wanted) -> (String, String) {
        match wanted {
            Wanted::Name(text) if self.entry(text).is_some() => (
                text.clone(),
                format!(
                    "run `paraphym model pull {text}` when online, or use --model PATH with any GGUF"
                ),
            ),
            Wanted::Name(text) => (
                text.clone(),
                format!(
                    "the catalogue has {}; `paraphym model list` tells what is here; --model PATH takes any GGUF",
                    self.known()
                ),
            ),
            Wanted::Path(path) => (
                path.display().to_string(),
                "check the path: no such file".to_owned(),
            ),
            Wanted::HuggingFace(file) => (
                file.to_string(),
                format!("run `paraphym model pull {file}` when online"),
            ),
        }
    }

    /// The model at exactly this path, if a file is there.
    fn installed(&self, path: &Path) -> Result<Option<Installed>, DiskError> {
        match fs::metadata(path) {
            Ok(meta) if meta.is_file() && self.is_whole(path) => Ok(Some(Installed {
                name: self.name_of(path),
                kind: self.kind_of(path),
                path: path.to_owned(),
                size: Bytes(meta.len()),
                record: Record::read_beside(path),
            })),
            Ok(_) => Ok(None),
            Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
                Ok(None)
            }
            Err(e) => Err(DiskError::new("read", path, &e)),
        }
    }

    /// The entry whose place this is.
    fn entry_at(&self, path: &Path) -> Option<&Entry> {
        let mut all = self.catalogue.iter();
        all.find(|entry| path == self.dir.join(&*entry.file))
    }

    /// Whether all that the model needs beside it is there.
    fn is_whole(&self, path: &Path) -> bool {
        let entry = self.entry_at(path);
        let mut companions = entry.iter().flat_map(|entry| &entry.companions);
        companions.all(|c| path.with_file_name(&*c.file).is_file())
    }

    fn kind_of(&self, path: &Path) -> Kind {
        let by_name = match path.extension() {
            Some(extension) if extension.eq_ignore_ascii_case("safetensors") => Kind::Embedding,
            _ => Kind::Chat,
        };
        self.entry_at(path).map_or(by_name, |entry| entry.kind)
    }

    /// The shortest name that leads to this path.
    fn name_of(&self, path: &Path) -> ModelName {
        if let Some(entry) = self.entry_at(path) {
            return ModelName::new(&entry.name);
        }
        if path.parent() != Some(self.dir.as_path()) {
            return ModelName::new(path.to_string_lossy());
        }
        let file = path.file_name().unwrap_or_default().to_string_lossy();
        let stem = Path::new(&*file).file_stem().unwrap_or_default();
        ModelName::new(stem.to_string_lossy())
    }

    fn list_now(&self) -> Result<Vec<Installed>, DiskError> {
        let entries = match fs::read_dir(&self.dir) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(DiskError::new("read", &self.dir, &error)),
        };
        let mut all = Vec::new();
        for path in entries.flatten().map(|entry| entry.path()) {
            let hidden = path
                .file_name()
                .is_none_or(|name| name.to_string_lossy().starts_with('.'));
            let gguf = path
                .extension()
                .is_some_and(|e| e.eq_ignore_ascii_case("gguf"));
            if gguf && !hidden {
                all.extend(self.installed(&path)?);
            }
        }
        for entry in self.catalogue.iter().filter(|e| !e.companions.is_empty()) {
            all.extend(self.installed(&self.dir.join(&*entry.file))?);
        }
        all.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(all)
    }
}

fn expected(size: Bytes, sha256: &str, kind: Kind) -> Expected {
    Expected {
        size: Some(size.0),
        sha256: Some(sha256.to_owned()),
        any_kind: kind != Kind::Chat,
    }
}

/// What is wrong with the first file beside it that is not what it should be. They are small.
fn damaged_beside(entry: &Entry, main: &Path) -> Option<Verdict> {
    entry.companions.iter().find_map(|companion| {
        let path = main.with_file_name(&*companion.file);
        let actual = sha256_of(&path).unwrap_or_else(|error| error.to_string());
        (actual != *companion.sha256).then(|| Verdict::Damaged {
            expected: companion.sha256.to_string(),
            actual,
        })
    })
}

/// Two repositories may have files of one name: a hub file is only the one that came from there.
fn is_meant(wanted: &Wanted, found: &Installed) -> bool {
    let Wanted::HuggingFace(file) = wanted else {
        return true;
    };
    let source = Source::HuggingFace(file.clone()).to_string();
    found.record.as_ref().is_some_and(|r| r.source == source)
}

/// A hub file's name in a store, for those who pull and then resolve.
impl From<&HubFile> for ModelName {
    fn from(file: &HubFile) -> Self {
        Self::new(file.to_string())
    }
}
