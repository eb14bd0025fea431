//! The tools that one answer of the model calls: which may run, which do, and what came of them, in the order of the calls.

use std::time::Instant;

use domain::{Approval, ToolCall, ToolCallId, ToolOutcome};

/// A call of the model, and what the toolbox says of it before anything runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assessed {
    /// The call.
    pub call: ToolCall,
    /// Why it cannot be made at all, in the words the model reads.
    pub refused: Option<String>,
    /// Whether it changes nothing, so that nobody needs to be asked.
    pub read_only: bool,
    /// Whether running it twice is harmless.
    pub idempotent: bool,
}

/// Where a call stands.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum State {
    /// Nobody has looked at it yet.
    New,
    /// Somebody has to allow it, by then.
    Waiting { until: Instant },
    /// It may run as soon as there is room.
    Ready,
    /// It runs.
    Running { since: Instant },
    /// It is over.
    Ended(ToolOutcome),
}

/// One call.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Work {
    pub(crate) of: Assessed,
    pub(crate) state: State,
}

impl Work {
    /// The call under a name that is the turn's own: a repeated answer names its calls the same.
    pub(crate) fn new(mut of: Assessed, number: u32, index: usize) -> Self {
        of.call.id = ToolCallId::new(format!("call-{number}-{}", index + 1));
        let state = State::New;
        Self { of, state }
    }

    pub(crate) fn id(&self) -> &ToolCallId {
        &self.of.call.id
    }

    pub(crate) fn outcome(&self) -> Option<&ToolOutcome> {
        match &self.state {
            State::Ended(outcome) => Some(outcome),
            _ => None,
        }
    }

    /// Whether it may run by a rule of its tool, the agent and the asker. A tool that changes nothing needs nobody's word
    /// unless a rule of its own or the asker says so.
    pub(crate) fn rule(&self, approvals: &crate::settings::Approvals) -> Approval {
        approvals.of(&self.of.call.name, self.of.read_only)
    }

    /// What the model reads of it when the turn ends before it does.
    pub(crate) fn broken_off(&self) -> ToolOutcome {
        match &self.state {
            State::Ended(outcome) => outcome.clone(),
            State::Running { .. } => ToolOutcome::Unknown(format!(
                "`{}` broke off when the turn ended. Whether it took effect is unknown: look before you call it again",
                self.of.call.name
            )),
            State::New | State::Waiting { .. } | State::Ready => ToolOutcome::Failed(format!(
                "`{}` was not called: the turn ended before",
                self.of.call.name
            )),
        }
    }
}

/// What is said of a call whose end a crash has taken.
pub(crate) fn unknown(call: &ToolCall) -> ToolOutcome {
    ToolOutcome::Unknown(format!(
        "`{}` was started, and a crash took its result. Whether it took effect is unknown: look before you call it again",
        call.name
    ))
}

/// What is said of a call that nobody allows.
pub(crate) fn denied(call: &ToolCall, why: &str) -> ToolOutcome {
    ToolOutcome::Denied(format!(
        "`{}` was not called: {why}. Go on without it",
        call.name
    ))
}
