//! Tokens of what was said lately: the pieces of one model's prompts, so that a turn encodes what is new in it, and fitting
//! a long conversation into the window encodes nothing twice.
//!
//! A piece is known by its text, the text itself and not a hash of it: two texts are never taken for one. Plain prompts are
//! one piece that nobody says again, so they are not kept. Nothing here waits: the shelf's lock is held for one look-up,
//! never while a text is encoded.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use cache_janitor::Bounds;
use domain::Bytes;
use engine::{Pieces, TokenId};
use tokio::time::Instant;

use crate::shelf::{Made, Plan, Shelf};

/// What its leases are for, and what the janitor calls it together with its model.
pub(crate) const PURPOSE: &str = "tokenised prompts";
/// A conversation of 16 000 tokens takes a quarter of a MiB, so this is for sixteen of them, as many as a model keeps
/// prefixes of; and for as long as those: who comes later waits for the prompt to be read anew, beside which encoding it
/// is nothing.
pub(crate) const PLAN: Plan = Plan {
    bounds: Bounds {
        ttl: Duration::from_mins(10),
        bytes: Bytes(4 << 20),
        entries: 10_000,
    },
    piece: Bytes(256 << 10),
};
/// What a piece takes beside its text and its tokens: its places in three tables, as full as tables are at their emptiest,
/// and what the allocator adds twice. 332 were measured, over 58 400 pieces on shelves whose tables had just grown.
const OVERHEAD: u64 = 340;

/// A piece that can be kept.
pub(crate) type Piece = Made<Arc<str>, Arc<[TokenId]>>;
/// A model's cache, which goes with its engine.
pub(crate) type Tokenised = Shelf<Arc<str>, Arc<[TokenId]>>;

/// What one request is encoded with: what is on the shelf, and what it made itself.
pub(crate) struct Sheet {
    shelf: Tokenised,
    now: Instant,
    known: HashMap<Arc<str>, Arc<[TokenId]>>,
    found: u64,
    made: Vec<Piece>,
}

/// What a request found, and what it made.
pub(crate) struct Learned {
    /// Where it belongs: of the tokenizer that made it, which may be gone.
    pub(crate) shelf: Tokenised,
    /// Pieces that were on the shelf.
    pub(crate) found: u64,
    pub(crate) made: Vec<Piece>,
}

impl Sheet {
    pub(crate) fn new(shelf: Tokenised, now: Instant) -> Self {
        Self {
            shelf,
            now,
            known: HashMap::new(),
            found: 0,
            made: Vec::new(),
        }
    }

    pub(crate) fn finish(self) -> Learned {
        let Self {
            shelf, found, made, ..
        } = self;
        Learned { shelf, found, made }
    }
}

impl Learned {
    /// What keeping it takes.
    pub(crate) fn bytes(&self) -> Bytes {
        self.made.iter().map(|made| made.bytes).sum()
    }
}

impl Pieces for Sheet {
    fn look(&mut self, text: &str, tokens: &mut Vec<TokenId>) -> bool {
        if let Some(known) = self.known.get(text) {
            tokens.extend_from_slice(known);
            return true;
        }
        let Some(found) = self.shelf.look(text, self.now) else {
            return false;
        };
        tokens.extend_from_slice(&found);
        self.known.insert(Arc::from(text), found);
        self.found += 1;
        true
    }

    fn keep(&mut self, text: &str, tokens: &[TokenId]) {
        let (key, value) = (Arc::<str>::from(text), Arc::from(tokens));
        self.known.insert(Arc::clone(&key), Arc::clone(&value));
        let bytes = bytes_of(text, tokens);
        self.made.push(Made { key, value, bytes });
    }
}

fn bytes_of(text: &str, tokens: &[TokenId]) -> Bytes {
    Bytes(OVERHEAD + (text.len() + size_of_val(tokens)) as u64)
}

#[cfg(test)]
#[path = "tokenised_tests.rs"]
mod tests;
