//! One part panics, in turn typing, the memory governor, and an answer: whether it comes back, and what becomes of those who
//! waited for it.

use std::sync::atomic::Ordering;

use domain::Bytes;
use memory_governor::Reserve;
use serde_json::{Value, json};
use supervision::Chaos;
use tokio::task::JoinSet;
use tokio::time::{Duration, Instant, sleep};

use crate::client::Client;
use crate::lane::{Failure, Lane, Promise};
use crate::new_world::Ours;
use crate::old_world::{NAMES, OldWorld};
use crate::process;
use crate::sizes::Sizes;
use crate::world::{World, conversation};

/// People who type before the crash, and as many after it.
const PEOPLE: usize = 10;
/// Who asks for memory right after the crash.
pub(crate) const ASKERS: usize = 20;
const EXPIRY: Duration = Duration::from_secs(1);
const MEMORY_LOOK: Duration = Duration::from_millis(200);
const GLANCE: Duration = Duration::from_millis(5);
/// Nobody takes a tenth of it who comes back at all.
const PATIENCE: Duration = Duration::from_secs(10);

pub(crate) async fn measure(lane: Lane, sizes: &Sizes) -> Result<Value, Failure> {
    let promise = Promise {
        typing: EXPIRY,
        sweep: EXPIRY,
        memory_look: MEMORY_LOOK,
        chaos: true,
        ..Promise::default()
    };
    let world = World::start(lane, promise).await?;
    let typing = typing(&world, sizes.patience).await?;
    let governor = match &world {
        World::Before(old) => old_governor(old).await?,
        World::Ours(ours) => our_governor(ours).await?,
    };
    let ((), answered) = world.prompts(sizes.prompts, true, || ()).await?;
    Ok(json!({
        "typing": typing,
        "governor": governor,
        "prompts": { "answered": answered, "of": sizes.prompts },
    }))
}

/// Half of the people type, it panics, the other half type. Who is seen to type after it, and who is seen to end.
async fn typing(world: &World, patience: Duration) -> Result<Value, Failure> {
    let mut clients = world.clients(0..PEOPLE * 4).await?;
    world.join_in_pairs(&mut clients).await?;
    let (first, second) = clients.split_at_mut(PEOPLE * 2);
    let before = begin(first, 0).await?;
    let crashed = Instant::now();
    match world {
        World::Before(old) => {
            old.state.typing.panics.store(true, Ordering::Relaxed);
            is_gone(NAMES[4]).await?;
        }
        World::Ours(ours) => {
            let control = ours.root.administration();
            control.chaos("root/typing", Chaos::Crash, PATIENCE).await?;
            // The fault is in the next message: this one.
            let asked = ours.typing.ask(typing::Status, PATIENCE).await;
            if asked.is_ok() {
                return Err("typing did not crash".into());
            }
        }
    }
    let after = begin(second, PEOPLE);
    let after = after.await?;
    let back = match world {
        World::Before(_) => None,
        World::Ours(ours) => {
            let asked = ours.typing.ask(typing::Status, PATIENCE).await;
            asked.ok().map(|_| crashed.elapsed())
        }
    };
    let until = Instant::now() + EXPIRY * 2 + patience;
    let mut ended = 0;
    for pair in clients.chunks_mut(2) {
        if let [_, watcher] = pair {
            ended += usize::from(watcher.sees_typing(false, until).await?);
        }
    }
    Ok(json!({
        "back_ms": back.map(|back| back.as_secs_f64() * 1e3),
        "seen": after,
        "seen_of": PEOPLE,
        "ended": ended,
        "ended_of": before + after,
    }))
}

/// Each typist of these pairs begins; how many are seen to.
async fn begin(clients: &mut [Client], first: usize) -> Result<usize, Failure> {
    for (pair, of_two) in clients.chunks(2).enumerate() {
        if let [typist, _] = of_two {
            typist.types(&conversation(first + pair), true).await?;
        }
    }
    let (until, mut seen) = (Instant::now() + EXPIRY, 0);
    for of_two in clients.chunks_mut(2) {
        if let [_, watcher] = of_two {
            seen += usize::from(watcher.sees_typing(true, until).await?);
        }
    }
    Ok(seen)
}

async fn is_gone(name: &str) -> Result<(), Failure> {
    let until = Instant::now() + PATIENCE;
    while process::threads()?.values().any(|one| one == name) {
        if Instant::now() > until {
            return Err(format!("{name} did not panic").into());
        }
        sleep(GLANCE).await;
    }
    Ok(())
}

/// Whether the machine is looked at again.
async fn old_governor(old: &OldWorld) -> Result<Value, Failure> {
    let governor = &old.state.governor;
    governor.panics.store(true, Ordering::Relaxed);
    is_gone(NAMES[1]).await?;
    let looks = governor.looks.load(Ordering::Relaxed);
    sleep(MEMORY_LOOK * 3).await;
    let looked = governor.looks.load(Ordering::Relaxed) > looks;
    Ok(json!({ "back_ms": looked.then_some(0.0), "answered": 0, "of": ASKERS }))
}

/// Whether those are answered who ask while it is down.
async fn our_governor(ours: &Ours) -> Result<Value, Failure> {
    let control = ours.root.administration();
    let path = "root/memory_governor";
    control.chaos(path, Chaos::Crash, PATIENCE).await?;
    let crashed = Instant::now();
    if ours
        .governor
        .ask(memory_governor::Status, PATIENCE)
        .await
        .is_ok()
    {
        return Err("the governor did not crash".into());
    }
    let mut asking = JoinSet::new();
    for number in 0..ASKERS {
        let governor = ours.governor.clone();
        asking.spawn(async move {
            let wish = Reserve {
                owner: format!("asker-{number}"),
                purpose: "bench".to_owned(),
                bytes: Bytes::mib(1),
            };
            governor.ask(wish, PATIENCE).await.is_ok()
        });
    }
    let mut answered = 0;
    while let Some(asked) = asking.join_next().await {
        answered += usize::from(asked?);
    }
    let back = (answered > 0).then(|| crashed.elapsed());
    Ok(json!({
        "back_ms": back.map(|back| back.as_secs_f64() * 1e3),
        "answered": answered,
        "of": ASKERS,
    }))
}
