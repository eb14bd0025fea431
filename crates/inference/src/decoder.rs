//! The engine: live sequences over one model, advanced together, one step at a time.
//!
//! Invariants: no thread, no clock, no generator state. A sampled token is a function of the sequence's tokens and its
//! plan alone, whether they were computed in this sequence or in one whose prefix was kept. How far a sequence is in its
//! form follows from its generated tokens.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError};

use domain::Bytes;
use engine::helpers::{Alone, Helpers};
use engine::{
    Beginning, Engine, Likelihood, PrefixId, SequenceId, SequencePlan, StepError, StepInput,
    StepOutput, TokenId,
};

use crate::blueprint::Blueprint;
use crate::constraint::{Grammars, Matching};
use crate::cpu::Precision;
use crate::crew::{Crew, Member};
use crate::forward::{self, Row, Shared};
use crate::kv::KvCache;
use crate::likelihood;
use crate::model::Model;
use crate::sampler::{self, Candidates};

/// Rows that pass through the model at once. Enough to read the weights rarely; bounds the working memory, which is
/// this times the widths of one layer, whatever the batch.
const ROWS_AT_ONCE: usize = 256;
/// Logit rows at once: 16 vocabularies of 150 000 are 10 MB.
const LOGITS_AT_ONCE: usize = 16;

/// A loaded model with its live sequences.
pub struct Decoder {
    shared: Arc<Shared>,
    crew: Crew,
    grammars: Option<Arc<Grammars>>,
    sequences: Vec<Sequence>,
    caches: Vec<KvCache>,
    prefixes: BTreeMap<PrefixId, Prefix>,
    room: Room,
}

/// Room that a draw works in, kept for the next.
#[derive(Default)]
struct Room {
    candidates: Candidates,
    /// One row of logits as they were before the sampler changed them, for those who ask how likely their tokens were.
    raw: Vec<f32>,
}

/// What is left of a closed sequence.
struct Prefix {
    tokens: Vec<TokenId>,
    cache: KvCache,
}

/// `sequences[i]` keeps its keys and values in `caches[i]`.
struct Sequence {
    id: SequenceId,
    plan: SequencePlan,
    tokens: Vec<TokenId>,
    /// How far it is in its form, if it has one.
    form: Option<Matching>,
}

/// A row whose logits are wanted.
struct Wanted {
    /// Its place among all rows of the step.
    row: usize,
    /// Which input of the batch asked.
    input: usize,
    sequence: usize,
    /// Tokens the sequence holds up to and with this row.
    held: usize,
}

impl Decoder {
    /// No sequence is open yet, and none with a constraint can be; nobody helps.
    pub fn new(model: Model) -> Self {
        Self::with_helpers(model, Arc::new(Alone))
    }

    /// As [`Decoder::new`], but these may help with a step.
    pub fn with_helpers(model: Model, helpers: Arc<dyn Helpers>) -> Self {
        // Kernels that are not ours are never run by several at once.
        let helpers = if model.is_packed() {
            helpers
        } else {
            Arc::new(Alone)
        };
        Self {
            shared: Arc::new(Shared::new(model, helpers.threads())),
            crew: Crew::new(helpers),
            grammars: None,
            sequences: Vec::new(),
            caches: Vec::new(),
            prefixes: BTreeMap::new(),
            room: Room::default(),
        }
    }

    /// Answers can be held to these forms.
    #[must_use]
    pub fn with_grammars(mut self, grammars: Arc<Grammars>) -> Self {
        self.grammars = Some(grammars);
        self
    }

    fn model(&self) -> &Model {
        &self.shared.model
    }

    /// Memory of the weights.
    pub fn weights_bytes(&self) -> Bytes {
        Bytes(self.model().weights_bytes)
    }

    /// What the largest step of such a model works in with so many members, beside weights and keys and values: the rows that
    /// pass through a layer at once, the logits of those that sample, and the candidates among them beside one row kept as it
    /// was.
    pub fn bytes_at_work(blueprint: &Blueprint, precision: Precision, members: usize) -> u64 {
        let float = size_of::<f32>();
        let row = forward::floats_of_row(blueprint, precision).saturating_mul(float);
        let rows = row.saturating_mul(forward::rows_held(ROWS_AT_ONCE, members));
        let logits = blueprint.vocabulary.saturating_mul(float);
        // Several members hold their parts of them, twice to hand them over, and once more together.
        let held = if members > 1 {
            LOGITS_AT_ONCE * 4 + 1
        } else {
            LOGITS_AT_ONCE + 1
        };
        let candidates = blueprint
            .vocabulary
            .saturating_mul(size_of::<(TokenId, f32)>());
        let all = rows
            .saturating_add(logits.saturating_mul(held))
            .saturating_add(candidates);
        all as u64
    }

    /// KV memory of all open sequences and kept prefixes; a page that several hold is counted once.
    pub fn kv_bytes(&self) -> Bytes {
        let kept = self.prefixes.values().map(|prefix| &prefix.cache);
        let mut seen = BTreeSet::new();
        let bytes = self
            .caches
            .iter()
            .chain(kept)
            .flat_map(KvCache::pages)
            .filter(|page| seen.insert(Arc::as_ptr(page)))
            .map(|page| size_of_val(page.as_slice()));
        Bytes(bytes.sum::<usize>() as u64)
    }

    /// Does a step, but gives the raw logits where [`Engine::step`] samples from them.
    ///
    /// # Errors
    /// As [`Engine::step`].
    pub fn step_logits(&mut self, batch: &[StepInput]) -> Result<Vec<Option<Vec<f32>>>, StepError> {
        let mut all = vec![None; batch.len()];
        self.advance(batch, &mut |logits, row, _| {
            if let Some(slot) = all.get_mut(row.input) {
                *slot = Some(logits.to_vec());
            }
            Ok(())
        })?;
        Ok(all)
    }

    /// Appends the batch and hands every wanted row of logits to `take`.
    fn advance(&mut self, batch: &[StepInput], take: &mut TakeLogits) -> Result<(), StepError> {
        let (rows, wanted) = self.admit(batch)?;
        let mut wanted = wanted.as_slice();
        for (turn, rows) in rows.chunks(ROWS_AT_ONCE).enumerate() {
            let first = turn * ROWS_AT_ONCE;
            let here = wanted
                .iter()
                .take_while(|w| w.row < first + rows.len())
                .count();
            let (now, later) = wanted.split_at(here);
            wanted = later;
            self.pass(rows, now.iter().map(|w| w.row - first).collect())?;
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
    fn pass(&mut self, rows: &[Row], wanted: Vec<usize>) -> Result<(), StepError> {
        let even = forward::shares_matrices(rows.len(), self.crew.threads());
        let rows: Arc<[Row]> = rows.into();
        let first = 0..wanted.len().min(LOGITS_AT_ONCE);
        self.compute(even, move |shared, member| {
            forward::run(shared, member, &rows, &wanted);
            if !first.is_empty() {
                forward::logits(shared, member, first.clone());
            }
        })
    }

    /// Logits of the rows of another turn.
    fn more_logits(&mut self, turn: usize, count: usize) -> Result<(), StepError> {
        let first = turn * LOGITS_AT_ONCE;
        self.compute(true, move |shared, member| {
            forward::logits(shared, member, first..first + count);
        })
    }

    /// Has all members do `work`. The caches are theirs meanwhile.
    fn compute(
        &mut self,
        even: bool,
        work: impl Fn(&Shared, &Member<'_>) + Send + Sync + 'static,
    ) -> Result<(), StepError> {
        let lend = |caches: &mut Vec<KvCache>| {
            let theirs = self.shared.caches.write();
            let mut theirs = theirs.unwrap_or_else(PoisonError::into_inner);
            std::mem::swap(&mut *theirs, caches);
        };
        lend(&mut self.caches);
        let shared = Arc::clone(&self.shared);
        self.crew.run(
            even,
            Arc::new(move |member: &Member<'_>| work(&shared, member)),
        );
        lend(&mut self.caches);
        let failed = self.shared.failed.lock();
        let failed = failed.unwrap_or_else(PoisonError::into_inner).take();
        failed.map_or(Ok(()), Err)
    }

    fn take_logits(&mut self, group: &[Wanted], take: &mut TakeLogits) -> Result<(), StepError> {
        let logits = self.shared.logits.lock();
        let mut logits = logits.unwrap_or_else(PoisonError::into_inner);
        let vocabulary = self.shared.model.blueprint.vocabulary.max(1);
        for (wanted, logits) in group.iter().zip(logits.chunks_exact_mut(vocabulary)) {
            let Some(sequence) = self.sequences.get_mut(wanted.sequence) else {
                continue;
            };
            let row = Sampling {
                held: sequence.tokens.get(..wanted.held).unwrap_or(&[]),
                plan: &sequence.plan,
                form: sequence.form.as_mut(),
                input: wanted.input,
            };
            take(logits, row, &mut self.room)?;
        }
        Ok(())
    }

    /// Checks the whole batch, appends its tokens and takes the pages they need.
    fn admit(&mut self, batch: &[StepInput]) -> Result<(Vec<Row>, Vec<Wanted>), StepError> {
        let vocabulary = self.model().blueprint.vocabulary as u32;
        let mut rows = Vec::new();
        let mut wanted = Vec::new();
        for (input_index, input) in batch.iter().enumerate() {
            let index = self
                .index_of(input.sequence)
                .ok_or(StepError::UnknownSequence(input.sequence))?;
            let (Some(sequence), Some(cache)) =
                (self.sequences.get_mut(index), self.caches.get_mut(index))
            else {
                return Err(StepError::UnknownSequence(input.sequence));
            };
            if input.tokens.is_empty() {
                return Err(StepError::EmptyInput(input.sequence));
            }
            if let Some(&token) = input.tokens.iter().find(|&&t| t >= vocabulary) {
                return Err(StepError::UnknownToken { token, vocabulary });
            }
            let needed = sequence.tokens.len() + input.tokens.len();
            if needed > sequence.plan.capacity_tokens as usize {
                return Err(StepError::CapacityExceeded {
                    sequence: input.sequence,
                    needed: u32::try_from(needed).unwrap_or(u32::MAX),
                    capacity: sequence.plan.capacity_tokens,
                });
            }
            cache.reserve(sequence.tokens.len(), needed)?;
            for &token in &input.tokens {
                rows.push(Row {
                    cache: index,
                    position: sequence.tokens.len(),
                    token,
                });
                sequence.tokens.push(token);
            }
            if input.sample {
                wanted.push(Wanted {
                    row: rows.len() - 1,
                    input: input_index,
                    sequence: index,
                    held: needed,
                });
            }
        }
        Ok((rows, wanted))
    }

    fn index_of(&self, id: SequenceId) -> Option<usize> {
        self.sequences.iter().position(|s| s.id == id)
    }

    fn check_plan(&self, sequence: SequenceId, plan: &SequencePlan) -> Result<(), StepError> {
        if self.index_of(sequence).is_some() {
            return Err(StepError::DuplicateSequence(sequence));
        }
        let context = self.model().blueprint.context;
        if plan.capacity_tokens > context {
            return Err(StepError::CapacityExceeded {
                sequence,
                needed: plan.capacity_tokens,
                capacity: context,
            });
        }
        Ok(())
    }

    fn form(&self, plan: &SequencePlan) -> Result<Option<Matching>, StepError> {
        let Some(constraint) = &plan.sampling.constraint else {
            return Ok(None);
        };
        let none =
            || StepError::Constraint("this engine has no vocabulary to follow it".to_owned());
        let grammars = self.grammars.as_ref().ok_or_else(none)?;
        let form = grammars.begin(constraint);
        form.map(Some).map_err(StepError::Constraint)
    }

    fn begin(&mut self, sequence: Sequence, cache: KvCache) {
        self.caches.push(cache);
        self.sequences.push(sequence);
    }

    fn take(&mut self, id: SequenceId) -> Option<(Sequence, KvCache)> {
        let index = self.index_of(id)?;
        let sequence = self.sequences.swap_remove(index);
        Some((sequence, self.caches.swap_remove(index)))
    }
}

/// What a token is to be chosen by, beside its logits.
struct Sampling<'a> {
    held: &'a [TokenId],
    plan: &'a SequencePlan,
    form: Option<&'a mut Matching>,
    /// Which input of the batch asked.
    input: usize,
}

type TakeLogits<'a> = dyn FnMut(&mut [f32], Sampling<'_>, &mut Room) -> Result<(), StepError> + 'a;

/// The token that follows, and how likely it was if that is asked for; or why its sequence has none.
type Sampled = Result<(TokenId, Option<Likelihood>), String>;

fn sample(logits: &mut [f32], row: Sampling<'_>, room: &mut Room) -> Result<Sampled, StepError> {
    let generated = row.held.get(row.plan.prompt_tokens as usize..);
    let mask = match row.form {
        None => None,
        Some(form) => match form.mask(generated.unwrap_or_default()) {
            Ok(mask) => Some(mask),
            Err(reason) => return Ok(Err(reason)),
        },
    };
    let allowed = mask.as_ref().map(toktrie::SimpleVob::as_slice);
    let asked = row.plan.sampling.logprobs;
    if asked.is_some() {
        room.raw.clear();
        room.raw.extend_from_slice(logits);
    }
    let token = sampler::choose(logits, row.held, row.plan, allowed, &mut room.candidates)
        .map_err(|error| StepError::Compute(error.to_string()))?;
    let likelihood = asked.map(|most| likelihood::of(&room.raw, token, most));
    Ok(Ok((token, likelihood)))
}

impl Engine for Decoder {
    fn open(&mut self, sequence: SequenceId, plan: SequencePlan) -> Result<(), StepError> {
        self.check_plan(sequence, &plan)?;
        let form = self.form(&plan)?;
        let capacity = plan.capacity_tokens as usize;
        let cache = KvCache::new(&self.model().blueprint, capacity);
        let opened = Sequence {
            id: sequence,
            plan,
            tokens: Vec::new(),
            form,
        };
        self.begin(opened, cache);
        Ok(())
    }

    fn open_from(
        &mut self,
        sequence: SequenceId,
        plan: SequencePlan,
        from: Beginning,
    ) -> Result<(), StepError> {
        self.check_plan(sequence, &plan)?;
        let Beginning { prefix, tokens } = from;
        let kept = self.prefixes.get(&prefix);
        let kept = kept.ok_or(StepError::UnknownPrefix(prefix))?;
        let capacity = plan.capacity_tokens;
        if tokens > capacity {
            return Err(StepError::CapacityExceeded {
                sequence,
                needed: tokens,
                capacity,
            });
        }
        let held = kept.tokens.get(..tokens as usize);
        let held = held.filter(|held| !held.is_empty());
        let held = held.ok_or(StepError::PrefixTooShort {
            prefix,
            held: kept.tokens.len() as u32,
            wanted: tokens,
        })?;
        let (held, cache) = (
            held.to_vec(),
            kept.cache.share(tokens as usize, capacity as usize),
        );
        let form = self.form(&plan)?;
        let opened = Sequence {
            id: sequence,
            plan,
            tokens: held,
            form,
        };
        self.begin(opened, cache);
        Ok(())
    }

    fn close(&mut self, sequence: SequenceId) {
        drop(self.take(sequence));
    }

    fn keep(&mut self, sequence: SequenceId, prefix: PrefixId, tokens: u32) -> u32 {
        let Some((left, mut cache)) = self.take(sequence) else {
            return 0;
        };
        let mut held = left.tokens;
        held.truncate(tokens as usize);
        held.shrink_to_fit();
        cache.truncate(held.len());
        let kept = held.len() as u32;
        if kept > 0 {
            let tokens = held;
            self.prefixes.insert(prefix, Prefix { tokens, cache });
        }
        kept
    }

    fn forget(&mut self, prefix: PrefixId) {
        self.prefixes.remove(&prefix);
    }

    fn step(&mut self, batch: &[StepInput]) -> Result<Vec<StepOutput>, StepError> {
        let mut outputs: Vec<StepOutput> = batch
            .iter()
            .map(|input| StepOutput {
                sequence: input.sequence,
                token: None,
                likelihood: None,
                stuck: None,
            })
            .collect();
        self.advance(batch, &mut |logits, row, room| {
            let input = row.input;
            let sampled = sample(logits, row, room)?;
            if let Some(output) = outputs.get_mut(input) {
                match sampled {
                    Ok((token, likelihood)) => {
                        output.token = Some(token);
                        output.likelihood = likelihood;
                    }
                    Err(reason) => output.stuck = Some(reason),
                }
            }
            Ok(())
        })?;
        Ok(outputs)
    }
}
