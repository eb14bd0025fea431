//! A turn as a whole, for those who do not read it as it goes: what its events add up to.

use domain::{
    Citation, FinishReason, ToolCallId, ToolOutcome, TurnError, TurnEvent, Unfinished, Usage,
};

/// A whole turn.
#[derive(Clone, Debug, PartialEq)]
pub struct TurnAnswer {
    /// What the model said in its last call: the answer.
    pub text: String,
    /// What it said in the calls before, in order: beside calls of tools, or before somebody said more. Calls in which it said
    /// nothing are left out.
    pub before: Vec<String>,
    /// The tools it called, as they ended.
    pub tools: Vec<ToolEnd>,
    /// What was looked up for it, best first.
    pub citations: Vec<Citation>,
    /// Why the last call of the model ended; [`FinishReason::Length`] for an answer that was cut.
    pub reason: FinishReason,
    /// What all calls of the model cost together.
    pub usage: Usage,
}

/// How a call of a tool ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToolEnd {
    /// Which call.
    pub id: ToolCallId,
    /// Which tool.
    pub name: String,
    /// What the model read of it.
    pub outcome: ToolOutcome,
}

/// What was heard of a turn so far.
#[derive(Clone, Debug, Default)]
pub(crate) struct Heard {
    text: String,
    before: Vec<String>,
    tools: Vec<ToolEnd>,
    citations: Vec<Citation>,
}

impl Heard {
    /// Takes the next event; the turn as a whole, once that was the last.
    pub(crate) fn hear(
        &mut self,
        event: TurnEvent,
    ) -> Option<Result<TurnAnswer, Unfinished<TurnError>>> {
        match event {
            TurnEvent::Text(text) => self.text.push_str(&text),
            TurnEvent::ModelCalled { .. } => {
                let said = std::mem::take(&mut self.text);
                self.before.extend((!said.is_empty()).then_some(said));
            }
            TurnEvent::Recalled { citations, .. } => self.citations.extend(citations),
            TurnEvent::ToolEnded {
                id, name, outcome, ..
            } => self.tools.push(ToolEnd { id, name, outcome }),
            TurnEvent::Queued { .. }
            | TurnEvent::Loading { .. }
            | TurnEvent::Prefill { .. }
            | TurnEvent::Compacted { .. }
            | TurnEvent::Steered { .. }
            | TurnEvent::ApprovalNeeded { .. }
            | TurnEvent::ToolStarted { .. } => {}
            TurnEvent::Finished { reason, usage } => {
                let heard = std::mem::take(self);
                return Some(Ok(TurnAnswer {
                    text: heard.text,
                    before: heard.before,
                    tools: heard.tools,
                    citations: heard.citations,
                    reason,
                    usage,
                }));
            }
            TurnEvent::Failed(error) => {
                let heard = std::mem::take(self);
                let text = heard.before.concat() + &heard.text;
                return Some(Err(Unfinished { error, text }));
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use domain::GenerationError;

    use super::*;

    #[test]
    fn the_answer_is_what_was_said_last_and_a_failure_keeps_all_that_was_said() {
        let tool = ToolEnd {
            id: ToolCallId::new("c"),
            name: "clock".into(),
            outcome: ToolOutcome::Failed("no".into()),
        };
        let citation = Citation {
            source: "memory".into(),
            excerpt: "tea".into(),
            score: 1.0,
        };
        let text = |text: &str| TurnEvent::Text(text.into());
        let called = |number| TurnEvent::ModelCalled { number, of: 8 };
        let said = || {
            let mut heard = Heard::default();
            for event in [
                TurnEvent::Queued { position: 1 },
                TurnEvent::Recalled {
                    citations: vec![citation.clone()],
                    without_meaning: None,
                },
                called(1),
                text("I "),
                text("look. "),
                TurnEvent::ToolEnded {
                    id: tool.id.clone(),
                    name: tool.name.clone(),
                    outcome: tool.outcome.clone(),
                    took_ms: 0,
                },
                called(2),
                called(3),
                text("It is "),
                text("so."),
            ] {
                assert_eq!(heard.hear(event), None);
            }
            heard
        };
        let (reason, usage) = (FinishReason::Stop, Usage::default());
        assert_eq!(
            said().hear(TurnEvent::Finished { reason, usage }),
            Some(Ok(TurnAnswer {
                text: "It is so.".into(),
                before: vec!["I look. ".into()],
                tools: vec![tool.clone()],
                citations: vec![citation.clone()],
                reason,
                usage,
            }))
        );
        let error = TurnError::from(GenerationError::Cancelled);
        assert_eq!(
            said().hear(TurnEvent::Failed(error.clone())),
            Some(Err(Unfinished {
                error,
                text: "I look. It is so.".into()
            }))
        );
    }
}
