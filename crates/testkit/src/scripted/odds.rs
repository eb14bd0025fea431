//! How likely the scripted tokens were: a formula that a test can say again, in numbers that are exact.
//!
//! The token at place `n` of an answer (from 0) has a logprob of `-(n + 1) / 8` and is the likeliest. The one at rank `r`
//! behind it (from 1) is letter `r` of the alphabet, and 1 less likely than the one before it.

use domain::{Likely, TokenLogprob};
use engine::{Likelihood, TokenId};

use super::BYTE;

/// What is told of the token at `place` of an answer, if it has these bytes and `most` likeliest were asked for.
pub fn logprob(place: u64, bytes: &[u8], most: u32) -> TokenLogprob {
    let logprob = chosen(place);
    let likely = |rank: u32| Likely {
        bytes: letter(rank).map_or_else(|| bytes.to_vec(), |letter| vec![letter]),
        logprob: logprob - rank as f32,
    };
    TokenLogprob {
        bytes: bytes.to_vec(),
        logprob,
        likeliest: (0..most).map(likely).collect(),
    }
}

pub(super) fn of(token: TokenId, place: u64, most: u32) -> Likelihood {
    let logprob = chosen(place);
    let likely = |rank: u32| {
        let other = letter(rank).map(|letter| BYTE + u32::from(letter));
        (other.unwrap_or(token), logprob - rank as f32)
    };
    Likelihood {
        logprob,
        likeliest: (0..most).map(likely).collect(),
    }
}

fn chosen(place: u64) -> f32 {
    -((place + 1) as f32) / 8.0
}

/// None at rank 0, where the chosen token is.
fn letter(rank: u32) -> Option<u8> {
    let place = u8::try_from(rank.checked_sub(1)?).ok()?;
    b'a'.checked_add(place)
}
