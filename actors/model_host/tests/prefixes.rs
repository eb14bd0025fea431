//! What is kept of a prompt and its answer: the next turn reads only what is new, conversations share what they have in
//! common, and whatever happens no text changes and every byte comes back.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test may stop at the first surprise"
)]

use crate::common;

use std::time::Duration;

use common::{DEADLINE, Heard, MIB, Setting, Stage, counting, hear};
use domain::{Bytes, GenerationEvent, KeepAlive, ModelName, Prompt, RequestId};
use memory_governor::{Reserve, ReserveWithin};
use paraphym_model_host::{Cancel, Request, Unload};
use testkit::scripted::Answer;

/// KV of the scripted model: 1 KiB a token, in pages of 16.
fn kv(tokens: u64) -> Bytes {
    Bytes(tokens.div_ceil(16) * 16 * 1024)
}

fn asking(id: &str, prompt: &str, tokens: u32) -> Request {
    let mut request = counting(0, tokens);
    request.id = RequestId::new(id);
    request.prompt = Prompt::Text(prompt.to_owned());
    request
}

async fn say(stage: &Stage, prompt: &str, tokens: u32) -> Heard {
    let heard = hear(stage.ask(asking("q", prompt, tokens)).await.unwrap()).await;
    assert_eq!(heard.text, Answer::listening(prompt, 0, tokens), "{prompt}");
    heard
}

/// A turn of a model whose answer is text, and the prompt of the next turn without the question.
async fn turn(stage: &Stage, prompt: &str) -> (Heard, String) {
    let heard = hear(stage.ask(asking("q", prompt, 50)).await.unwrap()).await;
    let next = format!("{prompt}{}", heard.text);
    (heard, next)
}

fn bytes(text: &str) -> Setting {
    Setting::new(Answer::Bytes(text.as_bytes().to_vec()))
}

/// Waits without time, which stands still while a step is held.
async fn until_leased(stage: &Stage, leases: usize) {
    for _ in 0..100_000 {
        if stage.ledger().await.leases.len() == leases {
            return;
        }
        tokio::task::yield_now().await;
    }
    panic!("never {leases} leases: {:?}", stage.ledger().await);
}

#[tokio::test(start_paused = true)]
async fn the_second_turn_reads_only_what_is_new() {
    let stage = bytes(" I am well, and you? ").start().await;
    let first = "system: be kind. user: good day, how are you? ";
    let (heard, mut next) = turn(&stage, first).await;
    assert_eq!(heard.finished().1.cached_tokens, 0);
    // All that was fed: the end of the turn was said and not fed.
    let fed = next.len();
    assert_eq!(stage.kv_kept().await, kv(fed as u64));
    assert_eq!(stage.ledger().await.leased, Bytes(MIB + kv(fed as u64).0));
    next.push_str("user: I am, too, thank you. What now? ");
    let read = stage.control.counts().prefilled;
    let (heard, _) = turn(&stage, &next).await;
    let usage = heard.finished().1;
    assert_eq!(usage.prompt_tokens as usize, next.len());
    assert_eq!(usage.cached_tokens as usize, fed);
    let counts = stage.control.counts();
    assert_eq!((counts.prefilled - read) as usize, next.len() - fed);
    assert_eq!(counts.reused as usize, fed);
    // It goes on from there, and is told so.
    let prefills = heard.events.iter().filter_map(|event| match event {
        GenerationEvent::Prefill { done, total } => Some((*done as usize, *total as usize)),
        _ => None,
    });
    let prefills: Vec<_> = prefills.collect();
    assert_eq!(prefills, [(fed + 32, next.len()), (next.len(), next.len())]);
    // One conversation is kept once, in the memory it took over and what it needed beyond.
    assert_eq!(stage.models().await[0].prefixes, 1);
    assert_eq!(counts.kept_now(), 1);
    stage.close().await;
}

#[tokio::test(start_paused = true)]
async fn ten_turns_read_each_token_once() {
    let stage = bytes(" yes ").start().await;
    let mut prompt = "a conversation that goes on and on: ".to_owned();
    for _ in 0..10 {
        prompt = turn(&stage, &prompt).await.1 + "and then?";
    }
    let counts = stage.control.counts();
    let asked = prompt.len() - "and then?".len();
    assert_eq!((counts.prefilled + counts.sampled) as usize, asked + 10);
    let held = stage.kv_kept().await;
    assert_eq!(
        held,
        kv(asked as u64),
        "as much as one sequence of that length"
    );
    stage.close().await;
}

/// Whatever is reused, the answer is that of the whole prompt.
#[tokio::test(start_paused = true)]
async fn two_conversations_share_what_they_have_in_common() {
    let stage = Setting::new(Answer::Listening).start().await;
    let system = "system: answer in numbers, and do not stop to think. ";
    let (one, other) = (format!("{system}one"), format!("{system}and the other"));
    say(&stage, &one, 60).await;
    let heard = say(&stage, &other, 60).await;
    assert_eq!(heard.finished().1.cached_tokens as usize, system.len());
    let models = stage.models().await;
    assert_eq!(models[0].prefixes, 2, "neither lost its own");
    // The same again: all but the last token is there, and the old answer is not in its way.
    let heard = say(&stage, &one, 60).await;
    assert_eq!(heard.finished().1.cached_tokens as usize, one.len() - 1);
    stage.close().await;
}

#[tokio::test(start_paused = true)]
async fn what_is_short_is_not_kept() {
    let stage = Setting::new(Answer::Listening).start().await;
    say(&stage, "thirty-one tokens with an answer", 1).await;
    assert_eq!(stage.models().await[0].prefixes, 1, "a chunk of 32");
    say(&stage, "a short one", 20).await;
    assert_eq!(stage.models().await[0].prefixes, 1);
    assert_eq!(stage.kv_kept().await, kv(32));
    stage.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_answer_is_kept_as_far_as_it_came() {
    let stage = Setting::new(Answer::Listening).start().await;
    let prompt = "x".repeat(100);
    let gate = stage.control.gate_step(3);
    let stream = stage.ask(asking("c", &prompt, 20)).await.unwrap();
    stage.control.wait_until(|c| c.steps == 3).await;
    let id = RequestId::new("c");
    assert!(stage.host.ask(Cancel { id }, DEADLINE).await.unwrap());
    gate.release();
    hear(stream).await.failed();
    assert_eq!(stage.kv_kept().await, kv(96), "three chunks were read");
    let heard = say(&stage, &prompt, 20).await;
    assert_eq!(heard.finished().1.cached_tokens, 96);
    stage.close().await;
}

#[tokio::test(start_paused = true)]
async fn what_nobody_goes_on_with_is_swept_at_its_deadline() {
    let setting = Setting::new(Answer::Listening).config(|c| {
        c.keep_alive = KeepAlive::Forever;
        c.prefix_ttl = Duration::from_mins(10);
    });
    let stage = setting.start().await;
    let (one, other) = ("one ".repeat(20), "other ".repeat(20));
    say(&stage, &one, 5).await;
    tokio::time::sleep(Duration::from_mins(6)).await;
    say(&stage, &other, 5).await;
    assert_eq!(stage.models().await[0].prefixes, 2);
    tokio::time::sleep(Duration::from_mins(5)).await;
    assert_eq!(stage.models().await[0].prefixes, 1, "the first has expired");
    let heard = say(&stage, &other, 5).await;
    assert_eq!(heard.finished().1.cached_tokens as usize, other.len() - 1);
    tokio::time::sleep(Duration::from_mins(11)).await;
    assert_eq!(stage.ledger().await.leased, Bytes::mib(1), "the weights");
    assert_eq!(stage.control.counts().kept_now(), 0);
    stage.close().await;
}

/// An idle model is idle, whatever it keeps; and what it keeps goes with it.
#[tokio::test(start_paused = true)]
async fn an_unloaded_model_keeps_nothing() {
    let stage = Setting::new(Answer::Listening).start().await;
    let prompt = "hello ".repeat(20);
    say(&stage, &prompt, 5).await;
    assert!(stage.models().await[0].idle_for.is_some());
    tokio::time::sleep(Duration::from_mins(6)).await;
    assert_eq!(stage.control.counts().engines, 0, "keep_alive is over");
    assert_eq!(stage.ledger().await.leased, Bytes::ZERO);
    let heard = say(&stage, &prompt, 5).await;
    assert_eq!(heard.finished().1.cached_tokens, 0);
    let model = ModelName::new("m");
    stage.host.ask(Unload { model }, DEADLINE).await.unwrap();
    assert_eq!(stage.ledger().await.leased, Bytes::ZERO);
    stage.close().await;
}

/// A sequence that began with what was kept says the same after a crash, with an engine that has kept nothing.
#[tokio::test(start_paused = true)]
async fn a_crash_takes_what_was_kept_and_no_word() {
    let stage = Setting::new(Answer::Listening).start().await;
    let system = "system: be brief, and be quick about it. ";
    say(&stage, &format!("{system}one"), 20).await;
    say(&stage, &format!("{system}two"), 20).await;
    let steps = stage.control.counts().steps;
    // In its second step: it has begun with what was kept.
    stage.control.panic_at(steps + 2);
    let heard = say(&stage, &format!("{system}and more than that"), 20).await;
    let usage = heard.finished().1;
    assert_eq!(usage.cached_tokens, 0, "it was read after all");
    let counts = stage.control.counts();
    assert_eq!(
        (counts.loads, counts.reused as usize),
        (2, 2 * system.len())
    );
    assert_eq!(stage.models().await[0].prefixes, 1, "only the last is kept");
    stage.close().await;
}

/// Who takes memory over has leases for all of it, also when the engine that had it is gone.
#[tokio::test(start_paused = true)]
async fn a_crash_after_a_takeover_replays_within_the_leases() {
    let stage = bytes(" I am well, and you? ").start().await;
    let (_, next) = turn(&stage, "system: be kind. user: good day, how are you? ").await;
    let next = next + "user: fine. ";
    let steps = stage.control.counts().steps;
    let gate = stage.control.gate_step(steps + 3);
    let stream = stage.ask(asking("q", &next, 50)).await.unwrap();
    stage.control.wait_until(|c| c.steps == steps + 3).await;
    let whole = kv(next.len() as u64 + 50);
    assert_eq!(stage.kv_leased().await, whole);
    assert_eq!(stage.ledger().await.leased, Bytes(MIB + whole.0));
    stage.control.panic_next(1);
    gate.release();
    let heard = hear(stream).await;
    assert_eq!(heard.text, " I am well, and you? ");
    assert_eq!(stage.control.counts().loads, 2);
    stage.close().await;
}

/// Memory for one window and a bit: what is kept goes before anyone is refused, and who shares it loses nothing.
#[tokio::test(start_paused = true)]
async fn what_is_kept_makes_room_for_who_asks() {
    let memory = Bytes(MIB + kv(256).0 + kv(64).0);
    let stage = Setting::new(Answer::Listening).memory(memory).start().await;
    for turn in 0..6 {
        let prompt = format!("{turn}: {}", "quite another story ".repeat(8));
        say(&stage, &prompt, 60).await;
        assert!(stage.ledger().await.leased <= memory);
    }
    // Two windows at once do not fit, and both are answered.
    let all = "the same beginning for all, and then ".repeat(3);
    let ask = |who: &str| asking(who, &format!("{all}{who}"), 90);
    let one = stage.ask(ask("one")).await.unwrap();
    let two = stage.ask(ask("two")).await.unwrap();
    for (who, stream) in [("one", one), ("two", two)] {
        let prompt = format!("{all}{who}");
        assert_eq!(hear(stream).await.text, Answer::listening(&prompt, 0, 90));
    }
    stage.close().await;
}

/// A sequence that is to begin with what is swept before it begins.
#[tokio::test(start_paused = true)]
async fn what_is_swept_meanwhile_is_read_after_all() {
    let setting = Setting::new(Answer::Listening).config(|c| c.prefixes = 1);
    let stage = setting.start().await;
    let system = "system: be brief, and be quick about it. ";
    say(
        &stage,
        &format!("{system}one, and only one, in words and not in numbers"),
        1,
    )
    .await;
    // The next is being answered while another, which would begin with the same, comes in. As it ends, what it leaves
    // pushes out what the other was to begin with.
    let steps = stage.control.counts().steps;
    let last = stage.control.gate_step(steps + 4);
    let ask = asking("first", &"x".repeat(110), 1);
    let first = stage.ask(ask).await.unwrap();
    stage.control.wait_until(|c| c.steps == steps + 4).await;
    let prompt = format!("{system}two");
    let second = stage.ask(asking("second", &prompt, 5)).await.unwrap();
    // It is admitted while the engine is away.
    until_leased(&stage, 4).await;
    last.release();
    hear(first).await.finished();
    let heard = hear(second).await;
    assert_eq!(heard.text, Answer::listening(&prompt, 0, 5));
    assert_eq!(heard.finished().1.cached_tokens, 0);
    assert_eq!(stage.control.counts().reused, 0);
    stage.close().await;
}

/// Whoever waits for memory gets what is kept, by way of the governor and the janitor. The model stays.
#[tokio::test(start_paused = true)]
async fn what_is_kept_goes_when_others_wait_for_memory() {
    let memory = Bytes::mib(4);
    let stage = Setting::new(Answer::Listening).memory(memory).start().await;
    let (one, other) = ("one ".repeat(20), "other ".repeat(20));
    say(&stage, &one, 5).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    say(&stage, &other, 5).await;
    let ledger = stage.ledger().await;
    assert_eq!(stage.models().await[0].prefixes, 2);
    let wish = Reserve {
        owner: "somebody else".to_owned(),
        purpose: "something else".to_owned(),
        bytes: ledger.available.saturating_add(Bytes(1)),
    };
    let patience = Duration::from_secs(30);
    let wait = ReserveWithin { wish, patience };
    let lease = stage.governor.ask(wait, DEADLINE).await.unwrap();
    assert_eq!(stage.models().await[0].prefixes, 1, "the one used last");
    assert_eq!(stage.control.counts().engines, 1);
    drop(lease);
    let heard = say(&stage, &other, 5).await;
    assert_eq!(heard.finished().1.cached_tokens as usize, other.len() - 1);
    let heard = say(&stage, &one, 5).await;
    assert_eq!(heard.finished().1.cached_tokens, 0);
    stage.close().await;
}
