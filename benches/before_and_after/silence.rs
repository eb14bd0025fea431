//! How exactly a promise about silence is kept: who says nothing more is given up, and who typed is shown no more, at the
//! deadline. What is measured is how late that is known to those whom it concerns; before the deadline it is less than nothing.

use std::collections::BTreeMap;

use serde_json::Value;
use tokio::sync::broadcast;
use tokio::task::JoinSet;
use tokio::time::{Duration, Instant, sleep, sleep_until, timeout_at};

use crate::client::Client;
use crate::lane::{Failure, Lane, Promise};
use crate::old_state::OldStatus;
use crate::sizes::Sizes;
use crate::spread::Spread;
use crate::world::{World, conversation};

/// While typing is looked at, clients say this often that they are there.
const BEAT: Duration = Duration::from_secs(10);
/// Connections come within this.
const COME: Duration = Duration::from_secs(3);

/// Clients that come and say nothing more.
pub(crate) async fn heartbeats(lane: Lane, sizes: &Sizes) -> Result<Value, Failure> {
    let promise = Promise {
        silence: sizes.silence,
        attempt: sizes.attempt,
        ..Promise::default()
    };
    let world = World::start(lane, promise).await?;
    let mut began = Vec::new();
    let deadline = Instant::now() + COME + promise.given_up() + sizes.patience;
    let (mut ends, mut held) = (JoinSet::new(), Vec::new());
    if let World::Before(old) = &world {
        ends.spawn(failures(old.statuses(), deadline));
    }
    let pause = COME.min(sizes.spread) / sizes.silent as u32;
    for number in 0..sizes.silent {
        let came = Instant::now();
        let client = world.client(number).await?;
        match lane {
            Lane::Ours => drop(ends.spawn(close(number, client, deadline))),
            // In the old world nobody tells the client (CN-08): whoever listens for failures is told.
            Lane::Before | Lane::Mended => held.push(client),
        }
        began.push((number, came));
        sleep_until(came + pause).await;
    }
    let mut all = Ends::new();
    while let Some(some) = ends.join_next().await {
        all.extend(some?);
    }
    let mut spread = Spread::default();
    for (number, came) in began {
        match all.get(&number) {
            Some(end) => spread.add_ms(late_ms(came + promise.given_up(), *end)),
            None => spread.add_never(),
        }
    }
    drop(held);
    Ok(spread.whole())
}

/// When each of them was given up, by number.
type Ends = BTreeMap<usize, Instant>;

async fn failures(mut events: broadcast::Receiver<OldStatus>, deadline: Instant) -> Ends {
    let mut ends = Ends::new();
    while let Ok(event) = timeout_at(deadline, events.recv()).await {
        let Ok(OldStatus { user, failed: true }) = event else {
            continue;
        };
        let number = user.strip_prefix("user-").map(str::parse);
        if let Some(Ok(number)) = number {
            ends.entry(number).or_insert_with(Instant::now);
        }
    }
    ends
}

async fn close(number: usize, mut client: Client, deadline: Instant) -> Ends {
    let closed = client.is_closed(deadline).await;
    let end = closed.then(|| (number, Instant::now()));
    end.into_iter().collect()
}

/// People who begin to type and are not heard of again.
pub(crate) async fn typing(lane: Lane, sizes: &Sizes) -> Result<Value, Failure> {
    let promise = Promise {
        typing: sizes.typing,
        sweep: sizes.sweep,
        ..Promise::default()
    };
    let world = World::start(lane, promise).await?;
    let mut clients = world.clients(0..sizes.silent * 2).await?;
    world.join_in_pairs(&mut clients).await?;
    let (began, mut pairs) = (Instant::now(), JoinSet::new());
    for pair in (0..sizes.silent).rev() {
        let (Some(watcher), Some(typist)) = (clients.pop(), clients.pop()) else {
            return Err("there are no two clients".into());
        };
        let begins = began + sizes.spread * pair as u32 / sizes.silent as u32;
        let patience = sizes.sweep + sizes.patience;
        let deadlines = (begins, promise.typing, patience);
        pairs.spawn(fall_silent(typist, watcher, pair, deadlines));
    }
    let mut spread = Spread::default();
    while let Some(one) = pairs.join_next().await {
        match one?? {
            Some(one) => spread.add_ms(one),
            None => spread.add_never(),
        }
    }
    drop(world);
    Ok(spread.whole())
}

async fn fall_silent(
    typist: Client,
    watcher: Client,
    pair: usize,
    (begins, expiry, patience): (Instant, Duration, Duration),
) -> Result<Option<f64>, Failure> {
    let (mut typist, mut watcher) = (typist, watcher);
    while Instant::now() + BEAT < begins {
        sleep(BEAT).await;
        alive(&mut typist, &mut watcher).await?;
    }
    sleep_until(begins).await;
    let said = Instant::now();
    typist.types(&conversation(pair), true).await?;
    if !watcher.sees_typing(true, said + patience).await? {
        return Err("a keystroke was not seen".into());
    }
    let promised = said + expiry;
    while Instant::now() < promised + patience {
        let until = (Instant::now() + BEAT).min(promised + patience);
        if watcher.sees_typing(false, until).await? {
            return Ok(Some(late_ms(promised, Instant::now())));
        }
        alive(&mut typist, &mut watcher).await?;
    }
    Ok(None)
}

async fn alive(typist: &mut Client, watcher: &mut Client) -> Result<(), Failure> {
    typist.beat().await?;
    typist.forget();
    watcher.beat().await
}

fn late_ms(promised: Instant, end: Instant) -> f64 {
    let late = end.saturating_duration_since(promised);
    let early = promised.saturating_duration_since(end);
    (late.as_secs_f64() - early.as_secs_f64()) * 1e3
}
