//! The whole tree where memory is short, in every place: the cgroup is two text files, the kernel that would kill is a
//! sum, and a model takes what its card says when it says so. Eight conversations on two models, with room for one; then
//! a neighbour in the group takes more and more.
//!
//! `paraphym_cli` has the same with a real kernel.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test stops at the first surprise"
)]

mod common;

use std::time::Duration;

use common::{DEADLINE, MODELS, PROGRAM, ask, assert_typed, squeezed};
use domain::Bytes;
use memory_governor::Level;
use model_host::ModelHost;
use supervision::Handle;
use tokio::task::JoinSet;

const CONVERSATIONS: usize = 8;
const TURNS: usize = 6;

/// Every turn with the other model; the models that answered.
async fn converse(models: Handle<ModelHost>, number: usize) -> Vec<&'static str> {
    let mut answered = Vec::new();
    for turn in 0..TURNS {
        let model = if (number + turn).is_multiple_of(2) {
            "one"
        } else {
            "two"
        };
        let id = format!("{number}-{turn}");
        match ask(&models, &id, model, 40 + 10 * turn + number).await {
            Ok(()) => answered.push(model),
            Err(error) => {
                assert_typed(&error);
                tokio::time::sleep(Duration::from_secs(2)).await;
            }
        }
    }
    answered
}

#[tokio::test(start_paused = true)]
async fn eight_conversations_on_two_models_stay_within_what_one_needs() {
    let tree = squeezed().await;
    let mut conversations = JoinSet::new();
    for number in 0..CONVERSATIONS {
        conversations.spawn(converse(tree.models.clone(), number));
    }
    let answered = conversations.join_all().await.concat();
    assert!(!answered.is_empty());
    tree.scale.assert_never_full();
    // With nobody else there, each is served as soon as the other is let go.
    for model in MODELS {
        let said = ask(&tree.models, model, model, 30).await;
        said.unwrap_or_else(|error| panic!("{model}, alone, is refused: {error}"));
    }
    let status = tree.governor.ask(memory_governor::Status, DEADLINE).await;
    let status = status.unwrap();
    assert!(status.leased <= status.limit);
    let (used, leased) = (tree.scale.used(), status.leased);
    let covered = leased.saturating_add(PROGRAM);
    assert!(used <= covered, "{used} in use, {leased} leased");
    tree.scale.assert_never_full();
    tree.scene.stop().await;
    assert_eq!(tree.scale.used(), PROGRAM);
}

#[tokio::test(start_paused = true)]
async fn a_neighbour_that_takes_more_and_more_is_given_way_to() {
    let tree = squeezed().await;
    ask(&tree.models, "first", "one", 30).await.unwrap();
    let asked = tree.governor.ask(memory_governor::WatchPressure, DEADLINE);
    let mut pressure = asked.await.unwrap();
    let mut taken = Vec::new();
    tree.scale.fill(&mut taken);
    let high = pressure.wait_for(|now| now.level >= Level::High).await;
    drop(high.unwrap());
    // The model that nobody uses is let go, and the machine breathes again.
    let calm = pressure.wait_for(|now| now.level < Level::High).await;
    drop(calm.unwrap());
    let left = tree.scale.used();
    let without = tree.scale.limit.saturating_sub(Bytes::mib(8));
    assert!(left < without, "{left} are in use");
    // The neighbour takes that, too: now there is no room to load.
    tree.scale.fill(&mut taken);
    let full = pressure.wait_for(|now| now.level == Level::Critical).await;
    drop(full.unwrap());
    let refused = ask(&tree.models, "second", "two", 30).await;
    assert_typed(&refused.unwrap_err());
    tree.scale.assert_never_full();
    // And when it goes, there is.
    taken.clear();
    let calm = pressure.wait_for(|now| now.level < Level::High).await;
    drop(calm.unwrap());
    ask(&tree.models, "third", "two", 30).await.unwrap();
    tree.scale.assert_never_full();
    tree.scene.stop().await;
}
