//! Shell: revisions on their way to those who want to hear of them; who is too slow is told how many it missed.

use std::sync::Arc;

use kameo::Reply;
use tokio::sync::broadcast::{self, error::RecvError};
use tokio::sync::watch;

use crate::revisions::Revision;

/// Revisions kept for a slow subscriber. 256: a burst of edits, and four times what the history keeps. The settings they
/// hold are shared with the other subscribers.
pub const NEWS: usize = 256;

/// What a subscriber hears.
#[derive(Clone, Debug, PartialEq)]
pub enum Heard {
    /// A new revision holds. Numbers come in order; one is left out only after `Missed`.
    Revised(Arc<Revision>),
    /// The subscriber was too slow, or another process made more revisions than the history keeps: so many are gone. Those
    /// that follow are still told.
    Missed {
        /// How many.
        count: u64,
    },
}

/// The subscriber's end. Dropping it ends the subscription.
#[derive(Debug, Reply)]
pub struct Subscription {
    news: broadcast::Receiver<Arc<Revision>>,
    latest: watch::Receiver<Arc<Revision>>,
    /// The number of the last revision heard of.
    seen: u64,
    /// What comes after a gap that was just told.
    held: Option<Arc<Revision>>,
}

impl Subscription {
    /// Waits for the next revision; `None` when the settings are gone for good. Dropping the future loses nothing.
    pub async fn next(&mut self) -> Option<Heard> {
        let revision = match self.held.take() {
            Some(held) => held,
            None => self.receive().await?,
        };
        let gap = revision.number.saturating_sub(self.seen.saturating_add(1));
        if gap > 0 {
            self.seen = revision.number.saturating_sub(1);
            self.held = Some(revision);
            return Some(Heard::Missed { count: gap });
        }
        self.seen = revision.number;
        Some(Heard::Revised(revision))
    }

    /// The next that is still there; the numbers tell what is not.
    async fn receive(&mut self) -> Option<Arc<Revision>> {
        loop {
            match self.news.recv().await {
                Ok(revision) => return Some(revision),
                Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return None,
            }
        }
    }

    /// The revision that holds, without waiting; after `Missed`, what the missed ones came to.
    pub fn latest(&self) -> Arc<Revision> {
        Arc::clone(&self.latest.borrow())
    }
}

/// The teller's end, in the actor's seed: subscriptions outlive its crashes.
#[derive(Clone, Debug)]
pub(crate) struct News {
    news: broadcast::Sender<Arc<Revision>>,
    latest: Arc<watch::Sender<Arc<Revision>>>,
}

impl News {
    pub(crate) fn new(first: Arc<Revision>) -> Self {
        Self {
            news: broadcast::Sender::new(NEWS),
            latest: Arc::new(watch::Sender::new(first)),
        }
    }

    /// The number of the revision that was told last.
    pub(crate) fn told(&self) -> u64 {
        self.latest.borrow().number
    }

    pub(crate) fn tell(&self, revision: &Arc<Revision>) {
        self.latest.send_replace(Arc::clone(revision));
        // Nobody listening is no failure.
        let _ = self.news.send(Arc::clone(revision));
    }

    pub(crate) fn subscribe(&self) -> Subscription {
        Subscription {
            news: self.news.subscribe(),
            latest: self.latest.subscribe(),
            seen: self.told(),
            held: None,
        }
    }
}
