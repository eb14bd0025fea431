//! The engine: live sequences over one model, advanced together, one step at a time.
//!
//! Invariants: no thread, no clock, no generator state. A sampled token is a function of the sequence's tokens and its
//! plan alone, whether they were computed in this sequence or in one whose prefix was kept. How far a sequence is in its
//! form follows from its generated tokens.

mod step;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, PoisonError};

use domain::Bytes;
use engine::helpers::{Alone, Helpers};
use engine::{
    Beginning, Engine, PrefixId, SequenceId, SequencePlan, StepError, StepInput, StepOutput,
    TokenId,
};

use crate::admission;
use crate::blueprint::Blueprint;
use crate::choice::{self, Room};
use crate::constraint::{Grammars, Matching};
use crate::cpu::{Kind, Precision};
use crate::crew::{Crew, Work};
use crate::forward::{self, Shared};
use crate::kv::KvCache;
use crate::model::Model;
use crate::speculation::{Price, Trust};
use step::{Foreseen, LOGITS_AT_ONCE, Lists, ROWS_AT_ONCE};

/// A loaded model with its live sequences.
pub struct Decoder {
    shared: Arc<Shared>,
    crew: Crew,
    /// What its members do: the job in `shared`.
    work: Arc<Work>,
    grammars: Option<Arc<Grammars>>,
    sequences: Vec<Sequence>,
    prefixes: BTreeMap<PrefixId, Prefix>,
    room: Room,
    lists: Lists,
    /// Whether tokens are guessed that may come next.
    guesses: bool,
    price: Price,
    passes: u64,
    rows: u64,
}

/// What is left of a closed sequence.
struct Prefix {
    tokens: Vec<TokenId>,
    cache: KvCache,
}

/// A form that is followed, or why it cannot be.
type Form = Result<Matching, String>;

/// `sequences[i]` keeps its keys and values in the cache `i` of `shared`.
struct Sequence {
    id: SequenceId,
    plan: SequencePlan,
    tokens: Vec<TokenId>,
    /// How far it is in its form, if it has one; or why nobody can say.
    form: Option<Form>,
    /// Answers to tokens that are not given yet; the keys and values of these tokens are written.
    foreseen: VecDeque<Foreseen>,
    /// What was guessed last; room for the next.
    guesses: Vec<TokenId>,
    trust: Trust,
}

impl Sequence {
    fn new(
        id: SequenceId,
        plan: SequencePlan,
        tokens: Vec<TokenId>,
        form: Option<Matching>,
        trust: Trust,
    ) -> Self {
        Self {
            id,
            plan,
            tokens,
            form: form.map(Ok),
            foreseen: VecDeque::new(),
            guesses: Vec::new(),
            trust,
        }
    }
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
        let (guesses, price) = (guesses_pay(&model), Price::of(model.precision));
        let shared = Arc::new(Shared::new(model, helpers.threads()));
        let theirs = Arc::clone(&shared);
        Self {
            shared,
            crew: Crew::new(helpers),
            work: Arc::new(move |member| forward::work(&theirs, member)),
            grammars: None,
            sequences: Vec::new(),
            prefixes: BTreeMap::new(),
            room: Room::default(),
            lists: Lists::default(),
            guesses,
            price,
            passes: 0,
            rows: 0,
        }
    }

    /// Tokens are guessed whether or not that pays with these kernels. No token is another for it.
    #[must_use]
    pub const fn with_speculation(mut self) -> Self {
        self.guesses = true;
        self
    }

    /// Nothing is computed before it is asked for. No token is another for it.
    #[must_use]
    pub const fn without_speculation(mut self) -> Self {
        self.guesses = false;
        self
    }

    /// How often rows went through the model so far: once for up to 256 of them.
    pub const fn passes(&self) -> u64 {
        self.passes
    }

    /// How many rows went through the model so far, those of guesses included.
    pub const fn rows(&self) -> u64 {
        self.rows
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

    /// What the largest steps of such a model work in, beside weights and keys and values, where up to so many members may
    /// come: the buffers of a pass, and the candidates of one row beside the row as it was and one of weights.
    pub(crate) fn bytes_at_work(
        blueprint: &Blueprint,
        precision: Precision,
        members: usize,
        ways: forward::Ways,
    ) -> u64 {
        let room = forward::Room {
            sizes: blueprint,
            precision,
            threads: members.max(1),
            rows: ROWS_AT_ONCE,
            sampling: LOGITS_AT_ONCE,
            ways,
        };
        let rows = blueprint.vocabulary.saturating_mul(2);
        let floats = room.floats().saturating_add(rows);
        let candidates = blueprint
            .vocabulary
            .saturating_mul(size_of::<(TokenId, f32)>());
        floats
            .saturating_mul(size_of::<f32>())
            .saturating_add(candidates) as u64
    }

    /// KV memory of all open sequences and kept prefixes; a page that several hold is counted once.
    pub fn kv_bytes(&self) -> Bytes {
        let kept = self.prefixes.values().map(|prefix| &prefix.cache);
        let mut seen = BTreeSet::new();
        let caches = self.shared.caches();
        let bytes = caches
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
        self.advance(batch, &mut |logits, wanted, _, _| {
            if let Some(slot) = all.get_mut(wanted.input) {
                *slot = Some(logits.to_vec());
            }
            Ok(())
        })?;
        Ok(all)
    }

    /// Has all members do the job in `shared`.
    fn compute_job(&mut self, even: bool) -> Result<(), StepError> {
        self.crew.run(even, &self.work);
        let failed = self.shared.failed.lock();
        let failed = failed.unwrap_or_else(PoisonError::into_inner).take();
        failed.map_or(Ok(()), Err)
    }

    fn index_of(&self, id: SequenceId) -> Option<usize> {
        self.sequences.iter().position(|s| s.id == id)
    }

    fn check_plan(&self, sequence: SequenceId, plan: &SequencePlan) -> Result<(), StepError> {
        let context = self.model().blueprint.context;
        admission::plan(sequence, plan, self.index_of(sequence).is_some(), context)
    }

    fn begin(&mut self, sequence: Sequence, cache: KvCache) {
        self.shared.caches_mut().push(cache);
        self.sequences.push(sequence);
    }

    fn take(&mut self, id: SequenceId) -> Option<(Sequence, KvCache)> {
        let index = self.index_of(id)?;
        let sequence = self.sequences.swap_remove(index);
        Some((sequence, self.shared.caches_mut().swap_remove(index)))
    }
}

/// Whether a pass of a few rows takes little longer than one of a single row: where the weights are what is waited for. On
/// candle's kernels, and on ours without vectors, each row takes as long as the first.
fn guesses_pay(model: &Model) -> bool {
    model.kind != Kind::Portable && model.is_packed()
}

impl Engine for Decoder {
    fn open(&mut self, sequence: SequenceId, plan: SequencePlan) -> Result<(), StepError> {
        self.check_plan(sequence, &plan)?;
        let form = choice::form(self.grammars.as_ref(), &plan)?;
        let capacity = plan.capacity_tokens as usize;
        let cache = KvCache::new(&self.model().blueprint, capacity);
        let opened = Sequence::new(sequence, plan, Vec::new(), form, Trust::new(self.price));
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
        let kept = self.prefixes.get(&from.prefix);
        let kept = kept.ok_or(StepError::UnknownPrefix(from.prefix))?;
        let held = admission::beginning(sequence, &plan, from, &kept.tokens)?.to_vec();
        let capacity = plan.capacity_tokens as usize;
        let cache = kept.cache.share(held.len(), capacity);
        let form = choice::form(self.grammars.as_ref(), &plan)?;
        let opened = Sequence::new(sequence, plan, held, form, Trust::new(self.price));
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
        self.sample(batch)
    }
}

#[cfg(test)]
#[path = "decoder/kept_tests.rs"]
mod kept_tests;
