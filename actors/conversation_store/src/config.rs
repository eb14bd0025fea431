//! Where the file lies, by the XDG base directory specification. A function of the environment, not a reader of it.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::error::StoreError;

/// The file's name in the folder `paraphym`.
const FILE: &str = "paraphym.db";
/// The name of a server's own file there.
const SERVER_FILE: &str = "server.db";

/// Where conversations are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreConfig {
    pub(crate) place: Place,
    /// Nobody else who wants to be alone may have it open.
    pub(crate) alone: bool,
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
            alone: false,
        }
    }

    /// Nowhere: what is stored is forgotten with the process. It outlives crashes of the actor all the same.
    pub fn in_memory() -> Self {
        Self {
            place: Place::Memory,
            alone: false,
        }
    }

    /// In `$XDG_DATA_HOME/paraphym/paraphym.db`, or `$HOME/.local/share/paraphym/paraphym.db`; `env` reads the environment.
    ///
    /// # Errors
    /// `NoFolder`. A relative or empty `XDG_DATA_HOME` is ignored, as the specification asks.
    pub fn in_data_folder(env: impl Fn(&str) -> Option<OsString>) -> Result<Self, StoreError> {
        named(FILE, env)
    }

    /// A server's own file, `server.db` in the same folder, for one server at a time: the user's own conversations stay
    /// apart from what is done to a server.
    ///
    /// # Errors
    /// As [`StoreConfig::in_data_folder`].
    pub fn of_a_server(env: impl Fn(&str) -> Option<OsString>) -> Result<Self, StoreError> {
        Ok(named(SERVER_FILE, env)?.alone())
    }

    /// Opened only if nobody else who says so, too, has it open; they are told apart by a lock beside the file.
    #[must_use]
    pub fn alone(mut self) -> Self {
        self.alone = true;
        self
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

/// By the specification; a relative folder is none.
fn named(file: &str, env: impl Fn(&str) -> Option<OsString>) -> Result<StoreConfig, StoreError> {
    let absolute = |name: &str| {
        env(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    let data = absolute("XDG_DATA_HOME")
        .or_else(|| absolute("HOME").map(|home| home.join(".local").join("share")));
    let folder = data.ok_or(StoreError::NoFolder)?.join("paraphym");
    Ok(StoreConfig::at(folder.join(file)))
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
            // A server's lies beside it.
            let servers = StoreConfig::of_a_server(env).ok();
            let beside = expected.map(|file| file.replace("paraphym.db", "server.db"));
            let beside = beside.map(|file| StoreConfig::at(file).alone());
            assert_eq!(servers, beside);
        }
        assert_eq!(StoreConfig::in_memory().file(), None);
    }
}
