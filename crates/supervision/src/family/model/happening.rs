//! What may happen to a family next, and its happening.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::time::Instant;

use super::super::member::State;
use super::super::{Event, Key, Token};
use super::world::{Order, PERIOD, Question, Seen, World, entry, is_named, name};
use crate::child::StopHow;
use crate::exit::{Exit, StartFailure};
use crate::names::ChildPath;
use crate::policy::{Restart, Strategy};

/// What can happen next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    Ready(Key),
    Crash(Key),
    Finish(Key),
    /// Its start decides that it is not wanted.
    Ignore(Key),
    /// It ends as it was asked to.
    Obey(Key),
    Die(Key),
    Vanish(Key),
    /// The clock moves to the next deadline.
    Due,
    /// Nothing happens for longer than the intensity counts.
    Calm,
    Add,
    Ensure {
        id: u64,
        leaving: bool,
    },
    Terminate(u64),
    Restart(u64),
    Delete(u64),
    Renew(u64),
    Kill(u64),
    Order(Order),
}

impl World {
    pub(super) fn possible(&self, actions: &mut Vec<Action>) {
        let outside = &self.outside;
        if !outside.faults.is_empty() {
            return;
        }
        if outside.budget.commands > 0 {
            self.commands(actions);
        }
        if outside.ended {
            return;
        }
        for (key, life) in &outside.lives {
            if !life.ready {
                actions.push(Action::Ready(*key));
            }
            if life.asked {
                actions.push(Action::Obey(*key));
            }
            if life.killed {
                actions.push(Action::Die(*key));
            }
            if life.aborted {
                actions.push(Action::Vanish(*key));
            }
            if outside.budget.mishaps > 0 {
                actions.push(Action::Crash(*key));
                if !life.asked {
                    actions.push(Action::Finish(*key));
                }
                if !life.ready {
                    actions.push(Action::Ignore(*key));
                }
            }
        }
        self.passing(actions);
        let orders = [Order::Pause, Order::Drain, Order::Hurry];
        let harder = orders.into_iter().filter(|order| *order > outside.order);
        actions.extend(harder.map(Action::Order));
    }

    fn commands(&self, actions: &mut Vec<Action>) {
        actions.push(Action::Add);
        let ids = 0..=self.fixed;
        for id in ids {
            actions.extend([Action::Terminate(id), Action::Renew(id), Action::Kill(id)]);
            if self.family.rules.strategy != Strategy::SimpleOneForOne {
                actions.extend([Action::Restart(id), Action::Delete(id)]);
            }
            actions.push(Action::Ensure { id, leaving: false });
            if self.is_up(id) {
                actions.push(Action::Ensure { id, leaving: true });
            }
        }
    }

    fn is_up(&self, id: u64) -> bool {
        let mut found = self
            .family
            .members
            .iter()
            .filter(|(_, m)| is_named(&m.id, id));
        let life = found
            .next()
            .and_then(|(key, _)| self.outside.lives.get(key));
        life.is_some_and(|life| life.ready)
    }

    fn passing(&self, actions: &mut Vec<Action>) {
        let deadline = self.family.deadline();
        if deadline.is_some_and(|at| self.outside.budget.mishaps > 0 || !self.is_a_start(at)) {
            actions.push(Action::Due);
        }
        let undisturbed = deadline.is_none_or(|at| at > self.now + PERIOD);
        if undisturbed && !self.outside.calmed && !self.restarts.is_empty() {
            actions.push(Action::Calm);
        }
    }

    /// Somebody's start takes too long at that moment.
    fn is_a_start(&self, at: Instant) -> bool {
        let mut due = self
            .family
            .members()
            .filter(|(_, member)| member.due == Some(at));
        due.any(|(_, member)| matches!(member.state, State::Starting { .. }))
    }

    pub(super) fn take(&mut self, action: Action) -> BTreeSet<Seen> {
        match action {
            Action::Ready(key) => {
                if let Some(life) = self.outside.lives.get_mut(&key) {
                    life.ready = true;
                }
                let incarnation = self.incarnation(key);
                self.feed(Event::Ready { key, incarnation }, None)
            }
            Action::Crash(key) => {
                self.outside.budget.mishaps -= 1;
                let ready = self.outside.lives.get(&key).is_some_and(|life| life.ready);
                self.end(
                    key,
                    if ready {
                        Exit::Crashed("boom".to_owned())
                    } else {
                        failed()
                    },
                )
            }
            Action::Finish(key) => {
                self.outside.budget.mishaps -= 1;
                self.end(key, Exit::Normal)
            }
            Action::Ignore(key) => {
                self.outside.budget.mishaps -= 1;
                let mut seen = self.end(key, Exit::Ignored);
                seen.insert(Seen::Ignored);
                seen
            }
            Action::Obey(key) => self.end(key, Exit::Normal),
            Action::Die(key) => self.end(key, Exit::Killed),
            Action::Vanish(key) => self.end(key, Exit::Aborted),
            Action::Due => {
                let at = self.family.deadline().unwrap_or(self.now);
                if self.is_a_start(at) {
                    self.outside.budget.mishaps -= 1;
                }
                self.pass(at);
                self.feed(Event::Due, None)
            }
            Action::Calm => {
                self.outside.calmed = true;
                self.pass(self.now + PERIOD + Duration::from_secs(1));
                BTreeSet::new()
            }
            Action::Order(order) => self.order(order),
            Action::Add
            | Action::Ensure { .. }
            | Action::Terminate(_)
            | Action::Restart(_)
            | Action::Delete(_)
            | Action::Renew(_)
            | Action::Kill(_) => self.command(action),
        }
    }

    fn pass(&mut self, to: Instant) {
        self.now = to;
        self.restarts.retain(|at| to - *at <= PERIOD);
    }

    fn order(&mut self, order: Order) -> BTreeSet<Seen> {
        self.outside.order = order;
        let event = match order {
            Order::Pause => Event::Stop(StopHow::Pause),
            Order::Run | Order::Drain => Event::Stop(StopHow::Drain),
            Order::Hurry => Event::Hurry,
        };
        self.feed(event, None)
    }

    fn command(&mut self, action: Action) -> BTreeSet<Seen> {
        self.outside.budget.commands -= 1;
        let next = self.outside.next;
        self.outside.next += 1;
        let token = Token(next);
        let mut made = |id| {
            self.outside.kept.insert(Key(next));
            entry(next, id, Restart::Transient, false)
        };
        let (question, event, about) = match action {
            Action::Ensure { id, leaving } => {
                let entry = made(id);
                let event = Event::Ensure {
                    token,
                    entry,
                    leaving,
                };
                (Question::Ensure, event, None)
            }
            Action::Terminate(id) => {
                let id = name(id);
                let about = self.family.find(&id);
                (Question::Terminate, Event::Terminate { token, id }, about)
            }
            Action::Restart(id) => {
                let id = name(id);
                (Question::Restart, Event::Restart { token, id }, None)
            }
            Action::Delete(id) => {
                let id = name(id);
                (Question::Delete, Event::Delete { token, id }, None)
            }
            Action::Renew(id) => {
                let id = name(id);
                // Alone it may be stopped out of turn; a group is stopped in order.
                let alone = !self.family.rules.strategy.restarts_group();
                let about = self.family.find(&id).filter(|_| alone);
                (Question::Renew, Event::Renew { token, id }, about)
            }
            Action::Kill(id) => {
                let id = name(id);
                let about = self.family.find(&id);
                (Question::Kill, Event::Kill { token, id }, about)
            }
            _ => {
                let entry = made(self.fixed);
                (Question::Add, Event::Add { token, entry }, None)
            }
        };
        self.outside.questions.insert(token.0, question);
        self.feed(event, about)
    }

    fn incarnation(&self, key: Key) -> u64 {
        self.family
            .members
            .get(&key)
            .map_or(0, |member| member.incarnation)
    }

    fn end(&mut self, key: Key, exit: Exit) -> BTreeSet<Seen> {
        let life = self.outside.lives.remove(&key).unwrap_or_default();
        let exit = if life.late { failed() } else { exit };
        let incarnation = self.incarnation(key);
        let group = self.family.walk.is_some_and(|walk| !walk.initial);
        let again = incarnation > 1 && !life.ready && exit == failed();
        let ended = Event::Ended {
            key,
            incarnation,
            exit,
        };
        let mut seen = self.feed(ended, None);
        let resting = seen.contains(&Seen::Restarted);
        if group && again && resting {
            seen.insert(Seen::GroupStartFailedAndRetried);
        }
        if group && life.ready && resting {
            seen.insert(Seen::GroupWidened);
        }
        seen
    }
}

fn failed() -> Exit {
    Exit::StartFailed(StartFailure {
        child: ChildPath::root(&name(0)),
        reason: "no luck".to_owned(),
    })
}
