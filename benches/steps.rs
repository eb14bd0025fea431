//! What is measured of a decoder: steps as a model host makes them, of made-up tokens.

use std::error::Error;
use std::fmt;
use std::time::Instant;

use domain::Sampling;
use engine::{Beginning, Engine, PrefixId, SequenceId, SequencePlan, StepInput};

pub(crate) type Outcome<T> = Result<T, Box<dyn Error>>;

/// Tokens decoded for one figure, of each sequence.
const DECODED: usize = 32;
/// What a conversation begins with that is asked again.
const BEGINNING: usize = 256;
const QUESTION: usize = 32;
const KEPT: PrefixId = PrefixId(7);

/// One measure; all but the last two in tokens a second, those in their inverse: answers a second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Measure {
    /// So many tokens of a prompt, 128 a step.
    Prefill(usize),
    /// Tokens after so many, of so many sequences together.
    Decode { context: usize, batch: usize },
    /// A question behind a long beginning that nobody has read yet.
    FirstToken,
    /// The same where its beginning was kept.
    FirstTokenOfKept,
}

impl fmt::Display for Measure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Prefill(count) => write!(f, "prefill {count}"),
            Self::Decode { context, batch: 1 } => write!(f, "decode at {context}"),
            Self::Decode { context, batch } => write!(f, "decode of {batch} at {context}"),
            Self::FirstToken => write!(f, "first token, {BEGINNING} + {QUESTION}"),
            Self::FirstTokenOfKept => write!(f, "first token, {BEGINNING} kept"),
        }
    }
}

fn tokens(count: usize, seed: u64) -> Vec<u32> {
    let of = |index: u64| 1000 + ((index * 7919 + seed * 104_729) % 40_000) as u32;
    (0..count as u64).map(of).collect()
}

fn plan() -> SequencePlan {
    SequencePlan {
        capacity_tokens: 1200,
        sampling: Sampling::greedy(),
        prompt_tokens: 0,
    }
}

fn input(id: u64, tokens: Vec<u32>, sample: bool) -> StepInput {
    StepInput {
        sequence: SequenceId(id),
        tokens,
        sample,
    }
}

fn read(decoder: &mut impl Engine, id: u64, tokens: &[u32]) -> Outcome<()> {
    let pieces = tokens.chunks(128);
    let last = pieces.len();
    for (index, piece) in pieces.enumerate() {
        decoder.step(&[input(id, piece.to_vec(), index + 1 == last)])?;
    }
    Ok(())
}

fn decode(decoder: &mut impl Engine, context: usize, batch: u64) -> Outcome<f64> {
    for id in 1..=batch {
        decoder.open(SequenceId(id), plan())?;
        read(decoder, id, &tokens(context, id))?;
    }
    let begin = Instant::now();
    let mut made = 0;
    for turn in 0..DECODED {
        let next = |id: u64| tokens(1, id + turn as u64 * 31);
        let inputs: Vec<_> = (1..=batch).map(|id| input(id, next(id), true)).collect();
        made += decoder.step(&inputs)?.len();
    }
    let rate = made as f64 / begin.elapsed().as_secs_f64();
    for id in 1..=batch {
        decoder.close(SequenceId(id));
    }
    Ok(rate)
}

impl Measure {
    /// Measures once.
    pub(crate) fn run(self, decoder: &mut impl Engine) -> Outcome<f64> {
        match self {
            Self::Prefill(count) => {
                decoder.open(SequenceId(1), plan())?;
                let begin = Instant::now();
                read(decoder, 1, &tokens(count, 1))?;
                let rate = count as f64 / begin.elapsed().as_secs_f64();
                decoder.close(SequenceId(1));
                Ok(rate)
            }
            Self::Decode { context, batch } => decode(decoder, context, batch as u64),
            Self::FirstToken => {
                let begin = Instant::now();
                decoder.open(SequenceId(1), plan())?;
                read(decoder, 1, &tokens(BEGINNING + QUESTION, 1))?;
                let rate = 1.0 / begin.elapsed().as_secs_f64();
                decoder.close(SequenceId(1));
                Ok(rate)
            }
            Self::FirstTokenOfKept => {
                decoder.open(SequenceId(1), plan())?;
                read(decoder, 1, &tokens(BEGINNING, 1))?;
                decoder.keep(SequenceId(1), KEPT, BEGINNING as u32);
                let begin = Instant::now();
                let from = Beginning {
                    prefix: KEPT,
                    tokens: BEGINNING as u32,
                };
                decoder.open_from(SequenceId(1), plan(), from)?;
                read(decoder, 1, &tokens(QUESTION, 2))?;
                let rate = 1.0 / begin.elapsed().as_secs_f64();
                decoder.close(SequenceId(1));
                decoder.forget(KEPT);
                Ok(rate)
            }
        }
    }
}

/// The one in the middle; the upper of two.
pub(crate) fn median(figures: &[f64]) -> f64 {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}
