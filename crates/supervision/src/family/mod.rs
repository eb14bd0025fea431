//! One supervisor's decisions, without the supervisor: events and `now` go in, effects come out.
//!
//! Nothing here waits, spawns, sends or reads the clock. A start, a rest and a stop are states, not waits, which is why
//! an administrator is answered at any moment and why a second crash during a group restart is just another event.

mod commands;
mod counts;
mod escalation;
mod lives;
mod member;
#[cfg(test)]
mod model;
mod operating;
mod restart_plan;
mod sequence;
mod stops;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::chance::Chance;
use crate::child::StopHow;
use crate::events::Lifecycle;
use crate::exit::{ChildState, DownReason, Exit};
use crate::intensity::Intensity;
use crate::names::ChildId;
use crate::policy::{AutoShutdown, Policy, Restart, Strategy};

pub(crate) use member::Member;
pub use member::RestartCause;
use member::State;
use sequence::{Walk, Wind};

/// A child in one supervisor; grows with every start of a spec, so its order is the start order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Key(pub(crate) u64);

/// Someone who waits for the outcome of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Token(pub(crate) u64);

/// A spec as far as decisions go.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) key: Key,
    pub(crate) id: ChildId,
    pub(crate) policy: Arc<Policy>,
}

/// How one supervisor decides; the same for all its lives.
#[derive(Clone, Debug)]
pub(crate) struct Rules {
    pub(crate) strategy: Strategy,
    pub(crate) auto_shutdown: AutoShutdown,
    pub(crate) intensity: Intensity,
    /// A quiet end of this supervisor is answered by a new life, in which the children of the spec live again.
    pub(crate) comes_back: bool,
}

/// What happened.
#[derive(Clone, Debug)]
pub(crate) enum Event {
    /// Start these in order.
    Boot(Vec<Entry>),
    Ready {
        key: Key,
        incarnation: u64,
    },
    Ended {
        key: Key,
        incarnation: u64,
        exit: Exit,
    },
    /// Start one more child.
    Add {
        token: Token,
        entry: Entry,
    },
    /// The same, unless a child of that id lives; `leaving` if that child takes no more messages by its own decision.
    Ensure {
        token: Token,
        entry: Entry,
        leaving: bool,
    },
    Terminate {
        token: Token,
        id: ChildId,
    },
    /// Start a child again that is down and kept.
    Restart {
        token: Token,
        id: ChildId,
    },
    /// Forget a child that is down and kept.
    Delete {
        token: Token,
        id: ChildId,
    },
    /// Stop a child in order and start it again, with its group.
    Renew {
        token: Token,
        id: ChildId,
    },
    /// Drop what a child is doing, as a crash would.
    Kill {
        token: Token,
        id: ChildId,
    },
    /// Stop everything, in reverse order.
    Stop(StopHow),
    /// Stop everything at once, by force.
    Hurry,
    /// The deadline has come.
    Due,
}

/// What the supervisor has to do, in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    Start {
        key: Key,
        incarnation: u64,
    },
    AskStop {
        key: Key,
        how: StopHow,
    },
    Kill(Key),
    Abort(Key),
    /// The start took too long; an abort follows, or the stop of a supervisor.
    StartTimedOut {
        key: Key,
        after: Duration,
    },
    Show(Key, ChildState),
    Emit(Key, u64, Lifecycle),
    /// It takes no more messages.
    Retire {
        key: Key,
        incarnation: u64,
        reason: DownReason,
    },
    /// Drop what is kept for it.
    Forget(Key),
    Reply(Token, Result<Key, Refused>),
    /// Every child of the spec has been started, or need not be any more.
    TreeReady,
    GivesUp {
        restarts: u32,
        period: Duration,
        child: ChildId,
        reason: String,
    },
    /// The end of this significant child is the end of all.
    ShutsDown(ChildId),
    /// Nothing lives any more.
    End(End),
}

/// Why a command was not carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    AlreadyStarted,
    AlreadyPresent,
    NotFound,
    /// It lives, or is on its way out.
    Running(ChildState),
    /// It rests, or is being started again.
    Restarting(ChildState),
    /// It is never started a second time.
    Temporary,
    /// There is no life that could be killed.
    NotUp(ChildState),
    /// Its start decided that it is not wanted; a kept spec is kept.
    Ignored,
    Stopping,
    /// It was told to end before it was ready.
    Terminated,
    Failed(Exit),
}

/// Why the whole family ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Asked,
    StartFailed {
        id: ChildId,
        exit: Exit,
    },
    Escalated {
        id: ChildId,
        reason: String,
    },
    /// A significant child ended itself.
    AutoShutdown {
        id: ChildId,
    },
}

#[cfg_attr(test, derive(Clone))]
enum Mode {
    Running,
    /// `keep`: the children of the spec may be started again by a later life of this supervisor.
    Ending {
        end: End,
        keep: bool,
    },
    Ended,
}

/// The children of one supervisor and what is going on with them.
#[cfg_attr(test, derive(Clone))]
pub(crate) struct Family {
    rules: Rules,
    chance: Chance,
    /// Boxed: the nodes of a map that grows at its end are half empty.
    members: BTreeMap<Key, Box<Member>>,
    ids: BTreeMap<ChildId, Key>,
    due: BTreeSet<(Instant, Key)>,
    mode: Mode,
    walk: Option<Walk>,
    wind: Wind,
    count: counts::Count,
    /// With whom those fall that a group restart is about to stop.
    fell: Option<ChildId>,
    effects: Vec<Effect>,
}

impl Family {
    pub(crate) fn new(rules: Rules, chance: Chance) -> Self {
        Self {
            rules,
            chance,
            members: BTreeMap::new(),
            ids: BTreeMap::new(),
            due: BTreeSet::new(),
            mode: Mode::Running,
            walk: None,
            wind: Wind::default(),
            count: counts::Count::default(),
            fell: None,
            effects: Vec::new(),
        }
    }

    /// Takes one event and says what to do about it.
    pub(crate) fn handle(&mut self, event: Event, now: Instant) -> Vec<Effect> {
        match event {
            Event::Boot(entries) => self.boot(entries),
            Event::Ready { key, incarnation } => self.ready(key, incarnation, now),
            Event::Ended {
                key,
                incarnation,
                exit,
            } => self.ended(key, incarnation, exit, now),
            Event::Add { token, entry } => self.add(token, entry, now),
            Event::Ensure {
                token,
                entry,
                leaving,
            } => self.ensure(token, entry, leaving, now),
            Event::Terminate { token, id } => self.terminate(token, &id, now),
            Event::Restart { token, id } => self.restart_child(token, &id, now),
            Event::Delete { token, id } => self.delete_child(token, &id),
            Event::Renew { token, id } => self.renew(token, &id, now),
            Event::Kill { token, id } => self.slay(token, &id, now),
            Event::Stop(how) => self.stop(how),
            Event::Hurry => self.hurry(now),
            Event::Due => self.fire_due(now),
        }
        self.advance(now);
        std::mem::take(&mut self.effects)
    }

    /// When `Due` is due.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.due.first().map(|(at, _)| *at)
    }

    /// Everyone, in start order.
    pub(crate) fn members(&self) -> impl Iterator<Item = (Key, &Member)> {
        self.members.iter().map(|(key, member)| (*key, &**member))
    }

    /// The child of that id, if there is one.
    pub(crate) fn find(&self, id: &ChildId) -> Option<Key> {
        self.ids.get(id).copied()
    }

    /// The id of a child.
    pub(crate) fn id(&self, key: Key) -> Option<&ChildId> {
        self.members.get(&key).map(|member| &member.id)
    }

    /// Where the child of that id is in its life.
    pub(crate) fn state_of(&self, id: &ChildId) -> Option<ChildState> {
        let member = self.members.get(&self.find(id)?)?;
        Some(member.shown())
    }

    fn boot(&mut self, entries: Vec<Entry>) {
        for entry in entries {
            self.insert(entry, false);
        }
        self.walk = Some(Walk::boot());
    }

    fn insert(&mut self, entry: Entry, dynamic: bool) {
        let key = entry.key;
        self.ids.insert(entry.id.clone(), key);
        self.members
            .insert(key, Box::new(Member::new(entry.id, entry.policy, dynamic)));
        self.count_in(key);
    }

    /// Forgotten, rather than kept as down, when it ends for good.
    fn leaves_nothing(&self, member: &Member) -> bool {
        self.rules.strategy == Strategy::SimpleOneForOne
            || member.policy.restart == Restart::Temporary
    }

    fn set_state(&mut self, key: Key, state: State, due: Option<Instant>) {
        let Some(member) = self.members.get_mut(&key) else {
            return;
        };
        if let Some(old) = member.due.take() {
            self.due.remove(&(old, key));
        }
        member.state = state;
        member.due = due;
        if let Some(at) = due {
            self.due.insert((at, key));
        }
        self.recount(key);
    }

    fn fire_due(&mut self, now: Instant) {
        while let Some((at, key)) = self.due.first().copied() {
            if at > now {
                break;
            }
            self.due.pop_first();
            if let Some(member) = self.members.get_mut(&key) {
                member.due = None;
            }
            self.fire(key, now);
        }
    }
}
