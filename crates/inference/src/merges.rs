//! Byte pair merging: the neighbours whose merge stands first in the file's list are joined, the leftmost among equals, again
//! and again (arXiv:1508.07909).
//!
//! Invariant: the same tokens as `tokenizers` makes of the same lists, whatever stands in them (held by `bpe_tests`).

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

use engine::TokenId;

use crate::hash::Keyed;
use crate::texts::{Index, Texts};

/// Who has no neighbour; no vocabulary is so large.
const NOBODY: usize = usize::MAX;

/// Why there is no such table.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum WrongMerge {
    /// It is not two texts with a space between them.
    NoPair(String),
    /// This text is no token.
    NoToken(String),
}

/// Two tokens to what they become: its place in the list, and the token.
pub(crate) struct Merges(HashMap<u64, (u32, TokenId), Keyed>);

/// A token of a word, in a list.
struct Symbol {
    /// None once it is part of the one before it.
    token: Option<TokenId>,
    left: usize,
    right: usize,
}

/// What is needed for one word after another.
#[derive(Default)]
pub(crate) struct Merging {
    symbols: Vec<Symbol>,
    /// Place in the list, in the word, and what the two become.
    queue: BinaryHeap<Reverse<(u32, usize, TokenId)>>,
}

fn key(left: TokenId, right: TokenId) -> u64 {
    u64::from(left) << 32 | u64::from(right)
}

/// Whether `text` is these two.
fn is_both(text: &str, left: &str, right: &str) -> bool {
    text.strip_prefix(left) == Some(right)
}

impl Merges {
    /// Reads the list; `index` finds each of the tokens, and `all_differ` if no text is that of two.
    pub(crate) fn read(
        merges: &Texts,
        (tokens, index): (&Texts, &Index),
        all_differ: bool,
    ) -> Result<Self, WrongMerge> {
        let mut table = HashMap::with_capacity_and_hasher(merges.len(), Keyed::new());
        let mut both = String::new();
        let mut guess = None;
        for (rank, merge) in (0u32..).zip(merges.iter()) {
            let pair = merge.split_once(' ');
            let (left, right) = pair.ok_or_else(|| WrongMerge::NoPair(merge.to_owned()))?;
            let find = |text: &str| {
                let found = index.find(tokens, text);
                found.ok_or_else(|| no_token(merges, text))
            };
            let pair = key(find(left)?, find(right)?);
            // Who makes a vocabulary adds the tokens as it finds the merges.
            let guessed = guess.filter(|guess| {
                let text = tokens.get(*guess as usize);
                all_differ && text.is_some_and(|text| is_both(text, left, right))
            });
            let joined = if let Some(token) = guessed {
                token
            } else {
                both.clear();
                both.push_str(left);
                both.push_str(right);
                find(&both)?
            };
            guess = joined.checked_add(1);
            table.insert(pair, (rank, joined));
        }
        Ok(Self(table))
    }

    fn get(&self, left: TokenId, right: TokenId) -> Option<(u32, TokenId)> {
        self.0.get(&key(left, right)).copied()
    }

    /// Merges a word of these tokens, and hands over what is left of it.
    pub(crate) fn merge(
        &self,
        word: impl Iterator<Item = TokenId>,
        merging: &mut Merging,
        tokens: &mut Vec<TokenId>,
    ) {
        merging.begin(word);
        for at in 0..merging.symbols.len() {
            merging.offer(self, at);
        }
        while let Some(Reverse((_, at, joined))) = merging.queue.pop() {
            merging.join(self, at, joined);
        }
        tokens.extend(merging.symbols.iter().filter_map(|symbol| symbol.token));
    }
}

/// A list with something that is no pair is said to be so, whatever else is wrong with it.
fn no_token(merges: &Texts, text: &str) -> WrongMerge {
    match merges.iter().find(|merge| !merge.contains(' ')) {
        Some(merge) => WrongMerge::NoPair(merge.to_owned()),
        None => WrongMerge::NoToken(text.to_owned()),
    }
}

impl Merging {
    fn begin(&mut self, word: impl Iterator<Item = TokenId>) {
        self.queue.clear();
        self.symbols.clear();
        self.symbols
            .extend(word.enumerate().map(|(at, token)| Symbol {
                token: Some(token),
                left: at.checked_sub(1).unwrap_or(NOBODY),
                right: at + 1,
            }));
        if let Some(last) = self.symbols.last_mut() {
            last.right = NOBODY;
        }
    }

    /// What the symbol and the one after it become.
    fn found(&self, merges: &Merges, at: usize) -> Option<(u32, TokenId)> {
        let left = self.symbols.get(at)?;
        let right = self.symbols.get(left.right)?;
        merges.get(left.token?, right.token?)
    }

    fn offer(&mut self, merges: &Merges, at: usize) {
        if let Some((rank, joined)) = self.found(merges, at) {
            self.queue.push(Reverse((rank, at, joined)));
        }
    }

    /// Joins the symbol with the one after it, if they still become this.
    fn join(&mut self, merges: &Merges, at: usize, joined: TokenId) {
        if self.found(merges, at).is_none_or(|(_, now)| now != joined) {
            return;
        }
        let Some(symbol) = self.symbols.get_mut(at) else {
            return;
        };
        symbol.token = Some(joined);
        let (before, gone) = (symbol.left, symbol.right);
        let Some(right) = self.symbols.get_mut(gone) else {
            return;
        };
        right.token = None;
        let after = right.right;
        if let Some(after) = self.symbols.get_mut(after) {
            after.left = at;
        }
        if let Some(symbol) = self.symbols.get_mut(at) {
            symbol.right = after;
        }
        self.offer(merges, before);
        self.offer(merges, at);
    }
}
