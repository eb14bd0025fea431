//! One turn: what the person said, what it is run with, and how it may end. Nothing here waits.

use conversation_store::messages::StepRecord;
use domain::{FieldError, FinishReason, GenerationError, RequestId, TurnError, TurnEvent, Usage};

use crate::settings::TurnSettings;
use crate::turns::Effect;

/// One accepted turn of one conversation. Never reused, so that what a former life reports is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TurnKey(pub u64);

/// How the model's side of a turn ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Ending {
    /// The answer is complete.
    Finished {
        /// Why it ended.
        reason: FinishReason,
        /// What it cost.
        usage: Usage,
    },
    /// It was refused or failed.
    Failed(TurnError),
    /// It was stopped from this side: cancelled by name, or nobody listens any more.
    Stopped,
}

impl Ending {
    /// The last event its listener hears. A finished answer stays finished even if a cancel came at the same moment.
    pub fn event(self, cancelled: bool) -> TurnEvent {
        match self {
            Self::Finished { reason, usage } => TurnEvent::Finished { reason, usage },
            Self::Failed(error) if !cancelled => TurnEvent::Failed(error),
            Self::Failed(_) | Self::Stopped => TurnEvent::Failed(GenerationError::Cancelled.into()),
        }
    }
}

/// A turn that was accepted.
#[derive(Debug)]
pub(crate) struct Turn<L> {
    pub(crate) key: TurnKey,
    pub(crate) id: RequestId,
    pub(crate) text: String,
    pub(crate) settings: TurnSettings,
    pub(crate) listener: L,
    /// What a process that is gone wrote down of it.
    pub(crate) log: Vec<StepRecord>,
    /// What the person said to it before it began.
    pub(crate) steers: Vec<String>,
}

impl<L> Turn<L> {
    pub(crate) fn cancelled(self) -> Effect<L> {
        self.end(TurnEvent::Failed(GenerationError::Cancelled.into()))
    }

    pub(crate) fn end(self, event: TurnEvent) -> Effect<L> {
        Effect::End {
            key: self.key,
            listener: self.listener,
            event,
        }
    }
}

/// Whether a turn of this text and these settings can be run at all.
///
/// # Errors
/// `text`, `system` or the field of the settings that is refused.
pub(crate) fn check(
    text: &str,
    settings: &TurnSettings,
    limit_chars: usize,
) -> Result<(), FieldError> {
    check_text(text, limit_chars)?;
    let system = settings.system.as_deref().unwrap_or_default();
    check_length("system", system, limit_chars)?;
    settings.validate()
}

/// Whether somebody can say this to a turn.
///
/// # Errors
/// `text` when it is empty or too long.
pub(crate) fn check_text(text: &str, limit_chars: usize) -> Result<(), FieldError> {
    if text.trim().is_empty() {
        return Err(FieldError::new("text", "\"\"", "a text that is not empty"));
    }
    check_length("text", text, limit_chars)
}

fn check_length(field: &'static str, value: &str, limit_chars: usize) -> Result<(), FieldError> {
    // A character has at least one byte: most texts need no counting.
    if value.len() > limit_chars && value.chars().count() > limit_chars {
        let value = format!("{} characters", value.chars().count());
        let allowed = "a shorter text (by default at most 100000 characters)";
        return Err(FieldError::new(field, value, allowed));
    }
    Ok(())
}
