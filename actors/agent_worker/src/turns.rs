//! One conversation's turns: at most one runs, a bounded few wait, and each ends exactly once.
//!
//! Everything is decided here and nothing is done here: the shell carries out the effects, in order. Nothing here
//! waits, knows a channel or an actor. It outlives a crash of its worker (see `reborn`), therefore a turn is marked as
//! running before anyone acts on it: a turn that crashes its worker is never started twice.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use domain::{FieldError, GenerationError, Message, RequestId, TurnEvent};

use crate::history::History;
use crate::settings::{Config, TurnSettings};
use crate::turn::{Ending, Turn, TurnKey, check};

/// Who hears a turn; the core only needs to know whether anyone still does.
pub trait Listener {
    /// Whether nobody listens any more.
    fn is_gone(&self) -> bool;
}

/// What the shell has to do.
#[derive(Debug, PartialEq)]
pub enum Effect<L> {
    /// Let the model answer.
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

/// What the model is to answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Start {
    /// Which turn.
    pub key: TurnKey,
    /// Its name.
    pub id: RequestId,
    /// Instructions, history and text.
    pub messages: Vec<Message>,
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
}

#[derive(Debug)]
struct Running<L> {
    turn: Turn<L>,
    said: String,
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

    /// Text of the running answer. A turn that does not run any more is not believed.
    pub fn heard(&mut self, key: TurnKey, text: &str) {
        if let Some(running) = self.running_turn(key) {
            running.said.push_str(text);
        }
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

    /// The worker was started, perhaps after a crash: a turn that ran is over, those that waited go on.
    pub fn reborn(&mut self, now: Instant) -> Vec<Effect<L>> {
        self.idle_since = now;
        if self.running.is_none() {
            return self.start_next();
        }
        let mut effects = self.close_running(Ending::Failed(crashed().into()));
        effects.extend(self.start_next());
        effects
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
        if let Some(running) = &mut self.running {
            running.forgotten = true;
        }
    }

    fn keep(&self) -> Effect<L> {
        Effect::Keep(Arc::clone(self.history.messages()))
    }

    fn close_running(&mut self, ending: Ending) -> Vec<Effect<L>> {
        let Some(running) = self.running.take() else {
            return Vec::new();
        };
        let mut effects = Vec::new();
        if !running.forgotten && !running.said.is_empty() {
            self.history.remember(&running.turn.text, &running.said);
            effects.push(self.keep());
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
                messages: turn.prompt(self.history.messages()),
                settings: turn.settings.clone(),
            })));
            self.running = Some(Running {
                turn,
                said: String::new(),
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

fn crashed() -> GenerationError {
    GenerationError::Unavailable {
        part: "agent_worker".into(),
        reason: "it crashed during this turn and was started again; ask again".into(),
    }
}

#[cfg(test)]
mod tests;
