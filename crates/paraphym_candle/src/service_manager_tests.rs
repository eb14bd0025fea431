//! The words, and the beat: it is said only as long as the root answers, whatever else goes on.

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use domain::Bytes;
use engine::ModelSource;
use memory_governor::Probe;
use model_host::{HostConfig, ModelHostDeps, ResolveModel};
use supervision::kameo::actor::{Actor, ActorRef};
use supervision::kameo::error::Infallible;
use supervision::{Backoff, Birth, Events, Inbox, start_root};
use testkit::scripted::{Answer, ScriptedLoader};
use tokio::time::sleep;

use super::*;

const MINUTE: Duration = Duration::from_mins(1);

/// What the manager heard.
#[derive(Clone, Default)]
struct Heard(Arc<Mutex<Vec<String>>>);

impl Heard {
    fn all(&self) -> Vec<String> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn beats(&self) -> usize {
        let all = self.all();
        all.iter().filter(|said| *said == "WATCHDOG=1").count()
    }
}

struct Nowhere;

impl Probe for Nowhere {
    fn read(&self, _: &Path) -> io::Result<String> {
        Err(io::ErrorKind::NotFound.into())
    }
}

impl ResolveModel for Nowhere {
    fn resolve(&self, _: &ModelName) -> Result<ModelSource, String> {
        Err("there are none".to_owned())
    }
}

/// A model host that was never started: it answers nobody.
fn silent_models() -> Handle<ModelHost> {
    let (_, governor) = memory_governor::child(Some(Bytes::mib(1)), Arc::new(Nowhere));
    let (_, janitor) = cache_janitor::child(governor.clone());
    let deps = ModelHostDeps {
        loader: Arc::new(ScriptedLoader::new(Answer::Counting)),
        resolve: Arc::new(Nowhere),
        governor,
        janitor,
    };
    model_host::children(HostConfig::default(), deps).1
}

/// The child, which asks that root, and what it says.
fn child(root: SupervisorHandle, watchdog: Duration) -> (ChildSpec, Heard) {
    let heard = Heard::default();
    let ears = heard.clone();
    let telling = Telling {
        watchdog: Some(watchdog),
        edge: None,
        root,
        models: silent_models(),
        model: ModelName::new("m"),
        ending: watch::Sender::new(None).subscribe(),
        voice: Arc::new(move |states| {
            let mut all = ears.0.lock().unwrap_or_else(PoisonError::into_inner);
            all.extend(states.iter().map(ToString::to_string));
        }),
    };
    let spec = ChildSpec::task(CHILD_ID, move |context| tell(telling.clone(), context));
    (spec, heard)
}

#[tokio::test(start_paused = true)]
async fn a_beat_is_told_twice_as_often_as_it_is_due_also_while_the_models_are_silent() {
    for (due, least) in [(Duration::from_secs(2), 60), (Duration::from_secs(1), 120)] {
        let spec = SupervisorSpec::new("root");
        let (child, heard) = child(spec.handle(), due);
        let root = start_root(spec.child(child), Events::default())
            .await
            .unwrap();
        sleep(MINUTE).await;
        assert_eq!(heard.all()[0], "READY=1");
        let beats = heard.beats();
        assert!((least..=least + 1).contains(&beats), "{beats} at {due:?}");
        root.stop(MINUTE).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_root_that_does_not_answer_is_not_said_to_live() {
    // Its questions are taken, and nobody looks at them.
    let hung = SupervisorSpec::new("hung");
    let (child, heard) = child(hung.handle(), Duration::from_secs(2));
    let root = SupervisorSpec::new("root").child(child);
    let root = start_root(root, Events::default()).await.unwrap();
    sleep(MINUTE).await;
    assert_eq!(heard.all(), ["READY=1"]);
    root.stop(MINUTE).await;
}

/// What is cloned for each life of an actor, by the supervisor itself: that stops it, while the lock is held.
struct Stone {
    lock: Arc<Mutex<()>>,
    waits: Arc<AtomicBool>,
}

impl Clone for Stone {
    fn clone(&self) -> Self {
        self.waits.store(true, Ordering::SeqCst);
        drop(self.lock.lock().unwrap_or_else(PoisonError::into_inner));
        self.waits.store(false, Ordering::SeqCst);
        let (lock, waits) = (self.lock.clone(), self.waits.clone());
        Self { lock, waits }
    }
}

struct Idle {
    inbox: Inbox<Self>,
}

impl Actor for Idle {
    type Args = Birth<Self, Stone>;
    type Error = Infallible;

    async fn on_start(birth: Self::Args, _: ActorRef<Self>) -> Result<Self, Infallible> {
        Ok(Self { inbox: birth.inbox })
    }

    supervision::receive_from!(inbox);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[allow(clippy::await_holding_lock, reason = "it is what holds the root up")]
async fn the_beats_end_while_a_running_root_hangs_and_go_on_after_it() {
    let every = Duration::from_millis(50);
    let stone = Stone {
        lock: Arc::default(),
        waits: Arc::default(),
    };
    let (lock, waits) = (stone.lock.clone(), stone.waits.clone());
    let spec = SupervisorSpec::new("root");
    let (child, heard) = child(spec.handle(), every * 2);
    let (idle, _handle) = ChildSpec::actor::<Idle, _>("idle", 1, stone);
    let spec = spec.child(child).child(idle.backoff(Backoff::none()));
    let root = start_root(spec, Events::default()).await.unwrap();
    while heard.beats() < 3 {
        sleep(every / 10).await;
    }
    let held = lock.lock().unwrap();
    root.administration().kill("idle", MINUTE).await.unwrap();
    while !waits.load(Ordering::SeqCst) {
        sleep(every / 10).await;
    }
    let before = heard.beats();
    sleep(every * 10).await;
    let meanwhile = heard.beats() - before;
    // One may have been answered before.
    assert!(meanwhile <= 1, "{meanwhile} beats of a root that hangs");
    drop(held);
    while heard.beats() < before + meanwhile + 3 {
        sleep(every / 10).await;
    }
    root.stop(MINUTE).await;
}

#[test]
fn the_words_say_what_goes_on() {
    let (model, status) = (ModelName::new("m"), HostStatus::default());
    for (under_way, said) in [
        (0, "ready; m answers by default"),
        (1, "1 answer under way"),
        (3, "3 answers under way"),
    ] {
        assert_eq!(words(&model, &status, under_way), said);
    }
    for (phase, said) in [
        (Phase::Draining, "ending: nothing new is taken"),
        (Phase::Answers, "ending: 2 answers under way"),
        (Phase::Actors, "ending: 2 actors are to stop"),
        (Phase::Runtime, "ending: all actors have stopped"),
    ] {
        let ending = Ending {
            phase,
            under_way: vec!["a".to_owned(), "b".to_owned()],
            left_ms: 0,
            abandoned: Vec::new(),
            killed: Vec::new(),
        };
        assert_eq!(words_of_the_end(&ending), said);
    }
}
