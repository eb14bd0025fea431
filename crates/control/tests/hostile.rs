//! Clients that misbehave, over a real socket: each gets a typed error or is hung up on, and another one notices nothing.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test may stop at the first surprise"
)]

use crate::support;

use std::time::Duration;

use paraphym_control::protocol::look::Status;
use paraphym_control::{Client, ClientError, Code, Limits};
use support::{FOR_EVER, Scene};
use tokio::io::AsyncWriteExt;

/// Somebody else is answered as ever.
async fn others_are_well(scene: &Scene, other: &mut Client) {
    let status = other.ask(&Status {}, FOR_EVER).await.unwrap();
    assert_eq!(status.unwell, []);
    let new = scene
        .client()
        .await
        .ask(&Status {}, FOR_EVER)
        .await
        .unwrap();
    assert_eq!(new.pid, std::process::id());
}

#[tokio::test]
async fn garbage_and_ten_mebibytes_are_answered_and_the_next_line_is_heard() {
    let scene = Scene::start().await;
    let mut other = scene.client().await;
    let mut raw = scene.raw().await;
    raw.say(b"GET / HTTP/1.1\r\n\xff\xfe\x00\n").await;
    for _ in 0..2 {
        assert_eq!(raw.hear().await.unwrap()["error"]["code"], -32700);
    }
    let piece = vec![b'x'; 1 << 20];
    for _ in 0..10 {
        raw.say(&piece).await;
    }
    others_are_well(&scene, &mut other).await;
    raw.say(b"\n").await;
    let refused = raw.hear().await.unwrap();
    assert_eq!(refused["error"]["data"]["kind"], "line_too_long");
    assert_eq!(
        raw.ask(1, "ps", "{}").await["result"]["models"],
        serde_json::json!([])
    );
    others_are_well(&scene, &mut other).await;
    scene.end().await;
}

#[tokio::test]
async fn half_a_line_is_told_so_and_does_nothing() {
    let scene = Scene::start().await;
    let mut other = scene.client().await;
    let mut raw = scene.raw().await;
    raw.say(br#"{"jsonrpc":"2.0","id":1,"method":"shutd"#).await;
    raw.writer.shutdown().await.unwrap();
    let refused = raw.hear().await.unwrap();
    assert_eq!(refused["error"]["code"], -32700);
    assert_eq!(
        refused["error"]["message"],
        "the line ended early: end each with a newline"
    );
    assert_eq!(raw.hear().await, None);
    assert_eq!(*scene.stop.borrow(), None);
    others_are_well(&scene, &mut other).await;
    scene.end().await;
}

#[tokio::test]
async fn one_who_never_reads_is_hung_up_on() {
    let limits = Limits {
        write_time: Duration::from_millis(200),
        ..Limits::default()
    };
    let scene = Scene::with(limits).await;
    let mut other = scene.client().await;
    let mut raw = scene.unread().await;
    // Answers fill the socket's buffers; then nothing more is read, and a write fails in the end.
    let line = b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"no\"}\n".repeat(500);
    let flood = async { while raw.writer.write_all(&line).await.is_ok() {} };
    tokio::time::timeout(FOR_EVER, flood).await.unwrap();
    others_are_well(&scene, &mut other).await;
    scene.end().await;
}

#[tokio::test]
async fn events_that_are_not_taken_are_dropped_and_counted() {
    let limits = Limits {
        write_time: FOR_EVER,
        ..Limits::default()
    };
    let scene = Scene::with_events(limits, 64).await;
    let mut raw = scene.raw().await;
    raw.ask(1, "subscribe", "{}").await;
    // The socket is full of answers that nobody reads: nothing is written to it any more.
    let line = b"{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"no\"}\n".repeat(20_000);
    let (mut lines, mut writer) = (raw.lines, raw.writer);
    let flood = async {
        writer.write_all(&line).await.unwrap();
        std::future::pending::<()>().await;
    };
    let happen = async {
        let supervisor = scene.root.supervisor();
        for _ in 0..30 {
            let id = "cache_janitor".into();
            supervisor.terminate_child(&id).await.unwrap();
            supervisor.restart_child(&id).await.unwrap();
        }
    };
    let read = async {
        // Begins when all has happened: four events each time, nearly twice as many as are kept.
        happen.await;
        let (mut lost, mut seen) = (0, 0_u64);
        while lost + seen < 120 {
            let line = tokio::time::timeout(FOR_EVER, lines.next_line()).await;
            let line: serde_json::Value =
                serde_json::from_str(&line.unwrap().unwrap().unwrap()).unwrap();
            match line["method"].as_str() {
                Some("event") => seen += 1,
                Some("lagged") => lost += line["params"]["lost"].as_u64().unwrap(),
                _ => {}
            }
        }
        (lost, seen)
    };
    let (lost, seen) = tokio::select! {
        () = flood => panic!("it goes on"),
        counted = read => counted,
    };
    assert_eq!(lost + seen, 120);
    assert!(lost > 0 && seen >= 64, "{lost} lost, {seen} seen");
    drop(writer);
    scene.end().await;
}

#[tokio::test]
async fn one_connection_too_many_is_told_so() {
    let limits = Limits {
        connections: 2,
        ..Limits::default()
    };
    let scene = Scene::with(limits).await;
    let first = scene.client().await;
    let _second = scene.client().await;
    let third = Client::connect(&scene.socket, "a test", None).await;
    let Err(ClientError::Refused(error)) = third else {
        panic!("{third:?}");
    };
    assert_eq!(error.kind(), Some(Code::Busy));
    drop(first);
    // Its seat is free once the server has seen it go.
    while Client::connect(&scene.socket, "a test", None)
        .await
        .is_err()
    {
        tokio::task::yield_now().await;
    }
    scene.end().await;
}

#[tokio::test]
async fn nobody_there_is_said_with_the_place() {
    let scene = Scene::start().await;
    let nowhere = scene.folder.path().join("nobody.sock");
    let error = Client::connect(&nowhere, "a test", None).await.unwrap_err();
    let text = error.to_string();
    assert!(matches!(error, ClientError::NoServer { .. }));
    assert!(text.contains("no server listens at"), "{text}");
    scene.end().await;
}

#[tokio::test]
async fn a_socket_that_is_served_is_refused_and_one_of_a_dead_process_is_taken() {
    let scene = Scene::start().await;
    let supervisor = scene.root.supervisor();
    let id = "control".into();
    supervisor.terminate_child(&id).await.unwrap();
    assert!(!scene.socket.exists());
    // Somebody alive.
    let other = tokio::net::UnixListener::bind(&scene.socket).unwrap();
    let refused = supervisor.restart_child(&id).await.unwrap_err().to_string();
    let pid = format!("taken by process {}", std::process::id());
    assert!(refused.contains(&pid), "{refused}");
    // And then dead: the file stays, and nobody listens.
    drop(other);
    assert!(scene.socket.exists());
    supervisor.restart_child(&id).await.unwrap();
    scene
        .client()
        .await
        .ask(&Status {}, FOR_EVER)
        .await
        .unwrap();
    scene.end().await;
}

#[tokio::test]
async fn one_that_does_not_insist_goes_without() {
    let first = Scene::start().await;
    let taken = first.socket.clone();
    let second = Scene::with_config(64, |config| {
        config.socket.clone_from(&taken);
        config.insists = false;
    })
    .await;
    let down = second.root.supervisor().which_children().await;
    assert!(down.last().unwrap().down.is_some(), "{down:?}");
    second.root.stop(FOR_EVER).await;
    others_are_well(&first, &mut first.client().await).await;
    first.end().await;
}
