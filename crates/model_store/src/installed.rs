//! What is known of a model on this machine: where it lies, where it came from, and whether it is what it should be.
//!
//! Values only; nothing here looks at a disk.

use std::path::PathBuf;

use domain::{Bytes, ModelName};

use crate::{Entry, Kind, Record};

/// A model that is on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Installed {
    /// What it is called: its catalogue name, else its file's name without `.gguf`, else its path.
    pub name: ModelName,
    /// Where it lies.
    pub path: PathBuf,
    /// What it is for.
    pub kind: Kind,
    /// Its main file's size on the disk.
    pub size: Bytes,
    /// Where it came from; none for a file that was put there by hand.
    pub record: Option<Record>,
}

/// All that is known of a model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// What lies here; none where it was not pulled.
    pub installed: Option<Installed>,
    /// What the catalogue says; none where it says nothing.
    pub entry: Option<Entry>,
}

/// Whether a file is what it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The checksum is the catalogue's, or the one it had when it arrived.
    Sound {
        /// SHA-256 in lower-case hex.
        sha256: String,
    },
    /// The file has changed or is damaged.
    Damaged {
        /// What it should be.
        expected: String,
        /// What it is.
        actual: String,
    },
    /// There is nothing to compare with.
    Unknown {
        /// SHA-256 in lower-case hex.
        sha256: String,
    },
}
