//! Everything at once, from a seed: readers who read, stall, leave and cancel while engines crash, loads fail and memory
//! is short. Prompts have beginnings in common, and sequences begin with what others left. Whatever happens, each stream
//! ends exactly once, says a beginning of the right text, and leaves nothing behind.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test may stop at the first surprise"
)]

use crate::common;

use std::time::Duration;

use common::{DEADLINE, MIB, Setting, Stage, counting, hear, note};
use domain::{Bytes, GenerationError, GenerationEvent, ModelName, Prompt, RequestId};
use paraphym_model_host::{Cancel, GenerationStream};
use testkit::scripted::Answer;
use tokio::task::JoinSet;

/// `SplitMix64` (Steele, Lea, Flood 2014): small, and the same everywhere.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % below
    }
}

#[derive(Clone, Copy, Debug)]
enum Reader {
    ToTheEnd,
    /// Leaves after so many events.
    Leaves(u64),
    /// Lets others run so often before it reads.
    Stalls(u64),
}

/// Reads as it was told to and checks what it heard. Returns the end, if it stayed for it.
async fn read(
    mut stream: GenerationStream,
    reader: Reader,
    whole: String,
    tokens: u32,
) -> Option<GenerationEvent> {
    match reader {
        Reader::ToTheEnd => {}
        Reader::Stalls(turns) => {
            for _ in 0..turns {
                tokio::task::yield_now().await;
            }
        }
        Reader::Leaves(events) => {
            let mut heard = common::Heard::default();
            for _ in 0..events {
                match stream.next().await {
                    Some(event) => note(&mut heard, event),
                    None => break,
                }
            }
            assert!(whole.starts_with(&heard.text), "{:?}", heard.text);
            return None;
        }
    }
    let heard = hear(stream).await;
    assert!(whole.starts_with(&heard.text), "{:?}", heard.text);
    if let GenerationEvent::Finished { usage, .. } = heard.end() {
        assert_eq!((&heard.text, usage.completion_tokens), (&whole, tokens));
    }
    heard.events.last().cloned()
}

fn may_happen(error: &GenerationError) -> bool {
    matches!(
        error,
        GenerationError::Cancelled
            | GenerationError::CircuitOpen { .. }
            | GenerationError::EngineCrashed { .. }
            | GenerationError::LoadFailed { .. }
            | GenerationError::MemoryExhausted { .. }
            | GenerationError::Overloaded { .. }
    )
}

async fn set_the_stage(dice: &mut Dice) -> Stage {
    let (batch, queue) = (1 + dice.roll(4) as usize, 3 + dice.roll(10) as usize);
    let memory = Bytes(MIB + (64 << 10) * (1 + dice.roll(12)));
    let setting = Setting::new(Answer::Listening)
        .config(|c| (c.max_batch, c.queue, c.prefill_chunk) = (batch, queue, 8))
        .memory(memory);
    let stage = setting.start().await;
    for _ in 0..dice.roll(4) {
        stage.control.panic_at(1 + dice.roll(60));
    }
    if dice.roll(4) == 0 {
        stage.control.fail_loads(1);
    }
    if dice.roll(4) == 0 {
        stage.control.poison(b'!', dice.roll(5));
    }
    stage
}

async fn storm(seed: u64) {
    let mut dice = Dice(seed);
    let stage = set_the_stage(&mut dice).await;
    let mut readers = JoinSet::new();
    for n in 0..14 {
        let (seed, tokens) = (n * 50, 1 + dice.roll(30) as u32);
        let mut request = counting(seed, tokens);
        request.model = ModelName::new("m");
        let first = if dice.roll(5) == 0 { "!" } else { "?" };
        let prompt = first.repeat(1 + dice.roll(40) as usize);
        let whole = Answer::listening(&prompt, seed, tokens);
        request.prompt = Prompt::Text(prompt);
        let reader = match dice.roll(4) {
            0 => Reader::Leaves(dice.roll(8)),
            1 => Reader::Stalls(dice.roll(2000)),
            _ => Reader::ToTheEnd,
        };
        match stage.ask(request).await {
            Ok(stream) => {
                readers.spawn(read(stream, reader, whole, tokens));
            }
            Err(error) => assert!(may_happen(&error), "{error}"),
        }
        for _ in 0..dice.roll(200) {
            tokio::task::yield_now().await;
        }
        if dice.roll(6) == 0 {
            let id = RequestId::new(format!("count-{}", dice.roll(14) * 50));
            stage.host.ask(Cancel { id }, DEADLINE).await.unwrap();
        }
    }
    while let Some(end) = readers.join_next().await {
        if let Some(GenerationEvent::Failed(error)) = end.unwrap() {
            assert!(may_happen(&error), "{error}");
        }
    }
    // Each fault happens once, so the question after the storm is answered, at the latest when all have happened.
    let mut answered = false;
    for _ in 0..5 {
        tokio::time::sleep(Duration::from_secs(5)).await;
        let next = hear(stage.count(900, 3).await).await;
        answered |= next.text == Answer::listening("hello world", 900, 3);
    }
    assert!(answered, "nothing is answered after storm {seed}");
    stage.close().await;
}

#[tokio::test(start_paused = true)]
async fn every_stream_ends_once_and_nothing_is_left() {
    for seed in 0..60 {
        eprintln!("storm {seed}");
        storm(seed).await;
    }
}
