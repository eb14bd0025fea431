//! How settings are refused: by field, value, where it came from and what would do, all at once.

use std::fmt;
use std::path::PathBuf;

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// It was not set anywhere.
    Default,
    /// It stands in the settings file.
    File(PathBuf),
    /// An environment variable, by its name.
    Environment(String),
    /// `--set KEY=VALUE`, by its key as it was typed.
    Flag(String),
    /// A change that someone asked for.
    Change(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("by default"),
            Self::File(path) => write!(f, "from file {}", path.display()),
            Self::Environment(name) => write!(f, "from {name}"),
            Self::Flag(key) => write!(f, "from the flag {key}"),
            Self::Change(who) => write!(f, "asked for by {who}"),
        }
    }
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// A value that is not accepted.
    #[error("{field} = {value} ({origin}) is not accepted: use {allowed}")]
    Value {
        /// The setting, such as `limits.connections`.
        field: String,
        /// The value as it was given, cut to 80 characters; `(secret)` if the setting is one.
        value: String,
        /// Where it came from.
        origin: Origin,
        /// What would be accepted.
        allowed: String,
    },
    /// A name that is no setting.
    #[error("{field} ({origin}) is no setting: {hint}")]
    Unknown {
        /// The name as it was given, cut to 80 characters.
        field: String,
        /// Where it came from.
        origin: Origin,
        /// The nearest setting, or where to find their list.
        hint: String,
    },
    /// Text that cannot be read at all.
    #[error("{origin}: {reason}")]
    Unreadable {
        /// Where it came from.
        origin: Origin,
        /// What is wrong, with the line.
        reason: String,
    },
}

impl Refusal {
    /// The setting it is about, if it is about one.
    pub fn field(&self) -> Option<&str> {
        match self {
            Self::Value { field, .. } | Self::Unknown { field, .. } => Some(field),
            Self::Unreadable { .. } => None,
        }
    }
}

/// Everything that is wrong; never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusals(Vec<Refusal>);

impl Refusals {
    /// `None` if there is nothing to refuse.
    pub(crate) fn of(refusals: Vec<Refusal>) -> Option<Self> {
        (!refusals.is_empty()).then_some(Self(refusals))
    }

    /// A file that could not even be looked at.
    pub fn unreadable(file: PathBuf, reason: String) -> Self {
        let origin = Origin::File(file);
        Refusal::Unreadable { origin, reason }.into()
    }

    /// One by one, in the order of their paths.
    pub fn iter(&self) -> impl Iterator<Item = &Refusal> {
        self.0.iter()
    }
}

impl From<Refusal> for Refusals {
    fn from(refusal: Refusal) -> Self {
        Self(vec![refusal])
    }
}

impl fmt::Display for Refusals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, refusal) in self.0.iter().enumerate() {
            let gap = if n == 0 { "" } else { "\n" };
            write!(f, "{gap}{refusal}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Refusals {}
