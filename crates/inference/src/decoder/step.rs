//! One step: which rows the inputs need, what is guessed beside them, and which tokens come of it.
//!
//! A row's logits have the same bits whatever stands beside it, and a token is a function of them, the tokens held and the
//! plan. So a row may be computed before its token is given: if the row before it then samples just that token, its own answer
//! is decided and its keys and values are written. It is *foreseen*, and given when the token is.
//!
//! Invariants: between steps `tokens` holds what was given and nothing else; a guess takes no page that the tokens given do
//! not take; rows of one sequence stand together, in order.

use std::sync::{Arc, PoisonError};

use engine::{StepError, StepInput, StepOutput, TokenId};

use super::{Decoder, Sequence};
use crate::admission;
use crate::choice::{self, Room, Sampled};
use crate::constraint::Grammars;
use crate::forward::{self, Job, Row};
use crate::kv::PAGE_TOKENS;
use crate::speculation;

/// Rows that pass through the model at once. Enough to read the weights rarely; bounds the working memory, which is
/// this times the widths of one layer, whatever the batch.
pub(super) const ROWS_AT_ONCE: usize = 256;
/// Logit rows at once: 16 vocabularies of 150 000 are 10 MB.
pub(super) const LOGITS_AT_ONCE: usize = 16;

/// What will be answered if that token is given next.
pub(super) struct Foreseen {
    given: TokenId,
    answer: Sampled,
}

/// Lists of one step, kept for the next.
#[derive(Default)]
pub(super) struct Lists {
    moves: Vec<Move>,
    rows: Vec<Row>,
    wanted: Vec<Wanted>,
}

/// An input that has to be computed.
struct Move {
    input: usize,
    sequence: usize,
    /// Tokens that its sequence held before it.
    before: usize,
    tokens: usize,
    sample: bool,
    guesses: usize,
}

/// A row whose logits are wanted.
pub(super) struct Wanted {
    /// Its place among all rows of the step.
    row: usize,
    /// Which input of the batch asked.
    pub(super) input: usize,
    sequence: usize,
    /// Tokens the sequence holds up to and with this row.
    held: usize,
    /// The token of this row, if nobody has given it yet.
    guess: Option<TokenId>,
}

pub(super) type Take<'a> =
    dyn FnMut(&mut [f32], &Wanted, &mut Sequence, &mut Room) -> Result<(), StepError> + 'a;

impl Decoder {
    /// Appends the batch and samples.
    pub(super) fn sample(&mut self, batch: &[StepInput]) -> Result<Vec<StepOutput>, StepError> {
        let mut outputs: Vec<StepOutput> = batch.iter().map(choice::silent).collect();
        let mut lists = std::mem::take(&mut self.lists);
        self.admit(batch, &mut lists, &mut outputs)?;
        self.lay_out(&mut lists, self.guesses);
        // What the row before chose. Only a guess that is this token holds, and with it those behind it.
        let mut chosen = None;
        let taken = self.compute(&mut lists, &mut |logits, wanted, sequence, room| {
            let Some(guess) = wanted.guess else {
                let sampled = sample(logits, wanted.held, sequence, room)?;
                chosen = sampled.as_ref().ok().map(|(token, _)| *token);
                answer(&mut outputs, wanted.input, sampled);
                return Ok(());
            };
            if chosen.take() == Some(guess) {
                sequence.tokens.push(guess);
                // Whatever is wrong here is said when it is asked for.
                if let Ok(sampled) = sample(logits, wanted.held, sequence, room) {
                    chosen = sampled.as_ref().ok().map(|(token, _)| *token);
                    let (given, answer) = (guess, sampled);
                    sequence.foreseen.push_back(Foreseen { given, answer });
                }
            }
            Ok(())
        });
        self.settle(&lists);
        self.lists = lists;
        taken.map(|()| outputs)
    }

    /// Appends the batch and hands every row of logits that is asked for to `take`. Guesses nothing, and computes what was
    /// foreseen once more.
    pub(super) fn advance(
        &mut self,
        batch: &[StepInput],
        take: &mut Take,
    ) -> Result<(), StepError> {
        for input in batch {
            if let Some(index) = self.index_of(input.sequence)
                && let Some(sequence) = self.sequences.get_mut(index)
            {
                sequence.forget_foreseen(self.grammars.as_ref());
            }
        }
        let mut lists = std::mem::take(&mut self.lists);
        self.admit(batch, &mut lists, &mut [])?;
        self.lay_out(&mut lists, false);
        let taken = self.compute(&mut lists, take);
        self.lists = lists;
        taken
    }

    /// Checks input after input, appends its tokens, takes the pages they need, and answers what was foreseen. An error leaves
    /// those before it appended: the step is lost, and the engine with it.
    fn admit(
        &mut self,
        batch: &[StepInput],
        lists: &mut Lists,
        outputs: &mut [StepOutput],
    ) -> Result<(), StepError> {
        let vocabulary = self.model().blueprint.vocabulary as u32;
        lists.moves.clear();
        let mut caches = self.shared.caches_mut();
        for (input_index, input) in batch.iter().enumerate() {
            let index = self
                .index_of(input.sequence)
                .ok_or(StepError::UnknownSequence(input.sequence))?;
            let (Some(sequence), Some(cache)) =
                (self.sequences.get_mut(index), caches.get_mut(index))
            else {
                return Err(StepError::UnknownSequence(input.sequence));
            };
            if let Some(foreseen) = sequence.is_foreseen(&input.tokens) {
                sequence.tokens.push(foreseen.given);
                if input.sample {
                    answer(outputs, input_index, foreseen.answer);
                }
                continue;
            }
            let before = sequence.tokens.len();
            let needed = admission::input(input, &sequence.plan, before, vocabulary)?;
            sequence.forget_foreseen(self.grammars.as_ref());
            cache.reserve(before, needed)?;
            sequence.tokens.extend_from_slice(&input.tokens);
            lists.moves.push(Move {
                input: input_index,
                sequence: index,
                before,
                tokens: input.tokens.len(),
                sample: input.sample,
                guesses: 0,
            });
        }
        Ok(())
    }

    /// The rows of all moves, those of guesses behind the token they follow, if there is room for any.
    fn lay_out(&mut self, lists: &mut Lists, guesses: bool) {
        let Lists {
            moves,
            rows,
            wanted,
            ..
        } = lists;
        rows.clear();
        wanted.clear();
        let given: usize = moves.iter().map(|step| step.tokens).sum();
        let mut left = if guesses {
            self.price.rows.saturating_sub(given)
        } else {
            0
        };
        let mut others = moves.iter().filter(|step| step.tokens == 1).count();
        for step in moves.iter_mut() {
            let Some(sequence) = self.sequences.get_mut(step.sequence) else {
                continue;
            };
            let held = step.before + step.tokens;
            let tokens = sequence.tokens.get(step.before..held).unwrap_or_default();
            rows.extend((step.before..).zip(tokens).map(|(position, token)| Row {
                cache: step.sequence,
                position,
                token: *token,
            }));
            if !step.sample {
                continue;
            }
            wanted.push(Wanted {
                row: rows.len() - 1,
                input: step.input,
                sequence: step.sequence,
                held,
                guess: None,
            });
            if step.tokens != 1 {
                continue;
            }
            // Everyone who speaks gets a share; what one leaves the next may have.
            let share = left.div_ceil(others.max(1));
            others = others.saturating_sub(1);
            sequence.guess(held, share);
            step.guesses = sequence.guesses.len();
            left -= step.guesses;
            for (position, guess) in (held..).zip(&sequence.guesses) {
                wanted.push(Wanted {
                    row: rows.len(),
                    input: step.input,
                    sequence: step.sequence,
                    held: position + 1,
                    guess: Some(*guess),
                });
                rows.push(Row {
                    cache: step.sequence,
                    position,
                    token: *guess,
                });
            }
        }
    }

    /// Runs the rows and hands every wanted one's logits to `take`.
    fn compute(&mut self, lists: &mut Lists, take: &mut Take) -> Result<(), StepError> {
        let mut wanted = lists.wanted.as_slice();
        for (turn, rows) in lists.rows.chunks(ROWS_AT_ONCE).enumerate() {
            let first = turn * ROWS_AT_ONCE;
            self.passes += 1;
            self.rows += rows.len() as u64;
            let here = wanted
                .iter()
                .take_while(|w| w.row < first + rows.len())
                .count();
            let (now, later) = wanted.split_at(here);
            wanted = later;
            self.pass(rows, now.iter().map(|w| w.row - first))?;
            for (turn, group) in now.chunks(LOGITS_AT_ONCE).enumerate() {
                if turn > 0 {
                    self.more_logits(turn, group.len())?;
                }
                self.take_logits(group, take)?;
            }
        }
        Ok(())
    }

    /// Runs the rows through the model, and the first of those at `wanted` on to their logits.
    fn pass(&mut self, rows: &[Row], wanted: impl Iterator<Item = usize>) -> Result<(), StepError> {
        let even = forward::shares_matrices(rows.len(), self.crew.threads());
        self.job(|job| {
            job.rows.clear();
            job.rows.extend_from_slice(rows);
            job.wanted.clear();
            job.wanted.extend(wanted);
            job.logits = 0..job.wanted.len().min(LOGITS_AT_ONCE);
        });
        self.compute_job(even)
    }

    /// Logits of the rows of another turn.
    fn more_logits(&mut self, turn: usize, count: usize) -> Result<(), StepError> {
        let first = turn * LOGITS_AT_ONCE;
        self.job(|job| {
            job.rows.clear();
            job.logits = first..first + count;
        });
        self.compute_job(true)
    }

    fn job(&self, change: impl FnOnce(&mut Job)) {
        let job = self.shared.job.write();
        change(&mut job.unwrap_or_else(PoisonError::into_inner));
    }

    fn take_logits(&mut self, group: &[Wanted], take: &mut Take) -> Result<(), StepError> {
        let logits = self.shared.logits.lock();
        let mut logits = logits.unwrap_or_else(PoisonError::into_inner);
        let vocabulary = self.shared.model.blueprint.vocabulary.max(1);
        for (wanted, logits) in group.iter().zip(logits.chunks_exact_mut(vocabulary)) {
            if let Some(sequence) = self.sequences.get_mut(wanted.sequence) {
                take(logits, wanted, sequence, &mut self.room)?;
            }
        }
        Ok(())
    }

    /// What was guessed is not held, and how much of it was right is remembered.
    fn settle(&mut self, lists: &Lists) {
        for step in lists.moves.iter().filter(|step| step.guesses > 0) {
            if let Some(sequence) = self.sequences.get_mut(step.sequence) {
                sequence.tokens.truncate(step.before + step.tokens);
                sequence.trust.heard(step.guesses, sequence.foreseen.len());
            }
        }
    }
}

impl Sequence {
    /// What was foreseen for these tokens: one, and the very one.
    fn is_foreseen(&mut self, tokens: &[TokenId]) -> Option<Foreseen> {
        let next = self.foreseen.front()?;
        if tokens != [next.given] {
            return None;
        }
        self.foreseen.pop_front()
    }

    /// Another token is given than was foreseen. What was computed for those is overwritten; a form that has read them begins
    /// anew. If it cannot, that is told when the next token is asked for: it is of no concern to others.
    fn forget_foreseen(&mut self, grammars: Option<&Arc<Grammars>>) {
        self.foreseen.clear();
        let generated = self
            .tokens
            .len()
            .saturating_sub(self.plan.prompt_tokens as usize);
        if let Some(Ok(form)) = &self.form
            && form.is_beyond(generated)
        {
            // Who began once and cannot again is stuck, and nobody else.
            self.form = match choice::form(grammars, &self.plan) {
                Ok(form) => form.map(Ok),
                Err(StepError::Constraint(reason)) => Some(Err(reason)),
                Err(error) => Some(Err(error.to_string())),
            };
        }
    }

    /// Guesses at most so many tokens behind the `held`, if these are all it has: within the page in which they end.
    fn guess(&mut self, held: usize, most: usize) {
        let of_page = held.next_multiple_of(PAGE_TOKENS) - held;
        let of_plan = (self.plan.capacity_tokens as usize).saturating_sub(held);
        let most = most.min(of_page).min(of_plan);
        let tries = if held == self.tokens.len() {
            self.trust.tries(most)
        } else {
            0
        };
        speculation::guess(&self.tokens, tries, &mut self.guesses);
    }
}

fn answer(outputs: &mut [StepOutput], input: usize, sampled: Sampled) {
    if let Some(output) = outputs.get_mut(input) {
        choice::answer(output, sampled);
    }
}

/// Chooses what follows the first `held` tokens of the sequence.
fn sample(
    logits: &mut [f32],
    held: usize,
    sequence: &mut Sequence,
    room: &mut Room,
) -> Result<Sampled, StepError> {
    let held = sequence.tokens.get(..held).unwrap_or_default();
    let form = match &mut sequence.form {
        None => None,
        Some(Err(reason)) => return Ok(Err(reason.clone())),
        Some(Ok(form)) => Some(form),
    };
    choice::sample(logits, held, &sequence.plan, form, room)
}
