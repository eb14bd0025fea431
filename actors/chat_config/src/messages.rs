//! What the settings can be asked: the whole inbox in one file, so that callers compile against it alone.

use std::sync::Arc;

use kameo::Reply;

use crate::file::FileError;
use crate::revisions::{Change, Changed, PlanError, Revision};

/// Asks for the revision that holds; answered with a [`Current`], also while another is being written.
#[derive(Clone, Copy, Debug)]
pub struct Get;

/// The revision that holds.
#[derive(Clone, Debug, PartialEq, Reply)]
pub struct Current(pub Arc<Revision>);

/// Asks for changes, all or none. Answered with the revision that then holds, when it is on the disk and not before.
#[derive(Clone, Debug, PartialEq)]
pub struct Update {
    /// Who asks; shown in the history.
    pub who: String,
    /// The revision the changes were made for: if it no longer holds, the update is refused. `None` takes any.
    pub expected: Option<u64>,
    /// What to change. No more than 256 at once, which is several times all settings.
    pub changes: Vec<Change>,
}

/// Asks what an [`Update`] would come to, and changes nothing. Answered with an [`crate::Outlook`], or refused as the update
/// would be; what waits to be written is not counted in.
#[derive(Clone, Debug, PartialEq)]
pub struct Rehearse(pub Update);

/// Asks to go back to an earlier revision, by making a new one. Answered as [`Update`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rollback {
    /// Who asks; shown in the history.
    pub who: String,
    /// As in [`Update`].
    pub expected: Option<u64>,
    /// The revision to go back to.
    pub to: u64,
}

/// Asks to read the file again, because it was changed by hand. Answered with the revision that then holds; what is
/// wrong with the file is refused by field, and the running settings stay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reload {
    /// Who asks; shown in the history.
    pub who: String,
}

/// Asks for all revisions that are kept, oldest first; the last one holds. Answered with a [`Revised`].
#[derive(Clone, Copy, Debug)]
pub struct History;

/// Revisions, oldest first.
#[derive(Clone, Debug, PartialEq, Reply)]
pub struct Revised(pub Vec<Arc<Revision>>);

/// Asks what is different between two revisions that are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Diff {
    /// One revision.
    pub from: u64,
    /// The other.
    pub to: u64,
}

/// What [`Diff`] is answered with: settings in the order of their paths, without secrets.
pub type Differences = Vec<Changed>;

/// Asks to hear of every revision from now on. Answered with a [`crate::Subscription`].
#[derive(Clone, Copy, Debug)]
pub struct Subscribe;

/// Asks whether changes of the file are noticed, and what was wrong with it last. Answered with a
/// [`crate::StatusReader`], which holds the present state and hears of others.
#[derive(Clone, Copy, Debug)]
pub struct Status;

/// Why a change was not made. The running settings are what they were, unless a variant says otherwise.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ConfigError {
    /// It may not be made.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// It could not be written or read. If the disk failed half way, what is found there is read again and holds.
    #[error(transparent)]
    File(#[from] FileError),
    /// Too much is waiting for the disk.
    #[error("{waiting} changes are waiting for the disk: try again in a moment")]
    Busy {
        /// Changes that wait.
        waiting: usize,
    },
    /// Too many changes in one update.
    #[error("changes = {given} is not accepted: use at most {most} at once")]
    TooMany {
        /// How many there are.
        given: usize,
        /// How many there may be.
        most: usize,
    },
    /// The settings are going or gone, or were started again while they held this request: it may have been written.
    #[error("the settings are not available: {reason}")]
    Unavailable {
        /// Why.
        reason: String,
    },
}
