//! From the wish to stop to the last thread: everything is asked to stop that can be asked, and what is left is counted.

use runtime::{Role, Runtime, RuntimeOptions};
use serde_json::{Value, json};
use tokio::time::{Duration, Instant, sleep};

use crate::lane::{Failure, Lane, Promise};
use crate::process;
use crate::sizes::Sizes;
use crate::world::World;

/// How often it is looked whether they are gone.
const GLANCE: Duration = Duration::from_millis(5);

/// How long the kernel may list a thread that was joined.
const LINGER: Duration = Duration::from_millis(100);

/// In a process of its own, before it has a runtime.
pub(crate) fn measure(lane: Lane, sizes: &Sizes) -> Result<Value, Failure> {
    let options = RuntimeOptions::default();
    let were_there = process::threads()?;
    let asked = runtime::run(&options, |runtime| stop(lane, *sizes, runtime))??;
    let joined = Instant::now();
    let (took, left) = loop {
        let (took, mut left) = (asked.elapsed(), process::threads()?);
        left.retain(|id, _| !were_there.contains_key(id));
        if left.is_empty() || joined.elapsed() > LINGER {
            let mut names: Vec<String> = left.into_values().collect();
            names.sort_unstable();
            break (took, names);
        }
        std::thread::yield_now();
    };
    Ok(json!({
        "took_ms": left.is_empty().then_some(took.as_secs_f64() * 1e3),
        "left": left,
        "looked_for_s": took.as_secs_f64(),
    }))
}

/// When it was asked to stop.
async fn stop(lane: Lane, sizes: Sizes, runtime: Runtime) -> Result<Instant, Failure> {
    let [connections, _] = sizes.crowds;
    let promise = Promise {
        sweep: sizes.sweep,
        ..Promise::default()
    };
    let world = World::start(lane, promise).await?;
    let mut clients = world.clients(0..connections).await?;
    world.join_in_pairs(&mut clients).await?;
    let asked = Instant::now();
    match &world {
        World::Before(old) => {
            old.ask_to_stop();
            while runtime.census().count(Role::Foreign) > 0 && asked.elapsed() < sizes.stop {
                sleep(GLANCE).await;
            }
        }
        World::Ours(ours) => match ours.stop().await {
            0 => {}
            left => return Err(format!("{left} actors left something undone").into()),
        },
    }
    drop(clients);
    Ok(asked)
}
