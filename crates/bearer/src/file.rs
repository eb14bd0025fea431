//! The file of tokens: only its owner may read it, it is replaced whole, and one process writes at a time.
//!
//! The steps on the disk are those of the settings file. No former form stays beside it: a token that was revoked must
//! not come back with a copy.

use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use chat_config::Changes;
use chat_config::file::{Disk, Lock, RealDisk};

use crate::grants::{Grant, GrantError, Grants, Terms};
use crate::secret::Secret;

/// The file in the data folder.
pub const FILE: &str = "tokens.json";
/// The largest file that is read: all tokens with the longest names are a third of it.
const LARGEST: u64 = 1 << 20;

/// Why tokens are not read or changed. A refused change has changed nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// What was asked for is not accepted.
    #[error(transparent)]
    Grant(#[from] GrantError),
    /// The file is not what this program writes.
    #[error(
        "{path} is damaged: {reason}; it is left as it is: put a copy back, or move it away and make new tokens with \
         `paraphym token new`"
    )]
    Damaged {
        /// The file.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The system's answer.
    #[error("{path} could not be {verb}: {reason}")]
    Disk {
        /// The file.
        path: String,
        /// `read`, `written` or `locked`.
        verb: &'static str,
        /// The system's words.
        reason: String,
    },
    /// Another process is writing.
    #[error("{path} is being written by another process: try again in a moment")]
    Locked {
        /// The file.
        path: String,
    },
    /// Neither variable says where data lie.
    #[error("there is no folder for tokens: neither XDG_DATA_HOME nor HOME is an absolute path")]
    NoFolder,
}

/// Where tokens are kept. Each call works on the disk: not for the runtime's own threads.
#[derive(Clone)]
pub struct TokenFile {
    path: PathBuf,
    disk: Arc<dyn Disk>,
}

impl TokenFile {
    /// The file at `path`, which need not exist.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            disk: Arc::new(RealDisk),
        }
    }

    /// `$XDG_DATA_HOME/paraphym/tokens.json`, or `$HOME/.local/share/paraphym/tokens.json`: among data, because settings
    /// are shared and published, and even hashes have no business there.
    ///
    /// # Errors
    /// `NoFolder`.
    pub fn in_data_folder(env: impl Fn(&str) -> Option<OsString>) -> Result<Self, TokenError> {
        let absolute = |name: &str| {
            let path = env(name).map(PathBuf::from);
            path.filter(|path| path.is_absolute())
        };
        let data = absolute("XDG_DATA_HOME")
            .or_else(|| absolute("HOME").map(|home| home.join(".local").join("share")));
        let folder = data.ok_or(TokenError::NoFolder)?.join("paraphym");
        Ok(Self::at(folder.join(FILE)))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The tokens that are valid; none if there is no file.
    ///
    /// # Errors
    /// `Damaged`, `Disk`.
    pub fn read(&self) -> Result<Grants, TokenError> {
        let text = match self.disk.read(&self.path, LARGEST) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Grants::default()),
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::InvalidData | io::ErrorKind::FileTooLarge
                ) =>
            {
                return Err(self.damaged(error.to_string()));
            }
            Err(error) => return Err(self.failed("read", &error)),
        };
        Grants::parse(&text).map_err(|error| self.damaged(error.to_string()))
    }

    /// Makes a token, at `made_s` (seconds since 1970). It is valid when this returns.
    ///
    /// # Errors
    /// Any; then there is no such token.
    pub fn add(
        &self,
        secret: &Secret,
        name: Option<String>,
        terms: Terms,
        made_s: u64,
    ) -> Result<Arc<Grant>, TokenError> {
        self.change(|grants| grants.add(secret, name, terms, made_s))
    }

    /// Takes a token back, by its name or id.
    ///
    /// # Errors
    /// Any; then it is still valid.
    pub fn revoke(&self, which: &str) -> Result<Arc<Grant>, TokenError> {
        self.change(|grants| grants.revoke(which))
    }

    /// Hears of changes from now on; makes the folder if there is none. Needs the runtime.
    ///
    /// # Errors
    /// As the system says.
    pub fn watch(&self) -> io::Result<Option<Box<dyn Changes>>> {
        self.disk.make_folder(folder(&self.path))?;
        self.disk.watch(&self.path)
    }

    fn change(
        &self,
        change: impl FnOnce(&mut Grants) -> Result<Arc<Grant>, GrantError>,
    ) -> Result<Arc<Grant>, TokenError> {
        let _lock = self.lock()?;
        let mut grants = self.read()?;
        let changed = change(&mut grants)?;
        self.write(&grants.print())
            .map_err(|error| self.failed("written", &error))?;
        Ok(changed)
    }

    fn lock(&self) -> Result<Lock, TokenError> {
        let locked = self
            .disk
            .make_folder(folder(&self.path))
            .and_then(|()| self.disk.lock(&beside(&self.path, "lock")));
        match locked {
            Ok(Some(lock)) => Ok(lock),
            Ok(None) => Err(TokenError::Locked {
                path: self.path.display().to_string(),
            }),
            Err(error) => Err(self.failed("locked", &error)),
        }
    }

    /// The text is on the disk before its name is. A link stays a link.
    fn write(&self, text: &str) -> io::Result<()> {
        let path = std::fs::canonicalize(&self.path).unwrap_or_else(|_| self.path.clone());
        let fresh = beside(&path, "new");
        self.disk.write(&fresh, text)?;
        self.disk.rename(&fresh, &path)?;
        self.disk.sync(folder(&path))
    }

    fn damaged(&self, reason: String) -> TokenError {
        let path = self.path.display().to_string();
        TokenError::Damaged { path, reason }
    }

    fn failed(&self, verb: &'static str, error: &io::Error) -> TokenError {
        TokenError::Disk {
            path: self.path.display().to_string(),
            verb,
            reason: error.to_string(),
        }
    }
}

fn folder(path: &Path) -> &Path {
    let parent = path.parent();
    let named = parent.filter(|folder| !folder.as_os_str().is_empty());
    named.unwrap_or_else(|| Path::new("."))
}

/// `tokens.json.new` of `tokens.json`.
fn beside(path: &Path, suffix: &str) -> PathBuf {
    let parts = [path.as_os_str(), OsStr::new("."), OsStr::new(suffix)];
    let mut name = OsString::new();
    name.extend(parts);
    name.into()
}

#[cfg(test)]
#[path = "file_tests.rs"]
mod tests;
