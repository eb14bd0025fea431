//! Many connections: what each takes of memory, how soon a heartbeat is answered, and how soon the other one in a
//! conversation sees that somebody types.

use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::{Duration, Instant, sleep, sleep_until};

use crate::client::Client;
use crate::lane::{Failure, Lane, Promise};
use crate::process;
use crate::sizes::Sizes;
use crate::spread::Spread;
use crate::world::{World, conversation};

/// Those who beat at the same time.
const DRIVERS: usize = 4;
/// What follows from their coming is over.
const SETTLE: Duration = Duration::from_millis(500);
/// A keystroke that takes longer is lost.
const PATIENCE: Duration = Duration::from_secs(10);

pub(crate) async fn measure(
    lane: Lane,
    connections: usize,
    sizes: &Sizes,
) -> Result<Value, Failure> {
    let world = World::start(lane, Promise::default()).await?;
    // What is made once is made before it is weighed; a pair has an even number.
    let few = (connections / 100).max(1) * 2;
    let mut clients = world.clients(0..few).await?;
    world.join_in_pairs(&mut clients).await?;
    let before = process::resident_bytes()?;
    clients.extend(world.clients(few..connections).await?);
    sleep(SETTLE).await;
    let connected = process::resident_bytes()?;
    for pair in (few / 2)..(connections / 2) {
        for client in clients.iter_mut().skip(pair * 2).take(2) {
            client.join(&conversation(pair)).await?;
        }
    }
    sleep(SETTLE).await;
    let joined = process::resident_bytes()?;
    let more = (connections - few) as f64;
    let keys = keystrokes(&mut clients, sizes.keystrokes).await?;
    let beats = beats(clients, sizes).await?;
    Ok(json!({
        "bytes_connected": (connected - before).max(0.0) / more,
        "bytes_joined": (joined - before).max(0.0) / more,
        "beat_ms": beats.summary(),
        "key_ms": keys.late.summary(),
        "key_processor_ms": keys.processor_ms,
    }))
}

struct Keys {
    late: Spread,
    /// For each edge.
    processor_ms: f64,
}

/// One after the other: somebody types, and ends; the other one of the pair sees both.
async fn keystrokes(clients: &mut [Client], keystrokes: usize) -> Result<Keys, Failure> {
    let mut late = Spread::default();
    let pairs = clients.len() / 2;
    let spent = process::look()?.processor;
    for stroke in 0..keystrokes {
        // Spread over all there are, so that no corner is warm.
        let pair = stroke * pairs / keystrokes;
        let Some([typist, watcher]) = clients.get_mut(pair * 2..pair * 2 + 2) else {
            return Err("there are no two clients".into());
        };
        for typing in [true, false] {
            let said = Instant::now();
            typist.types(&conversation(pair), typing).await?;
            if !watcher.sees_typing(typing, said + PATIENCE).await? {
                return Err("a keystroke was not seen".into());
            }
            late.add(said.elapsed());
            typist.forget();
        }
    }
    let spent = process::look()?.processor.saturating_sub(spent);
    Ok(Keys {
        late,
        processor_ms: spent.as_secs_f64() * 1e3 / (keystrokes * 2) as f64,
    })
}

/// At a steady rate, of all clients in turn.
async fn beats(clients: Vec<Client>, sizes: &Sizes) -> Result<Spread, Failure> {
    let each = clients.len().div_ceil(DRIVERS);
    let (mut clients, mut driving) = (clients, JoinSet::new());
    let pause = Duration::from_secs(1) * DRIVERS as u32 / sizes.beats_per_second;
    let beats = sizes.beats / DRIVERS;
    while !clients.is_empty() {
        let theirs = clients.split_off(clients.len().saturating_sub(each));
        driving.spawn(drive(theirs, beats, pause));
    }
    let mut late = Spread::default();
    while let Some(theirs) = driving.join_next().await {
        late.extend(theirs??);
    }
    Ok(late)
}

async fn drive(mut clients: Vec<Client>, beats: usize, pause: Duration) -> Result<Spread, Failure> {
    let mut late = Spread::default();
    let mut due = Instant::now();
    let many = clients.len();
    for beat in 0..beats {
        due += pause;
        sleep_until(due).await;
        let number = beat * many / beats;
        let client = clients.get_mut(number).ok_or("there is no such client")?;
        client.forget();
        let said = Instant::now();
        client.beat().await?;
        client.expect("heartbeat_ack").await?;
        late.add(said.elapsed());
    }
    Ok(late)
}
