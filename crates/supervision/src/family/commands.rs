//! What administrators ask for, and when they are answered.

use tokio::time::Instant;

use super::member::{Demand, State, Then};
use super::{Effect, Entry, Family, Key, Mode, Refused, RestartCause, Token};
use crate::child::StopHow;
use crate::exit::{ChildState, DownReason};
use crate::names::ChildId;

impl Family {
    fn refuse(&mut self, token: Token, key: Key, why: Refused) {
        self.effects.push(Effect::Reply(token, Err(why)));
        self.effects.push(Effect::Forget(key));
    }

    pub(super) fn add(&mut self, token: Token, entry: Entry, now: Instant) {
        if !matches!(self.mode, Mode::Running) {
            return self.refuse(token, entry.key, Refused::Stopping);
        }
        if let Some(member) = self.find(&entry.id).and_then(|key| self.members.get(&key)) {
            let why = if member.state == State::Down {
                Refused::AlreadyPresent
            } else {
                Refused::AlreadyStarted
            };
            return self.refuse(token, entry.key, why);
        }
        self.admit(token, entry, now);
    }

    /// A new child of a free id. While a walk is under way it waits for its turn there, behind its elders.
    fn admit(&mut self, token: Token, entry: Entry, now: Instant) {
        let key = entry.key;
        self.insert(entry, true);
        if let Some(member) = self.members.get_mut(&key) {
            member.demand = Demand::Added;
            member.waiters().start.push(token);
        }
        if self.walk.is_none() {
            self.start(key, now);
        }
    }

    pub(super) fn ensure(&mut self, token: Token, entry: Entry, leaving: bool, now: Instant) {
        if !matches!(self.mode, Mode::Running) {
            return self.refuse(token, entry.key, Refused::Stopping);
        }
        let Some(key) = self.find(&entry.id) else {
            return self.admit(token, entry, now);
        };
        let Some(member) = self.members.get_mut(&key) else {
            return self.refuse(token, entry.key, Refused::NotFound);
        };
        match &member.state {
            State::Down => {
                self.remove(key);
                self.admit(token, entry, now);
            }
            State::Stopping {
                then: Then::Retire(_),
                ..
            } => member.waiters().successors.push((token, entry)),
            State::Up { .. } if leaving => member.waiters().successors.push((token, entry)),
            State::Starting { .. } | State::Waiting if !member.ever_up => {
                member.waiters().start.push(token);
                self.effects.push(Effect::Forget(entry.key));
            }
            _ => {
                self.effects.push(Effect::Reply(token, Ok(key)));
                self.effects.push(Effect::Forget(entry.key));
            }
        }
    }

    pub(super) fn terminate(&mut self, token: Token, id: &ChildId, now: Instant) {
        let found = self.find(id);
        let Some((key, member)) = found.and_then(|key| Some((key, self.members.get_mut(&key)?)))
        else {
            let reply = Effect::Reply(token, Err(Refused::NotFound));
            return self.effects.push(reply);
        };
        let stopped = Then::retire(DownReason::Stopped);
        match &mut member.state {
            State::Down => self.effects.push(Effect::Reply(token, Ok(key))),
            State::Stopping { then, .. } => {
                let paused = matches!(then, Then::Wait | Then::Again);
                *then = stopped;
                member.waiters().stop.push(token);
                if paused {
                    let how = StopHow::Drain;
                    self.effects.push(Effect::AskStop { key, how });
                }
            }
            State::Waiting | State::BackingOff => {
                member.waiters().stop.push(token);
                self.retire(key, DownReason::Stopped, None, now);
            }
            State::Starting { .. } | State::Up { .. } => {
                member.waiters().stop.push(token);
                self.begin_stop(key, StopHow::Drain, stopped, now);
            }
        }
    }

    /// Starts a child again that is down and kept; a failure is the asker's, and it stays down.
    pub(super) fn restart_child(&mut self, token: Token, id: &ChildId, now: Instant) {
        let refused = match self.kept_down(id) {
            Ok(_) if !matches!(self.mode, Mode::Running) => Refused::Stopping,
            Ok(key) => return self.start_on_demand(token, key, now),
            Err(refused) => refused,
        };
        self.effects.push(Effect::Reply(token, Err(refused)));
    }

    pub(super) fn start_on_demand(&mut self, token: Token, key: Key, now: Instant) {
        let Some(member) = self.members.get_mut(&key) else {
            return;
        };
        member.cause = RestartCause::Asked;
        member.demand = Demand::Asked;
        member.waiters().start.push(token);
        self.set_state(key, State::Waiting, None);
        self.effects.push(Effect::Show(key, ChildState::BackingOff));
        if !self.walk.is_some_and(|walk| walk.will_reach(key)) {
            self.start(key, now);
        }
    }

    /// Forgets a child that is down and kept.
    pub(super) fn delete_child(&mut self, token: Token, id: &ChildId) {
        let reply = self.kept_down(id);
        if let Ok(key) = reply {
            self.remove(key);
        }
        self.effects.push(Effect::Reply(token, reply));
    }

    /// The child of that id if it is down; OTP's answers if it is not.
    fn kept_down(&self, id: &ChildId) -> Result<Key, Refused> {
        let found = self
            .find(id)
            .and_then(|key| Some((key, self.members.get(&key)?)));
        let Some((key, member)) = found else {
            return Err(Refused::NotFound);
        };
        let shown = member.shown();
        match &member.state {
            State::Down => Ok(key),
            State::Waiting
            | State::BackingOff
            | State::Stopping {
                then: Then::Wait | Then::Again | Then::Crash(_),
                ..
            } => Err(Refused::Restarting(shown)),
            State::Starting { .. } if member.ever_up => Err(Refused::Restarting(shown)),
            State::Starting { .. } | State::Up { .. } | State::Stopping { .. } => {
                Err(Refused::Running(shown))
            }
        }
    }

    /// The child is not on its way out after all: those who wanted its id to live have what they wanted.
    pub(super) fn satisfy_successors(&mut self, key: Key) {
        let Some(member) = self.members.get_mut(&key) else {
            return;
        };
        for (token, entry) in member.take_successors() {
            self.effects.push(Effect::Reply(token, Ok(key)));
            self.effects.push(Effect::Forget(entry.key));
        }
    }

    /// Nothing lives any more: whoever still waits for a child that is kept for a later life hears so.
    pub(super) fn answer_the_last(&mut self) {
        for (key, member) in &mut self.members {
            let effects = &mut self.effects;
            let waiters = member.take_waiters();
            for token in waiters.start {
                effects.push(Effect::Reply(token, Err(Refused::Stopping)));
            }
            for token in waiters.stop {
                effects.push(Effect::Reply(token, Ok(*key)));
            }
            for (token, entry) in waiters.successors {
                effects.push(Effect::Reply(token, Err(Refused::Stopping)));
                effects.push(Effect::Forget(entry.key));
            }
        }
    }

    /// The child is gone: the first of its successors takes its place, the others have what they wanted.
    pub(super) fn succeed(&mut self, successors: Vec<(Token, Entry)>, now: Instant) {
        for (token, entry) in successors {
            self.ensure(token, entry, false, now);
        }
    }
}
