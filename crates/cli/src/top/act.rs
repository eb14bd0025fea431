//! What a person may want done or told, and the messages that say so. Pure.

use paraphym_candle::control::protocol::act::Acted;
use paraphym_candle::control::protocol::look::InspectAnswer;

/// Something that changes something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    Restart(String),
    Pause(String),
    Resume(String),
    Unload(String),
    Cancel(String),
}

impl Act {
    /// What, and to whom.
    pub(crate) fn title(&self) -> String {
        let (word, whom) = match self {
            Self::Restart(actor) => ("restart", actor),
            Self::Pause(actor) => ("pause", actor),
            Self::Resume(actor) => ("resume", actor),
            Self::Unload(model) => ("unload", model),
            Self::Cancel(request) => ("cancel", request),
        };
        format!("{word} {whom}")
    }
}

/// What the server is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Wish {
    /// Everything about one actor.
    Inspect(String),
    /// What would be done.
    Try(Act),
    /// To do it.
    Do(Act),
}

/// What it answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    Inspected(Box<InspectAnswer>),
    Acted(Acted),
}
