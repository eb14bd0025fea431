//! Which beginnings the engine has kept, and which of them a prompt may begin with.
//!
//! The engine keeps the KV memory of sequences that ended; this knows their tokens and holds the leases for them, and says
//! who is replaced, who is too old and who makes room. Whoever is dropped here waits in `leaving` until the engine, which
//! may be away, has forgotten it: no lease goes before its memory does.
//!
//! Invariants: nobody's whole prompt is taken from here, because the logits behind the last token are not kept; what is
//! kept begins with no other kept; both bounds hold; nothing here waits or computes. `L` is what holds the memory: leases,
//! or nothing in tests.

use std::collections::BTreeMap;
use std::time::Duration;

use cache_janitor::{Bounds, Entries, Goal, Held, Swept};
use domain::Bytes;
use engine::{Beginning, PrefixId, TokenId};
use tokio::time::Instant;

/// What a prompt may begin with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    /// Which prefix, and how many of its tokens.
    pub(crate) from: Beginning,
    /// The prompt goes on where the prefix ends, or so near that what it leaves out is not worth keeping: the sequence
    /// takes it over with its memory. Otherwise the prefix stays for others.
    pub(crate) takes_over: bool,
}

/// A kept prefix.
#[derive(Debug)]
pub(crate) struct Kept<L> {
    pub(crate) tokens: Vec<TokenId>,
    pub(crate) bytes: Bytes,
    pub(crate) memory: L,
}

/// All kept prefixes of one engine.
#[derive(Debug)]
pub(crate) struct Prefixes<L> {
    /// When each was used, and which is held for a sequence that will take it over.
    entries: Entries<PrefixId>,
    kept: BTreeMap<PrefixId, Kept<L>>,
    leaving: Vec<(PrefixId, L)>,
    next: u64,
    least: usize,
}

impl<L> Prefixes<L> {
    /// None are kept. Fewer tokens than `least` are neither kept nor looked for.
    pub(crate) fn new(bounds: Bounds, least: usize) -> Self {
        Self {
            entries: Entries::new(bounds),
            kept: BTreeMap::new(),
            leaving: Vec::new(),
            next: 1,
            least: least.max(1),
        }
    }

    /// None are kept and none will be: there is no engine yet.
    pub(crate) fn none() -> Self {
        let nothing = Bounds {
            ttl: Duration::ZERO,
            bytes: Bytes::ZERO,
            entries: 0,
        };
        Self::new(nothing, 1)
    }

    /// Other bounds; what is above them leaves.
    pub(crate) fn bound(&mut self, bounds: Bounds) {
        if self.entries.bounds() != bounds {
            let dropped = self.entries.set_bounds(bounds);
            self.leave(dropped);
        }
    }

    /// The longest beginning of `prompt` that is kept, without its last token. Of equals the one with the least left over.
    pub(crate) fn find(&self, prompt: &[TokenId]) -> Option<Found> {
        let most = prompt.len().saturating_sub(1);
        let found = self.kept.iter().map(|(prefix, kept)| {
            let common = common(prompt, &kept.tokens).min(most);
            (common, kept.tokens.len() - common, *prefix)
        });
        let (tokens, left_over, prefix) = found
            .filter(|(tokens, ..)| *tokens >= self.least)
            .max_by_key(|(tokens, left_over, ..)| (*tokens, std::cmp::Reverse(*left_over)))?;
        let tokens = u32::try_from(tokens).ok()?;
        Some(Found {
            from: Beginning { prefix, tokens },
            takes_over: left_over < self.least,
        })
    }

    /// From now until it is taken or released, this one stays, unless a longer one replaces it. Whether it is there.
    pub(crate) fn hold(&mut self, prefix: PrefixId) -> bool {
        self.entries.hold(&prefix)
    }

    /// It was held and is not needed.
    pub(crate) fn release(&mut self, prefix: PrefixId, now: Instant) {
        let dropped = self.entries.release(&prefix, now);
        self.leave(dropped);
    }

    /// It was used, and stays. Whether it is there.
    pub(crate) fn touch(&mut self, prefix: PrefixId, now: Instant) -> bool {
        self.entries.touch(&prefix, now)
    }

    /// Whether it is there.
    pub(crate) fn contains(&self, prefix: PrefixId) -> bool {
        self.kept.contains_key(&prefix)
    }

    /// Takes one out; the engine still keeps it.
    pub(crate) fn take(&mut self, prefix: PrefixId) -> Option<Kept<L>> {
        self.entries.remove(&prefix);
        self.kept.remove(&prefix)
    }

    /// A name to keep `tokens` under, if they are worth it: enough, and not the beginning of what is kept already.
    pub(crate) fn name(
        &mut self,
        tokens: &[TokenId],
        bytes: Bytes,
        now: Instant,
    ) -> Option<PrefixId> {
        let bounds = self.entries.bounds();
        if tokens.len() < self.least || bytes > bounds.bytes || bounds.entries == 0 {
            return None;
        }
        let covered = self
            .kept
            .iter()
            .find(|(_, kept)| kept.tokens.starts_with(tokens));
        if let Some((prefix, _)) = covered {
            let prefix = *prefix;
            self.entries.touch(&prefix, now);
            return None;
        }
        let prefix = PrefixId(self.next);
        self.next += 1;
        Some(prefix)
    }

    /// The engine has kept it. Those it begins with leave, and the least recently used if there are too many.
    pub(crate) fn insert(&mut self, prefix: PrefixId, kept: Kept<L>, now: Instant) {
        let replaced = self
            .kept
            .iter()
            .filter(|(_, old)| kept.tokens.starts_with(&old.tokens));
        let replaced: Vec<PrefixId> = replaced.map(|(prefix, _)| *prefix).collect();
        for old in &replaced {
            self.entries.remove(old);
        }
        self.leave(replaced);
        let bytes = kept.bytes;
        self.kept.insert(prefix, kept);
        let dropped = self.entries.insert(prefix, bytes, now);
        self.leave(dropped);
    }

    /// Drops what has expired and what is wanted back.
    pub(crate) fn sweep(&mut self, now: Instant, goal: Goal) -> Swept {
        let (dropped, swept) = self.entries.sweep(now, goal);
        self.leave(dropped);
        swept
    }

    /// The engine is gone, or about to go, and all it kept with it. What held the memory is given back to the caller.
    pub(crate) fn clear(&mut self) -> Vec<L> {
        self.entries = Entries::new(self.entries.bounds());
        let kept = std::mem::take(&mut self.kept);
        let left = std::mem::take(&mut self.leaving);
        let leaving = left.into_iter().map(|(_, memory)| memory);
        leaving
            .chain(kept.into_values().map(|kept| kept.memory))
            .collect()
    }

    /// Those the engine is to forget; then their memory may go.
    pub(crate) fn take_leaving(&mut self) -> Vec<(PrefixId, L)> {
        std::mem::take(&mut self.leaving)
    }

    /// Whether the engine has any to forget.
    pub(crate) fn is_leaving(&self) -> bool {
        !self.leaving.is_empty()
    }

    /// What holds the memory of all the engine keeps.
    pub(crate) fn memory(&self) -> impl Iterator<Item = &L> {
        let leaving = self.leaving.iter().map(|(_, memory)| memory);
        self.kept.values().map(|kept| &kept.memory).chain(leaving)
    }

    /// What to tell the janitor.
    pub(crate) fn held(&self) -> Held {
        self.entries.held()
    }

    fn leave(&mut self, dropped: Vec<PrefixId>) {
        let dropped = dropped.into_iter();
        let kept = dropped.filter_map(|prefix| Some((prefix, self.kept.remove(&prefix)?.memory)));
        self.leaving.extend(kept);
    }
}

/// How many tokens both begin with.
fn common(a: &[TokenId], b: &[TokenId]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}

#[cfg(test)]
#[path = "prefixes_tests.rs"]
mod tests;
