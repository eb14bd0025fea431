//! The outside as one family sees it: lives that come and go, a clock, administrators and a parent.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::super::member::State;
use super::super::{Entry, Event, Family, Key, Mode, Rules, Token};
use crate::backoff::Backoff;
use crate::chance::Chance;
use crate::child::StopHow;
use crate::exit::{Exit, StartFailure};
use crate::names::{ChildId, ChildPath};
use crate::policy::{AutoShutdown, Policy, Restart, Shutdown, Strategy};

pub(super) const PERIOD: Duration = Duration::from_secs(100);

/// How much may go wrong, and how much may be asked, in one story.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Budget {
    /// Crashes, ends of their own accord, starts that take too long.
    pub(super) mishaps: u8,
    pub(super) commands: u8,
}

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
    Order(Order),
}

/// What the parent says; it only grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Order {
    Run,
    Pause,
    Drain,
    Hurry,
}

/// A promise that was broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Fault {
    TwoLives,
    StartAtTheEnd,
    BadEnd,
    BadReply,
    StartOrder,
    StopOrder,
    Risen,
    BadForce,
    Intensity,
    RestartType,
    Owed,
    Significance,
    BadBooks,
}

/// Something that must happen in some story.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Seen {
    Ready,
    Restarted,
    Escalated,
    StartFailed,
    StartTimedOut,
    Killed,
    Aborted,
    Refused,
    /// A child that was not there is.
    Ensured,
    /// It took the place of one that was on its way out.
    Succeeded,
    GroupStartFailedAndRetried,
    Ignored,
    /// A child that was down was started again by an administrator.
    Revived,
    ShutDown,
    OutlivedASignificantChild,
    /// An elder crashed while those after it were being stopped.
    GroupWidened,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[allow(
    clippy::struct_excessive_bools,
    reason = "each may be so without the others"
)]
pub(super) struct Life {
    pub(super) ready: bool,
    pub(super) asked: bool,
    pub(super) killed: bool,
    pub(super) aborted: bool,
    /// Its start took too long: the supervisor will call its end a failed start.
    pub(super) late: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Question {
    Add,
    Ensure,
    Terminate,
    Restart,
    Delete,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Why {
    GaveUp,
    ShutDown,
}

/// What is hashed as it stands.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Outside {
    pub(super) budget: Budget,
    pub(super) calmed: bool,
    pub(super) order: Order,
    pub(super) lives: BTreeMap<Key, Life>,
    /// Whose places the supervisor keeps.
    pub(super) kept: BTreeSet<Key>,
    /// Who is down for good; true once a later group restart may start it again.
    pub(super) down: BTreeMap<Key, bool>,
    /// Whom a group restart has still to start again.
    pub(super) owed: BTreeSet<Key>,
    /// Whom an administrator wants started again, out of turn.
    pub(super) asked_for: BTreeSet<Key>,
    pub(super) questions: BTreeMap<u64, Question>,
    /// Why it ends of its own accord.
    pub(super) why: Option<Why>,
    pub(super) ended: bool,
    pub(super) next: u64,
    pub(super) faults: BTreeSet<Fault>,
}

#[derive(Clone)]
pub(super) struct World {
    pub(super) family: Family,
    pub(super) now: Instant,
    /// Keys below this are of the supervisor's own spec.
    pub(super) fixed: u64,
    pub(super) max_restarts: u32,
    pub(super) significant: BTreeSet<Key>,
    /// Times of the restarts within the period.
    pub(super) restarts: Vec<Instant>,
    pub(super) outside: Outside,
}

impl std::fmt::Debug for World {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (key, member) in self.family.members() {
            writeln!(f, "{key:?} {:?}", member.state)?;
        }
        write!(f, "{:?}", self.outside)
    }
}

/// The first child may take as long as it likes to stop, the second has a deadline, the third is killed at once.
fn entry(key: u64, id: u64, restart: Restart, auto: bool) -> Entry {
    let shutdown = match key % 3 {
        0 => Shutdown::Infinity,
        1 => Shutdown::Timeout(Duration::from_secs(5)),
        _ => Shutdown::BrutalKill,
    };
    Entry {
        key: Key(key),
        id: name(id),
        policy: Arc::new(Policy {
            restart,
            significant: auto && restart != Restart::Permanent,
            shutdown,
            backoff: Backoff {
                base: Duration::from_millis(10),
                cap: Duration::from_millis(10),
                healthy_after: Duration::ZERO,
            },
            ..Policy::worker()
        }),
    }
}

const NAMES: [&str; 4] = ["c0", "c1", "c2", "c3"];

fn name(id: u64) -> ChildId {
    ChildId::new(NAMES[id as usize])
}

fn is_named(child: &ChildId, id: u64) -> bool {
    child.as_str() == NAMES[id as usize]
}

impl World {
    pub(super) fn born(rules: Rules, cast: &[Restart], budget: Budget, now: Instant) -> Self {
        let fixed = cast.len() as u64;
        let max_restarts = rules.intensity.max_restarts();
        let auto = rules.auto_shutdown != AutoShutdown::Never;
        let entries: Vec<Entry> = (0..)
            .zip(cast)
            .map(|(key, restart)| entry(key, key, *restart, auto))
            .collect();
        let significant = entries.iter().filter(|entry| entry.policy.significant);
        let mut world = Self {
            significant: significant.map(|entry| entry.key).collect(),
            family: Family::new(rules, Chance::new(1)),
            now,
            fixed,
            max_restarts,
            restarts: Vec::new(),
            outside: Outside {
                budget,
                calmed: false,
                order: Order::Run,
                lives: BTreeMap::new(),
                kept: (0..fixed).map(Key).collect(),
                down: BTreeMap::new(),
                questions: BTreeMap::new(),
                why: None,
                owed: BTreeSet::new(),
                asked_for: BTreeSet::new(),
                ended: false,
                next: fixed,
                faults: BTreeSet::new(),
            },
        };
        world.feed(Event::Boot(entries), None);
        world
    }

    pub(super) fn outside(&self) -> &Outside {
        &self.outside
    }

    pub(super) fn family(&self) -> &Family {
        &self.family
    }

    pub(super) fn now(&self) -> Instant {
        self.now
    }

    pub(super) fn has(&self, fault: Fault) -> bool {
        self.outside.faults.contains(&fault)
    }

    pub(super) fn has_ended(&self) -> bool {
        self.outside.ended
    }

    /// Without the help of a parent or an administrator.
    pub(super) fn can_go_on(&self) -> bool {
        let quiet = self.outside.order == Order::Run && matches!(self.family.mode, Mode::Running);
        quiet || !self.outside.lives.is_empty() || self.family.deadline().is_some()
    }

    // ---- what can happen

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
            actions.push(Action::Terminate(id));
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

    // ---- what happens

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
            | Action::Delete(_) => self.command(action),
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
