//! Who leaves, and what then stops: clients that hang up, clients that fall silent, a server that is told to end. Over
//! real loopback sockets; a gate in the scripted model holds an answer where a test wants it.

use crate::support;

use std::time::Duration;

use support::{FOR_EVER, Scene, ask, hello, open, post, read_until};
use testkit::scripted::Answer;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

#[tokio::test]
async fn hanging_up_stops_compute_within_one_step() {
    let scene = Scene::start(Answer::Counting, |_| {}).await;
    let gate = scene.control.gate_step(5);
    let body = ask(r#","stream":true,"max_tokens":2000,"seed":0"#);
    let mut client = open(scene.address, &post(&body, "")).await;
    read_until(&mut client, r#""content":"0 "#).await;
    scene.control.wait_until(|c| c.steps == 5).await;
    drop(client);
    scene.wait_until_working(0).await;
    gate.release();
    scene.control.wait_until(|c| c.open_now() == 0).await;
    assert!(
        scene.control.counts().steps <= 6,
        "{:?}",
        scene.control.counts()
    );
    scene.end().await;
}

#[tokio::test]
async fn hanging_up_during_the_prompt_or_a_whole_answer_stops_compute_too() {
    for (fields, step) in [
        (r#","stream":true,"max_tokens":2000"#, 1),
        (r#","max_tokens":2000"#, 3),
    ] {
        let scene = Scene::start(Answer::Counting, |_| {}).await;
        let gate = scene.control.gate_step(step);
        let client = open(scene.address, &post(&ask(fields), "")).await;
        scene.control.wait_until(|c| c.steps == step).await;
        drop(client);
        scene.wait_until_working(0).await;
        gate.release();
        scene.control.wait_until(|c| c.open_now() == 0).await;
        assert!(
            scene.control.counts().steps <= step + 1,
            "{:?}",
            scene.control.counts()
        );
        scene.end().await;
    }
}

#[tokio::test]
async fn hanging_up_stops_compute_even_behind_a_further_request() {
    let further = "GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n";
    for (at_once, later) in [(further, ""), (further, further), ("", further)] {
        let scene = Scene::start(Answer::Counting, |_| {}).await;
        let gate = scene.control.gate_step(3);
        let request = post(&ask(r#","max_tokens":2000"#), "").replace("connection: close\r\n", "");
        let mut client = open(scene.address, &format!("{request}{at_once}")).await;
        scene.control.wait_until(|c| c.steps == 3).await;
        client.write_all(later.as_bytes()).await.unwrap();
        drop(client);
        tokio::time::timeout(FOR_EVER, scene.wait_until_working(0))
            .await
            .expect("it goes on");
        gate.release();
        scene.control.wait_until(|c| c.open_now() == 0).await;
        assert!(
            scene.control.counts().steps <= 4,
            "{:?}",
            scene.control.counts()
        );
        scene.end().await;
    }
}

#[tokio::test]
async fn who_says_nothing_is_hung_up_on() {
    let scene = Scene::start(hello(), |config| {
        config.limits.head_time = Duration::from_millis(20);
        config.limits.body_time = Duration::from_millis(20);
    })
    .await;
    let mut client = open(scene.address, "GET /healthz HT").await;
    let mut rest = Vec::new();
    client.read_to_end(&mut rest).await.unwrap();
    assert!(
        rest.is_empty() || rest.starts_with(b"HTTP/1.1 408"),
        "{rest:?}"
    );
    let half = post(&ask(""), "");
    let mut client = open(scene.address, &half[..half.len() - 3]).await;
    let answer = read_until(&mut client, "request_timeout").await;
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    scene.end().await;
}

#[tokio::test]
async fn a_graceful_stop_lets_the_running_answer_finish_and_takes_no_other() {
    let scene = Scene::start(hello(), |_| {}).await;
    let mut idle = open(
        scene.address,
        "GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n",
    )
    .await;
    read_until(&mut idle, "ok").await;
    let gate = scene.control.gate_step(3);
    let mut client = open(scene.address, &post(&ask(r#","stream":true"#), "")).await;
    read_until(&mut client, "Hello ").await;
    let stop = async {
        // The idle connection is closed at once, while the answer goes on.
        let mut rest = Vec::new();
        idle.read_to_end(&mut rest).await.unwrap();
        assert!(tokio::net::TcpStream::connect(scene.address).await.is_err());
        gate.release();
        read_until(&mut client, "data: [DONE]").await
    };
    let (report, _) = tokio::join!(scene.root.stop(Duration::from_secs(30)), stop);
    assert_eq!(report.abandoned, []);
}

#[tokio::test]
async fn an_answer_that_a_stop_does_not_wait_for_says_so() {
    let scene = Scene::start(hello(), |config| {
        // The last word is due at once, and there is all the time in the world to say it.
        config.drain = FOR_EVER;
        config.limits.last_word = FOR_EVER;
    })
    .await;
    let gate = scene.control.gate_step(3);
    let named = post(&ask(r#","stream":true"#), "x-request-id: long\r\n");
    let mut streamed = open(scene.address, &named).await;
    read_until(&mut streamed, "Hello ").await;
    assert_eq!(
        scene.work().await,
        ["POST /v1/chat/completions long"],
        "what a report would name"
    );
    let mut whole = open(scene.address, &post(&ask(""), "")).await;
    scene.wait_until_working(2).await;
    let supervisor = scene.root.supervisor();
    let events = &mut scene.root.events();
    supervisor.terminate_child(&"gateway".into()).await.unwrap();
    let mut rest = String::new();
    streamed.read_to_string(&mut rest).await.unwrap();
    let (_, last) = rest.rsplit_once("data: ").unwrap();
    let (last, end) = last.split_once("\n\n").unwrap();
    let error: serde_json::Value = serde_json::from_str(last).unwrap();
    assert_eq!(error["error"]["code"], "unavailable", "{rest}");
    assert_eq!(end, "\r\n0\r\n\r\n", "the body is complete");
    rest.clear();
    whole.read_to_string(&mut rest).await.unwrap();
    assert!(
        rest.starts_with("HTTP/1.1 503 ") && rest.contains(r#""code":"unavailable""#),
        "{rest}"
    );
    let abandoned = loop {
        let event = events.recv().await.unwrap();
        if let supervision::Lifecycle::Stopped { abandoned, .. } = event.what {
            break abandoned;
        }
    };
    assert!(abandoned.is_empty(), "{abandoned:?}");
    gate.release();
    scene.control.wait_until(|c| c.open_now() == 0).await;
}
