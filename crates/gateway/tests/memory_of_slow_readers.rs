//! What clients that do not read cost in memory while their answers are computed: their text once, not a chunk for every
//! token. A file of its own, because it measures its whole process.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test stops at the first surprise"
)]

use crate::support;

use support::{Scene, ask, open, post};

/// Readers that do not read.
const READERS: usize = 8;
/// Tokens computed for all of them together. A chunk of the stream is some 190 bytes, so that chunks would be 19 MB; the
/// text is 400 kB.
const TOKENS: u64 = 100_000;
/// What may be added: the text, what is on its way to it, and what the allocator rounds up; 1.8 MB were measured.
const MOST_BYTES: u64 = 8 << 20;

fn resident_bytes() -> u64 {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
    let resident = pages.split(' ').nth(1).unwrap();
    resident.parse::<u64>().unwrap() * 4096
}

#[tokio::test]
async fn unread_answers_are_kept_as_their_text_and_no_more() {
    let scene = Scene::endless(|_| {}).await;
    let body = ask(r#","stream":true,"max_tokens":1000000,"seed":0"#);
    let mut readers = Vec::new();
    for _ in 0..READERS {
        readers.push(open(scene.address, &post(&body, "")).await);
    }
    let before = scene
        .control
        .wait_until(|c| c.sampled > 8_000)
        .await
        .sampled;
    let resident = resident_bytes();
    let after = scene
        .control
        .wait_until(|c| c.sampled > before + TOKENS)
        .await;
    let grown = resident_bytes().saturating_sub(resident);
    assert!(grown < MOST_BYTES, "{grown} bytes for {after:?}");
    drop(readers);
    scene.control.wait_until(|c| c.open_now() == 0).await;
    scene.end().await;
}
