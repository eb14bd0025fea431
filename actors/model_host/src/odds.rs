//! How likely the tokens of an answer were, kept back as long as their text is.
//!
//! A token is told as soon as the first of its bytes is said. So the bytes of all tokens told begin, at any time, with all
//! that was said, and a token of which a stop text cut off every byte is never told. Tokens without bytes are not either.
//! All of it outlives the engine with its sequence: only a newly sampled token comes in here, so a replay tells nothing twice.

use std::collections::VecDeque;

use domain::{Likely, TokenLogprob};
use engine::{Likelihood, TextCodec, TokenId};

/// The tokens of one answer that were not told yet.
#[derive(Debug, Default)]
pub(crate) struct Odds {
    /// With the place of the first byte in the answer.
    waiting: VecDeque<(usize, TokenLogprob)>,
    /// Bytes of all tokens that came in.
    bytes: usize,
}

impl Odds {
    /// The next token of the answer.
    pub(crate) fn take(&mut self, bytes: &[u8], odds: Option<TokenLogprob>) {
        if let Some(odds) = odds.filter(|_| !bytes.is_empty()) {
            self.waiting.push_back((self.bytes, odds));
        }
        self.bytes += bytes.len();
    }

    /// The tokens, not told yet, that begin within the first `bytes` bytes of the answer.
    pub(crate) fn of_the_first(&mut self, bytes: usize) -> Vec<TokenLogprob> {
        let told = self.waiting.partition_point(|(place, _)| *place < bytes);
        self.waiting.drain(..told).map(|(_, odds)| odds).collect()
    }
}

/// The same with bytes for token numbers.
pub(crate) fn spell(token: TokenId, likelihood: &Likelihood, text: &dyn TextCodec) -> TokenLogprob {
    let bytes_of = |token| text.bytes_of(token).to_vec();
    let likely = |(token, logprob): &(TokenId, f32)| Likely {
        bytes: bytes_of(*token),
        logprob: *logprob,
    };
    TokenLogprob {
        bytes: bytes_of(token),
        logprob: likelihood.logprob,
        likeliest: likelihood.likeliest.iter().map(likely).collect(),
    }
}

#[cfg(test)]
#[path = "odds_tests.rs"]
mod tests;
