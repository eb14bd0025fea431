//! A crash of the actor: what was on its way to the disk arrives, what was asked is told as unknown, and the file is
//! never opened twice.

use std::sync::Arc;

use domain::{ConversationId, Message as Said};
use kameo::message::{Context, Message};
use runtime::CoarseClock;
use supervision::{Handle, Lifecycle, SupervisorSpec};
use testkit::scene::Scene;
use tokio::sync::Semaphore;

use crate::actor::{ConversationStore, WAITING, child};
use crate::archive::{Archive, Failure};
use crate::client::ask;
use crate::config::StoreConfig;
use crate::error::StoreError;
use crate::messages::{ReadHistory, ReplaceHistory};
use crate::proving::NOW;
use crate::work::Work;

/// Crashes the actor while it handles this.
struct Crash;

impl Message<Crash> for ConversationStore {
    type Reply = ();

    async fn handle(&mut self, _: Crash, _: &mut Context<Self, ()>) {
        panic!("a fault of the actor's own");
    }
}

/// A write whose trip lasts until the test lets it end.
struct Slow {
    begun: Arc<Semaphore>,
    go: Arc<Semaphore>,
    write: ReplaceHistory,
}

impl Work for Slow {
    type Answer = ();
    const WRITES: bool = true;

    fn carry_out(&self, archive: &Archive) -> Result<(), Failure> {
        self.begun.add_permits(1);
        while self.go.available_permits() == 0 {
            std::hint::spin_loop();
        }
        self.write.carry_out(archive)?;
        Ok(())
    }
}

impl Slow {
    fn new() -> Self {
        Self {
            begun: Arc::new(Semaphore::new(0)),
            go: Arc::new(Semaphore::new(0)),
            write: write("slow"),
        }
    }
}

fn write(name: &str) -> ReplaceHistory {
    ReplaceHistory {
        conversation: ConversationId::new(name),
        messages: vec![Said::user(name)],
        now_ms: NOW,
    }
}

async fn start() -> (Scene, Handle<ConversationStore>) {
    let archive = Archive::open(&StoreConfig::in_memory(), NOW).unwrap();
    let (spec, store) = child(archive, None, Arc::new(CoarseClock::default()));
    let scene = Scene::start(SupervisorSpec::new("root").child(spec)).await;
    (scene.unwrap(), store)
}

async fn is_there(store: &Handle<ConversationStore>, name: &str) -> bool {
    let wish = ReadHistory {
        conversation: ConversationId::new(name),
        last: 1,
    };
    !ask(store, wish).await.unwrap().is_empty()
}

#[tokio::test(start_paused = true)]
async fn what_is_stored_outlives_a_crash_even_in_memory() {
    let (mut scene, store) = start().await;
    ask(&store, write("a")).await.unwrap();
    store.tell(Crash).await.unwrap();
    let restarted = |what: &Lifecycle| matches!(what, Lifecycle::Restarted { .. });
    scene
        .expect_event("root/conversation_store", restarted)
        .await;
    assert!(is_there(&store, "a").await);
    ask(&store, write("b")).await.unwrap();
    assert!(is_there(&store, "b").await);
    scene.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_asker_whose_actor_crashed_hears_that_it_is_unknown_and_the_trip_ends_all_the_same() {
    let (scene, store) = start().await;
    let slow = Slow::new();
    let (begun, go) = (Arc::clone(&slow.begun), Arc::clone(&slow.go));
    // The first is on its trip, the second waits for it, when the actor crashes; the third comes later.
    let asked = async {
        tokio::join!(ask(&store, slow), ask(&store, write("waiting")), async {
            begun.acquire().await.unwrap().forget();
            store.tell(Crash).await.unwrap();
            tokio::join!(async { go.add_permits(1) }, ask(&store, write("later")),)
        })
    };
    let (slow, waiting, ((), later)) = asked.await;
    assert!(matches!(slow, Err(StoreError::Unknown { .. })), "{slow:?}");
    assert!(
        matches!(waiting, Err(StoreError::Unknown { .. })),
        "{waiting:?}"
    );
    assert!(later.is_ok(), "{later:?}");
    assert!(is_there(&store, "slow").await, "its trip had begun");
    assert!(!is_there(&store, "waiting").await, "nobody took it along");
    assert!(is_there(&store, "later").await);
    scene.stop().await;
}

/// What waits for a slow disk is bounded, and refused at once above that.
#[tokio::test(start_paused = true)]
async fn too_many_are_told_to_come_back() {
    let (scene, store) = start().await;
    let slow = Slow::new();
    let (begun, go) = (Arc::clone(&slow.begun), Arc::clone(&slow.go));
    let mut tasks = tokio::task::JoinSet::new();
    let first = store.clone();
    tasks.spawn(async move { ask(&first, slow).await });
    begun.acquire().await.unwrap().forget();
    for number in 0..=WAITING {
        let store = store.clone();
        let write = write(&number.to_string());
        tasks.spawn(async move { ask(&store, write).await.map(|_| ()) });
    }
    // As long as the disk is busy only a refusal comes back.
    let refused = tasks.join_next().await.unwrap().unwrap();
    assert_eq!(refused, Err(StoreError::Busy { waiting: WAITING }));
    go.add_permits(1);
    let answered = tasks.join_all().await;
    assert_eq!(answered.len(), WAITING + 1);
    assert!(answered.into_iter().all(|answer| answer.is_ok()));
    scene.stop().await;
}

/// A stop waits for what was accepted.
#[tokio::test(start_paused = true)]
async fn what_was_accepted_is_written_before_the_stop_ends() {
    let folder = tempfile::tempdir().unwrap();
    let config = StoreConfig::at(folder.path().join("paraphym.db"));
    let archive = Archive::open(&config, NOW).unwrap();
    let (spec, store) = child(archive, None, Arc::new(CoarseClock::default()));
    let scene = Scene::start(SupervisorSpec::new("root").child(spec))
        .await
        .unwrap();
    for number in 0..20 {
        // Nobody waits for the answer: the stop comes first.
        store.tell(write(&number.to_string())).await.unwrap();
    }
    scene.stop().await;
    drop(store);
    let archive = Archive::open(&config, NOW).unwrap();
    for number in 0..20 {
        let conversation = ConversationId::new(number.to_string());
        let wish = ReadHistory {
            conversation,
            last: 1,
        };
        assert_eq!(crate::proving::ask(&archive, wish).unwrap().len(), 1);
    }
}
