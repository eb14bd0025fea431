//! Clients that send what they should not, or nothing, over real sockets: each hears why, and nobody else feels it.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a broken fixture should fail the test at once"
)]

use crate::support;

use futures_util::SinkExt;
use support::live::{Bounds, Client, FRAME_BYTES, say};
use support::{Scene, get};
use testkit::scripted::Answer;
use tokio::io::AsyncWriteExt;
use tokio::time::{Duration, Instant};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};

/// Ten thousand lists in each other.
fn nested() -> String {
    let (open, close) = ("[".repeat(10_000), "]".repeat(10_000));
    format!(r#"{{"op":"heartbeat","seq":{open}{close}}}"#)
}

/// Texts that are no frame of ours, and what each is called.
fn wrong_texts() -> [(String, &'static str); 8] {
    [
        (String::new(), "not_json"),
        ("garbage".to_owned(), "not_json"),
        (nested(), "not_json"),
        ("[]".to_owned(), "not_an_object"),
        (r#"{"op":"dance"}"#.to_owned(), "unknown_op"),
        (r#"{"op":"heartbeat"}"#.to_owned(), "missing_field"),
        (
            r#"{"op":"heartbeat","seq":"one"}"#.to_owned(),
            "wrong_value",
        ),
        (r#"{"op":"heartbeat","seq":99}"#.to_owned(), "wrong_value"),
    ]
}

fn frame(opcode: OpCode, bytes: Vec<u8>, is_final: bool) -> Message {
    Message::Frame(Frame::message(bytes, opcode, is_final))
}

/// Frames that the protocol itself does not take, and the number each is closed with.
fn wrong_frames() -> Vec<(&'static str, Vec<Message>, u16)> {
    let text = OpCode::Data(Data::Text);
    let mut reserved = Frame::message(b"x".to_vec(), text, true);
    reserved.header_mut().rsv1 = true;
    let half = vec![b'x'; FRAME_BYTES / 2 + 1];
    vec![
        ("binary", vec![Message::binary(vec![1, 2, 3])], 1003),
        ("not UTF-8", vec![frame(text, vec![0xff, 0xfe], true)], 1007),
        ("2 MiB", vec![Message::text("x".repeat(2 << 20))], 1009),
        (
            "too large in two pieces",
            vec![
                frame(text, half.clone(), false),
                frame(OpCode::Data(Data::Continue), half, true),
            ],
            1009,
        ),
        ("a reserved bit", vec![Message::Frame(reserved)], 1002),
        (
            "a piece of nothing",
            vec![frame(OpCode::Data(Data::Continue), vec![], true)],
            1002,
        ),
        (
            "a long ping",
            vec![Message::Frame(Frame::ping(vec![0; 126]))],
            1002,
        ),
    ]
}

#[tokio::test]
async fn each_wrong_frame_is_answered_or_closes_its_sender_and_another_reads_on() {
    let scene = Scene::live(Answer::Counting, Bounds::default(), |_| {}).await;
    let gate = scene.control.gate_step(9);
    let (mut ann, _) = Client::viewer(scene.address, "ann").await;
    ann.say(&say("n")).await;
    let known = ann.expect("delta").await["text"].clone();
    scene.control.wait_until(|counts| counts.steps == 9).await;

    let (mut bad, _) = Client::named(scene.address, "bad").await;
    for (text, code) in wrong_texts() {
        bad.say(&text).await;
        let error = bad.expect("error").await;
        assert_eq!(error["code"], code, "{error}");
    }
    // It was told, and may go on.
    bad.say(r#"{"op":"heartbeat","seq":0}"#).await;
    bad.expect("heartbeat_ack").await;
    for (what, frames, number) in wrong_frames() {
        for identified in [false, true] {
            let mut bad = Client::connect(scene.address).await;
            if identified {
                bad.identify("bad").await;
            }
            for frame in &frames {
                // The other side may have closed already.
                let _ = bad.socket.send(frame.clone()).await;
            }
            assert_eq!(bad.closed().await, number, "{what} {identified}");
        }
    }
    gate.release();
    let (text, _) = ann.answer(known.as_str().unwrap()).await;
    assert_eq!(text, Answer::counting(0, 50));
    drop((ann, bad));
    scene.end().await;
}

#[tokio::test]
async fn who_is_wrong_again_and_again_is_closed() {
    let scene = Scene::live(Answer::Counting, Bounds::default(), |_| {}).await;
    for identified in [false, true] {
        let mut bad = Client::connect(scene.address).await;
        if identified {
            bad.identify("bad").await;
        }
        for _ in 0..20 {
            let _ = bad.socket.send(Message::text("garbage")).await;
        }
        assert_eq!(bad.closed().await, 4503, "{identified}");
    }
    scene.end().await;
}

#[tokio::test]
async fn bytes_that_are_no_frames_and_half_frames_harm_nobody() {
    let scene = Scene::live(Answer::Counting, Bounds::default(), |_| {}).await;
    let unmasked = b"\x81\x02hi".to_vec();
    let noise: Vec<u8> = (0..2000_u32).map(|n| (n * 37 % 251) as u8).collect();
    let unknown_opcode = b"\x83\x80\0\0\0\0".to_vec();
    for (bytes, number) in [
        (unmasked, Some(1002)),
        (unknown_opcode, Some(1002)),
        (noise, None),
        (vec![0x81], None),
    ] {
        let mut bad = Client::connect(scene.address).await;
        bad.expect("hello").await;
        bad.socket.get_mut().write_all(&bytes).await.unwrap();
        match number {
            Some(number) => assert_eq!(bad.closed().await, number),
            None => drop(bad),
        }
    }
    let (mut ann, _) = Client::viewer(scene.address, "ann").await;
    ann.say(&say("n")).await;
    assert_eq!(ann.answer("").await.0, Answer::counting(0, 50));
    drop(ann);
    scene.end().await;
}

/// Real time passes: the deadline is the socket's. Not before it, and soon after.
#[tokio::test]
async fn who_says_nothing_is_closed_after_ten_seconds() {
    let scene = Scene::live(Answer::Counting, Bounds::default(), |_| {}).await;
    let begun = Instant::now();
    let mut nobody = Client::connect(scene.address).await;
    nobody.expect("hello").await;
    assert_eq!(nobody.closed().await, 4004);
    assert!(begun.elapsed() >= Duration::from_secs(10));
    assert!(begun.elapsed() < Duration::from_secs(20));
    scene.end().await;
}

#[tokio::test]
async fn what_is_no_upgrade_is_told_so() {
    let scene = Scene::live(Answer::Counting, Bounds::default(), |_| {}).await;
    let plain = get(scene.address, "/ws").await;
    assert_eq!(plain.status, 426);
    assert_eq!(plain.json()["error"]["code"], "upgrade_required");
    assert_eq!(plain.header("upgrade"), Some("websocket"));
    assert_eq!(plain.header("sec-websocket-version"), Some("13"));
    let post = support::post_to("/ws", "{}", "");
    assert_eq!(support::exchange(scene.address, &post).await.status, 405);
    scene.end().await;
}
