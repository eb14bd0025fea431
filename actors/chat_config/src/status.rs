//! Shell: what there is to know about the settings beside themselves: whether changes of the file are noticed, and what
//! was wrong with it last.

use std::sync::Arc;
use std::time::SystemTime;

use kameo::Reply;
use tokio::sync::watch;

use crate::messages::ConfigError;

/// Whether changes of the file are noticed as they happen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Watching {
    /// Not yet known: the process has just begun.
    Starting,
    /// They are.
    On,
    /// They are not; the file is read again when someone says so (SIGHUP, `Reload`), and then this is tried again.
    Off {
        /// Why.
        reason: String,
    },
    /// There is no file to watch.
    NoFile,
}

/// A file that was not taken over. The running settings stay.
#[derive(Clone, Debug, PartialEq)]
pub struct Refused {
    /// When it was read.
    pub at: SystemTime,
    /// What is wrong with it, by field.
    pub error: ConfigError,
}

/// The settings' state at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct ConfigStatus {
    /// Where the file is, or would be.
    pub file: String,
    /// Whether changes of it are noticed.
    pub watching: Watching,
    /// What is wrong with it, until it is mended.
    pub refused: Option<Refused>,
}

/// The state now, and when it changes. It stays good over the actor's restarts.
#[derive(Clone, Debug, Reply)]
pub struct StatusReader(watch::Receiver<ConfigStatus>);

impl StatusReader {
    /// The state now, without waiting.
    pub fn latest(&self) -> ConfigStatus {
        self.0.borrow().clone()
    }

    /// Waits until `wanted` says yes to the state; `None` when the settings are gone for good. Dropping the future loses
    /// nothing.
    pub async fn until(
        &mut self,
        wanted: impl FnMut(&ConfigStatus) -> bool,
    ) -> Option<ConfigStatus> {
        let found = self.0.wait_for(wanted).await.ok()?;
        Some(found.clone())
    }
}

/// The teller's end, in the actor's seed.
#[derive(Clone, Debug)]
pub(crate) struct StatusBoard(Arc<watch::Sender<ConfigStatus>>);

impl StatusBoard {
    pub(crate) fn new(file: String) -> Self {
        Self(Arc::new(watch::Sender::new(ConfigStatus {
            file,
            watching: Watching::Starting,
            refused: None,
        })))
    }

    pub(crate) fn reader(&self) -> StatusReader {
        StatusReader(self.0.subscribe())
    }

    /// Whether changes are noticed; true if that is new.
    pub(crate) fn watching(&self, state: Watching) -> bool {
        self.0.send_if_modified(|status| {
            let new = status.watching != state;
            status.watching = state;
            new
        })
    }

    /// Whether nobody notices changes, although there is a file.
    pub(crate) fn is_blind(&self) -> bool {
        matches!(self.0.borrow().watching, Watching::Off { .. })
    }

    /// The file is as it should be.
    pub(crate) fn accepted(&self) {
        self.0
            .send_if_modified(|status| status.refused.take().is_some());
    }

    /// It is not; true if that was not said before.
    pub(crate) fn refused(&self, at: SystemTime, error: &ConfigError) -> bool {
        self.0.send_if_modified(|status| {
            let said = status.refused.as_ref().map(|refused| &refused.error);
            let new = said != Some(error);
            if new {
                let error = error.clone();
                status.refused = Some(Refused { at, error });
            }
            new
        })
    }
}
