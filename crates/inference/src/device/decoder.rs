//! The second engine: live sequences over a model on a device, computed one after another.
//!
//! Invariants: no thread, no clock, no generator state of ours; nothing of a sequence is looked at while another is computed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use domain::Bytes;
use engine::{
    Beginning, Engine, PrefixId, SequenceId, SequencePlan, StepError, StepInput, StepOutput,
    TokenId,
};

use super::cache::Cache;
use super::model::Model;
use crate::admission;
use crate::choice::{self, Room};
use crate::constraint::{Grammars, Matching};

/// A model on a device with its live sequences.
pub struct DeviceDecoder {
    model: Model,
    grammars: Arc<Grammars>,
    sequences: Vec<Sequence>,
    prefixes: BTreeMap<PrefixId, Prefix>,
    room: Room,
}

/// What is left of a closed sequence.
struct Prefix {
    tokens: Vec<TokenId>,
    cache: Cache,
}

struct Sequence {
    id: SequenceId,
    plan: SequencePlan,
    tokens: Vec<TokenId>,
    form: Option<Matching>,
    cache: Cache,
}

/// An input that was admitted: its sequence, and the tokens that this held before and holds now.
struct Move {
    sequence: usize,
    before: usize,
    held: usize,
}

impl DeviceDecoder {
    pub(super) fn new(model: Model, grammars: Arc<Grammars>) -> Self {
        Self {
            model,
            grammars,
            sequences: Vec::new(),
            prefixes: BTreeMap::new(),
            room: Room::default(),
        }
    }

    /// KV memory of all open sequences and kept prefixes; what several hold is counted once.
    pub fn kv_bytes(&self) -> Bytes {
        let kept = self.prefixes.values().map(|prefix| &prefix.cache);
        let open = self.sequences.iter().map(|sequence| &sequence.cache);
        let all = open.chain(kept).map(Cache::memory);
        let distinct: BTreeSet<_> = all.collect();
        Bytes(distinct.into_iter().map(|(_, bytes)| bytes).sum())
    }

    /// Does a step, but gives the raw logits where [`Engine::step`] samples from them.
    ///
    /// # Errors
    /// As [`Engine::step`].
    pub fn step_logits(&mut self, batch: &[StepInput]) -> Result<Vec<Option<Vec<f32>>>, StepError> {
        let moves = self.admit(batch)?;
        let pairs = batch.iter().zip(&moves);
        pairs
            .map(|(input, step)| self.compute(input, step))
            .collect()
    }

    fn index_of(&self, id: SequenceId) -> Option<usize> {
        self.sequences.iter().position(|s| s.id == id)
    }

    fn check_plan(&self, sequence: SequenceId, plan: &SequencePlan) -> Result<(), StepError> {
        let context = self.model.blueprint.context;
        admission::plan(sequence, plan, self.index_of(sequence).is_some(), context)
    }

    fn begin(
        &mut self,
        id: SequenceId,
        plan: SequencePlan,
        tokens: Vec<TokenId>,
        cache: Cache,
    ) -> Result<(), StepError> {
        let form = choice::form(Some(&self.grammars), &plan)?;
        self.sequences.push(Sequence {
            id,
            plan,
            tokens,
            form,
            cache,
        });
        Ok(())
    }

    /// Checks all inputs, and appends their tokens, before anything is computed. An error leaves those before it appended:
    /// the step is lost, and the engine with it.
    fn admit(&mut self, batch: &[StepInput]) -> Result<Vec<Move>, StepError> {
        let vocabulary = self.model.blueprint.vocabulary as u32;
        let mut moves = Vec::with_capacity(batch.len());
        for input in batch {
            let unknown = StepError::UnknownSequence(input.sequence);
            let index = self.index_of(input.sequence);
            let found = index.and_then(|index| Some((index, self.sequences.get_mut(index)?)));
            let (index, sequence) = found.ok_or(unknown)?;
            let before = sequence.tokens.len();
            let held = admission::input(input, &sequence.plan, before, vocabulary)?;
            sequence.tokens.extend_from_slice(&input.tokens);
            moves.push(Move {
                sequence: index,
                before,
                held,
            });
        }
        Ok(moves)
    }

    /// Runs the tokens of one input; the logits behind the last where it samples.
    fn compute(&mut self, input: &StepInput, step: &Move) -> Result<Option<Vec<f32>>, StepError> {
        let model = &self.model;
        let sequence = self.sequences.get_mut(step.sequence);
        let sequence = sequence.ok_or(StepError::UnknownSequence(input.sequence))?;
        let cache = &mut sequence.cache;
        cache.reserve(&model.blueprint, &model.device, step.before, step.held)?;
        let last = model.run(&input.tokens, step.before, cache)?;
        input.sample.then(|| model.logits(&last)).transpose()
    }
}

impl Engine for DeviceDecoder {
    fn open(&mut self, sequence: SequenceId, plan: SequencePlan) -> Result<(), StepError> {
        self.check_plan(sequence, &plan)?;
        let cache = Cache::new(plan.capacity_tokens as usize);
        self.begin(sequence, plan, Vec::new(), cache)
    }

    fn open_from(
        &mut self,
        sequence: SequenceId,
        plan: SequencePlan,
        from: Beginning,
    ) -> Result<(), StepError> {
        self.check_plan(sequence, &plan)?;
        let kept = self.prefixes.get(&from.prefix);
        let kept = kept.ok_or(StepError::UnknownPrefix(from.prefix))?;
        let held = admission::beginning(sequence, &plan, from, &kept.tokens)?.to_vec();
        let capacity = plan.capacity_tokens as usize;
        let cache = kept.cache.share(held.len(), capacity)?;
        self.begin(sequence, plan, held, cache)
    }

    fn close(&mut self, sequence: SequenceId) {
        self.sequences.retain(|open| open.id != sequence);
    }

    fn keep(&mut self, sequence: SequenceId, prefix: PrefixId, tokens: u32) -> u32 {
        let Some(index) = self.index_of(sequence) else {
            return 0;
        };
        let left = self.sequences.swap_remove(index);
        let (mut held, mut cache) = (left.tokens, left.cache);
        held.truncate(tokens as usize);
        held.shrink_to_fit();
        // To keep less takes a copy; where there is no memory for it, nothing is kept.
        if held.is_empty() || cache.truncate(held.len()).is_err() {
            return 0;
        }
        let kept = held.len() as u32;
        let tokens = held;
        self.prefixes.insert(prefix, Prefix { tokens, cache });
        kept
    }

    fn forget(&mut self, prefix: PrefixId) {
        self.prefixes.remove(&prefix);
    }

    fn step(&mut self, batch: &[StepInput]) -> Result<Vec<StepOutput>, StepError> {
        let moves = self.admit(batch)?;
        let mut outputs: Vec<StepOutput> = batch.iter().map(choice::silent).collect();
        for ((input, step), output) in batch.iter().zip(&moves).zip(&mut outputs) {
            let Some(mut logits) = self.compute(input, step)? else {
                continue;
            };
            let Some(sequence) = self.sequences.get_mut(step.sequence) else {
                continue;
            };
            let held = sequence.tokens.get(..step.held).unwrap_or_default();
            let (plan, form) = (&sequence.plan, sequence.form.as_mut());
            let sampled = choice::sample(&mut logits, held, plan, form, &mut self.room)?;
            choice::answer(output, sampled);
        }
        Ok(outputs)
    }
}
