//! Nothing is in use that is not leased: looked at each time an engine or a load takes memory or gives it back, in storms of
//! questions that are heard to the end or given up, crashes, refusals and unloads, with room for one of two models.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test stops at the first surprise, and says how often it looked"
)]

mod common;

use std::time::Duration;

use common::{DEADLINE, MODELS, PROGRAM, Squeezed, squeezed};
use domain::{ContextPolicy, GenerationEvent, ModelName, Prompt, RequestId, Sampling};
use model_host::{ModelHost, Request, Unload, generate};
use supervision::Handle;
use testkit::scripted::Control;
use tokio::task::JoinSet;
use tokio::time::sleep;

/// Storms of the test; `PARAPHYM_STORMS` for more.
const STORMS: u64 = 12;
const CONVERSATIONS: u64 = 6;
const TURNS: u64 = 5;

/// Numbers that look random, the same for the same seed (`SplitMix64`).
struct Dice(u64);

impl Dice {
    fn below(&mut self, most: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % most
    }

    fn one_of<T: Copy, const N: usize>(&mut self, all: [T; N]) -> T {
        let at = usize::try_from(self.below(N as u64)).unwrap();
        *all.get(at).unwrap()
    }

    fn model(&mut self) -> ModelName {
        ModelName::new(self.one_of(MODELS))
    }

    /// Often none at all.
    fn rest(&mut self) -> Duration {
        let most = self.one_of([1, 1, 20, 3000]);
        Duration::from_millis(self.below(most))
    }
}

fn question(name: &str, model: ModelName, text: String, max_tokens: u64) -> Request {
    Request {
        id: RequestId::new(name),
        model,
        prompt: Prompt::Text(text),
        sampling: Sampling {
            max_tokens: u32::try_from(max_tokens).unwrap(),
            seed: 7,
            ..Sampling::greedy()
        },
        context: ContextPolicy::Refuse,
        keep_alive: None,
        tools: domain::Tools::default(),
    }
}

/// A question, heard to its end or given up after some events.
async fn ask(models: &Handle<ModelHost>, dice: &mut Dice, name: String) {
    // Prompts share beginnings, of any length.
    let mut text = "x".repeat(usize::try_from(8 + dice.below(160)).unwrap());
    if dice.below(3) == 0 {
        text.push_str(&"y".repeat(usize::try_from(dice.below(40)).unwrap()));
    }
    let request = question(&name, dice.model(), text, 1 + dice.below(40));
    let patience = if dice.below(3) == 0 {
        dice.below(30)
    } else {
        u64::MAX
    };
    let Ok(mut stream) = generate(models, request).await else {
        return;
    };
    for _ in 0..patience {
        match stream.next().await {
            None | Some(GenerationEvent::Failed(_) | GenerationEvent::Finished { .. }) => return,
            Some(_) => {}
        }
    }
}

async fn converse(models: Handle<ModelHost>, number: u64, mut dice: Dice) {
    for turn in 0..TURNS {
        sleep(dice.rest()).await;
        ask(&models, &mut dice, format!("{number}-{turn}")).await;
    }
}

/// What goes wrong meanwhile.
async fn disturb(models: Handle<ModelHost>, control: Control, mut dice: Dice) {
    for _ in 0..8 {
        sleep(dice.rest()).await;
        match dice.below(4) {
            0 => control.panic_next(1),
            1 => control.refuse_opens(1),
            _ => {
                let model = dice.model();
                // Busy, or not there: then it was nothing.
                drop(models.ask(Unload { model }, DEADLINE).await);
            }
        }
    }
}

async fn storm(seed: u64) -> u64 {
    let tree = squeezed().await;
    tree.scale.weigh_against(tree.governor.clone());
    let mut tasks = JoinSet::new();
    let dice = |number: u64| Dice(seed * 1000 + number);
    for number in 0..CONVERSATIONS {
        tasks.spawn(converse(tree.models.clone(), number, dice(number)));
    }
    tasks.spawn(disturb(
        tree.models.clone(),
        tree.control.clone(),
        dice(CONVERSATIONS),
    ));
    while tasks.join_next().await.is_some() {
        tree.scale.look().await;
    }
    let Squeezed { scene, scale, .. } = tree;
    scene.stop().await;
    // A load that nobody waits for any more ends by itself, on its thread; the clock stands still until it has.
    sleep(Duration::from_secs(1)).await;
    let (uncovered, looks) = scale.found();
    assert_eq!(uncovered, [""; 0], "storm {seed}");
    assert_eq!(scale.used(), PROGRAM, "storm {seed}: all of it comes back");
    looks
}

#[tokio::test(start_paused = true)]
async fn nothing_is_in_use_that_is_not_leased_whenever_one_looks() {
    let storms = std::env::var("PARAPHYM_STORMS").ok();
    let storms = storms.and_then(|text| text.parse().ok()).unwrap_or(STORMS);
    let from = std::env::var("PARAPHYM_STORM").ok();
    let from: u64 = from.and_then(|text| text.parse().ok()).unwrap_or(1);
    let mut looks = 0;
    for seed in from..from + storms {
        looks += storm(seed).await;
    }
    println!("{looks} looks in {storms} storms");
    assert!(looks > storms * 100, "{looks} looks in {storms} storms");
}

/// The last turn's 59 tokens are in four pages, of which the next takes the first two and needs three more: until it is open
/// there are seven.
#[tokio::test(start_paused = true)]
async fn what_is_left_out_of_a_prefix_is_leased_until_it_is_forgotten() {
    let tree = squeezed().await;
    tree.scale.weigh_against(tree.governor.clone());
    for (name, length, max_tokens) in [("first", 40, 20), ("second", 33, 40)] {
        let request = question(name, ModelName::new("one"), "x".repeat(length), max_tokens);
        let mut stream = generate(&tree.models, request).await.unwrap();
        let mut last = None;
        while let Some(event) = stream.next().await {
            last = Some(event);
        }
        let Some(GenerationEvent::Finished { usage, .. }) = last else {
            panic!("{name}: {last:?}");
        };
        let cached = if name == "first" { 0 } else { 32 };
        assert_eq!(usage.cached_tokens, cached, "{name}");
    }
    let (uncovered, looks) = tree.scale.found();
    assert_eq!(uncovered, [""; 0]);
    assert!(looks > 10, "{looks}");
    tree.scene.stop().await;
}
