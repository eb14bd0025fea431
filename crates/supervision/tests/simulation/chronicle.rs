//! What the events of a tree say, held against what they may say: an automaton per place, and the counts and orders that
//! supervisors promise.

use std::collections::{BTreeMap, BTreeSet};

use supervision::{DownReason, Intervention, Lifecycle, LifecycleEvent, Restart, Strategy};
use tokio::time::Instant;

use crate::plan::{Group, Role, Seat};

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Stage {
    #[default]
    Unborn,
    Starting,
    Up,
    /// Its life has ended; what follows will be said.
    Fallen,
    Resting,
    Stopping,
    /// Down, or kept for a later start.
    Gone,
}

/// What is known of one place.
#[derive(Default)]
#[allow(
    clippy::struct_excessive_bools,
    reason = "each may be so without the others"
)]
struct Chapter {
    stage: Stage,
    incarnation: u64,
    restarts: u64,
    /// The life of the supervisor that the rest belongs to.
    under: u64,
    /// It has been ready under this life of its supervisor.
    was_ready: bool,
    killed: bool,
    /// An operator has ordered that it is killed.
    doomed: bool,
    /// It was, and its end has not been told.
    dying: bool,
    /// What its specs said, one after the other: those that administrators offer may be refused.
    types: Vec<Restart>,
    /// Siblings, and the lives in which its last crash met them: its group restart has to end those.
    owed: Vec<(String, u64)>,
    // of a supervisor
    group: Option<Group>,
    lives: u64,
    gave_up: bool,
    counted: Vec<Instant>,
}

pub struct Chronicle {
    chapters: BTreeMap<String, Chapter>,
    /// The root has been asked to stop.
    pub stopping: bool,
}

/// What one event leads to.
#[derive(Default)]
pub struct Told {
    pub faults: Vec<String>,
    /// How many letters each place abandons.
    pub abandoned: Vec<(String, usize)>,
    /// A supervisor that starts anew.
    pub reborn: Option<String>,
}

fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(parent, _)| parent)
}

impl Chronicle {
    pub fn new(root: &Group) -> Self {
        let mut chronicle = Self {
            chapters: BTreeMap::new(),
            stopping: false,
        };
        chronicle.add_group("root", root);
        chronicle
    }

    fn add_group(&mut self, path: &str, group: &Group) {
        let chapter = self.chapters.entry(path.to_owned()).or_default();
        chapter.group = Some(group.clone());
        for seat in &group.children {
            self.add(seat);
        }
    }

    /// A place becomes known, or known as something else.
    pub fn add(&mut self, seat: &Seat) {
        let chapter = self.chapters.entry(seat.path.clone()).or_default();
        chapter.types.push(seat.restart);
        if let Role::Supervisor(group) = &seat.role {
            self.add_group(&seat.path, group);
        }
    }

    /// An administrator offers an actor for this place.
    pub fn offer(&mut self, path: &str, restart: Restart) {
        let chapter = self.chapters.entry(path.to_owned()).or_default();
        chapter.types.push(restart);
    }

    fn lives_of(&self, path: &str) -> u64 {
        self.chapters.get(path).map_or(0, |chapter| chapter.lives)
    }

    pub fn is_up(&self, path: &str, incarnation: u64) -> bool {
        let chapter = self.chapters.get(path);
        chapter.is_some_and(|c| c.stage == Stage::Up && !c.dying && c.incarnation == incarnation)
    }

    /// It has been ready, ever.
    pub fn was_ready(&self, path: &str) -> bool {
        self.chapters
            .get(path)
            .is_some_and(|chapter| chapter.was_ready)
    }

    pub fn hear(&mut self, event: &LifecycleEvent, seen: &mut BTreeSet<&'static str>) -> Told {
        let path = event.child.as_str();
        let mut told = Told::default();
        let under = self.lives_of(parent(path));
        let stopping = self.stopping && parent(path) == "root";
        let parent_up = !stopping
            && path != "root"
            && self
                .chapters
                .get(parent(path))
                .is_some_and(|c| matches!(c.stage, Stage::Starting | Stage::Up) && !c.gave_up);
        let chapter = self.chapters.entry(path.to_owned()).or_default();
        let before = chapter.stage;
        let wrong = chapter.turn(event, under, parent_up);
        if let Some(why) = wrong {
            told.faults
                .push(format!("{path} ({before:?}) says {:?}: {why}", event.what));
        }
        seen.insert(word(&event.what));
        match &event.what {
            Lifecycle::Starting if chapter.group.is_some() => told.reborn = Some(path.to_owned()),
            Lifecycle::BackingOff { .. } => {
                self.owe(path);
                told.faults.extend(self.count(path, event.at));
            }
            Lifecycle::Restarted { .. } => told.faults.extend(self.left_out(path)),
            Lifecycle::Stopped { abandoned, .. } => told.abandoned = queued(path, abandoned),
            _ => {}
        }
        told
    }

    /// One more restart under a supervisor: still within its intensity?
    fn count(&mut self, path: &str, at: Instant) -> Option<String> {
        let chapter = self.chapters.get_mut(parent(path))?;
        let group = chapter.group.as_ref()?;
        chapter.counted.retain(|then| at - *then <= group.period);
        chapter.counted.push(at);
        let (count, max) = (chapter.counted.len(), group.max_restarts as usize);
        (count > max).then(|| format!("{path} is restart {count} of {max} allowed"))
    }

    /// A group restart begins: who lives in the group has to be ended.
    fn owe(&mut self, path: &str) {
        let (elders, younger) = self.siblings(path);
        let group = match self.strategy_above(path) {
            Some(Strategy::RestForOne) => younger,
            Some(Strategy::OneForAll) => [elders, younger].concat(),
            _ => return,
        };
        let lives = |other: &str| {
            let chapter = self.chapters.get(other)?;
            let alive = matches!(chapter.stage, Stage::Starting | Stage::Up);
            alive.then(|| (other.to_owned(), chapter.incarnation))
        };
        let owed: Vec<_> = group.into_iter().filter_map(lives).collect();
        if let Some(chapter) = self.chapters.get_mut(path) {
            chapter.owed.extend(owed);
        }
    }

    /// Its group restart has come to it: nobody of the group may still live as before.
    fn left_out(&mut self, path: &str) -> Vec<String> {
        let chapter = self.chapters.get_mut(path);
        let owed = chapter.map(|c| std::mem::take(&mut c.owed));
        let same = |(other, life): &(String, u64)| {
            let now = self.chapters.get(other);
            now.is_some_and(|c| c.stage == Stage::Up && c.incarnation == *life)
        };
        let left = owed.unwrap_or_default().into_iter().filter(same);
        left.map(|(other, _)| format!("{other} was left out of the restart with {path}"))
            .collect()
    }

    fn strategy_above(&self, path: &str) -> Option<Strategy> {
        let group = self.chapters.get(parent(path))?.group.as_ref()?;
        Some(group.strategy)
    }

    // ---- order

    /// Paths of the siblings of the same spec: before, after.
    fn siblings(&self, path: &str) -> (Vec<&str>, Vec<&str>) {
        let group = self
            .chapters
            .get(parent(path))
            .and_then(|c| c.group.as_ref());
        let seats = group.map_or(&[][..], |group| &group.children);
        let paths: Vec<&str> = seats.iter().map(|seat| seat.path.as_str()).collect();
        match paths.iter().position(|other| *other == path) {
            Some(at) => (paths[..at].to_vec(), paths[at + 1..].to_vec()),
            None => (Vec::new(), Vec::new()),
        }
    }

    /// A life of a place begins while these live.
    pub fn may_begin(
        &self,
        path: &str,
        incarnation: u64,
        alive: &[String],
        touched: bool,
    ) -> Vec<String> {
        let mut faults = Vec::new();
        let Some(chapter) = self.chapters.get(path) else {
            return vec![format!("{path} begins to live unannounced")];
        };
        if !matches!(chapter.stage, Stage::Starting | Stage::Stopping)
            || chapter.incarnation != incarnation
        {
            faults.push(format!(
                "{path} begins life {incarnation} when it is {:?} {}",
                chapter.stage, chapter.incarnation
            ));
        }
        let strategy = self
            .chapters
            .get(parent(path))
            .and_then(|c| c.group.as_ref())
            .map(|g| g.strategy);
        let ordered = matches!(strategy, Some(Strategy::OneForAll | Strategy::RestForOne));
        let (elders, younger) = self.siblings(path);
        if ordered && !touched {
            for other in younger.iter().filter(|other| any_within(alive, other)) {
                faults.push(format!(
                    "{path} begins while {other}, which comes after it, lives"
                ));
            }
        }
        if incarnation == 1 && !touched {
            let unready = |other: &&&str| {
                self.chapters.get(**other).is_some_and(|c| {
                    let ready = c.was_ready && c.under == chapter.under;
                    !ready && c.stage != Stage::Gone
                })
            };
            for other in elders.iter().filter(unready) {
                faults.push(format!("{path} begins before {other} was ready"));
            }
        }
        faults
    }

    /// A life that was asked to end does, while these live.
    pub fn may_leave(&self, path: &str, alive: &[String]) -> Vec<String> {
        let mut above = parent(path);
        while !above.is_empty() {
            if self.chapters.get(above).is_some_and(|c| c.killed) {
                return Vec::new();
            }
            above = parent(above);
        }
        let (_, younger) = self.siblings(path);
        let late = younger.into_iter().filter(|other| any_within(alive, other));
        late.map(|other| format!("{path} stops while {other}, which came after it, lives"))
            .collect()
    }
}

fn any_within(alive: &[String], path: &str) -> bool {
    alive.iter().any(|one| crate::ledger::is_within(one, path))
}

impl Chapter {
    /// The automaton: takes the event, or says why it cannot be.
    fn turn(&mut self, event: &LifecycleEvent, under: u64, parent_up: bool) -> Option<String> {
        let n = event.incarnation;
        let stage = self.stage;
        let wrong = |text: &str| Some(format!("{text} (life {n}, known {})", self.incarnation));
        match &event.what {
            Lifecycle::Starting => return self.start(event, under, parent_up),
            // An order is about a place, whichever life is there or to come.
            Lifecycle::Ordered { what, .. } => {
                self.doomed |= *what == Intervention::Kill;
                return None;
            }
            _ if n != self.incarnation && stage != Stage::Unborn => {
                // A child that never lived under this supervisor's life goes down as life 0.
                let never = n == 0 && matches!(event.what, Lifecycle::Stopped { .. });
                if !never {
                    return wrong("that life is not the present one");
                }
            }
            _ => {}
        }
        let (allowed, then): (bool, Stage) = match &event.what {
            Lifecycle::Starting => return None,
            Lifecycle::Ready { .. } => (stage == Stage::Starting && n == 1, Stage::Up),
            Lifecycle::Restarted { restarts, .. } => {
                self.restarts += 1;
                let counted = *restarts == self.restarts;
                (stage == Stage::Starting && n > 1 && counted, Stage::Up)
            }
            Lifecycle::Crashed { .. } => (stage == Stage::Up, Stage::Fallen),
            Lifecycle::StartFailed { .. } => (
                matches!(stage, Stage::Starting | Stage::Stopping),
                Stage::Fallen,
            ),
            Lifecycle::BackingOff { .. } => {
                let may = |so: fn(Restart) -> bool| self.types.iter().any(|one| so(*one));
                let normal = stage == Stage::Up && may(|one| one == Restart::Permanent);
                let again = stage == Stage::Fallen && may(|one| one != Restart::Temporary);
                (normal || again, Stage::Resting)
            }
            Lifecycle::Stopping => (
                matches!(stage, Stage::Starting | Stage::Up),
                Stage::Stopping,
            ),
            // What follows is a crash, unless it was about to end by itself.
            Lifecycle::Killed if stage == Stage::Up => {
                let first = !std::mem::replace(&mut self.dying, true);
                (self.doomed && first, stage)
            }
            Lifecycle::Killed => {
                let first = !std::mem::replace(&mut self.killed, true);
                (stage == Stage::Stopping && first, Stage::Stopping)
            }
            Lifecycle::Stopped { reason, .. } => (self.may_stop(reason, parent_up), Stage::Gone),
            Lifecycle::Escalated { .. } | Lifecycle::AutoShutdown { .. } => {
                let first = !std::mem::replace(&mut self.gave_up, true);
                let lives = matches!(stage, Stage::Starting | Stage::Up | Stage::Stopping);
                (first && lives, stage)
            }
            _ => (true, stage),
        };
        self.stage = then;
        self.was_ready |= then == Stage::Up;
        (!allowed).then(|| "that cannot follow".to_owned())
    }

    fn start(&mut self, event: &LifecycleEvent, under: u64, parent_up: bool) -> Option<String> {
        let n = event.incarnation;
        let before = self.stage;
        let alive = matches!(before, Stage::Starting | Stage::Up | Stage::Stopping);
        let next = self.under == under && n == self.incarnation + 1;
        let fresh = self.under != under || matches!(before, Stage::Unborn | Stage::Gone);
        let broken = if alive {
            Some("it lives already")
        } else if !(next || n == 1 && fresh) {
            Some("lives are not counted so")
        } else if !parent_up && event.child.as_str() != "root" {
            Some("its supervisor is not up")
        } else {
            None
        };
        let known = self.incarnation;
        if n == 1 {
            self.restarts = 0;
            self.was_ready = false;
            self.owed.clear();
        }
        (self.stage, self.incarnation, self.under) = (Stage::Starting, n, under);
        self.lives += 1;
        (self.killed, self.doomed, self.dying, self.gave_up) = (false, false, false, false);
        self.counted.clear();
        broken.map(|text| format!("{text} (life {n}, known {known})"))
    }

    fn may_stop(&self, reason: &DownReason, parent_up: bool) -> bool {
        match self.stage {
            // Only who ended by itself has not been told to.
            Stage::Up if parent_up => *reason == DownReason::Finished,
            Stage::Starting if parent_up => *reason == DownReason::Ignored,
            _ => true,
        }
    }
}

fn word(what: &Lifecycle) -> &'static str {
    match what {
        Lifecycle::Starting => "starting",
        Lifecycle::Ready { .. } => "ready",
        Lifecycle::Crashed { .. } => "crashed",
        Lifecycle::BackingOff { .. } => "backing off",
        Lifecycle::Restarted { .. } => "restarted",
        Lifecycle::Stopping => "stopping",
        Lifecycle::Stopped { .. } => "stopped",
        Lifecycle::Killed => "killed",
        Lifecycle::Escalated { .. } => "escalated",
        Lifecycle::AutoShutdown { .. } => "automatic shutdown",
        Lifecycle::StartFailed { .. } => "start failed",
        _ => "something else",
    }
}

/// `2 queued Letter`, or `w1: 2 queued Letter` where a supervisor speaks for its children.
fn queued(path: &str, abandoned: &[String]) -> Vec<(String, usize)> {
    let count = |what: &String| {
        let mut parts: Vec<&str> = what.split(": ").collect();
        let count = parts.pop()?.strip_suffix(" queued Letter")?.parse().ok()?;
        let place: Vec<&str> = [path].into_iter().chain(parts).collect();
        Some((place.join("/"), count))
    };
    abandoned.iter().filter_map(count).collect()
}
