//! The model's side of a running turn: what it says goes on to the listener, and an answer that a crash broke is repeated
//! until it says something new.

use std::sync::Arc;
use std::time::Instant;

use domain::{
    Budget, ContextPolicy, FinishReason, GenerationError, GenerationEvent, ToolChoice, TurnEvent,
    Usage,
};

use super::{AgentRun, ModelCall, Order, Phase, StepRecord, said};
use crate::recalls::Recollection;
use crate::settings::Window;
use crate::work::{Assessed, Work};

/// What is known of the model's answer that is under way.
#[derive(Clone, Debug, Default)]
pub(super) struct Calling {
    pub(super) heard: String,
    /// How much of it a repeated call has said again.
    pub(super) matched: usize,
    pub(super) calls: Vec<Assessed>,
}

impl AgentRun {
    pub(super) fn recalled(&mut self, found: Recollection) {
        if !matches!(self.phase, Phase::Recalling) {
            return;
        }
        if !found.citations.is_empty() || found.without_meaning.is_some() {
            self.framing.find(found.text);
            self.say(TurnEvent::Recalled {
                citations: found.citations,
                without_meaning: found.without_meaning,
            });
        }
        self.call_model();
    }

    pub(super) fn model(&mut self, event: GenerationEvent, now: Instant) {
        let Phase::Calling(calling) = &mut self.phase else {
            return;
        };
        match event {
            GenerationEvent::Text(text) => match calling.hear(&text) {
                Ok("") => {}
                Ok(new) => {
                    let new = new.to_owned();
                    self.say(TurnEvent::Text(new));
                }
                Err(Differs) => self.differs(),
            },
            GenerationEvent::Finished { reason, usage } => self.answer_ended(reason, usage, now),
            GenerationEvent::Failed(error) => self.model_failed(error),
            GenerationEvent::ToolCall(_) | GenerationEvent::Logprobs(_) => {}
            progress => self
                .orders
                .extend(TurnEvent::of_generation(progress).map(Order::Say)),
        }
    }

    /// A repeated answer is not the one that was begun: better no end than a wrong one.
    pub(super) fn differs(&mut self) {
        let reason = "the answer broke off and could not be repeated as it began; ask again".into();
        let part = "agent_worker".into();
        self.fail(GenerationError::Unavailable { part, reason }.into());
    }

    /// Too long a prompt is made shorter, if the settings allow that and something is left.
    pub(super) fn model_failed(&mut self, error: GenerationError) {
        let shortens = self.settings.context != Window::Refuse && !self.last_try;
        if let GenerationError::ContextOverflow {
            prompt_tokens,
            context_tokens,
        } = error
            && shortens
        {
            let framing = &mut self.framing;
            if framing.shorten(prompt_tokens, context_tokens, &self.so_far) {
                let left_out = framing.left_out();
                self.say(TurnEvent::Compacted { left_out });
            } else {
                self.last_try = true;
            }
            return self.order_model();
        }
        self.fail(error.into());
    }

    pub(super) fn answer_ended(&mut self, reason: FinishReason, usage: Usage, now: Instant) {
        let Phase::Calling(calling) = &mut self.phase else {
            return;
        };
        if calling.matched < calling.heard.len() {
            return self.differs();
        }
        let text = std::mem::take(&mut calling.heard);
        let calls = std::mem::take(&mut calling.calls);
        let number = self.model_calls;
        let named = calls.into_iter().enumerate();
        let works: Vec<Work> = named.map(|(at, of)| Work::new(of, number, at)).collect();
        self.orders
            .push_back(Order::Record(StepRecord::ModelCalled {
                number,
                steered: self.steers_taken(),
                text: text.clone(),
                tool_calls: works.iter().map(|work| work.of.call.clone()).collect(),
                usage,
                reason,
            }));
        self.spend(usage);
        if works.is_empty() {
            self.so_far.extend(said(text));
            return self.answered_in_words(reason);
        }
        self.begin_work(text, works);
        self.work_within_limits(now);
    }

    pub(super) fn spend(&mut self, usage: Usage) {
        let all = &mut self.usage;
        all.prompt_tokens = all.prompt_tokens.saturating_add(usage.prompt_tokens);
        all.cached_tokens = all.cached_tokens.saturating_add(usage.cached_tokens);
        all.completion_tokens = all
            .completion_tokens
            .saturating_add(usage.completion_tokens);
    }

    /// The next call of the model. Whether there may be one was decided when the last one ended.
    pub(super) fn call_model(&mut self) {
        self.phase = Phase::Calling(Calling::default());
        if self.tokens_left() == 0 {
            return self.spent(Budget::Tokens, self.settings.limits.tokens);
        }
        self.take_in();
        self.model_calls += 1;
        self.say(TurnEvent::ModelCalled {
            number: self.model_calls,
            of: self.settings.limits.max_turns,
        });
        self.order_model();
    }

    /// A model that always has to call something would never answer: only its first call has to, where there is something
    /// to call.
    fn tool_choice(&self) -> ToolChoice {
        let may_answer = self.model_calls > 1 || self.tools.is_empty();
        match &self.settings.tool_choice {
            ToolChoice::Required | ToolChoice::Named(_) if may_answer => ToolChoice::Auto,
            chosen => chosen.clone(),
        }
    }

    pub(super) fn order_model(&mut self) {
        let context = if self.settings.context == Window::Refuse || self.last_try {
            ContextPolicy::Refuse
        } else {
            ContextPolicy::RefuseWithoutRoom
        };
        let left = u32::try_from(self.tokens_left()).unwrap_or(u32::MAX);
        self.orders.push_back(Order::CallModel(Box::new(ModelCall {
            number: self.model_calls,
            messages: self.framing.messages(&self.so_far),
            tools: Arc::clone(&self.tools),
            choice: self.tool_choice(),
            max_tokens: self.settings.sampling.max_tokens.min(left),
            context,
        })));
    }
}

/// What a repeated answer said is not what was said before.
struct Differs;

impl Calling {
    /// Takes a text; what of it is new.
    fn hear<'t>(&mut self, text: &'t str) -> Result<&'t str, Differs> {
        let before = self.heard.get(self.matched..).unwrap_or_default();
        let again = before.len().min(text.len());
        if before.as_bytes().get(..again) != text.as_bytes().get(..again) {
            return Err(Differs);
        }
        let new = text.get(again..).ok_or(Differs)?;
        self.heard.push_str(new);
        self.matched += text.len();
        Ok(new)
    }
}
