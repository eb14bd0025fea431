//! Shell: waits for the deadlines of all caches at once, on one timer.
//!
//! Invariants: it wakes only when a deadline has come or was moved, and, for one that is far, at most once for each
//! level of the timing wheel on the way (64 ms, 4 s, 4.4 min, 4.7 h, 12 d before it); it never ticks.

use std::collections::HashMap;
use std::future::poll_fn;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::time::DelayQueue;
use tokio_util::time::delay_queue::Key;

use crate::registry::Registry;
use crate::roster::CacheId;

/// The furthest deadline that is kept as it is: the wheel has no place for one beyond 2.2 years. For a further one this
/// wakes once a month, and arms it again.
const FURTHEST: Duration = Duration::from_hours(24 * 30);

pub(crate) struct Deadlines {
    registry: Registry,
    queue: DelayQueue<CacheId>,
    keys: HashMap<CacheId, Key>,
}

impl Deadlines {
    pub(crate) fn new(registry: Registry) -> Self {
        Self {
            registry,
            queue: DelayQueue::new(),
            keys: HashMap::new(),
        }
    }

    /// The next cache whose deadline has come. Takes up what moved meanwhile.
    pub(crate) async fn next(&mut self) -> CacheId {
        let registry = self.registry.clone();
        loop {
            self.take_moves();
            let due = poll_fn(|cx| {
                registry.count_wake();
                self.poll_due(cx)
            });
            tokio::select! {
                biased;
                () = registry.moved() => {}
                id = due => return id,
            }
        }
    }

    fn take_moves(&mut self) {
        for (id, at) in self.registry.take_moved() {
            match (self.keys.get(&id).copied(), at) {
                (Some(key), None) => {
                    self.queue.remove(&key);
                    self.keys.remove(&id);
                }
                (Some(key), Some(at)) => self.queue.reset_at(&key, within_reach(at)),
                (None, Some(at)) => {
                    self.keys
                        .insert(id, self.queue.insert_at(id, within_reach(at)));
                }
                (None, None) => {}
            }
        }
    }

    fn poll_due(&mut self, cx: &mut Context<'_>) -> Poll<CacheId> {
        match self.queue.poll_expired(cx) {
            Poll::Ready(Some(expired)) => {
                let id = expired.into_inner();
                self.keys.remove(&id);
                Poll::Ready(id)
            }
            // Nothing is armed: only a move can change that.
            Poll::Ready(None) | Poll::Pending => Poll::Pending,
        }
    }
}

fn within_reach(at: Instant) -> Instant {
    let furthest = Instant::now().checked_add(FURTHEST);
    furthest.map_or(at, |furthest| furthest.min(at))
}
