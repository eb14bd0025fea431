//! What an engine refuses: the bounds of sequences, prefixes and inputs, in every engine the same and in the same words.

use engine::{Beginning, SequenceId, SequencePlan, StepError, StepInput, TokenId};

/// A new sequence has its name for itself, and room within the model's context.
pub(crate) const fn plan(
    sequence: SequenceId,
    plan: &SequencePlan,
    is_open: bool,
    context: u32,
) -> Result<(), StepError> {
    if is_open {
        return Err(StepError::DuplicateSequence(sequence));
    }
    if plan.capacity_tokens > context {
        return Err(StepError::CapacityExceeded {
            sequence,
            needed: plan.capacity_tokens,
            capacity: context,
        });
    }
    Ok(())
}

/// The tokens that a sequence of such a plan begins with, of those that were `kept`.
pub(crate) fn beginning<'k>(
    sequence: SequenceId,
    plan: &SequencePlan,
    from: Beginning,
    kept: &'k [TokenId],
) -> Result<&'k [TokenId], StepError> {
    let Beginning { prefix, tokens } = from;
    let capacity = plan.capacity_tokens;
    if tokens > capacity {
        return Err(StepError::CapacityExceeded {
            sequence,
            needed: tokens,
            capacity,
        });
    }
    let held = kept.get(..tokens as usize);
    held.filter(|held| !held.is_empty())
        .ok_or(StepError::PrefixTooShort {
            prefix,
            held: u32::try_from(kept.len()).unwrap_or(u32::MAX),
            wanted: tokens,
        })
}

/// How many tokens a sequence of such a plan holds with this input, that `held` so many before it.
pub(crate) fn input(
    input: &StepInput,
    plan: &SequencePlan,
    held: usize,
    vocabulary: u32,
) -> Result<usize, StepError> {
    let sequence = input.sequence;
    if input.tokens.is_empty() {
        return Err(StepError::EmptyInput(sequence));
    }
    if let Some(&token) = input.tokens.iter().find(|&&t| t >= vocabulary) {
        return Err(StepError::UnknownToken { token, vocabulary });
    }
    let needed = held + input.tokens.len();
    if needed > plan.capacity_tokens as usize {
        return Err(StepError::CapacityExceeded {
            sequence,
            needed: u32::try_from(needed).unwrap_or(u32::MAX),
            capacity: plan.capacity_tokens,
        });
    }
    Ok(needed)
}
