//! What follows: a row of logits becomes a token, by the answer's form and its sampling, in every engine alike.
//!
//! Invariant: nothing is remembered but how far a form was read, which follows from the tokens generated.

use std::sync::Arc;

use engine::{Likelihood, SequencePlan, StepError, StepInput, StepOutput, TokenId};

use crate::constraint::{Grammars, Matching};
use crate::likelihood;
use crate::sampler::{self, Candidates};

/// The token that follows, and how likely it was if that is asked for; or why its sequence has none.
pub(crate) type Sampled = Result<(TokenId, Option<Likelihood>), String>;

/// Room that a draw works in, kept for the next.
#[derive(Default)]
pub(crate) struct Room {
    candidates: Candidates,
    /// One row of logits as they were before the sampler changed them, for those who ask how likely their tokens were.
    raw: Vec<f32>,
}

/// Where an answer's form begins.
pub(crate) fn form(
    grammars: Option<&Arc<Grammars>>,
    plan: &SequencePlan,
) -> Result<Option<Matching>, StepError> {
    let Some(constraint) = &plan.sampling.constraint else {
        return Ok(None);
    };
    let none = || StepError::Constraint("this engine has no vocabulary to follow it".to_owned());
    let form = grammars.ok_or_else(none)?.begin(constraint);
    form.map(Some).map_err(StepError::Constraint)
}

/// Chooses what follows the tokens held. The logits are changed.
pub(crate) fn sample(
    logits: &mut [f32],
    held: &[TokenId],
    plan: &SequencePlan,
    form: Option<&mut Matching>,
    room: &mut Room,
) -> Result<Sampled, StepError> {
    let generated = held.get(plan.prompt_tokens as usize..);
    let mask = match form {
        None => None,
        Some(form) => match form.mask(generated.unwrap_or_default()) {
            Ok(mask) => Some(mask),
            Err(reason) => return Ok(Err(reason)),
        },
    };
    let allowed = mask.as_ref().map(toktrie::SimpleVob::as_slice);
    let asked = plan.sampling.logprobs;
    if asked.is_some() {
        room.raw.clear();
        room.raw.extend_from_slice(logits);
    }
    let token = sampler::choose(logits, held, plan, allowed, &mut room.candidates)
        .map_err(|error| StepError::Compute(error.to_string()))?;
    let likelihood = asked.map(|most| likelihood::of(&room.raw, token, most));
    Ok(Ok((token, likelihood)))
}

/// What an input gets that asks for no token.
pub(crate) const fn silent(input: &StepInput) -> StepOutput {
    StepOutput {
        sequence: input.sequence,
        token: None,
        likelihood: None,
        stuck: None,
    }
}

/// Says what was sampled.
pub(crate) fn answer(output: &mut StepOutput, sampled: Sampled) {
    match sampled {
        Ok((token, likelihood)) => {
            output.token = Some(token);
            output.likelihood = likelihood;
        }
        Err(reason) => output.stuck = Some(reason),
    }
}
