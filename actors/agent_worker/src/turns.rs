//! One conversation's turns: at most one runs, a bounded few wait, and each ends exactly once.
//!
//! Everything is decided here and nothing is done here: the shell carries out the effects, in order. Nothing here
//! waits, knows a channel or an actor. It outlives a crash of its worker (see `reborn`): the turn that ran goes on, as often
//! as its run allows.

mod steering;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use conversation_store::messages::StepRecord;
use domain::{
    FieldError, GenerationError, Message, ModelName, RequestId, ToolCall, ToolCallId, ToolSpec,
    TurnEvent,
};

use crate::agent_run::{AgentRun, Beginning, Input};
use crate::framing::Framing;
use crate::history::History;
use crate::settings::{Config, TurnSettings, Window};
use crate::turn::{Ending, Turn, TurnKey, check};
use crate::work::Assessed;

/// Who hears a turn; the core only needs to know whether anyone still does.
pub trait Listener {
    /// Whether nobody listens any more.
    fn is_gone(&self) -> bool;
}

/// What the shell has to do.
#[derive(Debug, PartialEq)]
pub enum Effect<L> {
    /// Drive this turn, from where it is.
    Start(Box<Start>),
    /// Tell a waiting turn its place; 1 is next.
    Place {
        /// Which turn.
        key: TurnKey,
        /// Its place, from 1.
        position: usize,
    },
    /// Stop the running turn's answer; its end is then reported as any other.
    Halt(TurnKey),
    /// Tell a turn's listener the last event. The turn is over.
    End {
        /// Which turn.
        key: TurnKey,
        /// Who hears it.
        listener: L,
        /// What it hears.
        event: TurnEvent,
    },
    /// The history changed: keep this copy where a stopped worker's successor finds it.
    Keep(Arc<Vec<Message>>),
}

/// What is to be driven.
#[derive(Clone, Debug, PartialEq)]
pub struct Start {
    /// Which turn.
    pub key: TurnKey,
    /// Its name.
    pub id: RequestId,
    /// What it is run with.
    pub settings: TurnSettings,
}

/// The turns of one conversation.
#[derive(Debug)]
pub struct Turns<L> {
    config: Config,
    history: History,
    running: Option<Running<L>>,
    waiting: VecDeque<Turn<L>>,
    next_key: u64,
    idle_since: Instant,
    /// How many of the oldest messages the last turn's model did not show: it would not fit them the next time either.
    left_out: Option<(ModelName, usize)>,
}

#[derive(Debug)]
struct Running<L> {
    turn: Turn<L>,
    /// Once it is known which tools it has.
    run: Option<Box<AgentRun>>,
    /// It is written down that it begins.
    begun: bool,
    cancelled: bool,
    /// The history was cleared or replaced while it ran.
    forgotten: bool,
}

impl<L: Listener> Turns<L> {
    /// No turns yet.
    pub fn new(config: Config, now: Instant) -> Self {
        Self {
            config,
            history: History::new(config.history_chars),
            running: None,
            waiting: VecDeque::new(),
            next_key: 0,
            idle_since: now,
            left_out: None,
        }
    }

    /// Takes a turn: it runs now or waits. Turns whose listener has gone give up their place first.
    ///
    /// # Errors
    /// `Invalid` or `Overloaded`; then nothing has changed.
    pub fn accept(
        &mut self,
        id: RequestId,
        text: String,
        settings: TurnSettings,
        listener: L,
    ) -> Result<(TurnKey, Vec<Effect<L>>), GenerationError> {
        self.accept_logged(id, text, settings, listener, Vec::new())
    }

    /// The same for a turn that a dead process has begun, with what it wrote down of it.
    ///
    /// # Errors
    /// As `accept`.
    pub fn accept_logged(
        &mut self,
        id: RequestId,
        text: String,
        settings: TurnSettings,
        listener: L,
        log: Vec<StepRecord>,
    ) -> Result<(TurnKey, Vec<Effect<L>>), GenerationError> {
        check(&text, &settings, self.config.text_chars)?;
        let mut effects = self.end_waiting(|turn| turn.listener.is_gone());
        if self.running.is_some() && self.waiting.len() >= self.config.waiting_turns {
            return Err(GenerationError::Overloaded {
                waiting: self.waiting.len(),
                retry_after_ms: 1000,
            });
        }
        let key = TurnKey(self.next_key);
        self.next_key += 1;
        self.waiting.push_back(Turn {
            key,
            id,
            text,
            settings,
            listener,
            log,
            steers: Vec::new(),
        });
        if self.running.is_none() {
            effects.extend(self.start_next());
        } else if effects.is_empty() {
            let position = self.waiting.len();
            effects.push(Effect::Place { key, position });
        } else {
            effects.extend(self.places());
        }
        Ok((key, effects))
    }

    /// The running turn's machine. A turn that does not run any more has none.
    pub fn run(&mut self, key: TurnKey) -> Option<&mut AgentRun> {
        self.running_turn(key)?.run.as_deref_mut()
    }

    /// These are the tools of the running turn: now it can begin, or go on from its log. One that has begun keeps its own.
    pub fn equip(
        &mut self,
        key: TurnKey,
        tools: Arc<[ToolSpec]>,
        assess: impl Fn(&ToolCall) -> Assessed,
        now: Instant,
    ) {
        let history = Arc::clone(self.history.messages());
        let left_out = self.left_out.clone();
        let Some(running) = self
            .running_turn(key)
            .filter(|running| running.run.is_none())
        else {
            return;
        };
        let settings = running.turn.settings.clone();
        let left_out = left_out.filter(|(model, _)| *model == settings.model);
        let beginning = Beginning {
            framing: Framing::new(
                settings.system.clone(),
                history,
                left_out.map_or(0, |(_, count)| count),
                settings.context == Window::Compact,
                Message::user(&running.turn.text),
            ),
            settings,
            tools,
            steers: std::mem::take(&mut running.turn.steers),
        };
        let log = &running.turn.log;
        let run = if log.is_empty() {
            AgentRun::new(beginning, now)
        } else {
            AgentRun::resumed(beginning, log, assess, now)
        };
        running.run = Some(Box::new(run));
    }

    /// What the running turn begins with, unless it is written down already that it does.
    pub fn begun_with(&mut self, key: TurnKey) -> Option<Message> {
        let running = self.running_turn(key).filter(|running| !running.begun)?;
        Some(Message::user(&running.turn.text))
    }

    /// It is written down that the running turn begins.
    pub fn has_begun(&mut self, key: TurnKey) {
        if let Some(running) = self.running_turn(key) {
            running.begun = true;
        }
    }

    /// What the conversation remembers of the running turn if it ended now.
    pub fn remembered(&mut self, key: TurnKey) -> Vec<Message> {
        let running = self.running_turn(key).filter(|running| !running.forgotten);
        let run = running.and_then(|running| running.run.as_deref());
        run.map(AgentRun::messages).unwrap_or_default()
    }

    /// Somebody allows a call of the running turn, or does not; whether that was asked.
    pub fn answered(
        &mut self,
        id: &RequestId,
        call: &ToolCallId,
        granted: bool,
        now: Instant,
    ) -> bool {
        let running = self
            .running
            .as_mut()
            .filter(|running| running.turn.id == *id);
        let run = running.and_then(|running| running.run.as_deref_mut());
        let Some(run) = run.filter(|run| run.waits_for(call)) else {
            return false;
        };
        let id = call.clone();
        run.input(Input::Answered { id, granted }, now);
        true
    }

    /// The running answer ended. A turn that does not run any more is not believed.
    pub fn ended(&mut self, key: TurnKey, ending: Ending, now: Instant) -> Vec<Effect<L>> {
        if self.running_turn(key).is_none() {
            return Vec::new();
        }
        let mut effects = self.close_running(ending);
        self.idle_since = now;
        effects.extend(self.start_next());
        effects
    }

    /// Ends every turn of this name: one that waits, at once; the one that runs, as soon as its answer has stopped.
    /// Also tells whether there was one.
    pub fn cancel(&mut self, id: &RequestId) -> (bool, Vec<Effect<L>>) {
        let mut effects = self.end_waiting(|turn| turn.id == *id);
        if !effects.is_empty() {
            effects.extend(self.places());
        }
        if let Some(running) = self.running.as_mut().filter(|r| r.turn.id == *id) {
            running.cancelled = true;
            effects.push(Effect::Halt(running.turn.key));
        }
        (!effects.is_empty(), effects)
    }

    /// Forgets the history, the running turn included; how many messages that were.
    pub fn clear(&mut self) -> (usize, Effect<L>) {
        self.forget_running();
        let forgotten = self.history.clear();
        (forgotten, self.keep())
    }

    /// Replaces the history; how many messages are kept.
    ///
    /// # Errors
    /// A message that cannot be part of it; then nothing has changed.
    pub fn load(&mut self, messages: Vec<Message>) -> Result<(usize, Effect<L>), FieldError> {
        let kept = self.history.load(messages)?;
        self.forget_running();
        Ok((kept, self.keep()))
    }

    /// What was said and answered, oldest first.
    pub fn history(&self) -> &Arc<Vec<Message>> {
        self.history.messages()
    }

    /// Goes on with what an earlier worker of this conversation left, unless a turn was taken already.
    pub fn recall(&mut self, history: &Arc<Vec<Message>>) {
        if self.next_key == 0 {
            self.history.recall(history);
        }
    }

    /// The worker was started, perhaps after a crash: the turn that ran goes on, and those that waited.
    pub fn reborn(&mut self, now: Instant) -> Vec<Effect<L>> {
        self.idle_since = now;
        if self.running.is_none() {
            return self.start_next();
        }
        self.go_on(now)
    }

    /// Whoever drove the running turn is gone without a word: it goes on from where it is. A turn that does not run any
    /// more is not believed.
    pub fn broke_off(&mut self, key: TurnKey, now: Instant) -> Vec<Effect<L>> {
        if self.running_turn(key).is_none() {
            return Vec::new();
        }
        self.go_on(now)
    }

    fn go_on(&mut self, now: Instant) -> Vec<Effect<L>> {
        let Some(running) = &mut self.running else {
            return Vec::new();
        };
        if let Some(run) = &mut running.run {
            run.reborn(now);
            if running.cancelled {
                run.input(Input::Stop, now);
            }
        }
        let turn = &running.turn;
        let (key, id, settings) = (turn.key, turn.id.clone(), turn.settings.clone());
        vec![Effect::Start(Box::new(Start { key, id, settings }))]
    }

    /// The turns that were accepted and have not ended, in order.
    pub fn open(&self) -> impl Iterator<Item = (TurnKey, &RequestId)> {
        let running = self.running.iter().map(|r| &r.turn);
        running
            .chain(&self.waiting)
            .map(|turn| (turn.key, &turn.id))
    }

    /// Who hears an open turn.
    pub fn listener(&self, key: TurnKey) -> Option<&L> {
        let running = self.running.iter().map(|r| &r.turn);
        let mut open = running.chain(&self.waiting);
        open.find(|turn| turn.key == key).map(|turn| &turn.listener)
    }

    /// When this conversation has been idle for long enough; none while a turn is open.
    pub fn idle_deadline(&self) -> Option<Instant> {
        let idle = self.running.is_none() && self.waiting.is_empty();
        idle.then(|| self.idle_since + self.config.idle)
    }

    fn running_turn(&mut self, key: TurnKey) -> Option<&mut Running<L>> {
        self.running.as_mut().filter(|r| r.turn.key == key)
    }

    fn forget_running(&mut self) {
        self.left_out = None;
        if let Some(running) = &mut self.running {
            running.forgotten = true;
        }
    }

    fn keep(&self) -> Effect<L> {
        Effect::Keep(Arc::clone(self.history.messages()))
    }

    fn close_running(&mut self, ending: Ending) -> Vec<Effect<L>> {
        let Some(mut running) = self.running.take() else {
            return Vec::new();
        };
        let mut effects = Vec::new();
        if let Some(run) = &mut running.run
            && !running.forgotten
        {
            // One that has not ended by itself remembers what was taken of it.
            run.input(Input::Stop, self.idle_since);
            let messages = run.messages();
            self.left_out = Some((running.turn.settings.model.clone(), run.left_out()));
            if !messages.is_empty() {
                let forgotten = self.history.remember(messages);
                self.left_out = self
                    .left_out
                    .take()
                    .map(|(model, out)| (model, out.saturating_sub(forgotten)));
                effects.push(self.keep());
            }
        }
        effects.push(running.turn.end(ending.event(running.cancelled)));
        effects
    }

    /// Ends the waiting turns of which `which` is true as cancelled.
    fn end_waiting(&mut self, which: impl Fn(&Turn<L>) -> bool) -> Vec<Effect<L>> {
        let (ended, kept): (VecDeque<_>, _) = self.waiting.drain(..).partition(which);
        self.waiting = kept;
        ended.into_iter().map(Turn::cancelled).collect()
    }

    /// The first waiting turn that is still listened to begins; those before it end unheard.
    fn start_next(&mut self) -> Vec<Effect<L>> {
        let mut effects = Vec::new();
        while let Some(turn) = self.waiting.pop_front() {
            if turn.listener.is_gone() {
                effects.push(turn.cancelled());
                continue;
            }
            effects.push(Effect::Start(Box::new(Start {
                key: turn.key,
                id: turn.id.clone(),
                settings: turn.settings.clone(),
            })));
            self.running = Some(Running {
                begun: !turn.log.is_empty(),
                turn,
                run: None,
                cancelled: false,
                forgotten: false,
            });
            effects.extend(self.places());
            break;
        }
        effects
    }

    fn places(&self) -> Vec<Effect<L>> {
        let place = |(at, turn): (usize, &Turn<L>)| Effect::Place {
            key: turn.key,
            position: at + 1,
        };
        self.waiting.iter().enumerate().map(place).collect()
    }
}

#[cfg(test)]
mod tests;
