//! One step of a batch: the only thing an engine does.
//!
//! A step takes, for every sequence that moves, the tokens to append (a chunk of prompt, or the one token sampled
//! last), and gives back a sampled token where one was asked for. Between steps the caller may open, close or leave
//! out any sequence; that is what makes cancelling and admission cost at most one step.

use domain::Sampling;

/// A token of the model's vocabulary.
pub type TokenId = u32;

/// One live sequence of one engine. Never reused within an engine's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SequenceId(pub u64);

/// The KV memory of a sequence that was closed, kept for later ones that begin with the same tokens. Never reused within
/// an engine's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PrefixId(pub u64);

/// Where a sequence begins: behind the first `tokens` tokens of a kept prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Beginning {
    /// Which prefix.
    pub prefix: PrefixId,
    /// How many of its tokens; from 1 to all.
    pub tokens: u32,
}

/// What a sequence is opened with.
#[derive(Clone, Debug)]
pub struct SequencePlan {
    /// The most tokens it will ever hold, prompt and answer together. Its KV memory is bounded by this.
    pub capacity_tokens: u32,
    /// How its tokens are chosen.
    pub sampling: Sampling,
    /// How many tokens at the front are prompt: the penalties look only behind them, and the sampler's draws are numbered
    /// from them.
    pub prompt_tokens: u32,
}

/// The tokens one sequence appends in a step.
#[derive(Clone, Debug)]
pub struct StepInput {
    /// Which sequence.
    pub sequence: SequenceId,
    /// What it appends; never empty.
    pub tokens: Vec<TokenId>,
    /// Whether to sample the token that follows. False for all chunks of a prompt but the last.
    pub sample: bool,
}

/// What one sequence got out of a step.
#[derive(Clone, Debug, PartialEq)]
pub struct StepOutput {
    /// Which sequence.
    pub sequence: SequenceId,
    /// The sampled token, where one was asked for.
    pub token: Option<TokenId>,
    /// How likely it was, where the plan's `sampling.logprobs` asks; it changes no token.
    pub likelihood: Option<Likelihood>,
    /// Why none can follow in this sequence, whose constraint has come to an end that it does not allow. The others are
    /// sound, and so is the engine.
    pub stuck: Option<String>,
}

/// How likely a sampled token was among the whole vocabulary, as [`domain::TokenLogprob`] says it: by the logits as the
/// model gave them, before penalties, the answer's form, temperature and cuts.
#[derive(Clone, Debug, PartialEq)]
pub struct Likelihood {
    /// The natural logarithm of its probability: never above 0, never below [`domain::TokenLogprob::LEAST`].
    pub logprob: f32,
    /// As many tokens as were asked for (all, if there are fewer) with theirs: the likeliest first, the lowest id first
    /// among equals.
    pub likeliest: Vec<(TokenId, f32)>,
}

/// Why a step could not be done. The engine's state is then undefined; the caller drops and rebuilds it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StepError {
    /// A sequence that was not opened, or was closed.
    #[error("sequence {0:?} is not open")]
    UnknownSequence(SequenceId),
    /// A sequence that was opened already.
    #[error("sequence {0:?} is already open")]
    DuplicateSequence(SequenceId),
    /// More tokens than the sequence was opened for.
    #[error("sequence {sequence:?} would hold {needed} tokens; it was opened for {capacity}")]
    CapacityExceeded {
        /// Which sequence.
        sequence: SequenceId,
        /// Tokens it would hold.
        needed: u32,
        /// Tokens it was opened for.
        capacity: u32,
    },
    /// A prefix that was not kept, or was forgotten.
    #[error("prefix {0:?} is not kept")]
    UnknownPrefix(PrefixId),
    /// Not so many tokens, or none, can be begun with.
    #[error("prefix {prefix:?} holds {held} tokens; a sequence cannot begin with {wanted} of them")]
    PrefixTooShort {
        /// Which prefix.
        prefix: PrefixId,
        /// Tokens it holds.
        held: u32,
        /// Tokens that were asked for.
        wanted: u32,
    },
    /// A token outside the vocabulary.
    #[error("token {token} is outside the vocabulary of {vocabulary}")]
    UnknownToken {
        /// The token.
        token: TokenId,
        /// The vocabulary's size.
        vocabulary: u32,
    },
    /// An input with no tokens.
    #[error("sequence {0:?} has no tokens to append")]
    EmptyInput(SequenceId),
    /// The constraint cannot be kept to.
    #[error("the constraint of the answer cannot be kept to: {0}")]
    Constraint(String),
    /// The arithmetic failed.
    #[error("the model failed to compute: {0}")]
    Compute(String),
}

/// A model that computes. It is moved to a blocking thread for each step and moved back.
///
/// # Contract
/// * The sampled token depends only on the sequence's tokens, its plan and the number of tokens it holds: a sequence
///   opened anew with the same plan and given the same tokens (in any chunking, in any batch) goes on with the same
///   token. This is what lets a stream survive a crashed step. Random draws are therefore a pure function of
///   (seed, tokens held), never of a generator's state. How likely it was depends on the same.
///   On another [`Device`](crate::Device) than the processor, sums are added in an order that depends on how the tokens are
///   chunked: there this holds of any batch and of the same chunks to the bit, of other chunks up to the rounding of those
///   sums, which can decide between tokens that are as likely as each other.
/// * A failed `open` or `open_from` leaves nothing behind.
/// * A sequence opened from a prefix is one that was given those tokens by steps: nothing it says can tell the difference.
/// * Whoever holds a kept prefix counts all of its KV memory, and whoever holds a sequence all of that sequence's, even
///   where the engine lets both share pages: so what is counted is never less than what is taken, whoever goes first.
pub trait Engine: Send + 'static {
    /// Makes room for a sequence.
    ///
    /// # Errors
    /// `DuplicateSequence`, `Compute` when its memory cannot be had, or `Constraint`, which [`TextCodec::check`] tells
    /// before.
    ///
    /// [`TextCodec::check`]: crate::TextCodec::check
    fn open(&mut self, sequence: SequenceId, plan: SequencePlan) -> Result<(), StepError>;

    /// Makes room for a sequence that already holds the first tokens of a kept prefix. The prefix stays as it is.
    ///
    /// # Errors
    /// As `open`; `UnknownPrefix`; `PrefixTooShort`; `CapacityExceeded` when the plan has no room for so many tokens. An
    /// engine that keeps no prefixes knows none.
    fn open_from(
        &mut self,
        _sequence: SequenceId,
        _plan: SequencePlan,
        from: Beginning,
    ) -> Result<(), StepError> {
        Err(StepError::UnknownPrefix(from.prefix))
    }

    /// Frees a sequence. Closing an unknown one does nothing.
    fn close(&mut self, sequence: SequenceId);

    /// Closes a sequence and keeps the KV memory of its first `tokens` tokens (all it holds, if they are fewer) as
    /// `prefix`; the memory of the rest is freed. Returns how many tokens were kept: 0 if the sequence is unknown or the
    /// engine keeps no prefixes. A prefix of that name that is there already is replaced.
    fn keep(&mut self, sequence: SequenceId, _prefix: PrefixId, _tokens: u32) -> u32 {
        self.close(sequence);
        0
    }

    /// Frees a kept prefix; sequences that began with it go on. Forgetting an unknown one does nothing.
    fn forget(&mut self, _prefix: PrefixId) {}

    /// Appends each input's tokens and samples where asked; outputs are in the order of the inputs.
    ///
    /// # Errors
    /// The first input that cannot be done; then no promise is made about the engine's state.
    fn step(&mut self, batch: &[StepInput]) -> Result<Vec<StepOutput>, StepError>;
}
