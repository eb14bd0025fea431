//! The outside as one family sees it: lives that come and go, a clock, administrators and a parent.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::super::{Entry, Event, Family, Key, Mode, Rules};
use crate::backoff::Backoff;
use crate::chance::Chance;
use crate::names::ChildId;
use crate::policy::{AutoShutdown, Policy, Restart, Shutdown};

pub(super) const PERIOD: Duration = Duration::from_secs(100);

/// How much may go wrong, and how much may be asked, in one story.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Budget {
    /// Crashes, ends of their own accord, starts that take too long.
    pub(super) mishaps: u8,
    pub(super) commands: u8,
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
    /// A child that lived was stopped and started again by an administrator.
    Renewed,
    /// And one was killed by one.
    Slain,
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
    Renew,
    Kill,
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
pub(super) fn entry(key: u64, id: u64, restart: Restart, auto: bool) -> Entry {
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

pub(super) fn name(id: u64) -> ChildId {
    ChildId::new(NAMES[id as usize])
}

pub(super) fn is_named(child: &ChildId, id: u64) -> bool {
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
}
