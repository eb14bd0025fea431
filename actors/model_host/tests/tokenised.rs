//! Tokens that are kept of chats: a turn encodes what is new, and what is kept is leased, bounded and swept.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test may stop at the first surprise"
)]

use crate::common;

use std::time::Duration;

use cache_janitor::{CacheStatus, Held};
use common::{DEADLINE, Heard, MIB, Setting, Stage, hear, request};
use domain::{Bytes, ContextPolicy, KeepAlive, Message, ModelName, Prompt};
use memory_governor::client::wait_in_line;
use memory_governor::{Lease, Reserve};
use paraphym_model_host::{Request, Unload};
use testkit::scripted::Answer;
use tokio::time::Instant;

const PURPOSE: &str = "tokenised prompts";
/// Leased at once.
const PIECE: Bytes = Bytes(256 << 10);
/// As long as it is kept.
const TTL: Duration = Duration::from_mins(10);

fn asking(messages: &[Message]) -> Request {
    let mut ask = request("a");
    ask.prompt = Prompt::Chat(messages.to_vec());
    ask.sampling.max_tokens = 4;
    ask
}

async fn say(stage: &Stage, messages: &[Message]) -> Heard {
    let heard = hear(stage.ask(asking(messages)).await.unwrap()).await;
    heard.finished();
    // Whoever keeps it does so beside the answer.
    tokio::time::sleep(Duration::from_millis(1)).await;
    heard
}

/// One message, so one piece. Too short for its keys and values to be kept.
async fn remark(stage: &Stage, text: &str) {
    say(stage, &[Message::user(text)]).await;
}

/// What that takes: its text, four bytes for each token, of which there is one for each byte, and its places.
fn piece(text: &str) -> u64 {
    340 + 5 * (text.len() as u64 + "user: \n".len() as u64)
}

/// What a chat takes.
fn pieces(messages: &[Message]) -> u64 {
    let bytes = |m: &Message| 340 + 5 * (m.role.as_str().len() + m.content.len() + 3) as u64;
    messages.iter().map(bytes).sum()
}

/// What the janitor knows of it.
async fn cache(stage: &Stage) -> CacheStatus {
    let status = stage.janitor.ask(cache_janitor::Status, DEADLINE).await;
    let mut caches = status.unwrap().caches.into_iter();
    let found = caches.find(|cache| cache.name == "tokenised prompts of m");
    found.expect("it is registered")
}

async fn held(stage: &Stage) -> Held {
    cache(stage).await.held
}

async fn wakes(stage: &Stage) -> u64 {
    let status = stage.janitor.ask(cache_janitor::Status, DEADLINE).await;
    status.unwrap().wakes
}

async fn leased(stage: &Stage) -> Bytes {
    let ledger = stage.ledger().await;
    let leases = ledger.leases.iter().filter(|l| l.purpose == PURPOSE);
    leases.map(|lease| lease.bytes).sum()
}

fn for_ever() -> Setting {
    Setting::text("yes").config(|c| c.keep_alive = KeepAlive::Forever)
}

/// Somebody else wants all that is free, and a byte more.
async fn want_more_than_there_is(stage: &Stage) -> Lease {
    let wish = Reserve {
        owner: "somebody else".to_owned(),
        purpose: "something else".to_owned(),
        bytes: stage.ledger().await.available.saturating_add(Bytes(1)),
    };
    let patience = Duration::from_secs(30);
    let waiting = wait_in_line(&stage.governor, wish, patience).await;
    waiting.unwrap().granted().await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_turn_encodes_only_what_is_new() {
    let stage = Setting::text("yes").start().await;
    let mut chat = vec![Message::system("be brief"), Message::user("good day")];
    let first = say(&stage, &chat).await;
    assert_eq!(stage.control.counts().pieces, 2);
    chat.push(Message::assistant(&*first.text));
    chat.push(Message::user("and then?"));
    let second = say(&stage, &chat).await;
    assert_eq!(stage.control.counts().pieces, 2 + 2);
    // All of it again, and in another conversation, and nothing is encoded; the prompt is what it would be.
    let again = say(&stage, &chat).await;
    say(&stage, &chat[..2]).await;
    assert_eq!(stage.control.counts().pieces, 4);
    let prompt = |heard: &Heard| heard.finished().1.prompt_tokens;
    let whole = "system: be brief\nuser: good day\nassistant: yes\nuser: and then?\n";
    assert_eq!(prompt(&second) as usize, whole.len());
    assert_eq!(prompt(&again), prompt(&second));
    let held = held(&stage).await;
    assert_eq!((held.entries, held.bytes), (4, Bytes(pieces(&chat))));
    stage.close().await;
}

/// However many beginnings are tried, each message is encoded once; and the next turn, which has to leave out as many,
/// encodes what is new.
#[tokio::test(start_paused = true)]
async fn fitting_encodes_nothing_twice() {
    let stage = Setting::text("yes")
        .card(|card| card.context_tokens = 256)
        .start()
        .await;
    let mut chat = Vec::new();
    for n in 0..40 {
        chat.push(Message::user(format!("question {n:02}")));
        chat.push(Message::assistant(format!("answer {n:02}")));
    }
    chat.push(Message::user("the last question"));
    let mut ask = asking(&chat);
    ask.context = ContextPolicy::DropOldest;
    hear(stage.ask(ask).await.unwrap()).await.finished();
    tokio::time::sleep(Duration::from_millis(1)).await;
    let counts = stage.control.counts();
    assert!(counts.encoded > 4, "many were tried: {counts:?}");
    assert_eq!(counts.pieces, 81);
    chat.push(Message::assistant("yes"));
    chat.push(Message::user("one more"));
    let mut ask = asking(&chat);
    ask.context = ContextPolicy::DropOldest;
    hear(stage.ask(ask).await.unwrap()).await.finished();
    assert_eq!(stage.control.counts().pieces, 83);
    stage.close().await;
}

#[tokio::test(start_paused = true)]
async fn it_is_swept_at_its_deadline_and_not_before_and_wakes_nobody_until_then() {
    let stage = for_ever().start().await;
    remark(&stage, "one").await;
    tokio::time::sleep(Duration::from_mins(4)).await;
    let second = Instant::now();
    remark(&stage, "two").await;
    let both = held(&stage).await;
    assert_eq!(
        (both.entries, both.bytes),
        (2, Bytes(piece("one") + piece("two")))
    );
    assert_eq!(leased(&stage).await, PIECE);
    let before = wakes(&stage).await;
    tokio::time::sleep(Duration::from_secs(5 * 60 + 59)).await;
    assert_eq!((held(&stage).await, wakes(&stage).await), (both, before));
    // What is left is leased to the byte.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let one = held(&stage).await;
    assert_eq!((one.entries, one.bytes), (1, Bytes(piece("two"))));
    assert_eq!(leased(&stage).await, one.bytes);
    // It was used when its request began to be prepared.
    let due = one.next_due.unwrap();
    assert_eq!(due, second + TTL);
    assert_eq!(cache(&stage).await.asked_next, Some(due));
    let before = wakes(&stage).await;
    tokio::time::sleep_until(due - Duration::from_millis(10)).await;
    assert_eq!((held(&stage).await, wakes(&stage).await), (one, before));
    tokio::time::sleep(Duration::from_millis(30)).await;
    assert_eq!(held(&stage).await, Held::default());
    assert_eq!(leased(&stage).await, Bytes::ZERO);
    // Nothing is there, so nothing is due.
    let before = wakes(&stage).await;
    tokio::time::sleep(Duration::from_hours(1)).await;
    assert_eq!(wakes(&stage).await, before);
    remark(&stage, "one").await;
    assert_eq!(stage.control.counts().pieces, 3, "it was gone");
    stage.close().await;
}

#[tokio::test(start_paused = true)]
async fn what_is_used_is_kept_longer() {
    let stage = for_ever().start().await;
    for _ in 0..5 {
        remark(&stage, "one").await;
        tokio::time::sleep(Duration::from_mins(9)).await;
    }
    assert_eq!(stage.control.counts().pieces, 1);
    assert_eq!(held(&stage).await.entries, 1);
    stage.close().await;
}

/// Whoever waits for memory gets what is kept, the least recently used first, and the leases say so to the byte.
#[tokio::test(start_paused = true)]
async fn it_shrinks_when_others_wait_for_memory() {
    let stage = for_ever().memory(Bytes::mib(4)).start().await;
    for text in ["one", "two", "one"] {
        remark(&stage, text).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    let asked = Instant::now();
    let lease = want_more_than_there_is(&stage).await;
    assert!(asked.elapsed() < Duration::from_secs(1));
    let kept = held(&stage).await;
    assert_eq!((kept.entries, kept.bytes), (1, Bytes(piece("one"))));
    assert_eq!(leased(&stage).await, kept.bytes);
    assert_eq!(stage.control.counts().engines, 1);
    drop(lease);
    for text in ["one", "two"] {
        remark(&stage, text).await;
    }
    assert_eq!(stage.control.counts().pieces, 3, "two was gone");
    stage.close().await;
}

/// Room for the model and a conversation, and not for what could be kept: nobody waits for that or is refused.
#[tokio::test(start_paused = true)]
async fn without_a_lease_nothing_is_kept_and_nobody_waits() {
    let window = Bytes(256 << 10);
    let memory = Bytes(MIB + window.0 + PIECE.0 / 2);
    let stage = Setting::text("yes").memory(memory).start().await;
    stage.ask(request("load")).await.map(hear).unwrap().await;
    let others = stage.governor.ask(
        Reserve {
            owner: "somebody else".to_owned(),
            purpose: "something else".to_owned(),
            bytes: window,
        },
        DEADLINE,
    );
    let lease = others.await.unwrap();
    let asked = Instant::now();
    for _ in 0..2 {
        let heard = hear(stage.ask(asking(&[Message::user("hi")])).await.unwrap()).await;
        assert_eq!(heard.text, "yes");
    }
    assert_eq!(asked.elapsed(), Duration::ZERO);
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(stage.control.counts().pieces, 2);
    assert_eq!(held(&stage).await, Held::default());
    assert_eq!(leased(&stage).await, Bytes::ZERO);
    // And as soon as there is room again, it is.
    drop(lease);
    remark(&stage, "hi").await;
    remark(&stage, "hi").await;
    assert_eq!(stage.control.counts().pieces, 3);
    assert_eq!(leased(&stage).await, PIECE);
    stage.close().await;
}

#[tokio::test(start_paused = true)]
async fn an_unloaded_model_keeps_nothing() {
    let stage = Setting::text("yes").start().await;
    remark(&stage, "one").await;
    assert_eq!(leased(&stage).await, PIECE);
    let ask = stage.janitor.ask(cache_janitor::Status, DEADLINE);
    let names: Vec<String> = ask
        .await
        .unwrap()
        .caches
        .into_iter()
        .map(|c| c.name)
        .collect();
    assert_eq!(names, ["embeddings", "tokenised prompts of m"]);
    let model = ModelName::new("m");
    stage.host.ask(Unload { model }, DEADLINE).await.unwrap();
    assert_eq!(stage.ledger().await.leased, Bytes::ZERO);
    let ask = stage.janitor.ask(cache_janitor::Status, DEADLINE);
    let names: Vec<String> = ask
        .await
        .unwrap()
        .caches
        .into_iter()
        .map(|c| c.name)
        .collect();
    assert_eq!(names, ["embeddings"]);
    remark(&stage, "one").await;
    assert_eq!(stage.control.counts().pieces, 2);
    // The same by time alone.
    tokio::time::sleep(Duration::from_mins(6)).await;
    assert_eq!(stage.control.counts().engines, 0, "keep_alive is over");
    assert_eq!(stage.ledger().await.leased, Bytes::ZERO);
    stage.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_crash_loses_what_was_kept_and_no_word() {
    let stage = Setting::text("yes").start().await;
    let chat = [Message::system("be brief"), Message::user("good day")];
    say(&stage, &chat).await;
    stage.control.panic_next(1);
    let heard = say(&stage, &chat).await;
    assert_eq!(heard.text, "yes");
    assert_eq!(stage.control.counts().loads, 2);
    assert_eq!(
        stage.control.counts().pieces,
        2,
        "it was known when it was asked"
    );
    assert_eq!(
        (held(&stage).await.entries, leased(&stage).await),
        (0, Bytes::ZERO)
    );
    say(&stage, &chat).await;
    assert_eq!(stage.control.counts().pieces, 4);
    assert_eq!(
        (held(&stage).await.entries, leased(&stage).await),
        (2, PIECE)
    );
    stage.close().await;
}

/// Its lane lives on for a reader who is slow; what it kept does not.
#[tokio::test(start_paused = true)]
async fn what_is_kept_goes_with_the_model_and_not_with_its_lane() {
    let setting = Setting::new(Answer::Counting).card(|card| card.context_tokens = 2048);
    let stage = setting.start().await;
    let mut ask = asking(&[Message::user("count")]);
    ask.sampling.max_tokens = 900;
    let stream = stage.ask(ask).await.unwrap();
    stage.control.wait_until(|c| c.sampled == 900).await;
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert_eq!(leased(&stage).await, PIECE);
    let model = ModelName::new("m");
    stage.host.ask(Unload { model }, DEADLINE).await.unwrap();
    assert_eq!(stage.models().await.len(), 1);
    assert_eq!(stage.ledger().await.leased, Bytes::ZERO);
    drop(stream);
    stage.close().await;
}
