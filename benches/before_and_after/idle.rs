//! What it costs to do nothing: some clients look at conversations and say nothing, a few prompts are answered, and that is all.

use runtime::{Role, Runtime};
use serde_json::{Value, json};
use tokio::time::{Duration, Instant, sleep};

use crate::lane::{Failure, Lane, Promise};
use crate::process::{self, Rates};
use crate::sizes::Sizes;
use crate::world::World;

/// What follows from a beginning is over.
const SETTLE: Duration = Duration::from_secs(1);

pub(crate) async fn measure(
    lane: Lane,
    sizes: &Sizes,
    runtime: &Runtime,
) -> Result<Value, Failure> {
    let world = World::start(lane, Promise::default()).await?;
    let beyond = || runtime.census().count(Role::Foreign);
    let begun = match &world {
        World::Before(old) => old.begun(),
        World::Ours(_) => beyond(),
    };
    let mut clients = world.clients(0..sizes.idle).await?;
    world.join_in_pairs(&mut clients).await?;
    let (at_work, whole) = world.prompts(sizes.prompts, false, beyond).await?;
    if whole != sizes.prompts {
        return Err(format!("{whole} of {} prompts were answered", sizes.prompts).into());
    }
    sleep(SETTLE).await;
    let at_rest = beyond();
    let quiet = rates(sizes.look.min(longest_silence())).await?;
    if let World::Before(old) = &world {
        old.poll_messages();
    }
    let queue = rates(sizes.look).await?;
    Ok(json!({
        "begun": begun,
        "threads": quiet.threads,
        "beyond": at_rest,
        "beyond_at_work": at_work,
        "switches": quiet.switches,
        "wakeups": quiet.wakeups,
        "processor_ms": quiet.processor_ms,
        "queue_wakeups": queue.wakeups,
        "queue_processor_ms": queue.processor_ms,
    }))
}

/// Longer than this nobody may be silent, or they are asked.
fn longest_silence() -> Duration {
    Promise::default().silence / 4
}

async fn rates(look: Duration) -> Result<Rates, Failure> {
    let (before, begun) = (process::look()?, Instant::now());
    sleep(look).await;
    Ok(Rates::between(before, process::look()?, begun.elapsed()))
}
