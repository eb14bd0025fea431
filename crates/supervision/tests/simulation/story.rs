//! One story: a tree is started, things happen to it, it is stopped; after every step every promise is checked.

use std::collections::BTreeSet;
use std::time::Duration;

use supervision::{
    AdminError, ChildId, ChildSpec, ChildState, DeleteChildError, Intervention, Policy, Restart,
    RestartChildError, RootHandle, SUPERVISOR_KILL_GRACE, StartTreeError, Started,
    TerminateChildError, start_root,
};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use crate::dice::Dice;
use crate::plan::{self, Group, Role};
use crate::player::Act;
use crate::post::{Errand, How, sender, try_tell};
use crate::stage::{Office, Reader, Stage};
use crate::{ledger, ms};

const SENDERS: usize = 3;
const STEPS: u64 = 45;
/// Shown with a failure.
const LAST_EVENTS: usize = 40;

pub struct Story {
    seed: u64,
    dice: Dice,
    stage: Stage,
    begun: Instant,
    told: String,
    posts: Vec<mpsc::Sender<Errand>>,
    /// Senders and administrators.
    aside: JoinSet<()>,
    looks: u64,
}

/// What a story went through.
pub struct Ending {
    pub told: String,
    pub history: Vec<String>,
    pub seen: BTreeSet<&'static str>,
    pub looks: u64,
}

pub async fn tell(seed: u64) -> Ending {
    let mut dice = Dice::new(seed);
    let root = plan::root(&mut dice);
    let (stage, spec, events) = Stage::new(seed, &root);
    let mut story = Story::new(seed, dice, stage, &root);
    if story.dice.percent(30) {
        story.letters(6);
    }
    // Longer than all starts, stops and rests of a start one after the other.
    let Ok(started) = timeout(Duration::from_hours(1), start_root(spec, events)).await else {
        story.note("the tree was started");
        story.hold(false, || "the start never comes to an end".to_owned());
        return story.end().await;
    };
    match started {
        Ok(tree) => {
            story.note("the tree is up");
            for _ in 0..STEPS {
                story.step().await;
            }
            story.stop(&tree).await;
        }
        Err(error) => story.stillborn(&error),
    }
    story.end().await
}

impl Story {
    fn new(seed: u64, dice: Dice, stage: Stage, root: &Group) -> Self {
        let mut aside = JoinSet::new();
        let mut posts = Vec::new();
        for name in 0..SENDERS {
            // A story has fewer letters than that.
            let (post, errands) = mpsc::channel(512);
            aside.spawn(sender(name, stage.book.clone(), errands));
            posts.push(post);
        }
        let mut told = String::new();
        plan::describe(&mut told, "root", root, 1).unwrap();
        Self {
            seed,
            dice,
            stage,
            begun: Instant::now(),
            told,
            posts,
            aside,
            looks: 0,
        }
    }

    fn note(&mut self, what: &str) {
        let at = self.begun.elapsed().as_millis();
        self.told.extend([&format!("{at:>7} ms  "), what, "\n"]);
    }

    /// Fails the test if a promise is broken.
    fn check(&mut self) {
        let mut book = self.stage.book.lock();
        let faults = book.faults();
        if faults.is_empty() {
            return;
        }
        let last = book.history.len().saturating_sub(LAST_EVENTS);
        let (faults, events) = (faults.join("\n  "), book.history[last..].join("\n"));
        drop(book);
        let Self { seed, told, .. } = self;
        panic!(
            "SIM_SEED={seed} breaks a promise:\n  {faults}\nThe story:\n{told}\nThe last events:\n{events}"
        );
    }

    fn hold(&mut self, promise: bool, what: impl FnOnce() -> String) {
        if !promise {
            self.stage.book.lock().fault(what());
        }
        self.check();
    }

    async fn step(&mut self) {
        match self.dice.below(100) {
            0..60 => {
                let count = 1 + self.dice.below(4);
                self.letters(count);
            }
            60..72 => {
                let pause = self.dice.pick(&[ms(3), ms(40), ms(400), ms(3000)]);
                self.note(&format!("{pause:?} pass"));
                sleep(pause).await;
            }
            _ => self.administrate(),
        }
        self.check();
        if self.dice.percent(60) {
            self.look().await;
        }
    }

    // ---- letters

    fn letters(&mut self, count: u64) {
        for _ in 0..count {
            self.letter();
        }
    }

    fn letter(&mut self) {
        if self.stage.readers.is_empty() {
            return;
        }
        let at = self.dice.below(self.stage.readers.len() as u64) as usize;
        let Reader { place, handle } = self.stage.readers[at].clone();
        let act = match self.dice.below(100) {
            0..60 => Act::Say,
            60..74 => Act::Linger(1 + self.dice.below(500)),
            74..86 => Act::Crash,
            86..90 => Act::Finish,
            90..94 => Act::StopIfIdle,
            94..96 => Act::Hang,
            _ => Act::Work,
        };
        let ask = self.dice.percent(45);
        let how = if ask {
            How::Ask(self.dice.pick(&[ms(30), ms(600), ms(20_000)]))
        } else {
            How::Tell
        };
        let errand = Errand {
            place,
            handle,
            act,
            how,
        };
        let name = self.dice.below(SENDERS as u64 + 1) as usize;
        let path = errand.handle.child().to_string();
        if let Some(post) = self.posts.get(name).cloned() {
            self.note(&format!("sender {name}: {how:?} {act:?} to {path}"));
            let sent = post.try_send(errand);
            assert!(sent.is_ok(), "a sender is gone, or has too many errands");
        } else {
            self.note(&format!("try_tell {act:?} to {path}"));
            try_tell(SENDERS, &self.stage.book, &errand);
        }
    }

    // ---- administration

    fn administrate(&mut self) {
        let at = self.dice.below(self.stage.offices.len() as u64) as usize;
        let office = self.stage.offices[at].clone();
        let known = office
            .group
            .children
            .iter()
            .map(|seat| seat.id().to_owned());
        let mut ids: Vec<String> = known.collect();
        ids.extend((0..3).map(|n| format!("d{n}")));
        let id = ids[self.dice.below(ids.len() as u64) as usize].clone();
        match self.dice.below(10) {
            0 | 1 => self.start_child(&office),
            2 => self.ensure(&office),
            3 => self.terminate(&office, &id),
            4 => self.restart(&office, &id),
            5 => self.delete(&office, &id),
            _ => self.order(&office, &id),
        }
    }

    /// What operators do by path, from the office as its top.
    fn order(&mut self, office: &Office, id: &str) {
        let path = self.touch(office, id);
        let order = match self.dice.below(4) {
            0 => Intervention::Restart,
            1 => Intervention::Kill,
            2 => Intervention::Pause,
            _ => Intervention::Resume,
        };
        self.note(&format!("order {path}: {order}"));
        let (book, id) = (self.stage.book.clone(), id.to_owned());
        let admin = office.handle.administration();
        let patience = Duration::from_mins(10);
        self.aside.spawn(async move {
            let done = match order {
                Intervention::Restart => admin.restart(&id, patience).await.map(drop),
                Intervention::Kill => admin.kill(&id, patience).await,
                Intervention::Pause => admin.pause(&id, patience).await,
                _ => admin.resume(&id, patience).await,
            };
            let word = match (order, done) {
                (_, Err(AdminError::Timeout { .. })) => {
                    book.lock()
                        .fault(format!("nobody answers an order about {path}"));
                    return;
                }
                (Intervention::Restart, Ok(())) => "restarted by order",
                (Intervention::Kill, Ok(())) => "killed by order",
                (Intervention::Pause, Ok(())) => "paused",
                (_, Ok(())) => "resumed",
                (_, Err(_)) => "order refused",
            };
            book.lock().seen.insert(word);
        });
    }

    fn touch(&mut self, office: &Office, id: &str) -> String {
        let path = format!("{}/{id}", office.path);
        self.stage.book.lock().touched.insert(path.clone());
        path
    }

    fn offer(&mut self, path: &str, restart: Restart) {
        self.stage.book.lock().chronicle.offer(path, restart);
    }

    fn start_child(&mut self, office: &Office) {
        let id = format!("d{}", self.dice.below(3));
        let path = self.touch(office, &id);
        self.note(&format!("start {path}"));
        let (book, told) = (self.stage.book.clone(), path.clone());
        if let Some(instances) = office.instances.clone() {
            self.offer(&path, Restart::Transient);
            let part = self.stage.part(&path, Policy::worker().shutdown);
            let place = part.place;
            self.aside.spawn(async move {
                if let Ok(handle) = instances.start(id, part).await {
                    book.lock().seen.insert("instance started");
                    book.lock().places[place.0].handle = Some(handle);
                }
            });
            return;
        }
        let role = if self.dice.percent(70) {
            Role::Actor { capacity: 4 }
        } else {
            Role::Task
        };
        let seat = plan::seat(&mut self.dice, path, role, office.group.auto_shutdown);
        self.offer(&seat.path, seat.restart);
        let (spec, reader) = self.stage.child(&seat);
        let handle = office.handle.clone();
        self.aside.spawn(async move {
            let outcome = handle.start_child(spec).await;
            let mut book = book.lock();
            if outcome == Ok(Started::Running) {
                book.seen.insert("child started");
                if let Some(Reader { place, handle }) = reader {
                    book.places[place.0].handle = Some(handle);
                }
                book.drain();
                if !book.chronicle.was_ready(&told) {
                    book.fault(format!("{told} is said to have started"));
                }
            }
        });
    }

    fn ensure(&mut self, office: &Office) {
        let id = format!("d{}", self.dice.below(3));
        let path = self.touch(office, &id);
        self.note(&format!("ensure {path}"));
        self.offer(&path, Restart::Transient);
        let part = self.stage.part(&path, Policy::worker().shutdown);
        let book = self.stage.book.clone();
        let (handle, instances) = (office.handle.clone(), office.instances.clone());
        self.aside.spawn(async move {
            let made = match instances {
                Some(instances) => instances.ensure(id, part).await,
                None => handle.ensure_actor(id, 4, part, ChildSpec::transient).await,
            };
            if let Ok(handle) = made {
                let mut book = book.lock();
                book.seen.insert("child ensured");
                book.is_reached_by(&path, &handle);
            }
        });
    }

    fn terminate(&mut self, office: &Office, id: &str) {
        let path = self.touch(office, id);
        self.note(&format!("terminate {path}"));
        let (book, handle, id) = (
            self.stage.book.clone(),
            office.handle.clone(),
            ChildId::new(id),
        );
        let before = self.stage.book.lock().lives_at(&path);
        self.aside.spawn(async move {
            let outcome = handle.terminate_child(&id).await;
            let mut book = book.lock();
            match outcome {
                Ok(()) => {
                    book.seen.insert("child terminated");
                    if book.lives_at(&path).is_some_and(|now| before == Some(now)) {
                        book.fault(format!("{path} was terminated, and the same life goes on"));
                    }
                }
                Err(TerminateChildError::NotFound { .. } | TerminateChildError::Down { .. }) => {
                    book.seen.insert("terminate refused");
                }
            }
        });
    }

    fn restart(&mut self, office: &Office, id: &str) {
        let path = self.touch(office, id);
        self.note(&format!("restart {path}"));
        let (book, handle, id) = (
            self.stage.book.clone(),
            office.handle.clone(),
            ChildId::new(id),
        );
        self.aside.spawn(async move {
            let word = match handle.restart_child(&id).await {
                Ok(_) => "child restarted",
                Err(RestartChildError::Running { .. }) => "restart refused: running",
                Err(_) => "restart refused",
            };
            book.lock().seen.insert(word);
        });
    }

    fn delete(&mut self, office: &Office, id: &str) {
        let path = self.touch(office, id);
        self.note(&format!("delete {path}"));
        let (book, handle, id) = (
            self.stage.book.clone(),
            office.handle.clone(),
            ChildId::new(id),
        );
        self.aside.spawn(async move {
            let word = match handle.delete_child(&id).await {
                Ok(()) => "child deleted",
                Err(DeleteChildError::Running { .. }) => "delete refused: running",
                Err(_) => "delete refused",
            };
            book.lock().seen.insert(word);
        });
    }

    // ---- looking

    /// Lets everything happen that can happen now, and compares what everyone says.
    async fn look(&mut self) {
        sleep(ms(1)).await;
        self.adopt_readers();
        self.stage.book.lock().at_rest();
        self.check();
        for office in self.stage.offices.clone() {
            self.look_at(&office).await;
        }
        self.check();
    }

    /// Actors that administrators started can be written to from now on.
    fn adopt_readers(&mut self) {
        let book = self.stage.book.lock();
        for (at, place) in book.places.iter().enumerate() {
            if let Some(handle) = &place.handle
                && !self.stage.readers.iter().any(|reader| reader.place.0 == at)
            {
                let handle = handle.clone();
                self.stage.readers.push(Reader {
                    place: ledger::PlaceId(at),
                    handle,
                });
            }
        }
    }

    async fn look_at(&mut self, office: &Office) {
        if !matches!(office.handle.state(), ChildState::Up) {
            return;
        }
        let before = self.version();
        let Ok(list) = timeout(ms(1), office.handle.which_children()).await else {
            return;
        };
        let counts = timeout(ms(1), office.handle.count_children()).await;
        // Only what was seen while nothing happened can be compared.
        if self.version() != before {
            return;
        }
        self.looks += 1;
        let told = self.stage.book.lock().compare(&office.path, &list);
        for what in told {
            self.stage.book.lock().fault(what);
        }
        if let Ok(counts) = counts {
            let agrees =
                counts.specs == list.len() && counts.workers + counts.supervisors == counts.specs;
            self.hold(agrees, || format!("{counts:?} of {list:?}"));
        }
    }

    fn version(&self) -> u64 {
        let mut book = self.stage.book.lock();
        book.drain();
        book.version
    }

    // ---- the end

    fn stillborn(&mut self, error: &StartTreeError) {
        self.note(&format!("the tree did not start: {error}"));
        self.stage.book.lock().seen.insert("stillborn");
        let named = match error {
            StartTreeError::Child(failure) => failure.child.as_str().starts_with("root/"),
            StartTreeError::Escalated(escalation) => escalation.child.as_str().starts_with("root"),
            StartTreeError::Stopped(_) | StartTreeError::Spec(_) => false,
        };
        let error = error.to_string();
        self.hold(named, || format!("a start failed with {error}"));
    }

    async fn stop(&mut self, tree: &RootHandle) {
        let deadline: Duration = self.dice.pick(&[ms(0), ms(100), ms(1000), ms(10_000)]);
        self.note(&format!("stop within {deadline:?}"));
        {
            let mut book = self.stage.book.lock();
            book.drain();
            book.chronicle.stopping = true;
            book.hurry_at = Some(Instant::now() + deadline);
        }
        let most = deadline + SUPERVISOR_KILL_GRACE;
        let report = timeout(most + ms(5), tree.stop(deadline)).await;
        let in_time = report.is_ok_and(|report| report.took <= most + ms(2));
        self.hold(in_time, || {
            "the stop outlasted its deadline and the grace after it".to_owned()
        });
        let ended = timeout(ms(1), tree.ended()).await.is_ok();
        self.hold(ended, || "nobody says that the tree has ended".to_owned());
    }

    /// Nothing is left, and nobody waits.
    async fn end(mut self) -> Ending {
        sleep(ms(1)).await;
        self.posts.clear();
        let book = self.stage.book.clone();
        let alive: Vec<String> = book
            .lock()
            .living()
            .into_iter()
            .map(str::to_owned)
            .collect();
        self.hold(alive.is_empty(), || {
            format!("after the end these live: {alive:?}")
        });
        let patience = timeout(ms(100), async {
            while self.aside.join_next().await.is_some() {}
        });
        let nobody_waits = patience.await.is_ok();
        let waiting = self.aside.len();
        self.hold(nobody_waits, || {
            format!("{waiting} senders and administrators still wait")
        });
        self.adopt_readers();
        for reader in self.stage.readers.clone() {
            let state = reader.handle.state();
            let path = reader.handle.child().clone();
            self.hold(state == ChildState::Down, || {
                format!("{path} is {state:?} after the end")
            });
        }
        book.lock().at_rest();
        self.check();
        let mut book = book.lock();
        Ending {
            history: std::mem::take(&mut book.history),
            seen: std::mem::take(&mut book.seen),
            told: self.told,
            looks: self.looks,
        }
    }
}
