//! What happens in one turn of a conversation, as its asker hears it: the model's text, what it looked up, the tools it
//! called and who allowed them, and one end.

use crate::{FinishReason, GenerationError, GenerationEvent, ToolCall, ToolCallId, Usage};

/// Something that was found and put before the model, so that an answer can be traced.
#[derive(Clone, Debug, PartialEq)]
pub struct Citation {
    /// Where it is from: a document's name, or `memory`.
    pub source: String,
    /// Its beginning.
    pub excerpt: String,
    /// How well it matches; higher is better, comparable within one look-up only.
    pub score: f32,
}

/// How a call of a tool ended, in the words the model reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ToolOutcome {
    /// Its result; `cut` tells that it was longer than allowed.
    Ok {
        /// The result, as far as it is kept.
        text: String,
        /// Whether the rest was left out.
        cut: bool,
    },
    /// It failed, was refused by the tool, or took too long.
    Failed(String),
    /// It was not run: nobody allowed it.
    Denied(String),
    /// It was started, and a crash leaves open whether it was done. It is not run again.
    Unknown(String),
}

impl ToolOutcome {
    /// What the model reads.
    pub fn text(&self) -> &str {
        match self {
            Self::Ok { text, .. }
            | Self::Failed(text)
            | Self::Denied(text)
            | Self::Unknown(text) => text,
        }
    }

    /// Whether the tool did what it was called for.
    pub const fn is_ok(&self) -> bool {
        matches!(self, Self::Ok { .. })
    }
}

/// What the asker of a turn hears: any of these in the order in which they happen, then exactly one of the last two.
#[derive(Clone, Debug, PartialEq)]
pub enum TurnEvent {
    /// Waiting, behind other turns of the conversation or other requests to the model; `position` 1 is next.
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
    /// What was found in memory and documents and put before the model; told without a find, too, where less was looked at
    /// than could be.
    Recalled {
        /// Best first.
        citations: Vec<Citation>,
        /// Why words alone were searched, or nothing at all; `None` if meanings were, too.
        without_meaning: Option<String>,
    },
    /// The history did not fit the model's window: so many of its oldest messages are left out.
    Compacted {
        /// Messages left out.
        left_out: usize,
    },
    /// What was said to the turn while it ran is taken in: the model reads it with its next call.
    Steered {
        /// Which of the texts that this turn was told, from 1.
        number: u32,
        /// The text.
        text: String,
    },
    /// The model is called.
    ModelCalled {
        /// Which call of this turn, from 1.
        number: u32,
        /// At most so many calls.
        of: u32,
    },
    /// The next piece of the answer: whole UTF-8 characters, never empty.
    Text(String),
    /// The model calls a tool that runs only if somebody allows it.
    ApprovalNeeded {
        /// The call.
        call: ToolCall,
        /// Unanswered for so long, it is denied; in milliseconds.
        within_ms: u64,
    },
    /// A tool runs.
    ToolStarted {
        /// The call.
        call: ToolCall,
    },
    /// A call of a tool is over; its outcome is what the model reads.
    ToolEnded {
        /// Which call.
        id: ToolCallId,
        /// Which tool.
        name: String,
        /// How it ended.
        outcome: ToolOutcome,
        /// How long it ran, in milliseconds; 0 if it did not.
        took_ms: u64,
    },
    /// The end.
    Finished {
        /// Why the last call of the model ended.
        reason: FinishReason,
        /// What all calls of the model cost together.
        usage: Usage,
    },
    /// The end, without success. What was said before stays said.
    Failed(TurnError),
}

impl TurnEvent {
    /// Whether nothing follows.
    pub const fn is_terminal(&self) -> bool {
        matches!(self, Self::Finished { .. } | Self::Failed(_))
    }

    /// What of a generation is an event of its turn as it is. A tool's call is not: it becomes steps of the turn.
    pub fn of_generation(event: GenerationEvent) -> Option<Self> {
        Some(match event {
            GenerationEvent::Queued { position } => Self::Queued { position },
            GenerationEvent::Loading { fraction } => Self::Loading { fraction },
            GenerationEvent::Prefill { done, total } => Self::Prefill { done, total },
            GenerationEvent::Text(text) => Self::Text(text),
            GenerationEvent::ToolCall(_) | GenerationEvent::Logprobs(_) => return None,
            GenerationEvent::Finished { reason, usage } => Self::Finished { reason, usage },
            GenerationEvent::Failed(error) => Self::Failed(error.into()),
        })
    }
}

/// What a turn may spend.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Budget {
    /// Generated tokens of all model calls together.
    Tokens,
    /// Seconds from the turn's start.
    Time,
    /// Calls of tools.
    ToolCalls,
}

impl Budget {
    /// The setting that says how much.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Tokens => "turn_tokens",
            Self::Time => "turn_time",
            Self::ToolCalls => "turn_tool_calls",
        }
    }
}

/// Why a turn failed. Every text says what to do next.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum TurnError {
    /// The model, or a part on the way to it.
    #[error(transparent)]
    Generation(#[from] GenerationError),
    /// The last allowed model call asked for tools; they were not run.
    #[error(
        "the model wanted to go on after {max_turns} calls; raise max_turns or ask for less at once"
    )]
    MaxTurns {
        /// The limit.
        max_turns: u32,
    },
    /// A budget of the turn is spent.
    #[error("the turn has spent its {} of {limit}; raise it or ask for less at once", .budget.as_str())]
    BudgetSpent {
        /// Which.
        budget: Budget,
        /// How much there was, in the budget's unit.
        limit: u64,
    },
    /// The program ended during it.
    #[error("the turn was interrupted when the program ended; `continue` picks it up")]
    Interrupted,
}
