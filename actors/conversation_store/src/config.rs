//! Where the file lies, by the XDG base directory specification. A function of the environment, not a reader of it.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::error::StoreError;

/// The file's name in the folder `paraphym`.
const FILE: &str = "paraphym.db";

/// Where conversations are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreConfig {
    pub(crate) place: Place,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    File(PathBuf),
    Memory,
}

impl StoreConfig {
    /// In this file, which is made, with its folder, if there is none.
    pub fn at(file: impl Into<PathBuf>) -> Self {
        Self {
            place: Place::File(file.into()),
        }
    }

    /// Nowhere: what is stored is forgotten with the process. It outlives crashes of the actor all the same.
    pub fn in_memory() -> Self {
        Self {
            place: Place::Memory,
        }
    }

    /// In `$XDG_DATA_HOME/paraphym/paraphym.db`, or `$HOME/.local/share/paraphym/paraphym.db`; `env` reads the environment.
    ///
    /// # Errors
    /// `NoFolder`. A relative or empty `XDG_DATA_HOME` is ignored, as the specification asks.
    pub fn in_data_folder(env: impl Fn(&str) -> Option<OsString>) -> Result<Self, StoreError> {
        let absolute = |name: &str| {
            env(name)
                .map(PathBuf::from)
                .filter(|path| path.is_absolute())
        };
        let data = absolute("XDG_DATA_HOME")
            .or_else(|| absolute("HOME").map(|home| home.join(".local").join("share")));
        let folder = data.ok_or(StoreError::NoFolder)?.join("paraphym");
        Ok(Self::at(folder.join(FILE)))
    }

    /// The file, if there is one.
    pub fn file(&self) -> Option<&Path> {
        match &self.place {
            Place::File(file) => Some(file),
            Place::Memory => None,
        }
    }

    /// The file's name in errors.
    pub(crate) fn shown(&self) -> PathBuf {
        self.file()
            .map_or_else(|| PathBuf::from("(memory)"), Path::to_path_buf)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_follows_the_specification() {
        for (xdg, home, expected) in [
            (Some("/d"), Some("/h"), Some("/d/paraphym/paraphym.db")),
            (
                Some("rel"),
                Some("/h"),
                Some("/h/.local/share/paraphym/paraphym.db"),
            ),
            (
                None,
                Some("/h"),
                Some("/h/.local/share/paraphym/paraphym.db"),
            ),
            (None, Some("rel"), None),
            (None, None, None),
        ] {
            let env = |name: &str| match name {
                "XDG_DATA_HOME" => xdg.map(OsString::from),
                "HOME" => home.map(OsString::from),
                _ => None,
            };
            let found = StoreConfig::in_data_folder(env);
            let file = found
                .as_ref()
                .map(|config| config.file().unwrap().to_owned());
            assert_eq!(file.ok(), expected.map(PathBuf::from));
            assert_eq!(found.is_err(), expected.is_none());
        }
        assert_eq!(StoreConfig::in_memory().file(), None);
    }
}
