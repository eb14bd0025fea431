//! What was encoded before, so that a turn encodes only what is new: a codec asks here for the tokens of a piece of text
//! before it makes them.
//!
//! Invariant: a codec asks only for pieces whose tokens depend on their text alone. It is then all one to every answer
//! what is known here and what is not. Whose the memory is, and for how long, is the business of whoever keeps it.

use crate::TokenId;

/// Pieces of one codec's texts, and their tokens.
pub trait Pieces {
    /// Appends the tokens of that text, if they are known. Whether they are.
    fn look(&mut self, text: &str, tokens: &mut Vec<TokenId>) -> bool;

    /// Those are the tokens of that text.
    fn keep(&mut self, text: &str, tokens: &[TokenId]);
}

/// Nothing is known and nothing is kept.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoPieces;

impl Pieces for NoPieces {
    fn look(&mut self, _: &str, _: &mut Vec<TokenId>) -> bool {
        false
    }

    fn keep(&mut self, _: &str, _: &[TokenId]) {}
}
