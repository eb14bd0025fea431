//! One child's life: start, ready, crash, rest, stop, end.

use std::time::Duration;

use tokio::time::Instant;

use super::member::{State, Step, Then};
use super::{Effect, End, Family, Key, Mode, Refused, Walk};
use crate::child::StopHow;
use crate::events::Lifecycle;
use crate::exit::{ChildState, DownReason, Exit};
use crate::policy::{Kind, Restart, Shutdown, Strategy};

impl Family {
    fn emit(&mut self, key: Key, what: Lifecycle) {
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
            State::Stopping { starting, .. } => {
                *starting = false;
                return;
            }
            _ => return,
        };
        member.ever_up = true;
        let took = now.saturating_duration_since(since);
        let what = if member.incarnation == 1 {
            Lifecycle::Ready { took }
        } else {
            member.restarts += 1;
            let restarts = member.restarts;
            Lifecycle::Restarted { restarts }
        };
        let waiters = std::mem::take(&mut member.start_waiters);
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
        match member.state.clone() {
            State::Waiting | State::BackingOff | State::Down => {}
            State::Up { since } => {
                self.lost(key, exit, now.saturating_duration_since(since), now);
            }
            State::Starting { .. }
            | State::Stopping {
                then: Then::FailedStart,
                ..
            } => self.start_failed(key, exit, now),
            State::Stopping { then, .. } => self.stopped(key, then, exit, now),
        }
    }

    fn start_failed(&mut self, key: Key, exit: Exit, now: Instant) {
        let Some(member) = self.members.get_mut(&key) else {
            return;
        };
        let reason = start_failure(&exit, member.policy.kind);
        member.last_error = Some(reason.clone());
        let first = !member.ever_up;
        let dynamic = member.dynamic;
        let id = member.id.clone();
        self.emit(
            key,
            Lifecycle::StartFailed {
                reason: reason.clone(),
            },
        );
        if !matches!(self.mode, Mode::Running) {
            return self.rest_or_retire(key, exit, now);
        }
        let initial = self.walk.is_some_and(|walk| walk.initial);
        if first && dynamic {
            return self.retire(key, DownReason::StartFailed(reason), Some(exit), now);
        }
        if first && initial {
            self.set_state(key, State::Waiting, None);
            let end = End::StartFailed { id, exit };
            return self.end(end);
        }
        self.restart_or_retire(key, &exit, Duration::ZERO, now);
    }

    /// A child that was up has ended although nobody asked it to.
    fn lost(&mut self, key: Key, exit: Exit, lived: Duration, now: Instant) {
        if exit != Exit::Normal {
            let reason = exit.to_string();
            if let Some(member) = self.members.get_mut(&key) {
                member.last_error = Some(reason.clone());
            }
            self.emit(key, Lifecycle::Crashed { reason });
        }
        if matches!(self.mode, Mode::Running) {
            self.restart_or_retire(key, &exit, lived, now);
        } else {
            self.rest_or_retire(key, exit, now);
        }
    }

    fn restart_or_retire(&mut self, key: Key, exit: &Exit, lived: Duration, now: Instant) {
        let Some(member) = self.members.get_mut(&key) else {
            return;
        };
        let again = match member.policy.restart {
            Restart::Permanent => true,
            Restart::Transient => *exit != Exit::Normal,
            Restart::Temporary => false,
        };
        if !again {
            let reason = match exit {
                Exit::Normal => DownReason::Finished,
                Exit::StartFailed(_) => {
                    DownReason::StartFailed(start_failure(exit, member.policy.kind))
                }
                other => DownReason::Crashed(other.to_string()),
            };
            return self.retire(key, reason, Some(exit.clone()), now);
        }
        if !self.intensity.allows(now) {
            let id = member.id.clone();
            self.set_state(key, State::Waiting, None);
            self.effects.push(Effect::GivesUp {
                restarts: self.intensity.max_restarts(),
                period: self.intensity.period(),
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
        self.set_state(key, State::BackingOff, now.checked_add(delay));
        self.emit(key, Lifecycle::BackingOff { delay });
        self.effects.push(Effect::Show(key, ChildState::BackingOff));
        self.satisfy_successors(key);
        if self.strategy == Strategy::RestForOne {
            self.walk_from(key);
        }
    }

    /// Those from `key` on are to be stopped and started again.
    fn walk_from(&mut self, key: Key) {
        let from = match self.walk {
            Some(walk) if !walk.cleared => walk.from.min(key),
            _ => key,
        };
        self.walk = Some(Walk {
            from,
            initial: self.walk.is_some_and(|walk| walk.initial),
            cleared: false,
        });
    }

    fn end(&mut self, end: End) {
        self.walk = None;
        self.mode = Mode::Ending { end, keep: true };
    }

    fn stopped(&mut self, key: Key, then: Then, exit: Exit, now: Instant) {
        match then {
            Then::Retire(reason) => self.retire(key, reason, Some(exit), now),
            Then::Wait | Then::FailedStart if matches!(self.mode, Mode::Running) => {
                self.rest(key);
            }
            Then::Wait | Then::FailedStart => self.rest_or_retire(key, exit, now),
        }
    }

    /// Stopped, with its queue kept, to be started again in its turn.
    fn rest(&mut self, key: Key) {
        self.set_state(key, State::Waiting, None);
        self.emit(
            key,
            Lifecycle::Stopped {
                reason: DownReason::Stopped,
                abandoned: Vec::new(),
            },
        );
        self.effects.push(Effect::Show(key, ChildState::BackingOff));
    }

    /// The supervisor is ending and this child has ended: is it kept for a later life of the supervisor?
    pub(super) fn rest_or_retire(&mut self, key: Key, exit: Exit, now: Instant) {
        let keep = matches!(self.mode, Mode::Ending { keep: true, .. });
        let dynamic = self.members.get(&key).is_some_and(|m| m.dynamic);
        if keep && !dynamic {
            self.rest(key);
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
        let starters = std::mem::take(&mut member.start_waiters);
        let stoppers = std::mem::take(&mut member.stop_waiters);
        let successors = std::mem::take(&mut member.successors);
        let forget = member.leaves_nothing() || !successors.is_empty();
        let refusal = match (&reason, exit) {
            (DownReason::StartFailed(_), Some(exit)) => Refused::Failed(exit),
            _ => Refused::Stopping,
        };
        self.set_state(key, State::Down, None);
        self.effects.push(Effect::Retire {
            key,
            incarnation,
            reason,
        });
        for token in starters {
            self.effects
                .push(Effect::Reply(token, Err(refusal.clone())));
        }
        for token in stoppers {
            self.effects.push(Effect::Reply(token, Ok(key)));
        }
        if forget {
            self.remove(key);
        }
        self.succeed(successors, now);
    }

    pub(super) fn remove(&mut self, key: Key) {
        if let Some(member) = self.members.remove(&key) {
            if let Some(due) = member.due {
                self.due.remove(&(due, key));
            }
            self.ids.remove(&member.id);
            self.effects.push(Effect::Forget(key));
        }
    }

    // ---- stopping

    pub(super) fn begin_stop(&mut self, key: Key, how: StopHow, then: Then, now: Instant) {
        let Some(member) = self.members.get(&key) else {
            return;
        };
        let shutdown = member.policy.shutdown;
        let starting =
            matches!(member.state, State::Starting { .. }) && member.policy.kind == Kind::Worker;
        let due = match shutdown {
            Shutdown::Timeout(limit) => now.checked_add(limit),
            Shutdown::Infinity | Shutdown::BrutalKill => None,
        };
        let step = Step::Asked;
        let state = State::Stopping {
            then,
            step,
            starting,
        };
        self.set_state(key, state, due);
        self.emit(key, Lifecycle::Stopping);
        self.effects.push(Effect::Show(key, ChildState::Stopping));
        self.effects.push(Effect::AskStop { key, how });
        if shutdown == Shutdown::BrutalKill {
            self.harder(key, now);
        }
    }

    pub(super) fn fire(&mut self, key: Key, now: Instant) {
        let Some(member) = self.members.get(&key) else {
            return;
        };
        match member.state {
            State::Starting { .. } => {
                let after = member.policy.start_timeout;
                let state = State::Stopping {
                    then: Then::FailedStart,
                    step: Step::Aborted,
                    starting: true,
                };
                self.set_state(key, state, None);
                self.effects.push(Effect::StartTimedOut { key, after });
                self.effects.push(Effect::Abort(key));
            }
            State::BackingOff
                if self.strategy == Strategy::RestForOne || !matches!(self.mode, Mode::Running) =>
            {
                self.set_state(key, State::Waiting, None);
            }
            State::BackingOff => self.start(key, now),
            State::Stopping { .. } => self.harder(key, now),
            State::Waiting | State::Up { .. } | State::Down => {}
        }
    }

    /// The next step of a stop: asked, killed, aborted.
    pub(super) fn harder(&mut self, key: Key, now: Instant) {
        let Some(member) = self.members.get_mut(&key) else {
            return;
        };
        let grace = member.policy.kill_grace();
        let State::Stopping { step, starting, .. } = &mut member.state else {
            return;
        };
        let (next, effect) = match step {
            Step::Asked if !*starting => (Step::Killed, Effect::Kill(key)),
            Step::Asked | Step::Killed => (Step::Aborted, Effect::Abort(key)),
            Step::Aborted => return,
        };
        let first = *step == Step::Asked;
        *step = next;
        let state = member.state.clone();
        let due = match next {
            Step::Killed => now.checked_add(grace),
            _ => None,
        };
        self.set_state(key, state, due);
        if first {
            self.emit(key, Lifecycle::Killed);
        }
        self.effects.push(effect);
    }

    pub(super) fn hurry(&mut self, now: Instant) {
        self.stop(StopHow::Drain);
        let living: Vec<Key> = self
            .members
            .iter()
            .rev()
            .filter(|(_, member)| member.lives())
            .map(|(key, _)| *key)
            .collect();
        for key in living {
            match self.members.get(&key).map(|member| &member.state) {
                Some(State::Stopping {
                    step: Step::Asked, ..
                }) => self.harder(key, now),
                Some(State::Stopping { .. }) | None => {}
                Some(_) => {
                    let then = Then::Retire(DownReason::Stopped);
                    self.begin_stop(key, StopHow::Drain, then, now);
                    if self.members.get(&key).is_some_and(|member| {
                        matches!(
                            member.state,
                            State::Stopping {
                                step: Step::Asked,
                                ..
                            }
                        )
                    }) {
                        self.harder(key, now);
                    }
                }
            }
        }
    }
}

/// A worker's reason without its path, which the event and the error carry themselves; a supervisor's names the child.
fn start_failure(exit: &Exit, kind: Kind) -> String {
    match exit {
        Exit::StartFailed(failure) if kind == Kind::Worker => failure.reason.clone(),
        Exit::Normal => "it ended before it was ready".to_owned(),
        other => other.to_string(),
    }
}
