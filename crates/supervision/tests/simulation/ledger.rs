//! Who lives, which letters are where, and every promise that was broken: the judge sees each step as it is taken.
//!
//! Nothing here waits, and nothing here panics: a panic inside an actor would be a crash.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use supervision::{ChildInfo, ChildState, Handle, LifecycleEvent};
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::TryRecvError;
use tokio::time::Instant;

use crate::chronicle::Chronicle;
use crate::plan::Group;
use crate::player::Player;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PlaceId(pub usize);
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LetterId(pub u64);

/// What its sender knows of a letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// The sender waits.
    Pending,
    /// A tell that was taken.
    Taken,
    /// It came back, or was refused: it must never be read.
    Returned,
    Answered,
    Crashed,
    /// An ask that was too late: it may be read.
    Late,
}

#[derive(Debug)]
#[allow(
    clippy::struct_excessive_bools,
    reason = "each may be so without the others"
)]
pub struct Mail {
    pub place: PlaceId,
    pub sender: usize,
    pub ask: bool,
    pub fate: Fate,
    pub opened: bool,
    pub done: bool,
    /// The life that held it ended.
    pub lost: bool,
    /// It was reported as abandoned.
    pub gone: bool,
}

pub struct Place {
    pub path: String,
    pub handle: Option<Handle<Player>>,
    pub living: Option<u64>,
    lives: u64,
    pub reading: Option<LetterId>,
    idle: bool,
    /// Its end has begun: it is up no longer, though its supervisor does not know.
    leaving: bool,
}

pub struct Ledger {
    pub places: Vec<Place>,
    mail: BTreeMap<LetterId, Mail>,
    pub chronicle: Chronicle,
    events: Option<Receiver<LifecycleEvent>>,
    faults: Vec<String>,
    begun: Instant,
    /// Every event, in words.
    pub history: Vec<String>,
    pub seen: BTreeSet<&'static str>,
    /// Grows with everything that happens.
    pub version: u64,
    /// Places that administrators have touched: they start and stop out of turn.
    pub touched: BTreeSet<String>,
    /// From here on everything is killed at once.
    pub hurry_at: Option<Instant>,
    next: u64,
}

#[derive(Clone)]
pub struct Book(Arc<Mutex<Ledger>>);

impl Book {
    pub fn new(root: &Group, events: Receiver<LifecycleEvent>) -> Self {
        Self(Arc::new(Mutex::new(Ledger {
            places: Vec::new(),
            mail: BTreeMap::new(),
            chronicle: Chronicle::new(root),
            events: Some(events),
            faults: Vec::new(),
            begun: Instant::now(),
            history: Vec::new(),
            seen: BTreeSet::new(),
            version: 0,
            touched: BTreeSet::new(),
            hurry_at: None,
            next: 0,
        })))
    }

    pub fn lock(&self) -> MutexGuard<'_, Ledger> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ledger {
    pub fn fault(&mut self, what: String) {
        self.faults.push(what);
    }

    pub fn faults(&mut self) -> Vec<String> {
        self.drain();
        std::mem::take(&mut self.faults)
    }

    /// Brings the chronicle up to this moment.
    pub fn drain(&mut self) {
        let Some(mut events) = self.events.take() else {
            return;
        };
        loop {
            match events.try_recv() {
                Ok(event) => {
                    self.version += 1;
                    let at = event.at.saturating_duration_since(self.begun).as_millis();
                    let (child, life, what) = (&event.child, event.incarnation, &event.what);
                    self.history
                        .push(format!("{at:>7} ms  {child} {life}: {what:?}"));
                    let told = self.chronicle.hear(&event, &mut self.seen);
                    self.faults.extend(told.faults);
                    for (path, count) in told.abandoned {
                        self.abandon(&path, count);
                    }
                    if let Some(path) = told.reborn
                        && self.lives_under(&path)
                    {
                        self.fault(format!("{path} starts while something of it still lives"));
                    }
                }
                Err(TryRecvError::Lagged(lost)) => self.fault(format!("{lost} events were missed")),
                Err(TryRecvError::Empty | TryRecvError::Closed) => break,
            }
        }
        self.events = Some(events);
    }

    fn step(&mut self) {
        self.drain();
        self.version += 1;
    }

    // ---- places and lives

    pub fn place(&mut self, path: &str) -> PlaceId {
        self.places.push(Place {
            path: path.to_owned(),
            handle: None,
            living: None,
            lives: 0,
            reading: None,
            idle: false,
            leaving: false,
        });
        PlaceId(self.places.len() - 1)
    }

    /// An administrator got this handle for that path: of whom lives there now, or did last.
    pub fn is_reached_by(&mut self, path: &str, handle: &Handle<Player>) {
        let at_path = self.places.iter_mut().filter(|place| place.path == path);
        let lived = at_path.filter(|place| place.lives > 0);
        if let Some(last) = lived.max_by_key(|place| place.living.is_some())
            && last.handle.is_none()
        {
            last.handle = Some(handle.clone());
        }
    }

    pub fn living(&self) -> Vec<&str> {
        let alive = self.places.iter().filter(|place| place.living.is_some());
        alive.map(|place| place.path.as_str()).collect()
    }

    pub fn lives_under(&self, path: &str) -> bool {
        self.living()
            .into_iter()
            .any(|alive| is_within(alive, path))
    }

    /// Which life lives at this path, counted over all that ever did.
    pub fn lives_at(&self, path: &str) -> Option<(usize, u64)> {
        let mut places = self.places.iter().enumerate();
        let (at, place) = places.find(|(_, place)| place.path == path && place.living.is_some())?;
        Some((at, place.lives))
    }

    /// Holds what a supervisor says of its children against what is known of them.
    pub fn compare(&self, supervisor: &str, list: &[ChildInfo]) -> Vec<String> {
        let mut told = Vec::new();
        for info in list {
            let path = info.child.as_str();
            let up = self.chronicle.is_up(path, info.incarnation);
            if (info.state == ChildState::Up) != up {
                told.push(format!("{supervisor} says {info:?}, events say otherwise"));
            }
            let lives = self.lives_under(path);
            let gone = matches!(info.state, ChildState::Down | ChildState::BackingOff);
            if gone && lives {
                told.push(format!("{supervisor} says {info:?}, but it lives"));
            }
            let current = self.places.iter().enumerate().rev();
            let mut current =
                current.filter(|(_, place)| place.path == path && place.handle.is_some());
            let living = current.clone().find(|(_, place)| place.living.is_some());
            if info.capacity == 0 {
                continue;
            }
            let Some((at, place)) = living.or_else(|| current.next()) else {
                continue;
            };
            if info.state == ChildState::Up && !place.leaving {
                if place.living != Some(info.incarnation) {
                    told.push(format!(
                        "{supervisor} says {info:?}, life {:?} lives",
                        place.living
                    ));
                }
                if info.current.is_some() != place.reading.is_some() {
                    told.push(format!(
                        "{supervisor} says {info:?}, it reads {:?}",
                        place.reading
                    ));
                }
                if info.depth > 0 && info.current.is_none() && !info.paused {
                    told.push(format!(
                        "{path} is up and idle, and {} letters wait",
                        info.depth
                    ));
                }
                let (least, most) = self.queued(PlaceId(at));
                if info.depth < least || info.depth > most {
                    told.push(format!(
                        "{path} has {} letters, not {least} to {most}",
                        info.depth
                    ));
                }
            }
        }
        told
    }

    /// A life begins; returns which of this place it is.
    pub fn begin(&mut self, id: PlaceId, incarnation: u64) -> u64 {
        self.step();
        let path = self.places[id.0].path.clone();
        if self.lives_under(&path) {
            self.fault(format!("{path} lives twice"));
        }
        let alive: Vec<String> = self.living().into_iter().map(str::to_owned).collect();
        let touched = self.touched.contains(&path);
        let wrong = self
            .chronicle
            .may_begin(&path, incarnation, &alive, touched);
        self.faults.extend(wrong);
        let place = &mut self.places[id.0];
        place.living = Some(incarnation);
        place.lives += 1;
        place.idle = false;
        place.leaving = false;
        place.lives
    }

    pub fn end(&mut self, id: PlaceId) {
        self.step();
        let place = &mut self.places[id.0];
        place.living = None;
        if let Some(letter) = place.reading.take()
            && let Some(mail) = self.mail.get_mut(&letter)
        {
            mail.lost = true;
        }
    }

    pub fn goes_idle(&mut self, id: PlaceId) {
        self.places[id.0].idle = true;
    }

    /// The life comes to its end in order; `asked`: because it was asked to.
    pub fn leaves(&mut self, id: PlaceId, asked: bool) {
        self.step();
        self.places[id.0].leaving = true;
        let place = &self.places[id.0];
        let hurried = self.hurry_at.is_some_and(|at| Instant::now() >= at);
        if !asked || place.idle || hurried || self.touched.contains(&place.path) {
            return;
        }
        let alive: Vec<String> = self.living().into_iter().map(str::to_owned).collect();
        let path = place.path.clone();
        let wrong = self.chronicle.may_leave(&path, &alive);
        self.faults.extend(wrong);
    }

    // ---- letters

    pub fn post(&mut self, place: PlaceId, sender: usize, ask: bool) -> LetterId {
        self.step();
        self.next += 1;
        let id = LetterId(self.next);
        let mail = Mail {
            place,
            sender,
            ask,
            fate: Fate::Pending,
            opened: false,
            done: false,
            lost: false,
            gone: false,
        };
        self.mail.insert(id, mail);
        id
    }

    pub fn fate(&mut self, id: LetterId, fate: Fate) {
        self.step();
        let Some(mail) = self.mail.get_mut(&id) else {
            return;
        };
        mail.fate = fate;
        let wrong = match fate {
            Fate::Answered => !mail.done,
            Fate::Crashed => !mail.opened || mail.done,
            Fate::Returned => mail.opened,
            Fate::Pending | Fate::Taken | Fate::Late => false,
        };
        let word = match fate {
            Fate::Answered => "answered",
            Fate::Crashed => "asker heard Crashed",
            Fate::Returned => "sender heard Down",
            Fate::Late => "asker heard Timeout",
            Fate::Taken | Fate::Pending => "told",
        };
        self.seen.insert(word);
        if wrong {
            let told = format!("letter {} is {fate:?}, but: {mail:?}", id.0);
            self.fault(told);
        }
    }

    pub fn open(&mut self, place: PlaceId, id: LetterId) {
        self.step();
        let Some(mail) = self.mail.get_mut(&id) else {
            return self.fault(format!("letter {} was never sent", id.0));
        };
        if mail.opened || mail.gone || mail.fate == Fate::Returned || mail.place != place {
            let told = format!("letter {} is read at {place:?}, but: {mail:?}", id.0);
            self.faults.push(told);
        }
        mail.opened = true;
        let sender = mail.sender;
        let others = self.mail.iter();
        let same = others.filter(|(_, other)| other.place == place && other.sender == sender);
        let mut told = Vec::new();
        for (other, mail) in same {
            if *other > id && mail.opened {
                told.push(format!("letter {} is read after {}", id.0, other.0));
            }
            if *other < id && mail.fate == Fate::Taken && !mail.opened && !mail.gone {
                told.push(format!("letter {} is read before {}", id.0, other.0));
            }
        }
        self.faults.extend(told);
        self.places[place.0].reading = Some(id);
    }

    pub fn done(&mut self, place: PlaceId, id: LetterId) {
        self.step();
        self.places[place.0].reading = None;
        if let Some(mail) = self.mail.get_mut(&id) {
            mail.done = true;
        }
    }

    fn unread(&self, path: &str) -> impl Iterator<Item = (&LetterId, &Mail)> {
        let unread = self
            .mail
            .iter()
            .filter(|(_, mail)| !mail.opened && !mail.gone);
        unread.filter(move |(_, mail)| self.places[mail.place.0].path == path)
    }

    /// What was queued at a place is reported as abandoned: this many.
    fn abandon(&mut self, path: &str, count: usize) {
        let told = self
            .unread(path)
            .filter(|(_, mail)| mail.fate == Fate::Taken)
            .count();
        let asked = self.unread(path).filter(|(_, mail)| mail.ask).count();
        if count < told || count > told + asked {
            let ids: Vec<_> = self.unread(path).collect();
            let told = format!("{path} reports {count} abandoned letters, unread are {ids:?}");
            self.fault(told);
        }
        if count > 0 {
            self.seen.insert("letters abandoned");
        }
        let gone: Vec<LetterId> = self.unread(path).map(|(id, _)| *id).collect();
        for id in gone {
            if let Some(mail) = self.mail.get_mut(&id) {
                // An ask that is under way comes back by itself.
                mail.gone = mail.fate != Fate::Pending;
            }
        }
    }

    /// How many letters may be queued at a place: at least, at most.
    pub fn queued(&self, id: PlaceId) -> (usize, usize) {
        let mail = self.mail.values().filter(|mail| mail.place == id);
        let unread = mail.filter(|mail| !mail.opened && !mail.gone);
        let (mut least, mut most) = (0, 0);
        for mail in unread {
            least += usize::from(mail.fate == Fate::Taken);
            most += usize::from(mail.fate != Fate::Returned);
        }
        (least, most)
    }

    /// What must be so whenever nothing can happen before time passes.
    pub fn at_rest(&mut self) {
        self.drain();
        let mut told = Vec::new();
        for place in &self.places {
            let handle = place.handle.as_ref();
            let up = handle.is_some_and(|h| h.state() == ChildState::Up);
            if up && !self.lives_under(&place.path) {
                told.push(format!("the handle of {} says that it is up", place.path));
            }
        }
        for (id, mail) in &self.mail {
            let place = &self.places[mail.place.0];
            if mail.ask && mail.lost && !mail.done && mail.fate == Fate::Pending {
                told.push(format!(
                    "letter {} was in a crash, and its asker waits: {mail:?}",
                    id.0
                ));
            }
            let down = place
                .handle
                .as_ref()
                .is_some_and(|h| h.state() == ChildState::Down);
            if down && mail.fate == Fate::Pending && !mail.opened {
                told.push(format!(
                    "{} is down, and the sender of {} waits",
                    place.path, id.0
                ));
            }
            if down && mail.fate == Fate::Taken && !mail.opened && !mail.gone {
                told.push(format!(
                    "{} is down, and letter {} is nowhere",
                    place.path, id.0
                ));
            }
        }
        self.faults.extend(told);
    }
}

pub fn is_within(path: &str, of: &str) -> bool {
    path.strip_prefix(of)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}
