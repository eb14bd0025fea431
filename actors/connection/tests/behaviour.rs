//! Connections as clients see them, over channels, on a paused clock.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test may stop at the first surprise"
)]

mod support;

use std::time::Duration;

use paraphym_connection::liveness::Rhythm;
use paraphym_connection::wire::CloseCode;
use paraphym_connection::{Incoming, Limits, Seats, State};
use support::{Client, DEADLINE, JOIN, Stage};
use testkit::scripted::Answer;
use tokio::time::{Instant, advance};

const SAY: &str = r#"{"op":"say","conversation":"c","text":"hi","nonce":"n"}"#;

fn hello() -> Answer {
    Answer::Text("Hello dear world".to_owned())
}

#[tokio::test(start_paused = true)]
async fn a_client_says_who_it_is_shows_a_conversation_and_reads_an_answer() {
    let stage = Stage::start(hello()).await;
    let (mut ann, ready) = stage.client("ann").await;
    assert_eq!(
        (&ready["user"], &ready["resume_ms"]),
        (&"ann".into(), &120_000.into())
    );
    ann.say(JOIN).await;
    let room = ann.expect("room").await;
    assert_eq!(room["messages"][0]["text"], "welcome to c");
    assert_eq!(room["members"][0]["user"], "ann");
    ann.say(SAY).await;
    let (text, ended) = ann.answer("").await;
    assert_eq!(
        (text.as_str(), &ended["ending"]["how"]),
        ("Hello dear world", &"finished".into())
    );
    drop(ann);
    stage.end().await;
}

#[tokio::test(start_paused = true)]
async fn two_clients_see_each_other_come_type_and_go_and_both_read_the_answer() {
    let stage = Stage::start(hello()).await;
    let (mut ann, _) = stage.client("ann").await;
    let (mut bob, _) = stage.client("bob").await;
    ann.say(JOIN).await;
    ann.expect("room").await;
    bob.say(JOIN).await;
    assert_eq!(
        bob.expect("room").await["members"]
            .as_array()
            .unwrap()
            .len(),
        2
    );
    assert_eq!(ann.expect("presence").await["joins"][0]["user"], "bob");
    bob.say(r#"{"op":"typing","conversation":"c","typing":true}"#)
        .await;
    assert_eq!(
        ann.expect("typing").await["users"],
        serde_json::json!(["bob"])
    );
    // He sends it, and types no more.
    bob.say(SAY).await;
    let typing = async {
        loop {
            let typing = ann.expect("typing").await;
            if typing["users"] == serde_json::json!([]) {
                return;
            }
        }
    };
    let (said, ()) = tokio::join!(bob.answer(""), typing);
    assert_eq!(said.0, "Hello dear world");
    bob.to.send(Incoming::Left).await.unwrap();
    assert!(
        !ann.expect("presence").await["leaves"]
            .as_array()
            .unwrap()
            .is_empty()
    );
    drop((ann, bob));
    stage.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_client_that_was_cut_off_in_the_middle_of_an_answer_reads_all_of_it() {
    let stage = Stage::start(Answer::Counting).await;
    let gate = stage.control.gate_step(9);
    let (mut ann, ready) = stage.viewer("ann").await;
    ann.say(SAY).await;
    let first = ann.expect("delta").await["text"]
        .as_str()
        .unwrap()
        .to_owned();
    let seq = ann.seq;
    stage.control.wait_until(|counts| counts.steps == 9).await;
    drop(ann);
    gate.release();
    let mut back = stage.connect();
    back.expect("hello").await;
    back.seq = seq;
    back.say(&Client::resume(&ready, seq)).await;
    let (text, _) = back.answer(&first).await;
    assert!(text.starts_with(&first) && text.len() > first.len());
    let whole = stage.client("bob").await;
    drop((back, whole));
    stage.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_killed_connection_is_begun_anew_and_the_answer_goes_on_with_nothing_missing() {
    let stage = Stage::start(Answer::Counting).await;
    let gate = stage.control.gate_step(9);
    let (mut ann, ready) = stage.viewer("ann").await;
    ann.say(SAY).await;
    ann.expect("delta").await;
    stage.control.wait_until(|counts| counts.steps == 9).await;
    let admin = stage.scene.root().administration();
    let path = "root/connection_supervisor/connection-1";
    admin.kill(path, DEADLINE).await.unwrap();
    while ann.next().await.is_some() {}
    let mut back = stage.connect();
    back.expect("hello").await;
    back.say(&Client::resume(&ready, ann.seq)).await;
    let invalid = back.expect("invalid_session").await;
    assert_eq!(invalid["resumable"], false);
    back.say(r#"{"op":"identify","user":"ann"}"#).await;
    back.expect("ready").await;
    back.say(JOIN).await;
    let room = back.expect("room").await;
    let known = room["turns"][0]["text"].as_str().unwrap().to_owned();
    assert!(!known.is_empty());
    gate.release();
    let (text, ended) = back.answer(&known).await;
    assert_eq!(ended["ending"]["how"], "finished");
    // The same said again, because it was not known whether it arrived: it is not answered twice.
    back.say(SAY).await;
    let said = back.expect("said").await;
    assert_eq!(said["turn"], ended["turn"]);
    assert!(text.starts_with(&known));
    assert_eq!(stage.control.counts().opened, 1);
    drop(back);
    stage.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_silent_client_is_asked_three_times_and_closed_at_its_deadline() {
    let stage = Stage::start(hello()).await;
    let (mut ann, _) = stage.client("ann").await;
    let begun = Instant::now();
    for (second, attempt) in [(30, 1), (35, 2), (40, 3)] {
        let wanted = ann.expect("heartbeat_wanted").await;
        assert_eq!(wanted["attempt"], attempt);
        assert_eq!(begun.elapsed(), Duration::from_secs(second));
        let status = &stage.connections.status().await[0];
        assert_eq!(status.state, State::Reconnecting(attempt));
    }
    assert_eq!(ann.closed().await, CloseCode::Silent);
    assert_eq!(begun.elapsed(), Duration::from_secs(45));
    stage.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_beat_brings_it_back_and_is_answered() {
    let stage = Stage::start(hello()).await;
    let (mut ann, _) = stage.client("ann").await;
    ann.expect("heartbeat_wanted").await;
    ann.say(r#"{"op":"heartbeat","seq":0}"#).await;
    ann.expect("heartbeat_ack").await;
    let status = &stage.connections.status().await[0];
    assert_eq!(
        (status.state, status.tally.recovered),
        (State::Connected, 1)
    );
    drop(ann);
    stage.end().await;
}

#[tokio::test(start_paused = true)]
async fn who_says_nothing_at_first_is_closed_after_ten_seconds() {
    let stage = Stage::start(hello()).await;
    let mut nobody = stage.connect();
    let begun = Instant::now();
    assert_eq!(nobody.closed().await, CloseCode::NotIdentified);
    assert_eq!(begun.elapsed(), Duration::from_secs(10));
    assert_eq!(stage.connections.count(), 0);
    stage.end().await;

    // As it is set.
    let identify = Duration::from_secs(3);
    let limits = Limits {
        identify,
        ..Limits::default()
    };
    let stage = Stage::with(hello(), limits, Seats::default()).await;
    let mut nobody = stage.connect();
    let begun = Instant::now();
    assert_eq!(nobody.expect("hello").await["identify_ms"], 3000);
    assert_eq!(nobody.closed().await, CloseCode::NotIdentified);
    assert_eq!(begun.elapsed(), identify);
    stage.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_wrong_token_and_too_many_windows_are_told_why() {
    let seats = Seats {
        in_all: 3,
        of_one: 1,
    };
    let stage = Stage::with(hello(), Limits::default(), seats).await;
    let mut wrong = stage.connect();
    wrong.expect("hello").await;
    wrong.say(r#"{"op":"identify","token":"wrong"}"#).await;
    assert_eq!(wrong.expect("error").await["code"], "unauthorised");
    assert_eq!(wrong.closed().await, CloseCode::Unauthorised);
    let (ann, _) = stage.client("ann").await;
    let mut more = stage.connect();
    more.expect("hello").await;
    more.say(r#"{"op":"identify","user":"ann"}"#).await;
    let error = more.expect("error").await;
    assert!(
        error["message"].as_str().unwrap().contains("close one"),
        "{error}"
    );
    assert_eq!(more.closed().await, CloseCode::TooMany);
    drop(ann);
    stage.end().await;
}

#[tokio::test(start_paused = true)]
async fn each_bad_frame_costs_its_sender_an_error_or_its_close_and_nobody_else_anything() {
    let stage = Stage::start(hello()).await;
    let (mut other, _) = stage.viewer("other").await;
    let (mut bad, _) = stage.client("bad").await;
    for (text, code) in [
        ("garbage", "not_json"),
        (r#"{"op":"dance"}"#, "unknown_op"),
        (
            r#"{"op":"say","conversation":"c","text":"x","nonce":"n"}"#,
            "not_joined",
        ),
        (
            r#"{"op":"typing","conversation":"c","typing":true}"#,
            "not_joined",
        ),
        (r#"{"op":"stop","conversation":"c"}"#, "not_joined"),
        (r#"{"op":"identify"}"#, "already_identified"),
    ] {
        bad.say(text).await;
        assert_eq!(bad.expect("error").await["code"], code, "{text}");
    }
    bad.say(r#"{"op":"join","conversation":"broken"}"#).await;
    let error = bad.expect("error").await;
    assert!(
        error["message"]
            .as_str()
            .unwrap()
            .contains("the disk is gone")
    );
    for conversation in ["a", "b", "c"] {
        bad.say(&JOIN.replace("\"c\"", &format!("\"{conversation}\"")))
            .await;
    }
    bad.say(&JOIN.replace("\"c\"", "\"d\"")).await;
    assert_eq!(bad.expect("error").await["code"], "too_many_conversations");
    bad.say(r#"{"op":"say","conversation":"a","text":"x","nonce":"m","model":"nobody"}"#)
        .await;
    let error = bad.expect("error").await;
    assert_eq!(
        (&error["code"], &error["nonce"]),
        (&"wrong_value".into(), &"m".into())
    );
    drop(bad);
    for (what, code) in [
        (Incoming::Binary, CloseCode::Unsupported),
        (Incoming::NotUtf8, CloseCode::NotUtf8),
        (Incoming::TooLarge, CloseCode::TooLarge),
    ] {
        let (mut bad, _) = stage.client("bad").await;
        bad.to.send(what).await.unwrap();
        assert_eq!(bad.closed().await, code);
    }
    other.say(SAY).await;
    assert_eq!(other.answer("").await.0, "Hello dear world");
    drop(other);
    stage.end().await;
}

#[tokio::test(start_paused = true)]
async fn who_reads_nothing_slows_nobody_and_gets_all_of_it_in_few_frames() {
    let metrics = telemetry::Metrics::install().unwrap();
    let stage = Stage::start(Answer::Counting).await;
    let (mut slow, _) = stage.viewer("slow").await;
    let (mut quick, _) = stage.viewer("quick").await;
    quick.say(SAY).await;
    let (text, _) = quick.answer("").await;
    let mut deltas = 0;
    let mut read = String::new();
    loop {
        let frame = slow.next().await.unwrap().unwrap();
        match frame["op"].as_str().unwrap() {
            "delta" => {
                deltas += 1;
                read.push_str(frame["text"].as_str().unwrap());
            }
            "ended" => break,
            _ => {}
        }
    }
    assert_eq!(read, text);
    assert!(deltas < 8, "{deltas} frames");
    let all = stage.connections.status().await;
    let merged = all.iter().find(|one| one.user == "slow").unwrap().merged;
    assert!(merged > 20, "{merged}");
    let page = metrics.render();
    let counted = page
        .lines()
        .find_map(|line| line.strip_prefix("paraphym_realtime_merged_total "));
    // Other tests of this process may have joined some, too.
    let counted: u64 = counted.unwrap().parse().unwrap();
    assert!(counted >= merged, "{counted} counted, {merged} joined");
    drop((slow, quick));
    stage.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_session_that_is_not_resumed_is_gone_when_its_window_is_over() {
    let stage = Stage::start(hello()).await;
    let (ann, ready) = stage.viewer("ann").await;
    let (mut bob, _) = stage.viewer("bob").await;
    let cut = Instant::now();
    drop(ann);
    // She is still there, and goes when nobody believes any more that she comes back.
    let beats = async {
        loop {
            match bob.next().await.unwrap().unwrap() {
                frame if frame["op"] == "heartbeat_wanted" => {
                    let seq = bob.seq;
                    bob.say(&format!(r#"{{"op":"heartbeat","seq":{seq}}}"#))
                        .await;
                }
                frame if frame["op"] == "presence" => return,
                _ => {}
            }
        }
    };
    beats.await;
    assert_eq!(cut.elapsed(), Duration::from_mins(2));
    let mut late = stage.connect();
    late.expect("hello").await;
    late.say(&Client::resume(&ready, 0)).await;
    late.expect("invalid_session").await;
    drop((late, bob));
    stage.end().await;
}

#[tokio::test(start_paused = true)]
async fn when_the_server_drains_clients_are_told_to_come_again_in_batches() {
    let stage = Stage::start(hello()).await;
    let mut clients = Vec::new();
    for number in 0..5 {
        clients.push(stage.client(&number.to_string()).await.0);
    }
    let begun = Instant::now();
    let drain = stage.connections.drain(2, Duration::from_secs(1));
    let heard = async {
        let mut when = Vec::new();
        for client in &mut clients {
            assert_eq!(client.closed().await, CloseCode::GoingAway);
            when.push(begun.elapsed().as_secs());
        }
        when.sort_unstable();
        when
    };
    let ((), when) = tokio::join!(drain, heard);
    assert_eq!(when.last(), Some(&2));
    stage.end().await;
}

#[tokio::test(start_paused = true)]
async fn the_tree_is_shown_to_who_watches_and_only_the_latest() {
    let stage = Stage::start(hello()).await;
    let (mut ann, _) = stage.client("ann").await;
    ann.say(r#"{"op":"tree","watch":true}"#).await;
    assert_eq!(ann.expect("tree").await["nodes"], serde_json::json!([]));
    let node = |restarts| paraphym_connection::wire::room::TreeNode {
        path: "root/a".into(),
        state: "up".into(),
        queued: 0,
        capacity: 8,
        restarts,
        leased_bytes: 0,
    };
    for restarts in 1..=3 {
        stage.tree.show(vec![node(restarts)]);
    }
    assert_eq!(ann.expect("tree").await["nodes"][0]["restarts"], 3);
    ann.say(r#"{"op":"tree","watch":false}"#).await;
    ann.say(r#"{"op":"conversations"}"#).await;
    assert_eq!(
        ann.expect("conversations").await["conversations"][0]["title"],
        "welcome"
    );
    stage.tree.show(vec![node(4)]);
    advance(Duration::from_secs(1)).await;
    ann.say(r#"{"op":"conversations"}"#).await;
    loop {
        let frame = ann.next().await.unwrap().unwrap();
        assert_ne!(frame["op"], "tree");
        if frame["op"] == "conversations" {
            break;
        }
    }
    let rhythm = Rhythm::default();
    assert_eq!(rhythm.heartbeat(), Duration::from_secs(27));
    drop(ann);
    stage.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_client_that_was_given_up_cannot_be_resumed_while_its_old_socket_is_still_open() {
    let stage = Stage::start(hello()).await;
    let (mut ann, ready) = stage.viewer("ann").await;
    assert_eq!(ann.closed().await, CloseCode::Silent);
    let mut back = stage.connect();
    back.expect("hello").await;
    back.say(&Client::resume(&ready, ann.seq)).await;
    let invalid = back.expect("invalid_session").await;
    assert_eq!(invalid["resumable"], false);
    back.say(r#"{"op":"identify","user":"ann"}"#).await;
    back.expect("ready").await;
    drop((ann, back));
    stage.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_transport_that_takes_nothing_more_is_let_go_of_five_seconds_after_another_replaced_it() {
    let stage = Stage::start(hello()).await;
    let (mut old, ready) = stage.client("ann").await;
    // Nobody reads: one frame is with the transport, one is stuck, two wait, and no close fits.
    for _ in 0..9 {
        old.say(r#"{"op":"heartbeat","seq":0}"#).await;
    }
    let mut new = stage.connect();
    new.expect("hello").await;
    new.say(&Client::resume(&ready, old.seq)).await;
    new.expect("resumed").await;
    let replaced = Instant::now();
    old.to.closed().await;
    assert!(
        replaced.elapsed() < Duration::from_secs(1),
        "it is not read any more"
    );
    tokio::time::sleep(Duration::from_millis(5100)).await;
    let mut left = 0;
    while let Some(Ok(_)) = old.next().await {
        left += 1;
    }
    assert!(left <= 1, "{left} frames went on");
    assert!(
        replaced.elapsed() < Duration::from_secs(6),
        "{:?}",
        replaced.elapsed()
    );
    drop((old, new));
    stage.end().await;
}

#[tokio::test(start_paused = true)]
async fn who_wants_sessions_that_are_not_there_is_closed() {
    let stage = Stage::start(hello()).await;
    let mut nobody = stage.connect();
    nobody.expect("hello").await;
    let wish = r#"{"op":"resume","session":"s","epoch":"e","seq":0}"#;
    for _ in 0..4 {
        nobody.say(wish).await;
        nobody.expect("invalid_session").await;
    }
    assert_eq!(nobody.closed().await, CloseCode::NotIdentified);
    drop(nobody);
    stage.end().await;
}
