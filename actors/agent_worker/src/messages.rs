//! The inbox of one conversation's worker: everything that can be asked of it.

use conversation_store::messages::StepRecord;
use domain::{FieldError, GenerationError, Message, RequestId, ToolCallId, TurnEvent};
use tokio::sync::mpsc;

use crate::settings::TurnSettings;

/// Runs a turn, after those accepted before it. Reply: `Result<(), GenerationError>`, at once: `Ok` means that
/// `events` will hear the turn, ending in exactly one terminal event unless the worker is killed, which closes it.
///
/// Refused with `Invalid` (empty or too long text, settings out of range, a channel without room for two events) or
/// `Overloaded` (too many turns wait). Dropping the receiver cancels the turn.
#[derive(Clone, Debug)]
pub struct RunTurn {
    /// The turn's name; what `CancelTurn` takes.
    pub id: RequestId,
    /// What the person says.
    pub text: String,
    /// What it is run with.
    pub settings: TurnSettings,
    /// Who listens. A slow reader slows its own turn only; one place is kept for the last event.
    pub events: mpsc::Sender<TurnEvent>,
}

/// Ends a turn, waiting or running, with `Failed(Cancelled)`. Reply: whether there was one of this name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CancelTurn {
    /// The turn's name.
    pub id: RequestId,
}

/// Says something to a turn that waits or runs, without ending it: the next call of the model that begins is shown it, behind what
/// happened in the turn until then. An answer in words that ends before is not the end of the turn. Reply:
/// `Result<u32, SteerError>`, at once: which of the texts that this turn was told it is, from 1, as in `TurnEvent::Steered`,
/// which tells when it was taken in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Steer {
    /// Which turn.
    pub turn: RequestId,
    /// What the person says.
    pub text: String,
}

/// Why a turn was not told something. Every text says what to do next.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum SteerError {
    /// It is over, or there never was one of this name in this conversation.
    #[error("no turn {turn} waits or runs here: ask anew")]
    Over {
        /// The turn's name.
        turn: RequestId,
    },
    /// The model's call that runs is the last that the turn may make: nothing would read it.
    #[error(
        "turn {turn} makes its last call of {max_turns}: ask anew when it is over, or raise max_turns for the next"
    )]
    LastCall {
        /// The turn's name.
        turn: RequestId,
        /// The limit.
        max_turns: u32,
    },
    /// An empty or too long text, or too many that wait to be taken in.
    #[error(transparent)]
    Invalid(#[from] FieldError),
    /// The conversation could not be reached; where its worker crashed at this, the turn may have been told.
    #[error(transparent)]
    Unavailable(GenerationError),
}

impl From<GenerationError> for SteerError {
    fn from(error: GenerationError) -> Self {
        match error {
            GenerationError::Invalid(field) => Self::Invalid(field),
            other => Self::Unavailable(other),
        }
    }
}

/// Goes on with a turn that a dead process has begun and left. As `RunTurn`.
#[derive(Clone, Debug)]
pub struct ContinueTurn {
    /// The turn's name.
    pub id: RequestId,
    /// What the person said.
    pub text: String,
    /// What it goes on with.
    pub settings: TurnSettings,
    /// What was written down of it, in order.
    pub log: Vec<StepRecord>,
    /// As in `RunTurn`.
    pub events: mpsc::Sender<TurnEvent>,
}

/// Answers an `ApprovalNeeded`. Reply: whether that was asked, and not answered or too late already.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnswerApproval {
    /// Which turn.
    pub turn: RequestId,
    /// Which call.
    pub call: ToolCallId,
    /// Whether it may run.
    pub granted: bool,
}

/// Forgets everything said so far, the running turn included (it goes on, but is not remembered), also
/// what is at rest. Reply: `Result<usize, GenerationError>`, how many messages were forgotten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClearHistory;

/// Reply: what was said and answered, oldest first, as `Vec<Message>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadHistory;

/// Replaces the history. The running turn goes on, but is not remembered. Reply: `Result<usize, GenerationError>`,
/// how many messages are kept; system messages are refused, because instructions are part of each turn's settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoadHistory(
    /// Oldest first.
    pub Vec<Message>,
);
