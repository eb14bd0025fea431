//! What happens to one request for text, from queue to end, as its asker hears it.

use crate::{Bytes, FieldError, Message, ModelName, TokenLogprob, ToolCall};

/// What the model continues.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Prompt {
    /// Messages, put into the model's own chat template with the assistant's turn opened.
    Chat(Vec<Message>),
    /// Text as it is.
    Text(String),
}

/// What to do with a chat that does not fit the model's context window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ContextPolicy {
    /// Refuse with `ContextOverflow`.
    #[default]
    Refuse,
    /// The same, also when the answer would have less room than `DropOldest` leaves it: for those who shorten a chat
    /// themselves.
    RefuseWithoutRoom,
    /// Leave out the oldest messages that are neither system messages nor the last one, until it fits.
    DropOldest,
}

/// Why a generation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FinishReason {
    /// The model ended its turn, or a stop text was reached.
    Stop,
    /// `max_tokens` or the context window was reached.
    Length,
    /// The model called tools and waits for their results.
    ToolCalls,
}

impl FinishReason {
    /// The OpenAI API's word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::Length => "length",
            Self::ToolCalls => "tool_calls",
        }
    }
}

/// What a generation cost, in tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Tokens of the prompt after the template.
    pub prompt_tokens: u32,
    /// Those of them at the front that need not be read, because they were kept in memory since an earlier prompt.
    pub cached_tokens: u32,
    /// Tokens generated, the end-of-turn token included.
    pub completion_tokens: u32,
}

/// What the asker hears, in this order: any of the first three, then text and calls (and how likely their tokens
/// were), then exactly one of the last two.
#[derive(Clone, Debug, PartialEq)]
pub enum GenerationEvent {
    /// Waiting; `position` 1 is next.
    Queued {
        /// Place in the queue, from 1.
        position: usize,
    },
    /// The model is being read; `fraction` 0 to 1.
    Loading {
        /// Share of the weights read.
        fraction: f32,
    },
    /// The prompt is being read.
    Prefill {
        /// Prompt tokens read.
        done: u32,
        /// Prompt tokens in all.
        total: u32,
    },
    /// How likely the tokens were that the next text or call is made of, if that was asked for; never empty. Each token is
    /// told before the first of its bytes is said: at any time the bytes of all tokens told begin with all text said (but
    /// for bytes that are no UTF-8, and for calls, whose tokens are told as they were written, before the call or what
    /// follows it). Tokens without bytes, such as the end of a turn, and what a stop text cut off as a whole are not told.
    Logprobs(Vec<TokenLogprob>),
    /// The next piece of the answer: whole UTF-8 characters, never empty.
    Text(String),
    /// A whole call of a tool, in the order in which the model calls them.
    ToolCall(ToolCall),
    /// The end.
    Finished {
        /// Why it ended.
        reason: FinishReason,
        /// What it cost.
        usage: Usage,
    },
    /// The end, without success. What was said before stays said.
    Failed(GenerationError),
}

impl GenerationEvent {
    /// Whether nothing follows.
    pub const fn is_terminal(&self) -> bool {
        matches!(self, Self::Finished { .. } | Self::Failed(_))
    }
}

/// Why a request was refused or failed. Every text says what to do next.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum GenerationError {
    /// A field out of its range.
    #[error(transparent)]
    Invalid(#[from] FieldError),
    /// No such model here.
    #[error("model {model} is not here: {hint}")]
    ModelNotFound {
        /// The model asked for.
        model: ModelName,
        /// What to do.
        hint: String,
    },
    /// The model's file could not be used.
    #[error("model {model} could not be loaded: {reason}")]
    LoadFailed {
        /// The model asked for.
        model: ModelName,
        /// What is wrong with it.
        reason: String,
    },
    /// The model failed again and again and is left alone for a while.
    #[error("model {model} failed and rests ({reason}); try again in {retry_after_ms} ms")]
    CircuitOpen {
        /// The model asked for.
        model: ModelName,
        /// What went wrong last.
        reason: String,
        /// When a request is let in to try, in milliseconds.
        retry_after_ms: u64,
    },
    /// The queue is full.
    #[error("busy: {waiting} requests are waiting; try again in {retry_after_ms} ms")]
    Overloaded {
        /// Requests waiting.
        waiting: usize,
        /// A guess at when there is room, in milliseconds.
        retry_after_ms: u64,
    },
    /// The memory budget does not allow it.
    #[error(
        "not enough memory for {purpose}: {needed} needed, {available} available; \
         raise the limit or use a smaller model or fewer max_tokens"
    )]
    MemoryExhausted {
        /// What the bytes were for.
        purpose: String,
        /// Bytes asked for.
        needed: Bytes,
        /// Bytes that could be leased now.
        available: Bytes,
    },
    /// The prompt is longer than the model's window.
    #[error(
        "the prompt has {prompt_tokens} tokens, the model's window {context_tokens}: shorten it"
    )]
    ContextOverflow {
        /// Tokens of the prompt.
        prompt_tokens: u32,
        /// The model's window, in tokens.
        context_tokens: u32,
    },
    /// The engine crashed more often than the retry budget allows.
    #[error("the engine crashed {crashes} times on this request ({reason}); it was given up")]
    EngineCrashed {
        /// Crashes this request was part of.
        crashes: u32,
        /// The last panic's text.
        reason: String,
    },
    /// A step of the engine, or its load, has come to a stand.
    #[error(
        "model {model} has made no progress for {seconds} s and was given up; it answers again once that step ends, else \
         restart the program"
    )]
    EngineStuck {
        /// The model asked for.
        model: ModelName,
        /// For how long, in seconds.
        seconds: u64,
    },
    /// The part that answers is going or gone.
    #[error("{part} is not available: {reason}")]
    Unavailable {
        /// Which part, by its name in the tree.
        part: String,
        /// Why.
        reason: String,
    },
    /// It was cancelled by someone other than the reader of the stream.
    #[error("cancelled")]
    Cancelled,
}
