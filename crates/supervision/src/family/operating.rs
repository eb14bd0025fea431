//! What an operator does to a child that lives: a restart in order, and a kill.

use tokio::time::Instant;

use super::member::{State, Step, Then};
use super::{Effect, Family, Key, Mode, Refused, RestartCause, Token};
use crate::child::StopHow;
use crate::events::Lifecycle;
use crate::exit::{ChildState, DownReason};
use crate::names::ChildId;
use crate::policy::Restart;

impl Family {
    /// Stops a child in order and starts it again, with those that its supervisor restarts with it. One that rests is
    /// started now, one that is down as by `restart_child`. It is no crash: nothing is counted, and nobody rests.
    pub(super) fn renew(&mut self, token: Token, id: &ChildId, now: Instant) {
        let why = match self.renewable(id) {
            Ok(key) => return self.renew_child(token, key, now),
            Err(why) => why,
        };
        self.effects.push(Effect::Reply(token, Err(why)));
    }

    fn renewable(&self, id: &ChildId) -> Result<Key, Refused> {
        let found = self.find(id);
        let Some((key, member)) = found.and_then(|key| Some((key, self.members.get(&key)?))) else {
            return Err(Refused::NotFound);
        };
        if !matches!(self.mode, Mode::Running) {
            return Err(Refused::Stopping);
        }
        if member.policy.restart == Restart::Temporary {
            return Err(Refused::Temporary);
        }
        let leaves = matches!(
            member.state,
            State::Stopping {
                then: Then::Retire(_) | Then::FailedStart,
                ..
            }
        );
        if leaves {
            return Err(Refused::Running(member.shown()));
        }
        Ok(key)
    }

    fn renew_child(&mut self, token: Token, key: Key, now: Instant) {
        let group = self.rules.strategy.group_of(key);
        let Some(member) = self.members.get_mut(&key) else {
            return;
        };
        let state = member.state.clone();
        if state == State::Down {
            return self.start_on_demand(token, key, now);
        }
        member.waiters().start.push(token);
        match state {
            State::BackingOff => {
                self.set_state(key, State::Waiting, None);
                self.start_in_turn(key, now);
            }
            State::Up { .. } | State::Starting { .. } => {
                member.cause = RestartCause::Asked;
                match group {
                    Some(from) => {
                        self.fell = Some(member.id.clone());
                        self.walk_from(from);
                    }
                    None => self.begin_stop(key, StopHow::Pause, Then::Again, now),
                }
            }
            // It is on its way to a new life already.
            State::Waiting | State::Stopping { .. } | State::Down => {}
        }
    }

    /// It was stopped to be started again.
    pub(super) fn begin_anew(&mut self, key: Key, now: Instant) {
        self.rest(key, DownReason::Stopped);
        self.start_in_turn(key, now);
    }

    /// Now, unless a walk under way comes to it anyway.
    fn start_in_turn(&mut self, key: Key, now: Instant) {
        if !self.walk.is_some_and(|walk| walk.will_reach(key)) {
            self.start(key, now);
        }
    }

    /// Drops what a child is doing where it stands. What follows is what follows a crash. One that is being stopped is
    /// stopped harder.
    pub(super) fn slay(&mut self, token: Token, id: &ChildId, now: Instant) {
        let found = self.find(id);
        let Some((key, member)) = found.and_then(|key| Some((key, self.members.get(&key)?))) else {
            let reply = Effect::Reply(token, Err(Refused::NotFound));
            return self.effects.push(reply);
        };
        let (shown, grace) = (member.shown(), member.policy.kill_grace());
        match member.state {
            State::Up { since } => {
                let then = Then::Crash(now.saturating_duration_since(since));
                let state = State::Stopping {
                    then,
                    step: Step::Killed,
                    starting: false,
                };
                self.set_state(key, state, now.checked_add(grace));
                self.emit(key, Lifecycle::Killed);
                self.effects.push(Effect::Show(key, ChildState::Stopping));
                self.effects.push(Effect::Kill(key));
            }
            State::Stopping {
                step: Step::Asked, ..
            } => self.harder(key, now),
            State::Stopping { .. } => {}
            State::Waiting | State::Starting { .. } | State::BackingOff | State::Down => {
                let reply = Effect::Reply(token, Err(Refused::NotUp(shown)));
                return self.effects.push(reply);
            }
        }
        self.effects.push(Effect::Reply(token, Ok(key)));
    }
}
