//! Clients that read too slowly, not at all, or leave half a request behind: only they are affected, and what is computed
//! for them stops. Over real loopback sockets; limits in time are short where their end is waited for, and a minute where
//! it must not come.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test stops at the first surprise"
)]

use crate::support;

use std::time::Duration;

use support::{FOR_EVER, Scene, ask, chat, open, post, read_until, said};
use testkit::scripted::Answer;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{Instant, interval, timeout};

/// An answer that takes far longer than any test, asked for by somebody.
fn long(seed: u32) -> String {
    ask(&format!(
        r#","stream":true,"max_tokens":1000000,"seed":{seed}"#
    ))
}

/// A client whose kernel keeps as little as it can, as a byte read now and then would be hidden by megabytes.
async fn small(scene: &Scene, request: &str) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(2048).unwrap();
    let mut stream = socket.connect(scene.address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    stream
}

/// What everybody else gets meanwhile: a whole answer, piece by piece, in order.
async fn another_is_answered(scene: &Scene) {
    let fields = r#","stream":true,"max_tokens":400,"seed":7"#;
    let body = ask(fields);
    let answer = timeout(FOR_EVER, chat(scene.address, &body)).await;
    let answer = answer.expect("the others are answered");
    assert_eq!(said(&answer.body), Answer::counting(7, 400));
    assert!(answer.body.ends_with("data: [DONE]\n\n"));
}

/// Until nothing is computed any more, though the answer was far from its end.
async fn compute_stops(scene: &Scene) {
    let stopped = scene
        .control
        .wait_until(|c| c.opened > 0 && c.open_now() == 0);
    let counts = timeout(FOR_EVER, stopped).await.expect("compute stops");
    assert!(counts.sampled < 1_000_000, "{counts:?}");
    timeout(FOR_EVER, scene.wait_until_working(0))
        .await
        .expect("nothing is held");
}

#[tokio::test]
async fn who_never_reads_affects_nobody() {
    let scene = Scene::endless(|_| {}).await;
    let bad = small(&scene, &post(&long(0), "")).await;
    scene.control.wait_until(|c| c.sampled > 2000).await;
    another_is_answered(&scene).await;
    another_is_answered(&scene).await;
    assert_eq!(scene.work().await.len(), 1, "it is still waited for");
    drop(bad);
    compute_stops(&scene).await;
    scene.end().await;
}

#[tokio::test]
async fn who_never_reads_is_hung_up_on_and_its_compute_stops() {
    let scene = Scene::endless(|config| {
        config.limits.write_time = Duration::from_millis(300);
    })
    .await;
    let begun = Instant::now();
    let mut bad = small(&scene, &post(&long(0), "")).await;
    compute_stops(&scene).await;
    assert!(begun.elapsed() >= Duration::from_millis(300));
    // What the kernels held still comes, then the connection's end: never one that looks like the answer's.
    let mut rest = Vec::new();
    let _ = bad.read_to_end(&mut rest).await;
    let rest = String::from_utf8_lossy(&rest);
    assert!(rest.starts_with("HTTP/1.1 200") && !rest.contains("[DONE]"));
    scene.end().await;
}

#[tokio::test]
async fn who_reads_a_byte_now_and_then_affects_nobody_is_hung_up_on_and_its_compute_stops() {
    let scene = Scene::endless(|config| {
        config.limits.write_time = Duration::from_millis(600);
    })
    .await;
    let mut bad = small(&scene, &post(&long(0), "")).await;
    let reading = async {
        // Sixty to a `write_time`, as one a second is by default.
        let mut now_and_then = interval(Duration::from_millis(10));
        let mut read = 0;
        loop {
            now_and_then.tick().await;
            match bad.read(&mut [0]).await {
                Ok(1) => read += 1,
                _ => return read,
            }
        }
    };
    let watching = async {
        another_is_answered(&scene).await;
        compute_stops(&scene).await;
    };
    tokio::select! {
        () = watching => {}
        read = reading => assert!(read > 60, "hung up on after {read} bytes: too early"),
    }
    compute_stops(&scene).await;
    scene.end().await;
}

#[tokio::test]
async fn who_reads_slowly_but_in_earnest_is_left_alone() {
    // All of it thirty times as fast: 1 KiB a second, where 32 KiB in a minute are the least.
    let scene = Scene::endless(|config| {
        config.limits.write_time = Duration::from_secs(2);
    })
    .await;
    let body = ask(r#","stream":true,"max_tokens":32000,"seed":3"#);
    let mut slow = small(&scene, &post(&body, "")).await;
    let mut raw = Vec::new();
    let mut pieces = interval(Duration::from_secs(1) / 30);
    let begun = Instant::now();
    loop {
        pieces.tick().await;
        let mut piece = [0; 1024];
        match slow.read(&mut piece).await.expect("it is left alone") {
            0 => break,
            read => raw.extend_from_slice(&piece[..read]),
        }
    }
    assert!(
        begun.elapsed() > Duration::from_secs(3),
        "it was not slow: {:?}",
        begun.elapsed()
    );
    let raw = String::from_utf8(raw).unwrap();
    assert!(raw.contains("data: [DONE]"), "{} bytes", raw.len());
    scene.end().await;
}

#[tokio::test]
async fn who_half_closes_has_left() {
    for begun in [false, true] {
        let scene = Scene::endless(|_| {}).await;
        let mut bad = open(scene.address, &post(&long(0), "")).await;
        if begun {
            read_until(&mut bad, r#""content":"0 "#).await;
        }
        let watching = async {
            bad.shutdown().await.unwrap();
            let mut rest = Vec::new();
            // Either end of the connection may be the one that was not read to its end.
            let _ = bad.read_to_end(&mut rest).await;
            assert!(!String::from_utf8_lossy(&rest).contains("[DONE]"));
        };
        tokio::join!(watching, another_is_answered(&scene));
        compute_stops(&scene).await;
        scene.end().await;
    }
}

#[tokio::test]
async fn half_a_head_and_half_a_body_compute_nothing_and_affect_nobody() {
    let scene = Scene::endless(|config| {
        // A place is for who has asked: half a request takes none.
        config.limits.answers = 1;
        config.limits.head_time = Duration::from_millis(300);
        config.limits.body_time = Duration::from_millis(300);
    })
    .await;
    let whole = post(&long(0), "");
    let (head, _) = whole.split_once("\r\n\r\n").unwrap();
    let half_a_head = open(scene.address, head).await;
    let half_a_body = open(scene.address, &whole[..whole.len() - 3]).await;
    another_is_answered(&scene).await;
    for mut bad in [half_a_head, half_a_body] {
        let mut rest = String::new();
        let read = timeout(FOR_EVER, bad.read_to_string(&mut rest)).await;
        read.expect("it is hung up on").unwrap();
        assert!(
            rest.is_empty() || rest.starts_with("HTTP/1.1 408 "),
            "{rest}"
        );
    }
    let counts = scene.control.counts();
    assert_eq!(
        (counts.opened, counts.open_now()),
        (1, 0),
        "only the other's"
    );
    scene.end().await;
}
