//! How a life is ended: asked, then killed, then aborted, each at its time; and what else a deadline may mean.

use tokio::time::Instant;

use super::member::{State, Step, Then};
use super::sequence::Wind;
use super::{Effect, End, Family, Key, Mode};
use crate::child::StopHow;
use crate::events::Lifecycle;
use crate::exit::{ChildState, DownReason};
use crate::policy::{Kind, Shutdown};

impl Family {
    pub(super) fn stop(&mut self, how: StopHow) {
        match &mut self.mode {
            Mode::Running => {
                self.walk = None;
                self.mode = Mode::Ending {
                    end: End::Asked,
                    keep: how == StopHow::Pause,
                };
            }
            Mode::Ending { keep, .. } if *keep && how != StopHow::Pause => {
                *keep = false;
                // Those that were passed because they are kept are not kept after all.
                self.wind = Wind::default();
            }
            Mode::Ending { .. } | Mode::Ended => {}
        }
    }

    pub(super) fn begin_stop(&mut self, key: Key, how: StopHow, then: Then, now: Instant) {
        let Some(member) = self.members.get(&key) else {
            return;
        };
        let shutdown = member.policy.shutdown;
        let starting =
            matches!(member.state, State::Starting { .. }) && member.policy.kind == Kind::Worker;
        let due = match shutdown {
            Shutdown::Timeout(limit) => now.checked_add(limit),
            // However patient the stop is, the start keeps its own limit.
            Shutdown::Infinity if starting => member.due,
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
            State::Starting { .. } => self.start_took_too_long(key, now),
            State::BackingOff
                if self.rules.strategy.restarts_group() || !matches!(self.mode, Mode::Running) =>
            {
                self.set_state(key, State::Waiting, None);
            }
            State::BackingOff => self.start(key, now),
            State::Stopping { .. } => self.harder(key, now),
            State::Waiting | State::Up { .. } | State::Down => {}
        }
    }

    /// A worker's start can only be cut off. A supervisor's is given up in order: it stops those it has started.
    fn start_took_too_long(&mut self, key: Key, now: Instant) {
        let Some(member) = self.members.get(&key) else {
            return;
        };
        let after = member.policy.start_timeout;
        let kind = member.policy.kind;
        self.effects.push(Effect::StartTimedOut { key, after });
        if kind == Kind::Supervisor {
            return self.begin_stop(key, StopHow::Pause, Then::FailedStart, now);
        }
        let state = State::Stopping {
            then: Then::FailedStart,
            step: Step::Aborted,
            starting: true,
        };
        self.set_state(key, state, None);
        self.effects.push(Effect::Abort(key));
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
                    let then = Then::retire(DownReason::Stopped);
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
