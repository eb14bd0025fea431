//! Random trees in random stories, each decided by one seed: whatever happens to them, they keep the promises of
//! `docs/semantics.md`, and these are checked after every step.
//!
//! A failure prints its seed, its tree and its story. `SIM_SEED=n` tells that one again, `SIM_SEEDS=n` tells the
//! first n.

#![allow(
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    reason = "a helper that fails fails its test"
)]

extern crate paraphym_supervision as supervision;

mod chronicle;
mod dice;
mod ledger;
mod plan;
mod player;
mod post;
mod stage;
mod story;

use std::collections::BTreeSet;
use std::time::Duration;

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// Enough for every kind of thing to happen in a few seconds.
const SEEDS: u64 = 300;

/// Stories in which these do not happen prove nothing.
const MUST_BE_SEEN: [&str; 34] = [
    "answered",
    "asker heard Crashed",
    "asker heard Timeout",
    "automatic shutdown",
    "backing off",
    "child deleted",
    "child ensured",
    "child restarted",
    "child started",
    "child terminated",
    "crashed",
    "delete refused",
    "delete refused: running",
    "escalated",
    "instance started",
    "killed",
    "killed by order",
    "letters abandoned",
    "order refused",
    "paused",
    "ready",
    "restart refused",
    "restart refused: running",
    "restarted",
    "restarted by order",
    "resumed",
    "sender heard Down",
    "start failed",
    "starting",
    "stillborn",
    "stopped",
    "stopping",
    "terminate refused",
    "told",
];

#[tokio::test(start_paused = true)]
async fn random_trees_keep_every_promise_in_random_stories() {
    if let Some(seed) = setting("SIM_SEED") {
        let ending = story::tell(seed).await;
        println!("{}\n{}", ending.told, ending.history.join("\n"));
        return;
    }
    let mut seen = BTreeSet::new();
    let mut looks = 0;
    for seed in 0..setting("SIM_SEEDS").unwrap_or(SEEDS) {
        let ending = story::tell(seed).await;
        seen.extend(ending.seen);
        looks += ending.looks;
    }
    println!("{looks} looks; seen: {seen:?}");
    assert!(looks > 1000, "children were hardly ever looked at: {looks}");
    for word in MUST_BE_SEEN {
        assert!(seen.contains(word), "no story has this in it: {word}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_seed_tells_the_same_story_twice() {
    for seed in 0..20 {
        let (first, second) = (story::tell(seed).await, story::tell(seed).await);
        assert_eq!(first.told, second.told, "seed {seed}");
        assert_eq!(first.history, second.history, "seed {seed}");
        assert!(!first.history.is_empty(), "seed {seed} says nothing");
    }
}
