//! Shell: requests for vectors, from acceptance to their answer: who waits, what the next batch is, and what becomes of a batch
//! that crashed.
//!
//! A batch takes one text of each request in turn, so that a question does not wait for somebody's thousand documents.
//! After a crash each request that was in the batch is tried once more, alone: whose fault it was then fails, and nobody
//! else. Invariants: every request that was accepted is answered once, or its asker has gone; the queue is bounded; a
//! batch never has more tokens than the embedder takes. Nothing here waits or reads a clock.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use domain::{GenerationError, KeepAlive, ModelName};
use engine::{Embedded, EmbedderCard};
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::request::Embeddings;
use super::shelf::Key;
use crate::underway::Underway;

/// Tries of one batch, the first included: embedding is pure, so a crash by chance does not come twice.
const TRIES: u32 = 2;
/// What a refused asker is told to wait: a batch or two, which is all that is known.
const RETRY_AFTER_MS: u64 = 1000;

/// Where an answer goes.
pub(crate) type Asker = oneshot::Sender<Result<Embeddings, GenerationError>>;

/// A text, what it is known by, and where in the answer its vector belongs: in more than one place if the text comes more
/// than once.
#[derive(Clone, Debug)]
#[expect(clippy::struct_field_names, reason = "a text's text is its text")]
pub(crate) struct Text {
    pub(crate) text: Arc<str>,
    pub(crate) key: Key,
    pub(crate) places: Vec<usize>,
}

/// A request on its way into the desk.
pub(super) struct Job {
    pub(super) model: ModelName,
    /// What is known already, by its place in the answer.
    pub(super) known: Vec<Option<Embedded>>,
    /// What is not.
    pub(super) unknown: Vec<Text>,
    pub(super) asker: Asker,
    /// Whose turn it is.
    pub(super) turn: tracing::Span,
}

struct Waiting {
    key: u64,
    job: Job,
    /// Texts that were given to a batch.
    given: usize,
    /// Texts of which there is a vector.
    done: usize,
    /// Crashes since a batch of it came back.
    crashes: u32,
}

/// Texts that go together. The first three have the same length.
#[derive(Clone, Debug, Default)]
pub(super) struct Batch {
    items: Vec<Item>,
    pub(super) texts: Vec<Arc<str>>,
    pub(super) keys: Vec<Key>,
    /// The spans of those who have a text in it, each once.
    pub(super) turns: Vec<tracing::Span>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Item {
    request: u64,
    text: usize,
}

#[derive(Default)]
pub(super) struct Pages {
    queue: VecDeque<Waiting>,
    away: Option<Batch>,
    last_key: u64,
    /// The last accepted request's wish.
    pub(super) keep_alive: Option<KeepAlive>,
    /// What a blocking thread does for this lane now.
    pub(super) underway: Option<Underway>,
}

/// Shared by the lane's lives. Its lock is never held across anything that waits.
#[derive(Clone, Default)]
pub(super) struct Desk(Arc<Mutex<Pages>>);

impl Desk {
    pub(super) fn pages(&self) -> MutexGuard<'_, Pages> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pages {
    /// Takes a request in; one of which everything is known is answered at once.
    pub(super) fn accept(&mut self, job: Job, most: usize) -> Result<(), GenerationError> {
        self.sweep();
        let waiting = self.queue.len();
        if !job.unknown.is_empty() && waiting >= most {
            return Err(GenerationError::Overloaded {
                waiting,
                retry_after_ms: RETRY_AFTER_MS,
            });
        }
        self.last_key += 1;
        self.queue.push_back(Waiting {
            key: self.last_key,
            job,
            given: 0,
            done: 0,
            crashes: 0,
        });
        self.answer_finished();
        Ok(())
    }

    /// Forgets those whose asker has gone.
    pub(super) fn sweep(&mut self) {
        self.queue.retain(|waiting| !waiting.job.asker.is_closed());
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// The model of whoever is first.
    pub(super) fn wanted(&self) -> Option<&ModelName> {
        self.queue.front().map(|first| &first.job.model)
    }

    /// Whether someone waits for that model and has not gone.
    pub(super) fn is_awaited(&self, model: &ModelName) -> bool {
        let mut waiting = self.queue.iter();
        waiting.any(|w| w.job.model == *model && !w.job.asker.is_closed())
    }

    /// A load made progress. Whether it is to go on.
    pub(super) fn load_goes_on(&mut self, model: &ModelName, now: Instant) -> bool {
        if let Some(underway) = &mut self.underway {
            underway.progress(now);
        }
        self.is_awaited(model)
    }

    /// The next batch of those who want this model, under any of its names; nothing if there is none.
    pub(super) fn take(&mut self, names: &[ModelName], card: &EmbedderCard) -> Option<Batch> {
        let ours = |waiting: &Waiting| names.contains(&waiting.job.model);
        // A request that was in a crash goes alone.
        let suspect = self.queue.iter().find(|w| w.crashes > 0 && ours(w));
        let suspect = suspect.map(|waiting| waiting.key);
        let chosen = |waiting: &Waiting| suspect.is_none_or(|key| key == waiting.key);
        let all = self.queue.iter_mut().filter(|w| ours(w) && chosen(w));
        let mut takers: VecDeque<&mut Waiting> = all.collect();
        let mut batch = Batch::default();
        let mut room = card.step_tokens.max(card.max_tokens);
        while let Some(taker) = takers.pop_front() {
            let Some(next) = taker.job.unknown.get(taker.given) else {
                continue;
            };
            let Some(left) = room.checked_sub(card.most_tokens(&next.text)) else {
                break;
            };
            room = left;
            if batch.items.iter().all(|item| item.request != taker.key) {
                batch.turns.push(taker.job.turn.clone());
            }
            batch.items.push(Item {
                request: taker.key,
                text: taker.given,
            });
            batch.texts.push(Arc::clone(&next.text));
            batch.keys.push(next.key);
            taker.given += 1;
            takers.push_back(taker);
        }
        if batch.items.is_empty() {
            return None;
        }
        self.away = Some(batch.clone());
        Some(batch)
    }

    /// The batch is back. Whoever has all vectors is answered.
    pub(super) fn arrive(&mut self, vectors: &[Embedded]) {
        let Some(batch) = self.away.take() else {
            return;
        };
        for (item, vector) in batch.items.iter().zip(vectors) {
            let found = self.queue.iter_mut().find(|w| w.key == item.request);
            // Its asker may have gone meanwhile.
            let Some(waiting) = found else { continue };
            waiting.crashes = 0;
            waiting.done += 1;
            let text = waiting.job.unknown.get(item.text);
            for place in text.iter().flat_map(|text| &text.places) {
                if let Some(known) = waiting.job.known.get_mut(*place) {
                    *known = Some(vector.clone());
                }
            }
        }
        self.answer_finished();
    }

    /// The batch is lost: those in it are tried again, or fail.
    pub(super) fn crashed(&mut self, reason: &str) {
        let Some(batch) = self.away.take() else {
            return;
        };
        let in_it = |key: u64| batch.items.iter().filter(move |item| item.request == key);
        for waiting in &mut self.queue {
            let texts = in_it(waiting.key).count();
            waiting.given = waiting.given.saturating_sub(texts);
            waiting.crashes += u32::from(texts > 0);
        }
        let error = GenerationError::EngineCrashed {
            crashes: TRIES,
            reason: reason.to_owned(),
        };
        self.fail(|waiting| waiting.crashes >= TRIES, &error);
    }

    /// Everyone who waits for that model hears why it is not there.
    pub(super) fn fail_model(&mut self, names: &[ModelName], error: &GenerationError) {
        self.fail(|waiting| names.contains(&waiting.job.model), error);
    }

    pub(super) fn fail_all(&mut self, error: &GenerationError) {
        self.fail(|_| true, error);
    }

    fn fail(&mut self, meant: impl Fn(&Waiting) -> bool, error: &GenerationError) {
        let all = std::mem::take(&mut self.queue);
        let (failed, rest): (VecDeque<_>, _) = all.into_iter().partition(meant);
        self.queue = rest;
        for waiting in failed {
            // Whoever does not listen any more needs no answer.
            let _ = waiting.job.asker.send(Err(error.clone()));
        }
    }

    fn answer_finished(&mut self) {
        let all = std::mem::take(&mut self.queue);
        let is_done = |waiting: &Waiting| waiting.done >= waiting.job.unknown.len();
        let (done, rest): (VecDeque<_>, _) = all.into_iter().partition(is_done);
        self.queue = rest;
        for waiting in done {
            let Job {
                model,
                known,
                asker,
                ..
            } = waiting.job;
            // As in `fail`.
            let _ = asker.send(Ok(answer(model, known)));
        }
    }
}

fn answer(model: ModelName, known: Vec<Option<Embedded>>) -> Embeddings {
    let mut tokens = 0;
    let vectors: Vec<Arc<[f32]>> = known
        .into_iter()
        .flatten()
        .map(|embedded| {
            tokens += u64::from(embedded.tokens);
            embedded.vector
        })
        .collect();
    let dimensions = vectors.first().map_or(0, |vector| vector.len());
    Embeddings {
        model,
        dimensions: u32::try_from(dimensions).unwrap_or(u32::MAX),
        vectors,
        tokens,
    }
}

#[cfg(test)]
mod tests;
