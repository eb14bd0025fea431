//! Shell: where histories lie while no worker holds them: they outlive an idle stop, a crash and a kill, but not the
//! process.
//!
//! It is a cache like others: registered with the janitor, swept when a conversation was idle for too long and when
//! memory is short. Nothing waits under its lock.

use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use cache_janitor::{Bounds, CacheJanitor, Register, Registration, SweepOrder};
use domain::{ConversationId, Message};
use supervision::{ChildSpec, Handle, TaskContext, TaskError};
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::histories::Histories;

/// The shelf's name in the tree.
pub const CHILD_ID: &str = "conversation_shelf";
/// Its name with the janitor.
pub const CACHE: &str = "idle conversations";
/// How long the janitor may take to register it; it waits for nothing there.
const DEADLINE: Duration = Duration::from_secs(10);

/// The histories of many conversations. Cloning gives another handle to the same shelf.
#[derive(Clone, Debug)]
pub struct Shelf {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug)]
struct Inner {
    histories: Histories,
    /// The shelf's place with the janitor, once it has one.
    registration: Option<Registration>,
}

/// While it lives, the conversation is live: its history is not forgotten.
#[derive(Debug)]
pub struct Seat {
    shelf: Shelf,
    conversation: ConversationId,
}

impl Shelf {
    /// An empty shelf. The bounds are those of idle conversations.
    pub fn new(bounds: Bounds) -> Self {
        Self {
            inner: Arc::new(Mutex::new(Inner {
                histories: Histories::new(bounds),
                registration: None,
            })),
        }
    }

    /// What was last put for this conversation; nothing if that is forgotten.
    pub fn get(&self, conversation: &ConversationId) -> Arc<Vec<Message>> {
        self.lock().histories.get(conversation)
    }

    /// Whether nothing was ever put for this live conversation.
    pub fn is_unknown(&self, conversation: &ConversationId) -> bool {
        self.lock().histories.is_unknown(conversation)
    }

    /// Puts what is at rest, unless something was put meanwhile.
    pub fn fill(&self, conversation: &ConversationId, messages: Arc<Vec<Message>>) {
        self.change(|histories| histories.fill(conversation, messages));
    }

    /// Keeps this conversation's history. An empty one needs no place.
    pub fn put(&self, conversation: &ConversationId, messages: Arc<Vec<Message>>) {
        let now = Instant::now();
        self.change(|histories| histories.put(conversation, messages, now));
    }

    /// The conversation is live until the seat is dropped, and every other one of it.
    pub fn sit(&self, conversation: &ConversationId) -> Seat {
        self.change(|histories| histories.sit(conversation));
        Seat {
            shelf: self.clone(),
            conversation: conversation.clone(),
        }
    }

    /// The child that registers the shelf and carries out the janitor's orders.
    pub fn keeper(&self, janitor: Handle<CacheJanitor>) -> ChildSpec {
        let kept = self.clone();
        ChildSpec::task(CHILD_ID, move |context: TaskContext| {
            keep(kept.clone(), janitor.clone(), context)
        })
    }

    fn sweep(&self, order: SweepOrder) {
        let now = Instant::now();
        let mut inner = self.lock();
        let swept = inner.histories.sweep(now, order.goal);
        // Under the lock: what is said of the deadline after this is newer.
        order.done(swept);
    }

    fn change(&self, change: impl FnOnce(&mut Histories)) {
        let mut inner = self.lock();
        change(&mut inner.histories);
        inner.tell();
    }

    // Held for a lookup or an insertion, never across anything that waits.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn tell(&self) {
        if let Some(registration) = &self.registration {
            registration.holds(self.histories.held());
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let now = Instant::now();
        self.shelf
            .change(|histories| histories.rise(&self.conversation, now));
    }
}

async fn keep(
    kept: Shelf,
    janitor: Handle<CacheJanitor>,
    context: TaskContext,
) -> Result<(), TaskError> {
    // One order at a time comes.
    let (orders, mut received) = mpsc::channel(1);
    let name = CACHE.to_owned();
    let registration = janitor.ask(Register { name, orders }, DEADLINE).await?;
    {
        let mut inner = kept.lock();
        inner.registration = Some(registration);
        inner.tell();
    }
    context.ready();
    let mut stopping = pin!(context.stopping());
    loop {
        tokio::select! {
            () = &mut stopping => return Ok(()),
            order = received.recv() => match order {
                Some(order) => kept.sweep(order),
                // Somebody took its name; started again, it takes it back.
                None => return Err("the janitor has forgotten the idle conversations".into()),
            },
        }
    }
}
