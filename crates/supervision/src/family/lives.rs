//! One child's life: start, ready, crash, rest, end.

use std::time::Duration;

use tokio::time::Instant;

use super::escalation::{Verdict, shuts_down, start_failure, verdict, why_down};
use super::member::{Demand, State, Step, Then};
use super::{Effect, End, Family, Key, Member, Mode, Refused, RestartCause};
use crate::events::Lifecycle;
use crate::exit::{ChildState, DownReason, Exit};
use crate::names::ChildId;
use crate::policy::{Restart, Shutdown};

impl Family {
    pub(super) fn emit(&mut self, key: Key, what: Lifecycle) {
        let incarnation = self.members.get(&key).map_or(0, |m| m.incarnation);
        self.effects.push(Effect::Emit(key, incarnation, what));
    }

    pub(super) fn start(&mut self, key: Key, now: Instant) {
        let Some(member) = self.members.get_mut(&key) else {
            return;
        };
        member.incarnation += 1;
        let incarnation = member.incarnation;
        let due = now.checked_add(member.policy.start_timeout);
        self.set_state(key, State::Starting { since: now }, due);
        self.emit(key, Lifecycle::Starting);
        self.effects.push(Effect::Show(key, ChildState::Starting));
        self.effects.push(Effect::Start { key, incarnation });
    }

    pub(super) fn ready(&mut self, key: Key, incarnation: u64, now: Instant) {
        let Some(member) = self.members.get_mut(&key) else {
            return;
        };
        if member.incarnation != incarnation {
            return;
        }
        let since = match &mut member.state {
            State::Starting { since } => *since,
            State::Stopping { starting, step, .. } => {
                *starting = false;
                let patient = member.policy.shutdown == Shutdown::Infinity;
                if patient
                    && *step == Step::Asked
                    && let Some(limit_of_the_start) = member.due.take()
                {
                    self.due.remove(&(limit_of_the_start, key));
                }
                return;
            }
            _ => return,
        };
        member.ever_up = true;
        member.demand = Demand::None;
        let took = now.saturating_duration_since(since);
        let what = if member.incarnation == 1 {
            Lifecycle::Ready { took }
        } else {
            member.restarts += 1;
            let restarts = member.restarts;
            let cause = member.cause.clone();
            Lifecycle::Restarted { restarts, cause }
        };
        let waiters = member.take_starters();
        self.set_state(key, State::Up { since: now }, None);
        self.emit(key, what);
        self.effects.push(Effect::Show(key, ChildState::Up));
        for token in waiters {
            self.effects.push(Effect::Reply(token, Ok(key)));
        }
    }

    pub(super) fn ended(&mut self, key: Key, incarnation: u64, exit: Exit, now: Instant) {
        let Some(member) = self.members.get(&key) else {
            return;
        };
        if member.incarnation != incarnation {
            return;
        }
        let state = member.state.clone();
        self.wind.beside.remove(&key);
        match state {
            State::Waiting | State::BackingOff | State::Down => {}
            State::Up { since } => {
                self.lost(key, exit, now.saturating_duration_since(since), now);
            }
            State::Starting { .. } if exit == Exit::Ignored => self.ignored(key, now),
            State::Starting { .. } => self.start_failed(key, exit, now),
            State::Stopping { then, .. } => self.stopped(key, then, exit, now),
        }
    }

    fn start_failed(&mut self, key: Key, exit: Exit, now: Instant) {
        let Some(member) = self.members.get_mut(&key) else {
            return;
        };
        let reason = start_failure(&exit, member.policy.kind);
        member.last_error = Some(reason.as_str().into());
        member.cause = RestartCause::StartFailed;
        let first = !member.ever_up;
        let demand = std::mem::take(&mut member.demand);
        let id = member.id.clone();
        let what = Lifecycle::StartFailed {
            reason: reason.clone(),
        };
        self.emit(key, what);
        if !matches!(self.mode, Mode::Running) {
            return self.rest_or_retire(key, exit, now);
        }
        if demand != Demand::None {
            self.retire(key, DownReason::StartFailed(reason), Some(exit), now);
            if demand == Demand::Added {
                self.remove(key);
            }
            return;
        }
        if first && self.walk.is_some_and(|walk| walk.initial) {
            self.set_state(key, State::Waiting, None);
            self.effects.push(Effect::Show(key, ChildState::BackingOff));
            return self.end(End::StartFailed { id, exit });
        }
        self.restart_or_retire(key, &exit, Duration::ZERO, now);
    }

    /// Its start decided that it is not wanted: neither a failure nor a life, and not tried again by itself.
    fn ignored(&mut self, key: Key, now: Instant) {
        if let Some(member) = self.members.get_mut(&key) {
            member.demand = Demand::None;
        }
        if matches!(self.mode, Mode::Running) {
            self.retire(key, DownReason::Ignored, Some(Exit::Ignored), now);
        } else {
            self.rest_or_retire(key, Exit::Ignored, now);
        }
    }

    /// A child that was up has ended although nobody asked it to.
    fn lost(&mut self, key: Key, exit: Exit, lived: Duration, now: Instant) {
        if let Some(member) = self.members.get_mut(&key) {
            member.cause = match &exit {
                exit if exit.is_normal() => RestartCause::Finished,
                Exit::Killed => RestartCause::Killed,
                _ => RestartCause::Crashed,
            };
        }
        if !exit.is_normal() {
            let reason = exit.to_string();
            if let Some(member) = self.members.get_mut(&key) {
                member.last_error = Some(reason.as_str().into());
            }
            self.emit(key, Lifecycle::Crashed { reason });
        }
        if !matches!(self.mode, Mode::Running) {
            self.rest_or_retire(key, exit, now);
        } else if self.walk.is_some_and(|walk| walk.will_stop(key)) {
            self.outran(key, &exit, now);
        } else {
            self.restart_or_retire(key, &exit, lived, now);
        }
    }

    /// It ended by itself before the group restart came to stop it. As in OTP that is no restart of its own: siblings
    /// that fall by one cause count once, and one that finished is started with the others.
    fn outran(&mut self, key: Key, exit: &Exit, now: Instant) {
        let Some(member) = self.members.get(&key) else {
            return;
        };
        if member.policy.restart == Restart::Temporary {
            let reason = why_down(exit, member.policy.kind);
            return self.retire(key, reason, Some(exit.clone()), now);
        }
        if exit.is_normal() {
            return self.rest(key, DownReason::Finished);
        }
        self.set_state(key, State::Waiting, None);
        self.effects.push(Effect::Show(key, ChildState::BackingOff));
        self.satisfy_successors(key);
    }

    fn restart_or_retire(&mut self, key: Key, exit: &Exit, lived: Duration, now: Instant) {
        let Some(member) = self.members.get_mut(&key) else {
            return;
        };
        let id = member.id.clone();
        let (restart, kind) = (member.policy.restart, member.policy.kind);
        if let Verdict::Retire(reason) = verdict(restart, kind, exit) {
            let significant = member.policy.significant;
            self.retire(key, reason, Some(exit.clone()), now);
            return self.shut_down_after(id, significant);
        }
        if !self.rules.intensity.allows(now) {
            self.set_state(key, State::Waiting, None);
            if exit.is_normal() {
                // Nothing else would say that this life is over.
                let (reason, abandoned) = (DownReason::Finished, Vec::new());
                self.emit(key, Lifecycle::Stopped { reason, abandoned });
            }
            self.effects.push(Effect::Show(key, ChildState::BackingOff));
            self.effects.push(Effect::GivesUp {
                restarts: self.rules.intensity.max_restarts(),
                period: self.rules.intensity.period(),
                child: id.clone(),
                reason: exit.to_string(),
            });
            return self.end(End::Escalated {
                id,
                reason: exit.to_string(),
            });
        }
        let backoff = member.policy.backoff;
        let delay = member
            .streak
            .crashed(&backoff, lived, self.chance.fraction());
        let in_a_row = member.streak.length();
        self.set_state(key, State::BackingOff, now.checked_add(delay));
        let what = Lifecycle::BackingOff {
            delay,
            in_a_row,
            restarts: u32::try_from(self.rules.intensity.counted()).unwrap_or(u32::MAX),
            allowed: self.rules.intensity.max_restarts(),
        };
        self.emit(key, what);
        self.effects.push(Effect::Show(key, ChildState::BackingOff));
        self.satisfy_successors(key);
        if let Some(from) = self.rules.strategy.group_of(key) {
            self.fell = Some(id);
            self.walk_from(from);
        }
    }

    /// A child has ended by itself and for good: is that the end of all?
    fn shut_down_after(&mut self, id: ChildId, significant: bool) {
        let awaited = |member: &Member| member.policy.significant && member.state != State::Down;
        let others = || self.members.values().any(|member| awaited(member));
        if !shuts_down(self.rules.auto_shutdown, significant, others) {
            return;
        }
        if self.walk.take().is_some_and(|walk| walk.initial) {
            // A start that is over early has not failed.
            self.effects.push(Effect::TreeReady);
        }
        self.effects.push(Effect::ShutsDown(id.clone()));
        self.mode = Mode::Ending {
            end: End::AutoShutdown { id },
            keep: self.rules.comes_back,
        };
    }

    fn end(&mut self, end: End) {
        self.walk = None;
        self.mode = Mode::Ending { end, keep: true };
    }

    fn stopped(&mut self, key: Key, then: Then, exit: Exit, now: Instant) {
        match then {
            Then::Retire(reason) => self.retire(key, *reason, Some(exit), now),
            Then::FailedStart => self.start_failed(key, exit, now),
            Then::Crash(lived) => self.lost(key, exit, lived, now),
            Then::Again if matches!(self.mode, Mode::Running) => self.begin_anew(key, now),
            Then::Wait if matches!(self.mode, Mode::Running) => {
                self.rest(key, DownReason::Stopped);
            }
            Then::Wait | Then::Again => self.rest_or_retire(key, exit, now),
        }
    }

    /// Over, with its queue kept, to be started again in its turn.
    pub(super) fn rest(&mut self, key: Key, reason: DownReason) {
        self.set_state(key, State::Waiting, None);
        let abandoned = Vec::new();
        self.emit(key, Lifecycle::Stopped { reason, abandoned });
        self.effects.push(Effect::Show(key, ChildState::BackingOff));
        if matches!(self.mode, Mode::Running) {
            self.satisfy_successors(key);
        }
    }

    /// The supervisor is ending and this child has ended: is it kept for a later life of the supervisor?
    pub(super) fn rest_or_retire(&mut self, key: Key, exit: Exit, now: Instant) {
        if self.is_kept(key) {
            self.rest(key, DownReason::Stopped);
        } else {
            self.retire(key, self.why_ending(), Some(exit), now);
        }
    }

    /// What those are told that go down with this supervisor.
    pub(super) fn why_ending(&self) -> DownReason {
        match &self.mode {
            Mode::Ending {
                end: End::Escalated { id, reason },
                ..
            } => DownReason::Escalated(format!("{id} crashed too often: {reason}")),
            Mode::Ending {
                end: End::StartFailed { id, exit },
                ..
            } => DownReason::Escalated(format!("{id} did not start: {exit}")),
            Mode::Ending {
                end: End::AutoShutdown { id },
                ..
            } => DownReason::AutoShutdown(id.clone()),
            _ => DownReason::Stopped,
        }
    }

    /// The child takes no more messages; everyone who waits for it hears so.
    pub(super) fn retire(
        &mut self,
        key: Key,
        reason: DownReason,
        exit: Option<Exit>,
        now: Instant,
    ) {
        let Some(member) = self.members.get_mut(&key) else {
            return;
        };
        let incarnation = member.incarnation;
        let waiters = member.take_waiters();
        member.demand = Demand::None;
        let refusal = match (&reason, exit) {
            (DownReason::StartFailed(_), Some(exit)) => Refused::Failed(exit),
            (DownReason::Ignored, _) => Refused::Ignored,
            _ if matches!(self.mode, Mode::Running) => Refused::Terminated,
            _ => Refused::Stopping,
        };
        let forget = !waiters.successors.is_empty()
            || self
                .members
                .get(&key)
                .is_some_and(|member| self.leaves_nothing(member));
        self.set_state(key, State::Down, None);
        self.effects.push(Effect::Retire {
            key,
            incarnation,
            reason,
        });
        for token in waiters.start {
            self.effects
                .push(Effect::Reply(token, Err(refusal.clone())));
        }
        for token in waiters.stop {
            self.effects.push(Effect::Reply(token, Ok(key)));
        }
        if forget {
            self.remove(key);
        }
        self.succeed(waiters.successors, now);
    }

    pub(super) fn remove(&mut self, key: Key) {
        if let Some(member) = self.members.remove(&key) {
            self.count_out(&member);
            if let Some(due) = member.due {
                self.due.remove(&(due, key));
            }
            self.ids.remove(&member.id);
            self.effects.push(Effect::Forget(key));
        }
    }
}
