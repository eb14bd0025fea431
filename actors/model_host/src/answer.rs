//! An answer as a whole, for those who do not read it as it comes: what its events add up to.

use domain::{
    FinishReason, GenerationError, GenerationEvent, TokenLogprob, ToolCall, Unfinished, Usage,
};

/// A whole answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// What was said.
    pub text: String,
    /// Why it ended; [`FinishReason::Length`] for one that was cut.
    pub reason: FinishReason,
    /// What it cost.
    pub usage: Usage,
    /// The tools it calls, in order.
    pub tool_calls: Vec<ToolCall>,
    /// How likely its tokens were, if that was asked for; else empty.
    pub logprobs: Vec<TokenLogprob>,
}

/// What was heard of an answer so far.
#[derive(Clone, Debug, Default)]
pub(crate) struct Heard {
    text: String,
    tool_calls: Vec<ToolCall>,
    logprobs: Vec<TokenLogprob>,
}

impl Heard {
    /// Takes the next event; the answer, once that was the last.
    pub(crate) fn hear(
        &mut self,
        event: GenerationEvent,
    ) -> Option<Result<Answer, Unfinished<GenerationError>>> {
        match event {
            GenerationEvent::Queued { .. }
            | GenerationEvent::Loading { .. }
            | GenerationEvent::Prefill { .. } => {}
            GenerationEvent::Logprobs(tokens) => self.logprobs.extend(tokens),
            GenerationEvent::Text(text) => self.text.push_str(&text),
            GenerationEvent::ToolCall(call) => self.tool_calls.push(call),
            GenerationEvent::Finished { reason, usage } => {
                let heard = std::mem::take(self);
                return Some(Ok(Answer {
                    text: heard.text,
                    reason,
                    usage,
                    tool_calls: heard.tool_calls,
                    logprobs: heard.logprobs,
                }));
            }
            GenerationEvent::Failed(error) => {
                let text = std::mem::take(&mut self.text);
                return Some(Err(Unfinished { error, text }));
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use domain::ToolCallId;

    use super::*;

    #[test]
    fn events_add_up_and_what_was_said_before_a_failure_is_kept() {
        let call = ToolCall {
            id: ToolCallId::new("c"),
            name: "clock".into(),
            arguments: "{}".into(),
        };
        let token = TokenLogprob {
            bytes: b"a".to_vec(),
            logprob: -1.0,
            likeliest: Vec::new(),
        };
        let usage = Usage {
            prompt_tokens: 3,
            cached_tokens: 0,
            completion_tokens: 2,
        };
        let said = || {
            let mut heard = Heard::default();
            for event in [
                GenerationEvent::Queued { position: 1 },
                GenerationEvent::Loading { fraction: 0.5 },
                GenerationEvent::Prefill { done: 1, total: 3 },
                GenerationEvent::Logprobs(vec![token.clone()]),
                GenerationEvent::Text("a".into()),
                GenerationEvent::ToolCall(call.clone()),
                GenerationEvent::Text("b".into()),
            ] {
                assert_eq!(heard.hear(event), None);
            }
            heard
        };
        let reason = FinishReason::ToolCalls;
        assert_eq!(
            said().hear(GenerationEvent::Finished { reason, usage }),
            Some(Ok(Answer {
                text: "ab".into(),
                reason,
                usage,
                tool_calls: vec![call.clone()],
                logprobs: vec![token.clone()],
            }))
        );
        let error = GenerationError::Cancelled;
        assert_eq!(
            said().hear(GenerationEvent::Failed(error.clone())),
            Some(Err(Unfinished {
                error,
                text: "ab".into()
            }))
        );
    }
}
