//! An answer under way that is longer than may wait for one client: whoever comes sees its end, is told how much stands before,
//! and goes on from there. On a paused clock.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test may stop at the first surprise"
)]

mod support;

use serde_json::Value;
use support::{JOIN, Stage};
use testkit::scripted::Answer;

const SAY: &str = r#"{"op":"say","conversation":"c","text":"hi","nonce":"n"}"#;
/// Steps after which the model waits: most of the answer was said.
const STEPS: u64 = 36;

/// 40 words of 50 000 bytes, of characters of two.
fn long() -> String {
    let words = ('а'..='я').chain('А'..='Я').take(40);
    let words = words.map(|letter| letter.to_string().repeat(25_000));
    words.collect::<Vec<_>>().join(" ")
}

fn shown(room: &Value) -> (u64, String) {
    let turn = &room["turns"][0];
    let text = turn["text"].as_str().unwrap().to_owned();
    (turn["left_out"].as_u64().unwrap(), text)
}

fn chars(text: &str) -> u64 {
    text.chars().count() as u64
}

#[tokio::test(start_paused = true)]
async fn who_comes_into_a_very_long_answer_sees_its_end_and_reads_on_from_there() {
    let whole = long();
    let stage = Stage::start(Answer::Text(whole.clone())).await;
    let gate = stage.control.gate_step(STEPS);
    let (mut ann, _) = stage.viewer("ann").await;
    ann.say(SAY).await;
    ann.expect("delta").await;
    stage
        .control
        .wait_until(|counts| counts.steps == STEPS)
        .await;

    // More than may wait was said by now, and each who comes is there.
    let mut late = Vec::new();
    for user in ["bob", "cleo"] {
        let (mut client, _) = stage.client(user).await;
        client.say(JOIN).await;
        let (left_out, text) = shown(&client.expect("room").await);
        assert!(
            text.len() > 40_000 && text.len() < 1 << 17,
            "{}",
            text.len()
        );
        let known = left_out + chars(&text);
        assert!(known > 700_000, "{known}");
        let end: String = whole
            .chars()
            .skip(usize::try_from(left_out).unwrap())
            .collect();
        assert!(end.starts_with(&text), "it is what stands there");
        late.push((client, known, text, end));
    }
    gate.release();
    for (client, mut known, mut text, end) in late {
        let mut client = client;
        loop {
            let frame = client.next().await.unwrap().unwrap();
            match frame["op"].as_str().unwrap() {
                "delta" => {
                    assert_eq!(frame["at"], known, "a piece is missing");
                    let more = frame["text"].as_str().unwrap();
                    known += chars(more);
                    text.push_str(more);
                }
                "ended" => break,
                _ => {}
            }
        }
        assert!(text == end, "all of it behind what was left out");
    }
    drop(ann);
    stage.end().await;
}
