//! Shell: what outlives the actor's crashes: who looks, which leases are out, how long a keystroke counts, what was counted.
//!
//! Invariants: nobody waits while it is held; a viewer's channel is not closed by a crash, and one that nobody reads any
//! more is dropped.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use domain::{ConversationId, UserId};
use tokio::sync::{Notify, watch};

use crate::messages::Tally;
use crate::typists::{Cause, Edge, Key, Turned};

/// Conversations that are looked at before those that nobody looks at any more are searched for the first time.
const FEW: usize = 32;

/// Everybody who types in one conversation at this moment, in order. It replaces whatever was known before.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TypingSet(pub Arc<[UserId]>);

#[derive(Debug)]
pub(crate) struct Kept {
    pub(crate) expiry: Duration,
    pub(crate) tally: Tally,
    viewers: BTreeMap<ConversationId, watch::Sender<TypingSet>>,
    /// As many conversations were looked at when they were last searched.
    searched: usize,
    leases: BTreeMap<u64, Key>,
    lent: u64,
}

/// The same, shared with the leases. Cloning gives another hold on it.
#[derive(Clone, Debug)]
pub(crate) struct Board {
    kept: Arc<Mutex<Kept>>,
    returned: Arc<Notify>,
}

/// Somebody is shown as typing while this lives. It ends with its owner, however that ends.
#[derive(Debug)]
pub struct TypingLease {
    number: u64,
    board: Board,
}

impl Drop for TypingLease {
    fn drop(&mut self) {
        self.board.kept().leases.remove(&self.number);
        self.board.returned.notify_one();
    }
}

impl Board {
    pub(crate) fn new(expiry: Duration) -> Self {
        let kept = Kept {
            expiry,
            tally: Tally::default(),
            viewers: BTreeMap::new(),
            searched: FEW,
            leases: BTreeMap::new(),
            lent: 0,
        };
        Self {
            kept: Arc::new(Mutex::new(kept)),
            returned: Arc::default(),
        }
    }

    pub(crate) fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The number of the next lease; nobody else has it.
    pub(crate) fn number(&self) -> u64 {
        let mut kept = self.kept();
        kept.lent += 1;
        kept.lent
    }

    /// The lease is out.
    pub(crate) fn lend(&self, number: u64, key: Key) -> TypingLease {
        self.kept().leases.insert(number, key);
        let board = self.clone();
        TypingLease { number, board }
    }

    /// The leases that are out.
    pub(crate) fn leases(&self) -> Vec<(u64, Key)> {
        let kept = self.kept();
        let out = kept.leases.iter();
        out.map(|(number, key)| (*number, key.clone())).collect()
    }

    /// Waits until a lease was given back.
    pub(crate) async fn returned(&self) {
        self.returned.notified().await;
    }
}

impl Kept {
    /// Whether the lease is out.
    pub(crate) fn is_out(&self, number: u64) -> bool {
        self.leases.contains_key(&number)
    }

    /// Counts an edge.
    pub(crate) fn count(&mut self, edge: &Edge) {
        let tally = &mut self.tally;
        match edge.what {
            Turned::Began => tally.began += 1,
            Turned::Ended { cause, after } => {
                tally.ended += 1;
                tally.expired += u64::from(cause == Cause::Expired);
                tally.typed = tally.typed.saturating_add(after);
                tally.longest = tally.longest.max(after);
            }
        }
    }

    /// Who looks at this conversation hears this set, unless they know it.
    pub(crate) fn show(&self, conversation: &ConversationId, typing: Vec<UserId>) {
        let Some(viewers) = self.viewers.get(conversation) else {
            return;
        };
        viewers.send_if_modified(|known| {
            let changed = *known.0 != *typing;
            if changed {
                *known = TypingSet(typing.into());
            }
            changed
        });
    }

    /// Another one looks at this conversation, in which these type.
    pub(crate) fn watch(
        &mut self,
        conversation: ConversationId,
        typing: Vec<UserId>,
    ) -> watch::Receiver<TypingSet> {
        if self.viewers.len() >= self.searched.saturating_mul(2) {
            self.viewers.retain(|_, sender| sender.receiver_count() > 0);
            self.searched = self.viewers.len().max(FEW);
        }
        let first = || watch::Sender::new(TypingSet(typing.into()));
        let viewers = self.viewers.entry(conversation).or_insert_with(first);
        viewers.subscribe()
    }

    /// The conversations that somebody looked at, and may still.
    pub(crate) fn watched(&self) -> Vec<ConversationId> {
        self.viewers.keys().cloned().collect()
    }

    /// How many conversations are looked at.
    pub(crate) fn watched_now(&self) -> usize {
        let all = self.viewers.values();
        all.filter(|sender| sender.receiver_count() > 0).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_looks_at_any_more_is_dropped() {
        let board = Board::new(crate::typists::EXPIRY);
        let mut kept = board.kept();
        let stays = kept.watch(ConversationId::new("stays"), Vec::new());
        for number in 0..10_000 {
            drop(kept.watch(ConversationId::new(number.to_string()), Vec::new()));
        }
        assert!(kept.viewers.len() <= 2 * FEW + 2, "{}", kept.viewers.len());
        assert_eq!(kept.watched_now(), 1);
        kept.show(&ConversationId::new("stays"), vec![UserId::new("ann")]);
        assert_eq!(stays.borrow().0.len(), 1);
    }

    #[test]
    fn a_set_that_is_known_wakes_nobody() {
        let board = Board::new(crate::typists::EXPIRY);
        let conversation = ConversationId::new("c");
        let mut seen = board.kept().watch(conversation.clone(), Vec::new());
        board.kept().show(&conversation, Vec::new());
        assert!(!seen.has_changed().unwrap());
        board.kept().show(&conversation, vec![UserId::new("ann")]);
        assert!(seen.has_changed().unwrap());
        seen.mark_unchanged();
        board.kept().show(&conversation, vec![UserId::new("ann")]);
        assert!(!seen.has_changed().unwrap());
    }
}
