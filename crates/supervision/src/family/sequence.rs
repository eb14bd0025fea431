//! The ordered parts: starting a tree, restarting the rest of it, and stopping all of it.

use tokio::time::Instant;

use super::member::{State, Then};
use super::{Effect, Family, Key, Mode, Walk};
use crate::child::StopHow;
use crate::exit::{ChildState, DownReason, Exit};
use crate::policy::{Restart, Strategy};

/// What to do next about the children, top to bottom or bottom to top.
enum Next {
    /// Something has to happen outside first.
    Wait,
    Stop(Key),
    Start(Key),
    Done,
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

    fn walk_on(&mut self, now: Instant) {
        while let Some(walk) = self.walk {
            let next = if walk.cleared {
                self.next_to_start(walk)
            } else {
                self.next_to_stop(walk)
            };
            match next {
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
                    self.wake_the_ended(walk.from);
                    self.walk = Some(Walk {
                        cleared: true,
                        ..walk
                    });
                }
            }
        }
    }

    fn next_to_stop(&self, walk: Walk) -> Next {
        for (key, member) in self.members.range(walk.from..).rev() {
            match member.state {
                State::Up { .. } | State::Starting { .. } => return Next::Stop(*key),
                State::Stopping { .. } => return Next::Wait,
                State::BackingOff | State::Waiting | State::Down => {}
            }
        }
        Next::Done
    }

    fn next_to_start(&self, walk: Walk) -> Next {
        for (key, member) in self.members.range(walk.from..) {
            match member.state {
                State::Waiting => return Next::Start(*key),
                State::Starting { .. } | State::Stopping { .. } => return Next::Wait,
                State::BackingOff if self.strategy == Strategy::RestForOne => return Next::Wait,
                State::BackingOff | State::Up { .. } | State::Down => {}
            }
        }
        Next::Done
    }

    fn stop_for_restart(&mut self, key: Key, now: Instant) {
        let temporary = self
            .members
            .get(&key)
            .is_some_and(|member| member.policy.restart == Restart::Temporary);
        if temporary {
            let then = Then::Retire(DownReason::Stopped);
            self.begin_stop(key, StopHow::Drain, then, now);
        } else {
            self.begin_stop(key, StopHow::Pause, Then::Wait, now);
        }
    }

    /// As in OTP, a group restart starts every child of the group, those that had ended before included.
    fn wake_the_ended(&mut self, from: Key) {
        let ended: Vec<Key> = self
            .members
            .range(from..)
            .filter(|(_, member)| member.state == State::Down)
            .map(|(key, _)| *key)
            .collect();
        for key in ended {
            self.set_state(key, State::Waiting, None);
            self.effects.push(Effect::Show(key, ChildState::BackingOff));
        }
    }

    /// Stops in reverse order, one after the other. Children that were started at run time under `one_for_one` depend on
    /// no order: those in a row are asked together.
    fn wind_down(&mut self, now: Instant) {
        loop {
            match self.next_to_wind_down() {
                Next::Stop(key) => self.stop_for_good(key, now),
                Next::Wait | Next::Start(_) => return,
                Next::Done => break,
            }
        }
        self.answer_the_last();
        if let Mode::Ending { end, .. } = std::mem::replace(&mut self.mode, Mode::Ended) {
            self.effects.push(Effect::End(end));
        }
    }

    fn next_to_wind_down(&self) -> Next {
        let keep = matches!(self.mode, Mode::Ending { keep: true, .. });
        let mut beside = false;
        for (key, member) in self.members.iter().rev() {
            let together = member.dynamic && self.strategy == Strategy::OneForOne;
            match member.state {
                State::Up { .. } | State::Starting { .. } if !beside || together => {
                    return Next::Stop(*key);
                }
                State::Stopping { .. } if together => beside = true,
                State::Up { .. } | State::Starting { .. } | State::Stopping { .. } => {
                    return Next::Wait;
                }
                State::Waiting | State::BackingOff if keep && !member.dynamic => {}
                State::Waiting | State::BackingOff if beside && !together => return Next::Wait,
                State::Waiting | State::BackingOff => return Next::Stop(*key),
                State::Down => {}
            }
        }
        if beside { Next::Wait } else { Next::Done }
    }

    fn stop_for_good(&mut self, key: Key, now: Instant) {
        let Some(member) = self.members.get(&key) else {
            return;
        };
        let keep = matches!(self.mode, Mode::Ending { keep: true, .. }) && !member.dynamic;
        if !member.lives() {
            return self.rest_or_retire(key, Exit::Normal, now);
        }
        if keep {
            self.begin_stop(key, StopHow::Pause, Then::Wait, now);
        } else {
            let then = Then::Retire(self.why_ending());
            self.begin_stop(key, StopHow::Drain, then, now);
        }
    }
}
