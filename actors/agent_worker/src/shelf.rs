//! Where histories lie while no worker holds them: they outlive an idle stop, a crash and a kill, but not the process.
//!
//! Invariant: never more conversations than the limit; the least recently used one is forgotten first.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use domain::{ConversationId, Message};

/// The histories of many conversations. Cloning gives another handle to the same shelf.
#[derive(Clone, Debug)]
pub struct Shelf {
    // Held for a lookup or an insertion, never across anything that waits.
    inner: Arc<Mutex<Entries>>,
}

#[derive(Debug)]
struct Entries {
    limit: usize,
    uses: u64,
    histories: HashMap<ConversationId, Entry>,
}

#[derive(Debug)]
struct Entry {
    messages: Arc<Vec<Message>>,
    last_use: u64,
}

impl Shelf {
    /// An empty shelf of at most `limit` conversations.
    pub fn new(limit: usize) -> Self {
        Self {
            inner: Arc::new(Mutex::new(Entries {
                limit,
                uses: 0,
                histories: HashMap::new(),
            })),
        }
    }

    /// What was last put for this conversation; nothing if that is forgotten.
    pub fn get(&self, conversation: &ConversationId) -> Arc<Vec<Message>> {
        let mut entries = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        entries.uses += 1;
        let last_use = entries.uses;
        let entry = entries.histories.get_mut(conversation);
        entry.map_or_else(Arc::default, |entry| {
            entry.last_use = last_use;
            Arc::clone(&entry.messages)
        })
    }

    /// Keeps this conversation's history. An empty one needs no place.
    pub fn put(&self, conversation: &ConversationId, messages: Arc<Vec<Message>>) {
        let mut entries = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        if messages.is_empty() {
            entries.histories.remove(conversation);
            return;
        }
        entries.uses += 1;
        let last_use = entries.uses;
        let entry = Entry { messages, last_use };
        entries.histories.insert(conversation.clone(), entry);
        entries.forget_oldest();
    }
}

impl Entries {
    // A scan of all entries: a few hundred comparisons once per turn of a person.
    fn forget_oldest(&mut self) {
        while self.histories.len() > self.limit {
            let oldest = self.histories.iter().min_by_key(|(_, e)| e.last_use);
            let Some(oldest) = oldest.map(|(id, _)| id.clone()) else {
                return;
            };
            self.histories.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(text: &str) -> Arc<Vec<Message>> {
        Arc::new(vec![Message::user(text)])
    }

    #[test]
    fn the_least_recently_used_is_forgotten() {
        let shelf = Shelf::new(2);
        let [a, b, c] = ["a", "b", "c"].map(ConversationId::new);
        shelf.put(&a, said("1"));
        shelf.put(&b, said("2"));
        assert_eq!(shelf.get(&a), said("1"));
        shelf.put(&c, said("3"));
        assert_eq!(shelf.get(&b).len(), 0);
        assert_eq!(shelf.get(&a), said("1"));
        assert_eq!(shelf.get(&c), said("3"));
    }

    #[test]
    fn an_empty_history_takes_no_place() {
        let shelf = Shelf::new(1);
        let [a, b] = ["a", "b"].map(ConversationId::new);
        shelf.put(&a, said("1"));
        shelf.put(&b, Arc::default());
        assert_eq!(shelf.get(&a), said("1"));
        shelf.put(&a, Arc::default());
        assert_eq!(shelf.get(&a).len(), 0);
    }
}
