//! What whoever ends the process tells the edge, and what it hears: nothing new from now on, last words now; which answers
//! are still under way. It outlives the lives of the listener, because an ending does.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// How open the edge is, shared by whoever ends it and by every life of the listener. Cloning gives another hold on the same.
#[derive(Clone, Debug, Default)]
pub struct Serving(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    draining: CancellationToken,
    last_words: CancellationToken,
    begun: AtomicU64,
    under_way: watch::Sender<BTreeMap<u64, String>>,
}

impl Default for Inner {
    fn default() -> Self {
        Self {
            draining: CancellationToken::new(),
            last_words: CancellationToken::new(),
            begun: AtomicU64::new(0),
            under_way: watch::Sender::new(BTreeMap::new()),
        }
    }
}

/// An answer is under way while this lives.
#[derive(Debug)]
pub(crate) struct Answered {
    serving: Serving,
    key: u64,
}

impl Serving {
    /// From now on every request for an answer is refused, and `/readyz` says so; those under way go on. There is no way back.
    pub fn drain(&self) {
        self.0.draining.cancel();
    }

    /// Answers that still run end with an error at once. There is no way back.
    pub fn end(&self) {
        self.drain();
        self.0.last_words.cancel();
    }

    /// Whether nothing new is taken.
    pub fn is_draining(&self) -> bool {
        self.0.draining.is_cancelled()
    }

    /// The answers under way, oldest first: `POST /v1/chat/completions req-1`.
    pub fn under_way(&self) -> Vec<String> {
        self.0.under_way.borrow().values().cloned().collect()
    }

    /// Waits until no answer is under way.
    pub async fn idle(&self) {
        self.fewer_than(1).await;
    }

    /// Waits until fewer answers than so many are under way.
    pub async fn fewer_than(&self, many: usize) {
        let mut under_way = self.0.under_way.subscribe();
        // Not an error: we hold the sender.
        let _ = under_way.wait_for(|all| all.len() < many).await;
    }

    /// Cancelled when last words are to be said.
    pub(crate) fn last_words(&self) -> &CancellationToken {
        &self.0.last_words
    }

    pub(crate) fn begin(&self, label: String) -> Answered {
        let key = self.0.begun.fetch_add(1, Ordering::Relaxed);
        self.0.under_way.send_modify(|all| {
            all.insert(key, label);
        });
        Answered {
            serving: self.clone(),
            key,
        }
    }
}

impl Drop for Answered {
    fn drop(&mut self) {
        self.serving.0.under_way.send_modify(|all| {
            all.remove(&self.key);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_is_idle_when_the_last_answer_has_ended() {
        let serving = Serving::default();
        serving.idle().await;
        let (first, second) = (serving.begin("a".into()), serving.begin("b".into()));
        assert_eq!(serving.under_way(), ["a", "b"]);
        drop(first);
        assert_eq!(serving.under_way(), ["b"]);
        let ended = async {
            serving.idle().await;
            assert!(serving.under_way().is_empty());
        };
        let ((), ()) = tokio::join!(ended, async { drop(second) });
    }

    #[test]
    fn to_end_is_to_drain_too() {
        let serving = Serving::default();
        assert!(!serving.is_draining());
        serving.clone().drain();
        assert!(serving.is_draining() && !serving.last_words().is_cancelled());
        serving.end();
        assert!(serving.last_words().is_cancelled());
    }
}
