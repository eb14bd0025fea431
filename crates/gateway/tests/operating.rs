//! What operators do with the server while it runs, over real loopback sockets: no token of a client's is asked for.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a broken fixture should fail the test at once"
)]

use crate::support;

use bearer::{Grants, Secret, Terms};
use futures_util::future::join_all;
use paraphym_gateway::Auth;
use support::{FOR_EVER, Scene, ask, exchange, get, hello, open, post, post_to, read_until};
use testkit::scripted::Answer;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

#[tokio::test]
async fn an_operator_ends_any_owners_answer_by_either_name() {
    let mut grants = Grants::default();
    let mut headers = Vec::new();
    for (n, name) in [(1, "ann"), (2, "bob")] {
        let secret = Secret::of([n; 32]);
        let name = Some(name.to_owned());
        grants.add(&secret, name, Terms::default(), 0).unwrap();
        headers.push(format!("authorization: Bearer {}\r\n", secret.reveal()));
    }
    let scene = Scene::start(Answer::Counting, |config| {
        config.access.auth = Auth::Required;
        config.access.tokens = grants.into();
    })
    .await;
    let gate = scene.control.gate_step(5);
    let body = ask(r#","stream":true,"max_tokens":2000,"seed":0"#);
    let asked = post(&body, &format!("{}x-request-id: mine\r\n", headers[0]));
    let mut client = open(scene.address, &asked).await;
    let begun = read_until(&mut client, r#""content":"0 "#).await;
    scene.control.wait_until(|c| c.steps == 5).await;
    // Nobody else's token ends it, and to look does not either.
    let others = post_to("/v1/requests/mine/cancel", "", &headers[1]);
    assert_eq!(exchange(scene.address, &others).await.status, 404);
    let called = scene.serving.called("mine");
    assert_eq!((called.len(), called[0].owner.is_some()), (1, true));
    let own = called[0].answer.as_str();
    assert!(begun.contains(own), "{own} in {begun}");
    assert_eq!(scene.serving.called(own), called);
    assert_eq!(scene.serving.called("nobody"), []);
    assert_eq!(scene.serving.cancel(own), called);
    let mut rest = String::new();
    client.read_to_string(&mut rest).await.unwrap();
    assert!(rest.contains(r#""code":"cancelled""#), "{rest}");
    assert!(!rest.contains("[DONE]"), "{rest}");
    gate.release();
    scene.control.wait_until(|c| c.open_now() == 0).await;
    assert!(scene.control.counts().steps <= 6, "it is computed on");
    assert_eq!(scene.serving.cancel("mine"), [], "it has ended");
    scene.end().await;
}

/// Until so many connections are open.
async fn until_open(scene: &Scene, open: usize) {
    let opened = async {
        while scene.serving.occupancy().open != open {
            tokio::task::yield_now().await;
        }
    };
    timeout(FOR_EVER, opened).await.unwrap();
}

/// What comes until the other side ends, which may be abrupt.
async fn until_the_end(mut client: TcpStream) -> String {
    let mut heard = Vec::new();
    let read = timeout(FOR_EVER, client.read_to_end(&mut heard)).await;
    let _ = read.unwrap();
    String::from_utf8(heard).unwrap()
}

const HEALTH: &str = "GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n";

#[tokio::test]
async fn open_connections_are_listed_with_who_and_what_until_they_are_closed() {
    let scene = Scene::start(Answer::Counting, |_| {}).await;
    let silent = TcpStream::connect(scene.address).await.unwrap();
    until_open(&scene, 1).await;
    let mut asking = open(scene.address, HEALTH).await;
    read_until(&mut asking, "ok").await;
    let gate = scene.control.gate_step(5);
    let body = ask(r#","stream":true,"max_tokens":2000,"seed":0"#);
    let mut streaming = open(scene.address, &post(&body, "")).await;
    read_until(&mut streaming, r#""content":"0 "#).await;
    let listed = scene.serving.connections(9);
    let peers: Vec<_> = listed.iter().map(|(one, _)| one.peer).collect();
    let locals = [&silent, &asking, &streaming].map(|one| one.local_addr().unwrap());
    assert_eq!(peers, locals);
    let told: Vec<_> = listed
        .iter()
        .map(|(one, answers)| (one.number, one.silent, one.requests, answers.len()))
        .collect();
    assert_eq!(told, [(1, true, 0, 0), (2, false, 1, 0), (3, false, 1, 1)]);
    let traffic: Vec<_> = listed
        .iter()
        .map(|(one, _)| (one.read_bytes, one.written_bytes > 0))
        .collect();
    let asked = u64::try_from(post(&body, "").len()).unwrap();
    let health = u64::try_from(HEALTH.len()).unwrap();
    assert_eq!(traffic, [(0, false), (health, true), (asked, true)]);
    let own = listed[2].1[0].as_str();
    assert_eq!(scene.serving.called(own).len(), 1);
    assert_eq!(scene.serving.connections(1).len(), 1);
    drop((silent, asking, streaming));
    gate.release();
    until_open(&scene, 0).await;
    assert_eq!(scene.serving.connections(9), []);
    scene.end().await;
}

#[tokio::test]
async fn who_is_kicked_sees_the_end_and_computing_stops() {
    let scene = Scene::start(Answer::Counting, |_| {}).await;
    let mut idle = open(scene.address, HEALTH).await;
    read_until(&mut idle, "ok").await;
    for fields in [
        r#","stream":true,"max_tokens":2000,"seed":0"#,
        r#","max_tokens":2000"#,
    ] {
        let before = scene.control.counts().steps;
        let gate = scene.control.gate_step(before + 5);
        let client = open(scene.address, &post(&ask(fields), "")).await;
        scene.control.wait_until(|c| c.steps == before + 5).await;
        let (kicked, answers) = scene.serving.connections(9).remove(1);
        assert_eq!(answers.len(), 1);
        let told = scene.serving.kick(kicked.number).unwrap();
        assert_eq!((told.0.number, told.1), (kicked.number, answers));
        let heard = until_the_end(client).await;
        assert!(
            !heard.contains("[DONE]") && !heard.contains("finish_reason\":\"l"),
            "{heard}"
        );
        scene.wait_until_working(0).await;
        gate.release();
        scene.control.wait_until(|c| c.open_now() == 0).await;
        assert!(
            scene.control.counts().steps <= before + 6,
            "it is computed on"
        );
        until_open(&scene, 1).await;
        assert_eq!(scene.serving.kick(kicked.number), None);
    }
    // The other one was left alone, until it is its turn.
    idle.write_all(HEALTH.as_bytes()).await.unwrap();
    read_until(&mut idle, "ok").await;
    assert!(scene.serving.kick(1).is_some());
    assert_eq!(until_the_end(idle).await, "");
    until_open(&scene, 0).await;
    scene.end().await;
}

#[tokio::test]
async fn a_limit_holds_at_once_closes_nobody_and_outlives_the_listener() {
    let scene = Scene::start(hello(), |config| config.limits.connections = 3).await;
    let mut clients = Vec::new();
    for _ in 0..3 {
        let mut client = open(scene.address, HEALTH).await;
        read_until(&mut client, "ok").await;
        clients.push(client);
    }
    let refused = get(scene.address, "/healthz").await;
    let code = &refused.json()["error"]["code"];
    assert_eq!(
        (refused.status, code),
        (503, &"too_many_connections".into())
    );
    assert_eq!(refused.header("retry-after"), Some("1"));
    assert_eq!(refused.header("connection"), Some("close"));
    let taken = scene.serving.limit_connections(1);
    assert_eq!((taken.limit, taken.open, taken.refused), (1, 3, 1));
    // Those that are there stay; the first two that leave make no room.
    for left in [2, 1] {
        drop(clients.pop());
        until_open(&scene, left).await;
        assert_eq!(get(scene.address, "/healthz").await.status, 503);
        clients[0].write_all(HEALTH.as_bytes()).await.unwrap();
        read_until(&mut clients[0], "ok").await;
    }
    drop(clients.pop());
    until_open(&scene, 0).await;
    assert_eq!(get(scene.address, "/healthz").await.status, 200);
    // The next life of the listener has the same limit.
    let supervisor = scene.root.supervisor();
    let gateway = "gateway".into();
    supervisor.terminate_child(&gateway).await.unwrap();
    supervisor.restart_child(&gateway).await.unwrap();
    let address = scene.listens().await;
    assert_eq!(address, scene.address, "the free port that it had");
    let mut client = open(address, HEALTH).await;
    read_until(&mut client, "ok").await;
    assert_eq!(get(address, "/healthz").await.status, 503);
    assert_eq!(scene.serving.limit_connections(2).open, 1);
    assert_eq!(get(address, "/healthz").await.status, 200);
    drop(client);
    scene.end().await;
}

#[tokio::test]
async fn goodbyes_are_few_at_once_and_whoever_gets_none_sees_the_end() {
    let scene = Scene::start(hello(), |config| config.limits.connections = 1).await;
    let mut seated = open(scene.address, HEALTH).await;
    read_until(&mut seated, "ok").await;
    let mut silent = Vec::new();
    for _ in 0..12 {
        silent.push(TcpStream::connect(scene.address).await.unwrap());
    }
    let heard = join_all(silent.into_iter().map(until_the_end)).await;
    let told = heard
        .iter()
        .filter(|heard| heard.contains("too_many_connections"));
    let quiet = heard.iter().filter(|heard| heard.is_empty());
    assert_eq!((told.count(), quiet.count()), (8, 4), "{heard:?}");
    assert_eq!(scene.serving.occupancy().refused, 12);
    seated.write_all(HEALTH.as_bytes()).await.unwrap();
    read_until(&mut seated, "ok").await;
    drop(seated);
    scene.end().await;
}

#[tokio::test]
async fn silent_connections_of_one_address_leave_seats_for_the_others() {
    let scene = Scene::start(hello(), |config| config.limits.connections = 8).await;
    let mut silent = Vec::new();
    for open in 1..=2 {
        silent.push(TcpStream::connect(scene.address).await.unwrap());
        until_open(&scene, open).await;
    }
    let refused = get(scene.address, "/healthz").await;
    let code = &refused.json()["error"]["code"];
    assert_eq!(
        (refused.status, code),
        (503, &"too_many_silent_connections".into())
    );
    // Half a request is not one.
    let whole = post(&ask(""), "");
    silent[0]
        .write_all(&whole.as_bytes()[..whole.len() - 3])
        .await
        .unwrap();
    assert_eq!(get(scene.address, "/healthz").await.status, 503);
    // Another address of this machine.
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.2:0".parse().unwrap()).unwrap();
    let mut other = socket.connect(scene.address).await.unwrap();
    other.write_all(HEALTH.as_bytes()).await.unwrap();
    read_until(&mut other, "ok").await;
    // Whoever asks makes room for one that has not.
    let rest = &whole.as_bytes()[whole.len() - 3..];
    silent[0].write_all(rest).await.unwrap();
    read_until(&mut silent[0], "Hello dear world").await;
    let answered = get(scene.address, "/healthz").await;
    assert_eq!(answered.status, 200, "{answered:?}");
    drop((silent, other));
    scene.end().await;
}

#[tokio::test]
async fn where_the_port_it_had_is_taken_the_next_life_listens_elsewhere() {
    let scene = Scene::start(hello(), |_| {}).await;
    let supervisor = scene.root.supervisor();
    let gateway = "gateway".into();
    supervisor.terminate_child(&gateway).await.unwrap();
    let taken = tokio::net::TcpListener::bind(scene.address).await.unwrap();
    supervisor.restart_child(&gateway).await.unwrap();
    let address = scene.listens().await;
    assert_ne!(address, scene.address);
    assert_eq!(get(address, "/healthz").await.status, 200);
    drop(taken);
    scene.end().await;
}
