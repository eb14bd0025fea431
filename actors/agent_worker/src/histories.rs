//! What was said in every conversation, while a worker has it and after that: the live ones, and the idle ones that can
//! be forgotten.
//!
//! Invariants: a live conversation is never forgotten and counts for no bound here; of the idle ones neither count nor
//! bytes nor age is above its bound for longer than it takes to sweep them.

use std::collections::HashMap;
use std::sync::Arc;

use cache_janitor::{Bounds, Entries, Goal, Held, Swept};
use domain::{Bytes, ConversationId, Message};
use tokio::time::Instant;

type Said = Arc<Vec<Message>>;

/// The histories of many conversations.
#[derive(Debug)]
pub struct Histories {
    live: HashMap<ConversationId, Live>,
    idle: HashMap<ConversationId, Said>,
    /// The books of `idle`.
    entries: Entries<ConversationId>,
}

#[derive(Debug)]
struct Live {
    seats: usize,
    /// None until it is known.
    said: Option<Said>,
}

impl Histories {
    /// Nothing was said yet. The bounds are those of idle conversations.
    pub fn new(bounds: Bounds) -> Self {
        Self {
            live: HashMap::new(),
            idle: HashMap::new(),
            entries: Entries::new(bounds),
        }
    }

    /// A worker has this conversation, until `rise` was called as often as this.
    pub fn sit(&mut self, conversation: &ConversationId) {
        if let Some(live) = self.live.get_mut(conversation) {
            live.seats += 1;
            return;
        }
        self.entries.remove(conversation);
        let said = self.idle.remove(conversation);
        let live = Live { seats: 1, said };
        self.live.insert(conversation.clone(), live);
    }

    /// One worker less; without one the conversation is idle from now on.
    pub fn rise(&mut self, conversation: &ConversationId, now: Instant) {
        let Some(live) = self.live.get_mut(conversation) else {
            return;
        };
        live.seats = live.seats.saturating_sub(1);
        if live.seats == 0
            && let Some(live) = self.live.remove(conversation)
        {
            self.keep_idle(conversation, live.said.unwrap_or_default(), now);
        }
    }

    /// What was last put for this conversation; nothing if that is forgotten.
    pub fn get(&self, conversation: &ConversationId) -> Said {
        let live = self
            .live
            .get(conversation)
            .and_then(|live| live.said.as_ref());
        let said = live.or_else(|| self.idle.get(conversation));
        said.map_or_else(Arc::default, Arc::clone)
    }

    /// Whether nothing was ever put for this live conversation.
    pub fn is_unknown(&self, conversation: &ConversationId) -> bool {
        let live = self.live.get(conversation);
        live.is_some_and(|live| live.said.is_none())
    }

    /// Puts what is at rest, unless something was put meanwhile, or the conversation is not live any more.
    pub fn fill(&mut self, conversation: &ConversationId, said: Said) {
        if let Some(live) = self.live.get_mut(conversation) {
            live.said.get_or_insert(said);
        }
    }

    /// Keeps this conversation's history. An empty one needs no place.
    pub fn put(&mut self, conversation: &ConversationId, said: Said, now: Instant) {
        match self.live.get_mut(conversation) {
            Some(live) => live.said = Some(said),
            None => self.keep_idle(conversation, said, now),
        }
    }

    /// Forgets what has expired, then the conversations idle for longest until enough is freed.
    pub fn sweep(&mut self, now: Instant, goal: Goal) -> Swept {
        let (forgotten, swept) = self.entries.sweep(now, goal);
        self.forget(&forgotten);
        swept
    }

    /// What the idle ones take.
    pub fn held(&self) -> Held {
        self.entries.held()
    }

    fn keep_idle(&mut self, conversation: &ConversationId, said: Said, now: Instant) {
        if said.is_empty() {
            self.entries.remove(conversation);
            self.idle.remove(conversation);
            return;
        }
        let bytes = bytes_of(&said);
        self.idle.insert(conversation.clone(), said);
        let forgotten = self.entries.insert(conversation.clone(), bytes, now);
        self.forget(&forgotten);
    }

    fn forget(&mut self, conversations: &[ConversationId]) {
        for conversation in conversations {
            self.idle.remove(conversation);
        }
    }
}

/// Its texts and what holds them.
fn bytes_of(said: &[Message]) -> Bytes {
    let one = |message: &Message| message.content.len() + size_of::<Message>();
    Bytes(said.iter().map(one).sum::<usize>() as u64)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const HOUR: Duration = Duration::from_hours(1);

    fn said(text: &str) -> Said {
        Arc::new(vec![Message::user(text)])
    }

    fn of(entries: usize, bytes: u64) -> Histories {
        Histories::new(Bounds {
            ttl: HOUR,
            bytes: Bytes(bytes),
            entries,
        })
    }

    #[tokio::test(start_paused = true)]
    async fn the_least_recently_used_is_forgotten() {
        let mut histories = of(2, 1 << 20);
        let now = Instant::now();
        let [a, b, c] = ["a", "b", "c"].map(ConversationId::new);
        histories.put(&a, said("1"), now);
        histories.put(&b, said("2"), now);
        histories.sit(&a);
        histories.rise(&a, now);
        histories.put(&c, said("3"), now);
        assert_eq!(histories.get(&b).len(), 0);
        assert_eq!(histories.get(&a), said("1"));
        assert_eq!(histories.get(&c), said("3"));
    }

    #[tokio::test(start_paused = true)]
    async fn an_empty_history_takes_no_place() {
        let mut histories = of(1, 1 << 20);
        let now = Instant::now();
        let [a, b] = ["a", "b"].map(ConversationId::new);
        histories.put(&a, said("1"), now);
        histories.put(&b, Arc::default(), now);
        assert_eq!(histories.get(&a), said("1"));
        histories.put(&a, Arc::default(), now);
        assert_eq!(histories.get(&a).len(), 0);
        assert_eq!(histories.held(), Held::default());
    }

    #[tokio::test(start_paused = true)]
    async fn a_live_conversation_is_never_swept_and_an_idle_one_when_its_time_is_over() {
        let mut histories = of(1, 1 << 20);
        let start = Instant::now();
        let [a, b] = ["a", "b"].map(ConversationId::new);
        histories.sit(&a);
        histories.sit(&a);
        histories.put(&a, said("1"), start);
        histories.put(&b, said("2"), start);
        let all = Goal {
            free: Bytes(u64::MAX),
        };
        let swept = histories.sweep(start + 100 * HOUR, all);
        assert_eq!((swept.swept, swept.kept), (1, 0), "b alone");
        histories.rise(&a, start);
        assert_eq!(histories.held(), Held::default(), "one worker is left");
        histories.rise(&a, start + HOUR);
        histories.rise(&a, start + HOUR);
        assert_eq!(histories.held().next_due, Some(start + 2 * HOUR));
        let early = start + 2 * HOUR - Duration::from_millis(1);
        assert_eq!(histories.sweep(early, Goal::default()).swept, 0);
        assert_eq!(histories.get(&a), said("1"));
        histories.sweep(start + 2 * HOUR, Goal::default());
        assert_eq!(histories.get(&a).len(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn bytes_are_bounded() {
        let now = Instant::now();
        let ids: Vec<_> = (0..9).map(|n| ConversationId::new(n.to_string())).collect();
        let one = bytes_of(&said(&"x".repeat(100)));
        let mut histories = of(100, one.0 * 3);
        for id in &ids {
            histories.put(id, said(&"x".repeat(100)), now);
        }
        assert_eq!(histories.held().entries, 3);
        assert_eq!(histories.idle.len(), 3);
        histories.put(&ids[0], said(&"x".repeat(10_000)), now);
        assert_eq!(histories.get(&ids[0]).len(), 0, "it does not fit at all");
        assert_eq!(histories.held().entries, 3);
    }
}
