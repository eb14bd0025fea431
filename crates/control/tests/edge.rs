//! What operators do with the server for requests, over a real socket: control asks it, and the model host hears what it
//! must. The server itself is a made one here.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test may stop at the first surprise"
)]

use crate::support;

use domain::{ContextPolicy, ModelName, Prompt, RequestId, Sampling};
use model_host::{GenerationStream, Request};
use paraphym_control::edge::{Called, Edge};
use paraphym_control::protocol::act::{Cancel, Drain, Limit, Limited};
use paraphym_control::protocol::connections::{Connection, Connections, ConnectionsAnswer, Kick};
use paraphym_control::protocol::look::Audit;
use paraphym_control::{Code, Level};
use support::{FOR_EVER, Scene, ask, assert_refused};

/// An answer under way in the model host.
async fn answer(scene: &Scene, id: &str) -> GenerationStream {
    let request = Request {
        id: RequestId::new(id),
        model: ModelName::new("m"),
        prompt: Prompt::Text("Hi".to_owned()),
        sampling: Sampling {
            max_tokens: 500,
            ..Sampling::greedy()
        },
        context: ContextPolicy::Refuse,
        keep_alive: None,
        tools: domain::Tools::default(),
    };
    model_host::generate(&scene.models, request).await.unwrap()
}

/// How it ended.
async fn last_of(mut stream: GenerationStream) -> String {
    let mut last = None;
    while let Some(event) = stream.next().await {
        last = Some(event);
    }
    format!("{last:?}")
}

#[tokio::test]
async fn an_answer_of_the_edge_is_ended_by_either_name_and_the_model_host_hears_of_each() {
    let scene = Scene::start().await;
    let client = &mut scene.client().await;
    let cancel = |id: &str, dry_run| Cancel {
        id: id.to_owned(),
        dry_run,
    };
    let gate = scene.control.gate_step(3);
    let mut streams = Vec::new();
    for (answer_id, request, owner) in [
        ("chatcmpl-1", "mine", None),
        ("chatcmpl-2", "mine", Some("ann")),
        ("chatcmpl-3", "other", Some("bob")),
        ("chatcmpl-4", "fourth", None),
    ] {
        streams.push(answer(&scene, answer_id).await);
        scene.edge.answers.lock().unwrap().push(Called {
            answer: RequestId::new(answer_id),
            request: RequestId::new(request),
            owner: owner.map(str::to_owned),
        });
    }
    // Somebody in this process took the same name for a request of their own.
    streams.push(answer(&scene, "mine").await);
    let two = "chatcmpl-1 (request mine), chatcmpl-2 (request mine, token ann)";
    let would = ask(client, &cancel("mine", true)).await;
    assert_eq!(
        (would.done, would.what),
        (false, format!("would end {two}"))
    );
    assert_eq!(scene.edge.answers.lock().unwrap().len(), 4);
    let did = ask(client, &cancel("mine", false)).await;
    assert_eq!((did.done, did.what), (true, format!("ended: {two}")));
    let did = ask(client, &cancel("chatcmpl-3", false)).await;
    assert_eq!(did.what, "ended: chatcmpl-3 (request other, token bob)");
    for (name, dry_run) in [("mine", false), ("mine", true), ("chatcmpl-9", false)] {
        let again = client.ask(&cancel(name, dry_run), FOR_EVER).await;
        assert_refused(again, Code::NotFound, "x-request-id");
    }
    gate.release();
    for (stream, cancelled) in streams.into_iter().zip([true, true, true, false, true]) {
        let last = last_of(stream).await;
        assert_eq!(last.contains("Cancelled"), cancelled, "{last}");
    }
    let audit = ask(client, &Audit { limit: None }).await;
    let told = |part: &str| audit.acts.iter().any(|act| act.detail.contains(part));
    assert!(told(two) && told("would end"), "{audit:?}");
    scene.end().await;
}

fn connection(id: u64, answers: &[&str]) -> Connection {
    Connection {
        id,
        kind: "http".to_owned(),
        peer: format!("10.0.0.{id}:5000"),
        requests: 1,
        answers: answers.iter().map(|&one| one.to_owned()).collect(),
        ..Connection::default()
    }
}

#[tokio::test]
async fn connections_are_listed_closed_and_limited() {
    let scene = Scene::start().await;
    let client = &mut scene.client().await;
    let there = ConnectionsAnswer {
        limit: 256,
        open: 3,
        connections: vec![
            connection(1, &[]),
            connection(2, &["chatcmpl-1", "chatcmpl-2"]),
            connection(5, &[]),
        ],
        ..ConnectionsAnswer::default()
    };
    *scene.edge.seats.lock().unwrap() = there.clone();
    assert_eq!(ask(client, &Connections {}).await, there);
    let kick = |id, dry_run| Kick { id, dry_run };
    let would = ask(client, &kick(2, true)).await;
    let what = "would close connection 2 of 10.0.0.2:5000, and with it chatcmpl-1, chatcmpl-2";
    assert_eq!((would.done, would.what.as_str()), (false, what));
    assert_eq!(ask(client, &Connections {}).await.open, 3);
    let did = ask(client, &kick(1, false)).await;
    let what = "connection 1 of 10.0.0.1:5000 is closed";
    assert_eq!((did.done, did.what.as_str()), (true, what));
    assert_eq!(ask(client, &Connections {}).await.open, 2);
    for dry_run in [true, false] {
        let gone = client.ask(&kick(1, dry_run), FOR_EVER).await;
        assert_refused(gone, Code::NotFound, "id = 1 is no open connection");
    }
    let limit = |value, dry_run| Limit {
        what: Limited::Connections,
        value,
        dry_run,
    };
    let said = "1: 2 are open and stay, and nobody new is let in until 2 have left";
    let would = ask(client, &limit(Some(1), true)).await;
    assert_eq!(would.what, format!("would limit connections to {said}"));
    assert_eq!(ask(client, &Connections {}).await.limit, 256);
    let did = ask(client, &limit(Some(1), false)).await;
    assert_eq!(did.what, format!("connections are limited to {said}"));
    assert_eq!(ask(client, &Connections {}).await.limit, 1);
    for value in [None, Some(0), Some(100_001)] {
        let refused = client.ask(&limit(value, false), FOR_EVER).await;
        assert_refused(refused, Code::Params, "from 1 to 100000");
    }
    let audit = ask(client, &Audit { limit: None }).await;
    let kicked = audit
        .acts
        .iter()
        .filter(|act| act.action == "control.connections.kick");
    assert_eq!(kicked.count(), 8, "what was asked, and what came of it");
    scene.end().await;
}

#[tokio::test]
async fn who_only_observes_sees_connections_and_closes_none() {
    let scene = Scene::start().await;
    scene.edge.seats.lock().unwrap().connections = vec![connection(1, &[])];
    let client = &mut scene.client_as(Level::Observe).await;
    assert_eq!(ask(client, &Connections {}).await.connections.len(), 1);
    let kick = Kick {
        id: 1,
        dry_run: false,
    };
    let refused = client.ask(&kick, FOR_EVER).await;
    assert_refused(refused, Code::Level, "needs the level operate");
    assert_eq!(ask(client, &Connections {}).await.connections.len(), 1);
    scene.end().await;
}

#[tokio::test]
async fn to_drain_takes_nothing_new_ends_nothing_and_is_said_once() {
    let scene = Scene::start().await;
    let client = &mut scene.client().await;
    let one = Called {
        answer: RequestId::new("chatcmpl-1"),
        request: RequestId::new("mine"),
        owner: None,
    };
    scene.edge.answers.lock().unwrap().push(one);
    let drain = |dry_run| Drain { dry_run };
    let would = ask(client, &drain(true)).await;
    assert_eq!(would.what, "would take nothing new; 1 answer goes on");
    assert!(!would.done && !scene.edge.is_draining());
    let did = ask(client, &drain(false)).await;
    assert!(did.done && did.what.contains("1 answer goes on"), "{did:?}");
    assert!(scene.edge.is_draining());
    assert_eq!(scene.edge.answers.lock().unwrap().len(), 1);
    assert_refused(
        client.ask(&drain(false), FOR_EVER).await,
        Code::Refused,
        "already; 1 answer goes on",
    );
    scene.end().await;
}
