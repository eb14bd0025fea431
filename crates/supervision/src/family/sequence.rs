//! The ordered parts: starting a tree, restarting a group of it, and stopping all of it, one step at a time.

use std::collections::BTreeSet;

use tokio::time::Instant;

use super::member::{State, Step, Then};
use super::restart_plan::{Look, Next, Stage, next_to_start, next_to_stop};
use super::{Effect, Family, Key, Mode, RestartCause};
use crate::child::StopHow;
use crate::exit::{ChildState, DownReason, Exit};
use crate::policy::{Restart, Strategy};

/// An ordered walk over the children from `from` on: first those that live are stopped in reverse, then all are started
/// in order. The start of the tree is the same walk with nothing to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Walk {
    from: Key,
    pub(super) initial: bool,
    cleared: bool,
    /// The last child that the present direction is through with.
    passed: Option<Key>,
}

impl Walk {
    /// The first start of all.
    pub(super) fn boot() -> Self {
        Self {
            from: Key(0),
            initial: true,
            cleared: true,
            passed: None,
        }
    }

    /// Whether an idle child is started in its turn, rather than now.
    pub(super) fn will_reach(&self, key: Key) -> bool {
        key >= self.from && (!self.cleared || self.passed.is_none_or(|passed| key > passed))
    }

    /// Whether a living child is yet to be stopped by it.
    pub(super) fn will_stop(&self, key: Key) -> bool {
        !self.cleared && key >= self.from
    }

    /// The first child that a walk up has not passed.
    fn up_from(&self) -> Key {
        self.passed.map_or(self.from, |Key(passed)| Key(passed + 1))
    }
}

/// How far the last stop has come.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Wind {
    /// The oldest child that it is through with.
    passed: Option<Key>,
    /// Those that were asked together and have not ended.
    pub(super) beside: BTreeSet<Key>,
}

impl Family {
    /// Goes as far as it can without waiting.
    pub(super) fn advance(&mut self, now: Instant) {
        match self.mode {
            Mode::Ending { .. } => self.wind_down(now),
            Mode::Running => self.walk_on(now),
            Mode::Ended => {}
        }
    }

    /// Those from `from` on are to be stopped and started again. As in OTP, that includes those that had ended before.
    pub(super) fn walk_from(&mut self, from: Key) {
        let from = match self.walk {
            Some(walk) if !walk.cleared => walk.from.min(from),
            _ => from,
        };
        self.walk = Some(Walk {
            from,
            initial: self.walk.is_some_and(|walk| walk.initial),
            cleared: false,
            passed: None,
        });
        self.wake_the_ended(from);
    }

    fn walk_on(&mut self, now: Instant) {
        while let Some(walk) = self.walk {
            let look = if walk.cleared {
                self.look_up(walk)
            } else {
                self.look_down(walk)
            };
            let passed = look.passed.or(walk.passed);
            self.walk = Some(Walk { passed, ..walk });
            match look.next {
                Next::Wait => return,
                Next::Stop(key) => self.stop_for_restart(key, now),
                Next::Start(key) => return self.start(key, now),
                Next::Done if walk.cleared => {
                    self.walk = None;
                    if walk.initial {
                        self.effects.push(Effect::TreeReady);
                    }
                }
                Next::Done => {
                    self.walk = Some(Walk {
                        cleared: true,
                        passed: None,
                        ..walk
                    });
                }
            }
        }
    }

    fn look_down(&self, walk: Walk) -> Look {
        match walk.passed {
            Some(passed) => next_to_stop(
                self.members
                    .range(walk.from..passed)
                    .rev()
                    .map(|(key, member)| (*key, member.stage())),
            ),
            None => next_to_stop(
                self.members
                    .range(walk.from..)
                    .rev()
                    .map(|(key, member)| (*key, member.stage())),
            ),
        }
    }

    fn look_up(&self, walk: Walk) -> Look {
        let oldest_first = self.members.range(walk.up_from()..);
        next_to_start(
            oldest_first.map(|(key, member)| (*key, member.stage())),
            self.rules.strategy.restarts_group(),
        )
    }

    fn stop_for_restart(&mut self, key: Key, now: Instant) {
        let with = self.fell.clone();
        let Some(member) = self.members.get_mut(&key) else {
            return;
        };
        let temporary = member.policy.restart == Restart::Temporary;
        if let Some(with) = with {
            member.cause = if with == member.id {
                RestartCause::Asked
            } else {
                RestartCause::Group { with }
            };
        }
        if temporary {
            let then = Then::retire(DownReason::Stopped);
            self.begin_stop(key, StopHow::Drain, then, now);
        } else {
            self.begin_stop(key, StopHow::Pause, Then::Wait, now);
        }
    }

    fn wake_the_ended(&mut self, from: Key) {
        let ended: Vec<Key> = self
            .members
            .range(from..)
            .filter(|(_, member)| member.state == State::Down)
            .map(|(key, _)| *key)
            .collect();
        let with = self.fell.clone();
        for key in ended {
            self.set_state(key, State::Waiting, None);
            if let (Some(member), Some(with)) = (self.members.get_mut(&key), with.clone()) {
                member.cause = RestartCause::Group { with };
            }
            self.effects.push(Effect::Show(key, ChildState::BackingOff));
        }
    }

    /// Stops in reverse order, one after the other; the children of a template, which depend on no order, all together.
    fn wind_down(&mut self, now: Instant) {
        while let Some((key, stage, together)) = self.next_to_wind_down() {
            let alone = self.wind.beside.is_empty();
            match stage {
                Stage::Gone => self.wind.passed = Some(key),
                _ if !together && !alone => return,
                Stage::Idle | Stage::Resting => {
                    self.wind.passed = Some(key);
                    if !self.is_kept(key) {
                        self.retire(key, self.why_ending(), Some(Exit::Normal), now);
                    }
                }
                Stage::Coming | Stage::Living | Stage::Leaving => {
                    if stage == Stage::Leaving {
                        self.drain_after_all(key);
                    } else {
                        self.stop_for_good(key, now);
                    }
                    if !together {
                        return;
                    }
                    self.wind.beside.insert(key);
                    self.wind.passed = Some(key);
                }
            }
        }
        if !self.wind.beside.is_empty() {
            return;
        }
        self.answer_the_last();
        if let Mode::Ending { end, .. } = std::mem::replace(&mut self.mode, Mode::Ended) {
            self.effects.push(Effect::End(end));
        }
    }

    fn next_to_wind_down(&self) -> Option<(Key, Stage, bool)> {
        let next = match self.wind.passed {
            Some(passed) => self.members.range(..passed).next_back(),
            None => self.members.iter().next_back(),
        };
        next.map(|(key, member)| {
            let together = self.rules.strategy == Strategy::SimpleOneForOne;
            (*key, member.stage(), together)
        })
    }

    /// The supervisor is ending, and a later life of it may start this child again.
    pub(super) fn is_kept(&self, key: Key) -> bool {
        let keep = matches!(self.mode, Mode::Ending { keep: true, .. });
        keep && self.members.get(&key).is_some_and(|m| !m.dynamic)
    }

    /// It was to be started again, and will not be: what is queued is handled now or never.
    fn drain_after_all(&mut self, key: Key) {
        let (kept, reason) = (self.is_kept(key), self.why_ending());
        if let Some(member) = self.members.get_mut(&key)
            && let State::Stopping { then, step, .. } = &mut member.state
            && matches!(then, Then::Wait | Then::Again)
            && (&*step, kept) == (&Step::Asked, false)
        {
            *then = Then::retire(reason);
            let how = StopHow::Drain;
            self.effects.push(Effect::AskStop { key, how });
        }
    }

    fn stop_for_good(&mut self, key: Key, now: Instant) {
        if self.is_kept(key) {
            self.begin_stop(key, StopHow::Pause, Then::Wait, now);
        } else {
            let then = Then::retire(self.why_ending());
            self.begin_stop(key, StopHow::Drain, then, now);
        }
    }
}
