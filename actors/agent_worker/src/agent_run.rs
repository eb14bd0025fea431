//! One running turn: call the model, run the tools it asks for, show it their results, until it answers in words or may not
//! go on.
//!
//! Everything is decided here and nothing is done here: inputs come in, and orders wait in a queue until the shell has
//! carried them out, one after the other. It outlives its worker: an order is taken out of the queue only when it is done
//! or begun, so that the next life knows what was (`reborn`); and it is built anew from the turn log when the process
//! did not outlive it (`resumed`). Nothing here waits, and no tool is ordered twice unless that is harmless.

mod answering;
mod retold;
mod steering;
mod tool_calls;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use conversation_store::messages::{StepRecord, TurnState};
use domain::{
    Budget, ContextPolicy, GenerationError, GenerationEvent, Message, Role, ToolCallId, ToolChoice,
    ToolOutcome, ToolSpec, TurnError, TurnEvent, Usage,
};

use self::answering::Calling;
pub use self::steering::NotSteered;
use self::steering::Steering;
use crate::framing::Framing;
use crate::recalls::Recollection;
use crate::settings::TurnSettings;
use crate::turn::Ending;
use crate::work::{Assessed, Work};

/// Lives of its worker that a turn may take part in: one that crashes it again and again is given up.
pub const LIVES: u32 = 4;

/// What the shell has to do next.
#[derive(Clone, Debug, PartialEq)]
pub enum Order {
    /// Look up what may help.
    Recall,
    /// Write a step down; what follows waits for it.
    Record(StepRecord),
    /// Tell the listener.
    Say(TurnEvent),
    /// Ask the model. Its events come back as [`Input::Model`].
    CallModel(Box<ModelCall>),
    /// Run a tool. Its end comes back as [`Input::ToolEnded`].
    StartTool(ToolCallId),
    /// Write down how it ended, with [`AgentRun::messages`].
    Close(TurnState),
    /// It is over; whatever still runs is stopped.
    End(Ending),
}

/// One call of the model.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelCall {
    /// Which of this turn, from 1; a repeated call has the same.
    pub number: u32,
    /// What the model is shown.
    pub messages: Vec<Message>,
    /// What it may call.
    pub tools: Arc<[ToolSpec]>,
    /// Whether it has to.
    pub choice: ToolChoice,
    /// At most so many tokens.
    pub max_tokens: u32,
    /// What to do if it does not fit.
    pub context: ContextPolicy,
}

/// What happened.
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    /// What was found, and what the model is shown of it; nothing is found when there is nothing, or not in time.
    Recalled(Recollection),
    /// The model said something that is not a call of a tool.
    Model(GenerationEvent),
    /// The model calls a tool.
    Called(Assessed),
    /// A tool ended.
    ToolEnded {
        /// Which call.
        id: ToolCallId,
        /// How.
        outcome: ToolOutcome,
    },
    /// Somebody allows a call, or does not.
    Answered {
        /// Which call.
        id: ToolCallId,
        /// Whether it may run.
        granted: bool,
    },
    /// The deadline may have passed.
    Time,
    /// A step could not be written down.
    NotKept(GenerationError),
    /// It was cancelled, or nobody listens any more.
    Stop,
}

/// What a turn begins with.
#[derive(Clone, Debug)]
pub struct Beginning {
    /// What it is run with.
    pub settings: TurnSettings,
    /// What the model may call.
    pub tools: Arc<[ToolSpec]>,
    /// What the model is shown around it.
    pub framing: Framing,
    /// What the person said while it waited for its turn, oldest first.
    pub steers: Vec<String>,
}

/// A running turn.
#[derive(Clone, Debug)]
pub struct AgentRun {
    settings: TurnSettings,
    tools: Arc<[ToolSpec]>,
    framing: Framing,
    /// What is finished of this turn, in order: answers, the tools' results, and what the person said meanwhile.
    so_far: Vec<Message>,
    steering: Steering,
    phase: Phase,
    orders: VecDeque<Order>,
    usage: Usage,
    model_calls: u32,
    tool_calls: u32,
    begun: Instant,
    lives: u32,
    /// What fits the window only without room for an answer is tried so, once nothing more can be left out.
    last_try: bool,
}

#[derive(Clone, Debug)]
enum Phase {
    Recalling,
    Calling(Calling),
    Working { text: String, works: Vec<Work> },
    Over(Ending),
}

impl AgentRun {
    /// A turn that begins.
    pub fn new(mut beginning: Beginning, now: Instant) -> Self {
        let steers = std::mem::take(&mut beginning.steers);
        let mut run = Self::idle(beginning, now);
        for text in steers {
            run.note(text);
        }
        if run.settings.memory.is_some() {
            run.orders.push_back(Order::Recall);
        } else {
            run.call_model();
        }
        run
    }

    fn idle(beginning: Beginning, now: Instant) -> Self {
        Self {
            settings: beginning.settings,
            tools: beginning.tools,
            framing: beginning.framing,
            so_far: Vec::new(),
            steering: Steering::default(),
            phase: Phase::Recalling,
            orders: VecDeque::new(),
            usage: Usage::default(),
            model_calls: 0,
            tool_calls: 0,
            begun: now,
            lives: 1,
            last_try: false,
        }
    }

    /// The next order. It stays the next until it is taken.
    pub fn order(&self) -> Option<&Order> {
        self.orders.front()
    }

    /// Takes the next order out: it is done, or begun where its end is an input of its own.
    pub fn take(&mut self) -> Option<Order> {
        self.orders.pop_front()
    }

    /// Whether it is over, but for what is still ordered.
    pub fn is_over(&self) -> bool {
        matches!(self.phase, Phase::Over(_))
    }

    /// What the person said.
    pub fn said_by_user(&self) -> &str {
        &self.framing.user().content
    }

    /// How many of the oldest messages of the history the model was not shown.
    pub fn left_out(&self) -> usize {
        self.framing.left_out()
    }

    /// The call that [`Order::StartTool`] names.
    pub fn call(&self, id: &ToolCallId) -> Option<&domain::ToolCall> {
        let Phase::Working { works, .. } = &self.phase else {
            return None;
        };
        works
            .iter()
            .find(|work| work.id() == id)
            .map(|work| &work.of.call)
    }

    /// Whether somebody is asked to allow this call.
    pub fn waits_for(&self, id: &ToolCallId) -> bool {
        let waits = |work: &Work| work.id() == id && work.until().is_some();
        self.works().iter().any(waits)
    }

    /// What the conversation remembers of it: nothing, if nothing was answered; nor what the person said last, if that was
    /// not.
    pub fn messages(&self) -> Vec<Message> {
        let answers = |message: &Message| message.role != Role::User;
        let Some(last) = self.so_far.iter().rposition(answers) else {
            return Vec::new();
        };
        let answered = self.so_far.get(..=last).unwrap_or_default();
        let mut messages = vec![self.framing.user().clone()];
        messages.extend_from_slice(answered);
        messages
    }

    /// When [`Input::Time`] is to come.
    pub fn deadline(&self) -> Option<Instant> {
        let waits = match &self.phase {
            Phase::Over(_) => return None,
            Phase::Working { works, .. } => works.iter().filter_map(Work::until).min(),
            Phase::Recalling | Phase::Calling(_) => None,
        };
        let end = self.begun + self.settings.limits.time;
        Some(waits.map_or(end, |until| until.min(end)))
    }

    /// Takes what happened.
    pub fn input(&mut self, input: Input, now: Instant) {
        if self.is_over() {
            if input == Input::Stop {
                self.unsay();
            }
            return;
        }
        match input {
            Input::Recalled(found) => self.recalled(found),
            Input::Model(event) => self.model(event, now),
            Input::Called(of) => {
                if let Phase::Calling(calling) = &mut self.phase {
                    calling.calls.push(of);
                }
            }
            Input::ToolEnded { id, outcome } => self.tool_ended(&id, outcome, now),
            Input::Answered { id, granted } => self.answered(&id, granted, now),
            Input::Time => self.time(now),
            Input::NotKept(error) => {
                self.halt(TurnState::Failed, Ending::Failed(error.into()));
            }
            Input::Stop => self.halt(TurnState::Cancelled, Ending::Stopped),
        }
    }

    /// Its worker crashed, and this is the next life: what was under way is begun again, where that is harmless.
    pub fn reborn(&mut self, now: Instant) {
        self.lives += 1;
        if let Phase::Over(ending) = &self.phase {
            if !self
                .orders
                .iter()
                .any(|order| matches!(order, Order::End(_)))
            {
                let end = Order::End(ending.clone());
                self.orders.push_back(end);
            }
            return;
        }
        if self.lives > LIVES {
            let reason = "it crashed again and again during this turn; it was given up".into();
            let part = "agent_worker".into();
            let error = GenerationError::Unavailable { part, reason };
            return self.halt(TurnState::Failed, Ending::Failed(error.into()));
        }
        match &mut self.phase {
            Phase::Recalling => {
                if !self.orders.contains(&Order::Recall) {
                    self.orders.push_back(Order::Recall);
                }
            }
            Phase::Calling(calling) => {
                calling.matched = 0;
                calling.calls.clear();
                let is_call = |order: &Order| matches!(order, Order::CallModel(_));
                if !self.orders.iter().any(is_call) {
                    self.order_model();
                }
            }
            Phase::Working { .. } => self.take_up(now),
            Phase::Over(_) => {}
        }
    }

    fn tokens_left(&self) -> u64 {
        let spent = u64::from(self.usage.completion_tokens);
        self.settings.limits.tokens.saturating_sub(spent)
    }

    fn say(&mut self, event: TurnEvent) {
        self.orders.push_back(Order::Say(event));
    }

    fn time(&mut self, now: Instant) {
        let limit = self.settings.limits.time;
        if now >= self.begun + limit {
            let (budget, limit) = (Budget::Time, limit.as_secs());
            let error = TurnError::BudgetSpent { budget, limit };
            return self.halt(TurnState::Failed, Ending::Failed(error));
        }
        let overdue: Vec<ToolCallId> = self
            .works()
            .iter()
            .filter(|work| work.until().is_some_and(|until| until <= now))
            .map(|work| work.id().clone())
            .collect();
        for id in overdue {
            let within = self.settings.approvals.wait;
            self.decide(&id, Err(&format!("nobody allowed it within {within:?}")));
        }
        self.go_on(now);
    }

    fn finish(&mut self, reason: domain::FinishReason) {
        let usage = self.usage;
        self.end(TurnState::Done, Ending::Finished { reason, usage });
    }

    fn spent(&mut self, budget: Budget, limit: u64) {
        self.fail(TurnError::BudgetSpent { budget, limit });
    }

    /// It has ended, but its listener has not taken everything: what it did not take was not said.
    fn unsay(&mut self) {
        let says = |order: &Order| matches!(order, Order::Say(_));
        if !self.orders.iter().any(says) {
            return;
        }
        self.untell(self.untaken());
        self.orders.clear();
        self.end(TurnState::Cancelled, Ending::Stopped);
    }

    /// How much of the text that is ordered to be said nobody has taken, in bytes. It is all of one answer, the last: the model
    /// is called only behind it.
    fn untaken(&self) -> usize {
        let text = |order: &Order| match order {
            Order::Say(TurnEvent::Text(text)) => text.len(),
            _ => 0,
        };
        self.orders.iter().map(text).sum()
    }

    /// So much at the end of the last answer was not said, and nothing behind it was heard.
    fn untell(&mut self, bytes: usize) {
        let is_answer = |message: &Message| message.role == Role::Assistant;
        let Some(at) = self
            .so_far
            .iter()
            .rposition(is_answer)
            .filter(|_| bytes > 0)
        else {
            return;
        };
        let Some(answer) = self.so_far.get_mut(at) else {
            return;
        };
        let taken = answer.content.len().saturating_sub(bytes);
        answer.content = answer.content.get(..taken).unwrap_or_default().to_owned();
        if answer.tool_calls.is_empty() {
            let rest = usize::from(!answer.content.is_empty());
            self.so_far.truncate(at + rest);
        }
    }

    /// Ends it behind what is still to be said.
    fn fail(&mut self, error: TurnError) {
        self.break_off();
        self.end(TurnState::Failed, Ending::Failed(error));
    }

    /// Ends it now: what was not taken is not said any more.
    fn halt(&mut self, state: TurnState, ending: Ending) {
        let untaken = self.untaken();
        self.orders.clear();
        self.break_off();
        self.untell(untaken);
        self.end(state, ending);
    }

    /// What was under way is finished as far as it got.
    fn break_off(&mut self) {
        match &mut self.phase {
            Phase::Calling(calling) => {
                let heard = std::mem::take(&mut calling.heard);
                self.so_far.extend(said(heard));
            }
            Phase::Working { text, works } => {
                let (text, works) = (std::mem::take(text), std::mem::take(works));
                self.so_far.extend(told(text, &works));
            }
            Phase::Recalling | Phase::Over(_) => {}
        }
    }

    fn end(&mut self, state: TurnState, ending: Ending) {
        self.phase = Phase::Over(ending.clone());
        self.orders.push_back(Order::Close(state));
        self.orders.push_back(Order::End(ending));
    }
}

fn said(text: String) -> Option<Message> {
    (!text.is_empty()).then(|| Message::assistant(text))
}

/// An answer that called tools, and their results in the order of the calls.
fn told(text: String, works: &[Work]) -> impl Iterator<Item = Message> {
    let calls = works.iter().map(|work| work.of.call.clone()).collect();
    let result = |work: &Work| Message::tool(work.id().clone(), work.broken_off().text());
    let results: Vec<Message> = works.iter().map(result).collect();
    std::iter::once(Message::calling(text, calls)).chain(results)
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
