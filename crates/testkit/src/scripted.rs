//! A model that says what a test tells it to, and fails when told to: everything about actors is tested with it, so
//! that no such test needs weights, time or luck.
//!
//! The token at a length is a pure function of the script, the seed and that length (the engine contract), and the
//! engine refuses a sequence whose earlier tokens are not the ones it would have said: a wrong replay after a crash
//! cannot pass. Faults are set through [`Control`], which also counts, so that "compute stopped" is a number.
//!
//! Invariant: nothing here waits by time. A gated step waits for its [`Gate`], and a dropped gate opens.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use domain::Bytes;
use engine::{
    Beginning, EmbedderCard, Engine, LoadError, LoadedEmbedder, LoadedModel, ModelCard,
    ModelLoader, ModelSource, PrefixId, SequenceId, SequencePlan, StepError, StepInput, StepOutput,
    TokenId,
};

mod control;
mod embedder;
mod odds;
mod text;

pub use control::{Control, Counts, Gate};
pub use embedder::DIMENSIONS;
pub use odds::logprob;
use text::ScriptedText;

/// Ends the turn.
pub const END: TokenId = 0;
const BYTE: TokenId = 1;
const WORD: TokenId = 300;
const NUMBER: TokenId = 100_000;
/// Numbers a counting script knows; after the last comes 0 again.
pub const NUMBERS: u32 = 1000;
const VOCABULARY: u32 = NUMBER + NUMBERS;

/// What the model answers, whatever it is asked.
#[derive(Clone, Debug)]
pub enum Answer {
    /// This text, one token per word (a word takes the spaces behind it), then the end of the turn.
    Text(String),
    /// These bytes, one token each, then the end of the turn: characters are split over tokens.
    Bytes(Vec<u8>),
    /// "7 8 9 …" without end, beginning at the sampling's seed: a different seed says a different text.
    Counting,
    /// Counts like `Counting`, but from a number that every token of the prompt has a part in: who begins with somebody
    /// else's prompt says something else.
    Listening,
    /// `call` until the turn has the result of a tool, then `then`: both as `Text`.
    Calling {
        /// What it says first.
        call: String,
        /// What it says of the result.
        then: String,
    },
}

impl Answer {
    /// The whole text of `tokens` tokens of a counting answer.
    pub fn counting(seed: u64, tokens: u32) -> String {
        let numbers = (0..u64::from(tokens)).map(|i| (seed + i) % u64::from(NUMBERS));
        numbers
            .flat_map(|n| [n.to_string(), " ".to_owned()])
            .collect()
    }

    /// The whole text of `tokens` tokens of a listening answer to a prompt of plain text.
    pub fn listening(prompt: &str, seed: u64, tokens: u32) -> String {
        let prompt: Vec<TokenId> = prompt.bytes().map(|b| BYTE + u32::from(b)).collect();
        Self::counting(seed + digest(&prompt), tokens)
    }

    fn words(&self) -> Vec<String> {
        match self {
            Self::Text(text) => words(text).map(str::to_owned).collect(),
            Self::Calling { call, then } => {
                words(call).chain(words(then)).map(str::to_owned).collect()
            }
            Self::Bytes(_) | Self::Counting | Self::Listening => Vec::new(),
        }
    }

    /// The token behind all that is open.
    fn next(&self, open: &Open) -> TokenId {
        let seed = open.plan.sampling.seed;
        let heard = match self {
            Self::Listening => digest(open.prompt()),
            Self::Calling { call, then } => {
                let has_result = has_result(open.prompt());
                let (begins, said) = if has_result {
                    (words(call).count() as u64, then)
                } else {
                    (0, call)
                };
                let is_over = open.answered() >= words(said).count() as u64;
                return if is_over {
                    END
                } else {
                    WORD + (begins + open.answered()) as u32
                };
            }
            Self::Text(_) | Self::Bytes(_) | Self::Counting => 0,
        };
        self.token(open.answered(), seed + heard)
    }

    /// The token at place `index` of the answer.
    fn token(&self, index: u64, seed: u64) -> TokenId {
        let at = usize::try_from(index).unwrap_or(usize::MAX);
        match self {
            Self::Text(text) => match words(text).nth(at) {
                Some(_) => WORD + index as u32,
                None => END,
            },
            // Said by `next`, which knows the prompt.
            Self::Calling { .. } => END,
            Self::Bytes(bytes) => bytes.get(at).map_or(END, |b| BYTE + u32::from(*b)),
            Self::Counting | Self::Listening => {
                NUMBER + ((seed + index) % u64::from(NUMBERS)) as u32
            }
        }
    }
}

fn words(text: &str) -> std::str::SplitInclusive<'_, char> {
    text.split_inclusive(' ')
}

/// Whether a tool has answered since the user spoke last.
fn has_result(prompt: &[TokenId]) -> bool {
    let bytes = prompt
        .iter()
        .filter_map(|token| u8::try_from(token.checked_sub(BYTE)?).ok());
    let text = String::from_utf8_lossy(&bytes.collect::<Vec<u8>>()).into_owned();
    let since = text
        .rsplit_once("\nuser: ")
        .map_or(text.as_str(), |(_, since)| since);
    since.contains("\ntool: ")
}

/// A number below [`NUMBERS`] that changes with any token and with their order.
fn digest(tokens: &[TokenId]) -> u64 {
    let mix = |sum: u64, token: &TokenId| (sum * 31 + u64::from(*token)) % 999_983;
    tokens.iter().fold(7, mix) % u64::from(NUMBERS)
}

/// Loads the scripted model, whatever the path.
pub struct ScriptedLoader {
    answer: Answer,
    card: ModelCard,
    tensors: u32,
    control: Control,
}

impl ScriptedLoader {
    /// A small model: window 256 tokens, weights 1 MiB in 4 tensors, KV 1 KiB per token in pages of 16.
    pub fn new(answer: Answer) -> Self {
        Self {
            answer,
            card: ModelCard {
                name: "scripted".to_owned(),
                architecture: "script".to_owned(),
                parameters: 1,
                quantisation: "none".to_owned(),
                context_tokens: 256,
                vocabulary: VOCABULARY,
                weights_bytes: Bytes::mib(1),
                work_bytes: Bytes::ZERO,
                load_bytes: Bytes::mib(1),
                kv_bytes_per_token: Bytes(1024),
                kv_page_tokens: 16,
                device: engine::Device::Cpu,
                device_bytes: Bytes::ZERO,
            },
            tensors: 4,
            control: Control::default(),
        }
    }

    /// Changes the card.
    #[must_use]
    pub fn with_card(mut self, change: impl FnOnce(&mut ModelCard)) -> Self {
        change(&mut self.card);
        self
    }

    /// The test's hand.
    pub fn control(&self) -> Control {
        self.control.clone()
    }

    /// What the model is and needs.
    pub fn card(&self) -> &ModelCard {
        &self.card
    }
}

impl ModelLoader for ScriptedLoader {
    fn inspect(&self, _: &ModelSource) -> Result<ModelCard, LoadError> {
        Ok(self.card.clone())
    }

    fn load(
        &self,
        source: &ModelSource,
        progress: &mut dyn FnMut(f32) -> ControlFlow<()>,
    ) -> Result<LoadedModel, LoadError> {
        self.read_tensors(source, progress)?;
        Ok(LoadedModel {
            card: self.card.clone(),
            engine: Box::new(ScriptedEngine {
                answer: self.answer.clone(),
                control: self.control.clone(),
                sequences: BTreeMap::new(),
                prefixes: BTreeMap::new(),
            }),
            text: Arc::new(ScriptedText::new(&self.answer, self.control.clone())),
        })
    }

    fn inspect_embedder(&self, _: &ModelSource) -> Result<EmbedderCard, LoadError> {
        Ok(embedder::card())
    }

    fn load_embedder(
        &self,
        source: &ModelSource,
        progress: &mut dyn FnMut(f32) -> ControlFlow<()>,
    ) -> Result<LoadedEmbedder, LoadError> {
        embedder::load(self, source, progress)
    }
}

impl ScriptedLoader {
    /// One load, with its faults; an engine or embedder counts from here on.
    fn read_tensors(
        &self,
        source: &ModelSource,
        progress: &mut dyn FnMut(f32) -> ControlFlow<()>,
    ) -> Result<(), LoadError> {
        tracing::debug!("a scripted load");
        self.control.count(|counts| counts.loads += 1);
        let mut gate = self.control.faults().load_gate.take();
        for tensor in 0..self.tensors {
            if let Some((_, waiting)) = gate.take_if(|(at, _)| *at == tensor) {
                // An error means that the gate was dropped: open.
                drop(waiting.blocking_recv());
            }
            if progress(tensor as f32 / self.tensors as f32).is_break() {
                self.control.count(|counts| counts.loads_cancelled += 1);
                return Err(LoadError::Cancelled);
            }
        }
        self.fail_if_told(&source.path)?;
        self.control.count(|counts| counts.engines += 1);
        Ok(())
    }

    #[allow(clippy::panic, reason = "the panic is the script's")]
    fn fail_if_told(&self, path: &Path) -> Result<(), LoadError> {
        let mut faults = self.control.faults();
        if faults.panicking_loads > 0 {
            faults.panicking_loads -= 1;
            drop(faults);
            panic!("scripted panic while loading");
        }
        if faults.failing_loads > 0 {
            faults.failing_loads -= 1;
            return Err(LoadError::Malformed {
                path: path.to_path_buf(),
                reason: "scripted failure".to_owned(),
            });
        }
        Ok(())
    }
}

struct Open {
    plan: SequencePlan,
    held: Vec<TokenId>,
}

impl Open {
    fn prompt(&self) -> &[TokenId] {
        let prompt = self.held.get(..self.plan.prompt_tokens as usize);
        prompt.unwrap_or(&self.held)
    }

    fn answered(&self) -> u64 {
        (self.held.len() as u64).saturating_sub(u64::from(self.plan.prompt_tokens))
    }
}

struct ScriptedEngine {
    answer: Answer,
    control: Control,
    sequences: BTreeMap<SequenceId, Open>,
    prefixes: BTreeMap<PrefixId, Vec<TokenId>>,
}

impl Drop for ScriptedEngine {
    fn drop(&mut self) {
        let open = self.sequences.len() as u64;
        let prefixes = self.prefixes.len() as u64;
        self.control.count(|counts| {
            counts.engines = counts.engines.saturating_sub(1);
            counts.closed += open;
            counts.forgotten += prefixes;
        });
    }
}

impl Engine for ScriptedEngine {
    fn open(&mut self, sequence: SequenceId, plan: SequencePlan) -> Result<(), StepError> {
        tracing::debug!("a scripted opening");
        self.begin(sequence, plan, Vec::new())
    }

    fn open_from(
        &mut self,
        sequence: SequenceId,
        plan: SequencePlan,
        from: Beginning,
    ) -> Result<(), StepError> {
        let Beginning { prefix, tokens } = from;
        let kept = self.prefixes.get(&prefix);
        let kept = kept.ok_or(StepError::UnknownPrefix(prefix))?;
        let held = kept.get(..tokens as usize).filter(|held| !held.is_empty());
        let held = held.ok_or(StepError::PrefixTooShort {
            prefix,
            held: kept.len() as u32,
            wanted: tokens,
        })?;
        self.begin(sequence, plan, held.to_vec())?;
        self.control
            .count(|counts| counts.reused += u64::from(tokens));
        Ok(())
    }

    fn close(&mut self, sequence: SequenceId) {
        if self.sequences.remove(&sequence).is_some() {
            self.control.count(|counts| counts.closed += 1);
        }
    }

    fn keep(&mut self, sequence: SequenceId, prefix: PrefixId, tokens: u32) -> u32 {
        let Some(mut open) = self.sequences.remove(&sequence) else {
            return 0;
        };
        open.held.truncate(tokens as usize);
        let kept = open.held.len() as u32;
        if kept > 0 {
            self.forget(prefix);
            self.prefixes.insert(prefix, open.held);
        }
        self.control.count(|counts| {
            counts.closed += 1;
            counts.kept += u64::from(kept > 0);
        });
        kept
    }

    fn forget(&mut self, prefix: PrefixId) {
        if self.prefixes.remove(&prefix).is_some() {
            self.control.count(|counts| counts.forgotten += 1);
        }
    }

    fn step(&mut self, batch: &[StepInput]) -> Result<Vec<StepOutput>, StepError> {
        tracing::debug!(batch = batch.len(), "a scripted step");
        self.begin_step(batch)?;
        let mut outputs: Result<Vec<_>, _> = batch.iter().map(|input| self.append(input)).collect();
        let sampled = batch.iter().filter(|input| input.sample).count() as u64;
        self.control.count(|counts| counts.sampled += sampled);
        let mut faults = self.control.faults();
        if sampled > 0 && faults.silences > 0 {
            faults.silences -= 1;
            let silenced = outputs.iter_mut().flatten();
            silenced.for_each(|output| output.token = None);
        }
        outputs
    }
}

impl ScriptedEngine {
    fn begin(
        &mut self,
        sequence: SequenceId,
        plan: SequencePlan,
        held: Vec<TokenId>,
    ) -> Result<(), StepError> {
        if self.sequences.contains_key(&sequence) {
            return Err(StepError::DuplicateSequence(sequence));
        }
        let mut faults = self.control.faults();
        if faults.refused_opens > 0 {
            faults.refused_opens -= 1;
            return Err(StepError::Compute("scripted: no memory".to_owned()));
        }
        drop(faults);
        self.sequences.insert(sequence, Open { plan, held });
        let open = self.sequences.len();
        self.control.count(|counts| {
            counts.opened += 1;
            counts.most_open = counts.most_open.max(open);
        });
        Ok(())
    }

    fn begin_step(&self, batch: &[StepInput]) -> Result<(), StepError> {
        let lengths = || batch.iter().map(|input| input.tokens.len());
        let is_prefill = |input: &&StepInput| input.tokens.len() > 1 || !input.sample;
        let prefilled: usize = batch
            .iter()
            .filter(is_prefill)
            .map(|i| i.tokens.len())
            .sum();
        self.control.count(|counts| {
            counts.prefilled += prefilled as u64;
            counts.longest_step = counts.longest_step.max(lengths().sum());
        });
        self.control.begin_step(|poison| {
            let is_poisoned = |input| self.is_poisoned(input, poison);
            batch.iter().any(is_poisoned)
        })
    }

    fn is_poisoned(&self, input: &StepInput, (first, answered): (TokenId, u64)) -> bool {
        let Some(open) = self.sequences.get(&input.sequence) else {
            return false;
        };
        let begins = open.held.first().or(input.tokens.first()) == Some(&first);
        let will_hold = open.held.len() as u64 + input.tokens.len() as u64;
        begins && input.sample && will_hold >= u64::from(open.plan.prompt_tokens) + answered
    }

    fn append(&mut self, input: &StepInput) -> Result<StepOutput, StepError> {
        let Some(open) = self.sequences.get_mut(&input.sequence) else {
            return Err(StepError::UnknownSequence(input.sequence));
        };
        if input.tokens.is_empty() {
            return Err(StepError::EmptyInput(input.sequence));
        }
        for token in &input.tokens {
            if *token >= VOCABULARY {
                return Err(StepError::UnknownToken {
                    token: *token,
                    vocabulary: VOCABULARY,
                });
            }
            let is_answer = open.held.len() >= open.plan.prompt_tokens as usize;
            if is_answer && *token != self.answer.next(open) {
                let at = open.held.len();
                let words = format!("token {token} at {at} is not what was said there");
                return Err(StepError::Compute(words));
            }
            open.held.push(*token);
        }
        if open.held.len() > open.plan.capacity_tokens as usize {
            return Err(StepError::CapacityExceeded {
                sequence: input.sequence,
                needed: open.held.len() as u32,
                capacity: open.plan.capacity_tokens,
            });
        }
        let token = input.sample.then(|| self.answer.next(open));
        let asked = token.zip(open.plan.sampling.logprobs);
        Ok(StepOutput {
            sequence: input.sequence,
            token,
            likelihood: asked.map(|(token, most)| odds::of(token, open.answered(), most)),
            stuck: None,
        })
    }
}

#[cfg(test)]
mod tests;
