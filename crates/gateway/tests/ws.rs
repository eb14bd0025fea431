//! Connections in real time over real loopback sockets: what is said, what is lost when a socket is cut (nothing), and who
//! may close one.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a broken fixture should fail the test at once"
)]

use crate::support;

use connection::Limits;
use futures_util::future::join_all;
use paraphym_gateway::Kind;
use support::live::{Bounds, Client, JOIN, resume, say};
use support::{FOR_EVER, Scene, hello};
use telemetry::Metrics;
use testkit::scripted::Answer;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;

async fn scene(answer: Answer) -> Scene {
    Scene::live(answer, Bounds::default(), |_| {}).await
}

/// Until so many sessions are there, those included that may be resumed.
async fn until_sessions(scene: &Scene, sessions: usize) {
    let live = scene.live.as_ref().unwrap();
    let there = async {
        while live.count() != sessions {
            tokio::task::yield_now().await;
        }
    };
    timeout(FOR_EVER, there).await.unwrap();
}

/// Until so many sockets are open.
async fn until_open(scene: &Scene, open: usize) {
    let opened = async {
        while scene.serving.occupancy().open != open {
            tokio::task::yield_now().await;
        }
    };
    timeout(FOR_EVER, opened).await.unwrap();
}

#[tokio::test]
async fn a_client_says_who_it_is_asks_reads_the_answer_and_stops_the_next() {
    let scene = scene(Answer::Counting).await;
    let (mut ann, ready) = Client::named(scene.address, "ann").await;
    assert_eq!(ready["user"], "ann");
    ann.say(JOIN).await;
    assert_eq!(ann.expect("room").await["members"][0]["user"], "ann");
    ann.say(&say("one")).await;
    let (text, ended) = ann.answer("").await;
    assert_eq!(text, Answer::counting(0, 50));
    assert_eq!(ended["ending"]["how"], "finished");

    let gate = scene.control.gate_step(scene.control.counts().steps + 9);
    ann.say(&say("two")).await;
    let first = ann.expect("delta").await["text"].clone();
    ann.say(r#"{"op":"stop","conversation":"c"}"#).await;
    // It is stopped whatever the model does, which stands still.
    let (text, ended) = ann.answer(first.as_str().unwrap()).await;
    assert_eq!(ended["ending"]["how"], "stopped", "{ended}");
    assert!(Answer::counting(0, 50).starts_with(&text));
    gate.release();
    drop(ann);
    scene.end().await;
}

#[tokio::test]
async fn a_ping_is_answered_and_a_long_text_comes_whole() {
    // Words of many frames each.
    let long = format!("{} ", "☃".repeat(9_000)).repeat(20);
    let scene = scene(Answer::Text(long.clone())).await;
    let (mut ann, _) = Client::viewer(scene.address, "ann").await;
    ann.say(&say("n")).await;
    let (text, ended) = ann.answer("").await;
    assert_eq!(ended["ending"]["how"], "finished", "{ended}");
    assert_eq!(text.len(), long.len());
    assert_eq!(text, long);
    ann.send(Message::Ping(b"mark".to_vec().into())).await;
    let pong = async {
        use futures_util::StreamExt;
        loop {
            if let Message::Pong(mark) = ann.socket.next().await.unwrap().unwrap() {
                return mark;
            }
        }
    };
    assert_eq!(&*timeout(FOR_EVER, pong).await.unwrap(), b"mark");
    drop(ann);
    scene.end().await;
}

#[tokio::test]
async fn a_cut_socket_loses_and_doubles_nothing() {
    let scene = scene(Answer::Counting).await;
    // Twice within one answer: it is held where the test wants it.
    let gates = [6, 12].map(|step| scene.control.gate_step(step));
    let (mut client, ready) = Client::viewer(scene.address, "ann").await;
    client.say(&say("n")).await;
    let mut known = String::new();
    let mut held = 6;
    for gate in gates {
        scene
            .control
            .wait_until(|counts| counts.steps == held)
            .await;
        held = 12;
        let delta = client.expect("delta").await;
        assert_eq!(delta["at"].as_u64(), Some(known.chars().count() as u64));
        known.push_str(delta["text"].as_str().unwrap());
        let seq = client.seq;
        drop(client);
        gate.release();
        client = Client::connect(scene.address).await;
        client.expect("hello").await;
        client.seq = seq;
        client.say(&resume(&ready, seq)).await;
    }
    let (text, ended) = client.answer(&known).await;
    assert_eq!(text, Answer::counting(0, 50));
    assert_eq!(ended["ending"]["how"], "finished");
    assert_eq!(scene.control.counts().opened, 1, "it was asked once");
    drop(client);
    scene.end().await;
}

#[tokio::test]
async fn who_says_that_it_leaves_is_gone_at_once_and_who_does_not_may_come_back() {
    use tokio_tungstenite::tungstenite::protocol::CloseFrame;
    let scene = scene(hello()).await;
    for (code, sessions) in [(Some(1000), 0), (Some(1001), 0), (Some(3001), 1), (None, 2)] {
        let (mut client, _) = Client::named(scene.address, "ann").await;
        let close = code.map(|code: u16| CloseFrame {
            code: code.into(),
            reason: "".into(),
        });
        client.send(Message::Close(close)).await;
        // The farewell is answered with the same.
        let answered = client.next().await.unwrap().unwrap_err().0;
        assert_eq!(answered, code.unwrap_or(1005));
        drop(client);
        until_open(&scene, 0).await;
        until_sessions(&scene, sessions).await;
    }
    scene.end().await;
}

#[tokio::test]
async fn operators_see_sockets_and_close_them_for_good() {
    let metrics = Metrics::install().unwrap();
    let scene = scene(hello()).await;
    let (mut ann, _) = Client::named(scene.address, "ann").await;
    let (mut bob, _) = Client::viewer(scene.address, "bob").await;
    let mut nobody = Client::connect(scene.address).await;
    nobody.expect("hello").await;
    let listed = scene.serving.connections(9);
    let told: Vec<_> = listed
        .iter()
        .map(|(one, _)| (one.number, one.kind.as_str(), one.requests, one.silent))
        .collect();
    assert_eq!(
        told,
        [
            (1, "websocket", 1, false),
            (2, "websocket", 1, false),
            (3, "websocket", 1, true),
        ]
    );
    assert!(listed.iter().all(|(one, _)| one.written_bytes > 150));
    assert_eq!(listed[0].0.kind, Kind::WebSocket);
    // No request lasts, and none of these is a connection of HTTP any more.
    let text = metrics.render();
    for line in [
        "paraphym_http_requests_in_flight 0\n",
        "paraphym_http_connections{state=\"idle\"} 0\n",
        "paraphym_http_requests_total{path=\"/ws\",status=\"101\"} 3\n",
        "paraphym_http_request_duration_seconds_count{path=\"/ws\"} 3\n",
    ] {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
    for (number, client) in [(1, &mut ann), (3, &mut nobody)] {
        assert!(scene.serving.kick(number).is_some());
        assert_eq!(client.closed().await, 4500);
    }
    until_open(&scene, 1).await;
    until_sessions(&scene, 1).await;
    bob.say(&say("n")).await;
    assert_eq!(bob.answer("").await.0, "Hello dear world");
    let closes = "paraphym_realtime_closes_total{reason=\"kicked\"} 2\n";
    assert!(metrics.render().contains(closes), "{}", metrics.render());
    drop(bob);
    scene.end().await;
}

#[tokio::test]
async fn a_server_that_drains_takes_no_upgrade_and_invites_to_come_again() {
    let scene = scene(hello()).await;
    let mut clients = Vec::new();
    for n in 0..7 {
        clients.push(Client::named(scene.address, &format!("user-{n}")).await.0);
    }
    scene.serving.drain();
    let stream = TcpStream::connect(scene.address).await.unwrap();
    let refused = Client::over(stream, &[]).await.err().unwrap();
    assert_eq!(refused.0, 503);
    assert!(refused.1.contains(r#""code":"draining""#), "{refused:?}");
    let live = scene.live.clone().unwrap();
    let pause = std::time::Duration::from_millis(1);
    let (codes, ()) = tokio::join!(
        join_all(clients.iter_mut().map(Client::closed)),
        live.drain(3, pause)
    );
    assert_eq!(codes, [4000; 7]);
    until_sessions(&scene, 0).await;
    drop(clients);
    scene.end().await;
}

#[tokio::test]
async fn a_gateway_that_restarts_cuts_its_sockets_and_the_sessions_go_on() {
    let scene = scene(Answer::Counting).await;
    let gate = scene.control.gate_step(6);
    let (mut ann, ready) = Client::viewer(scene.address, "ann").await;
    let mut nobody = Client::connect(scene.address).await;
    ann.say(&say("n")).await;
    scene.control.wait_until(|counts| counts.steps == 6).await;
    let delta = ann.expect("delta").await;
    let known = delta["text"].as_str().unwrap().to_owned();
    let admin = scene.root.administration();
    let seq = ann.seq;
    let restarted = admin.restart("root/gateway", FOR_EVER);
    let (restarted, closes) = tokio::join!(restarted, async {
        [ann.closed().await, nobody.closed().await]
    });
    restarted.unwrap();
    assert_eq!(closes, [4000, 4000]);
    let mut back = Client::connect(scene.listens().await).await;
    back.expect("hello").await;
    back.seq = seq;
    back.say(&resume(&ready, seq)).await;
    gate.release();
    assert_eq!(back.answer(&known).await.0, Answer::counting(0, 50));
    drop(back);
    scene.end().await;
}

#[tokio::test]
async fn a_gateway_that_is_killed_cuts_its_sockets_and_the_sessions_go_on() {
    let scene = scene(hello()).await;
    let (mut ann, ready) = Client::viewer(scene.address, "ann").await;
    let admin = scene.root.administration();
    admin.kill("root/gateway", FOR_EVER).await.unwrap();
    assert_eq!(ann.closed().await, 4000);
    // Its next life listens where the last one did, in a moment.
    let listens = async {
        loop {
            match TcpStream::connect(scene.address).await {
                Ok(stream) => return stream,
                Err(_) => tokio::task::yield_now().await,
            }
        }
    };
    let stream = timeout(FOR_EVER, listens).await.unwrap();
    let mut back = Client::over(stream, &[]).await.unwrap();
    back.expect("hello").await;
    back.seq = ann.seq;
    back.say(&resume(&ready, ann.seq)).await;
    assert_eq!(back.expect("resumed").await["replayed"], 0);
    back.say(&say("n")).await;
    assert_eq!(back.answer("").await.0, "Hello dear world");
    drop(back);
    scene.end().await;
}

#[tokio::test]
async fn a_connection_that_is_killed_says_so_and_its_client_begins_anew_with_nothing_missing() {
    let metrics = Metrics::install().unwrap();
    let scene = scene(Answer::Counting).await;
    let gate = scene.control.gate_step(6);
    let (mut ann, ready) = Client::viewer(scene.address, "ann").await;
    ann.say(&say("n")).await;
    scene.control.wait_until(|counts| counts.steps == 6).await;
    let admin = scene.root.administration();
    let path = "root/connection_supervisor/connection-1";
    admin.kill(path, FOR_EVER).await.unwrap();
    assert_eq!(ann.closed().await, 4003);
    // No other test here crashes one.
    let closes = "paraphym_realtime_closes_total{reason=\"crashed\"} 1\n";
    assert!(metrics.render().contains(closes), "{}", metrics.render());
    let mut back = Client::connect(scene.address).await;
    back.expect("hello").await;
    back.say(&resume(&ready, ann.seq)).await;
    assert_eq!(back.expect("invalid_session").await["resumable"], false);
    back.say(r#"{"op":"identify","user":"ann"}"#).await;
    back.expect("ready").await;
    back.say(JOIN).await;
    let room = back.expect("room").await;
    let known = room["turns"][0]["text"].as_str().unwrap().to_owned();
    gate.release();
    assert_eq!(back.answer(&known).await.0, Answer::counting(0, 50));
    drop(back);
    scene.end().await;
}

#[tokio::test]
async fn who_reads_nothing_is_closed_as_slow_and_nobody_waits_for_them() {
    let metrics = Metrics::install().unwrap();
    let bounds = Bounds {
        limits: Limits {
            waiting_bytes: 8 << 10,
            ..Limits::default()
        },
        tokens: Some(12_000),
        ..Bounds::default()
    };
    let scene = Scene::live(Answer::Counting, bounds, |_| {}).await;
    let mut slow = Client::with_little_room(scene.address).await;
    slow.identify("slow").await;
    slow.say(JOIN).await;
    slow.expect("room").await;
    let (mut ann, _) = Client::viewer(scene.address, "ann").await;
    ann.say(&say("n")).await;
    let (text, ended) = ann.answer("").await;
    assert_eq!(ended["ending"]["how"], "finished", "{ended}");
    assert_eq!(text.len(), Answer::counting(0, 12_000).len());
    let closes = "paraphym_realtime_closes_total{reason=\"slow\"} 1\n";
    assert!(metrics.render().contains(closes), "{}", metrics.render());
    let mut heard = slow.next().await;
    while let Some(Ok(_)) = heard {
        heard = slow.next().await;
    }
    // Whoever reads on within a few seconds hears why.
    assert_eq!(heard, Some(Err((4001, "slow".to_owned()))));
    assert_eq!(slow.next().await, None);
    until_sessions(&scene, 1).await;
    drop((slow, ann));
    scene.end().await;
}
