//! How a host that serves ends: what is told of each phase, and what is listed when an answer does not finish in time.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test stops at the first surprise"
)]

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use domain::Bytes;
use futures_util::{SinkExt, StreamExt};
use paraphym_candle::control::Client;
use paraphym_candle::control::protocol::act::Drain;
use paraphym_candle::control::protocol::ending::Phase;
use paraphym_candle::{ModelName, Paraphym};
use testkit::scripted::{Answer, Control, Gate, ScriptedLoader};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{WebSocketStream, client_async};

/// A server whose model counts.
async fn served(dir: &Path) -> (Paraphym, Control) {
    let file = dir.join("tiny.gguf");
    std::fs::write(&file, b"GGUF").unwrap();
    let loader = ScriptedLoader::new(Answer::Counting);
    let control = loader.control();
    let host = Paraphym::builder()
        .models_dir(dir)
        .model(ModelName::new(file.to_str().unwrap()))
        .memory_limit(Bytes::mib(64))
        .loader(Arc::new(loader))
        .serve("127.0.0.1:0".parse().unwrap())
        .control(dir.join("control.sock"))
        .start()
        .await
        .unwrap();
    (host, control)
}

#[tokio::test]
async fn an_answer_that_does_not_finish_in_time_is_listed_by_its_request() {
    let dir = tempfile::tempdir().unwrap();
    let (host, control) = served(dir.path()).await;
    let gate = control.gate_step(3);
    let mut client = TcpStream::connect(host.address().await.unwrap())
        .await
        .unwrap();
    let body =
        r#"{"messages":[{"role":"user","content":"hello"}],"stream":true,"max_tokens":2000}"#;
    let request = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\nx-request-id: mine\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    client.write_all(request.as_bytes()).await.unwrap();
    control.wait_until(|c| c.steps == 3).await;
    let mut ending = host.ending();
    let watch = async {
        let mut phases = Vec::new();
        while ending.changed().await.is_ok() {
            let now = ending.borrow_and_update().clone().unwrap();
            if now.phase == Phase::Actors {
                // The step that is computed can go on now: its answer has been ended already.
                drop(gate);
                phases.push(now);
                return phases;
            }
            phases.push(now);
        }
        phases
    };
    let (report, phases) = tokio::join!(host.shutdown_within(Duration::from_secs(2)), watch);
    let what: Vec<&str> = report.abandoned.iter().map(|one| &*one.what).collect();
    assert_eq!(what, ["POST /v1/chat/completions mine"], "{report:?}");
    assert!(report.killed.is_empty(), "{report:?}");
    assert!(phases.iter().is_sorted_by_key(|ending| ending.phase));
    let answers = phases.iter().find(|ending| ending.phase == Phase::Answers);
    assert_eq!(
        answers.unwrap().under_way,
        ["POST /v1/chat/completions mine"]
    );
    let actors = phases.last().unwrap();
    assert_eq!(
        actors.abandoned,
        ["root/gateway: POST /v1/chat/completions mine"]
    );
    // Others may have ended before this was read; the lane is held by the step.
    assert!(
        actors
            .under_way
            .contains(&"root/lane_supervisor".to_owned())
    );
    let last = host.ending().borrow().clone().unwrap();
    assert_eq!((last.phase, last.under_way.len()), (Phase::Runtime, 0));
    let mut said = String::new();
    client.read_to_string(&mut said).await.unwrap();
    assert!(said.contains("error") && !said.contains("[DONE]"), "{said}");
}

/// Hears until a frame of this op, and says what it is.
async fn hear(socket: &mut WebSocketStream<TcpStream>, op: &str) -> String {
    let part = format!("\"op\":\"{op}\"");
    loop {
        let frame = tokio::time::timeout(Duration::from_mins(1), socket.next());
        let frame = frame.await.unwrap().unwrap().unwrap();
        let text = frame.to_text().unwrap();
        if text.contains(&part) {
            return text.to_owned();
        }
    }
}

/// Hears until it is closed, and says with which code.
async fn closed(socket: &mut WebSocketStream<TcpStream>) -> u16 {
    loop {
        match socket.next().await {
            Some(Ok(Message::Close(Some(close)))) => return close.code.into(),
            Some(Ok(_)) => {}
            other => panic!("it was cut off without a word: {other:?}"),
        }
    }
}

/// A host with a client whose answer in the room `c` is held at its third step.
struct Held {
    host: Paraphym,
    socket: WebSocketStream<TcpStream>,
    gate: Gate,
    dir: tempfile::TempDir,
}

async fn held() -> Held {
    let dir = tempfile::tempdir().unwrap();
    let (host, control) = served(dir.path()).await;
    let gate = control.gate_step(3);
    let stream = TcpStream::connect(host.address().await.unwrap())
        .await
        .unwrap();
    let (mut socket, _) = client_async("ws://localhost/ws", stream).await.unwrap();
    for (said, heard) in [
        (r#"{"op":"identify","user":"ann"}"#, "ready"),
        (r#"{"op":"join","conversation":"c"}"#, "room"),
        (
            r#"{"op":"say","conversation":"c","text":"one","nonce":"1"}"#,
            "said",
        ),
    ] {
        socket.send(Message::text(said)).await.unwrap();
        hear(&mut socket, heard).await;
    }
    control.wait_until(|c| c.steps == 3).await;
    Held {
        host,
        socket,
        gate,
        dir,
    }
}

#[tokio::test]
async fn an_answer_in_a_room_ends_whole_before_its_client_is_told_to_come_again() {
    let Held {
        host,
        mut socket,
        gate,
        dir: _dir,
    } = held().await;
    let mut ending = host.ending();
    let go_on = async {
        let answers =
            ending.wait_for(|now| now.as_ref().is_some_and(|e| e.phase == Phase::Answers));
        let under_way = answers.await.unwrap().clone().unwrap().under_way;
        assert!(under_way[0].starts_with("room c/turn-"), "{under_way:?}");
        // Nothing new is taken, and it is said why.
        let late = r#"{"op":"say","conversation":"c","text":"two","nonce":"2"}"#;
        socket.send(Message::text(late)).await.unwrap();
        let refused = hear(&mut socket, "error").await;
        assert!(refused.contains(r#""code":"draining""#), "{refused}");
        drop(gate);
        let ended = hear(&mut socket, "ended").await;
        (ended, closed(&mut socket).await)
    };
    let (report, (ended, code)) = tokio::join!(host.shutdown_within(Duration::from_mins(1)), go_on);
    assert!(
        report.abandoned.is_empty() && report.killed.is_empty(),
        "{report:?}"
    );
    assert!(ended.contains(r#""how":"finished""#), "{ended}");
    assert_eq!(code, 4000, "going away: come again");
}

#[tokio::test]
async fn an_answer_in_a_room_that_does_not_finish_in_time_is_listed_and_nobody_is_killed_for_it() {
    let Held {
        host,
        mut socket,
        gate,
        dir: _dir,
    } = held().await;
    let mut ending = host.ending();
    let go_on = async {
        let cut = ending.wait_for(|now| now.as_ref().is_some_and(|e| !e.abandoned.is_empty()));
        cut.await.unwrap();
        // The step that is computed can go on now: its answer is over.
        drop(gate);
    };
    // Whoever reads it is told how it ended, and to come again.
    let reads = async {
        let ended = hear(&mut socket, "ended").await;
        assert!(ended.contains(r#""how":"stopped""#), "{ended}");
        closed(&mut socket).await
    };
    let deadline = Duration::from_secs(2);
    let (report, (), code) = tokio::join!(host.shutdown_within(deadline), go_on, reads);
    assert_eq!(code, 4000);
    let what: Vec<&str> = report.abandoned.iter().map(|one| &*one.what).collect();
    assert!(what[0].starts_with("room c/turn-"), "{report:?}");
    assert!(report.killed.is_empty(), "{report:?}");
}

#[tokio::test]
async fn to_drain_by_control_holds_for_rooms_too_and_counts_their_answers() {
    let Held {
        host,
        mut socket,
        gate,
        dir,
    } = held().await;
    let place = dir.path().join("control.sock");
    let mut control = Client::connect(&place, "a test", None).await.unwrap();
    let drain = Drain { dry_run: false };
    let told = control.ask(&drain, Duration::from_mins(1)).await.unwrap();
    assert!(told.what.contains("1 answer"), "{told:?}");
    let late = r#"{"op":"say","conversation":"c","text":"two","nonce":"2"}"#;
    socket.send(Message::text(late)).await.unwrap();
    let refused = hear(&mut socket, "error").await;
    assert!(refused.contains(r#""code":"draining""#), "{refused}");
    drop(gate);
    let ended = hear(&mut socket, "ended").await;
    assert!(ended.contains(r#""how":"finished""#), "{ended}");
    host.shutdown().await;
}
