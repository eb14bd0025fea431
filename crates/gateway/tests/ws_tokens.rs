//! Tokens of those who are connected in real time: one that is revoked ends the sessions over it and no other, and what is said
//! counts as a request does. Over real sockets.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a broken fixture should fail the test at once"
)]

use crate::support;

use std::sync::Arc;
use std::time::Duration;

use bearer::{Grants, Secret, Terms};
use paraphym_gateway::Auth;
use serde_json::Value;
use support::live::{Bounds, Client, JOIN, resume, say};
use support::{Scene, ask, exchange, hello, post};
use testkit::scripted::Answer;
use tokio::sync::watch;
use tokio::time::Instant;

/// From the moment the revocation is known here to the close.
const SOON: Duration = Duration::from_secs(1);

/// Tokens that are made and taken back while the server runs.
#[derive(Default)]
struct Issued(watch::Sender<Arc<Grants>>);

impl Issued {
    fn change(&self, change: impl FnOnce(&mut Grants)) {
        self.0.send_modify(|now| change(Arc::make_mut(now)));
    }

    /// One more, of this name.
    fn make(&self, n: u8, name: &str, terms: Terms) -> String {
        let secret = Secret::of([n; 32]);
        let name = Some(name.to_owned());
        self.change(|grants| drop(grants.add(&secret, name, terms, 0).unwrap()));
        secret.reveal().to_owned()
    }

    async fn scene(&self, answer: Answer, auth: Auth) -> Scene {
        let tokens = self.0.subscribe();
        Scene::live(answer, Bounds::default(), |config| {
            config.access.auth = auth;
            config.access.tokens = tokens.into();
        })
        .await
    }
}

/// A client that has said this, first thing.
async fn first(scene: &Scene, said: &str) -> Client {
    let mut client = Client::connect(scene.address).await;
    client.expect("hello").await;
    client.say(said).await;
    client
}

fn identify(token: &str) -> String {
    format!(r#"{{"op":"identify","token":"{token}"}}"#)
}

fn resume_with(ready: &Value, seq: u64, token: &str) -> String {
    resume(ready, seq).replace('}', &format!(r#","token":"{token}"}}"#))
}

/// The owner of this token, in the conversation.
async fn viewer(scene: &Scene, token: &str) -> (Client, Value) {
    let mut client = first(scene, &identify(token)).await;
    let ready = client.expect("ready").await;
    client.say(JOIN).await;
    client.expect("room").await;
    (client, ready)
}

#[tokio::test]
async fn a_revoked_token_ends_the_sessions_over_it_and_nobody_elses() {
    let issued = Issued::default();
    let ann = issued.make(1, "ann", Terms::default());
    let bob = issued.make(2, "bob", Terms::default());
    let scene = issued.scene(hello(), Auth::Required).await;
    let (mut here, _) = viewer(&scene, &ann).await;
    let (away, kept) = viewer(&scene, &ann).await;
    let seq = away.seq;
    drop(away);
    let (mut other, _) = viewer(&scene, &bob).await;
    let connections = scene.live.clone().unwrap();
    assert_eq!(connections.count(), 3);

    let revoked = Instant::now();
    issued.change(|grants| drop(grants.revoke("ann").unwrap()));
    assert_eq!(here.closed().await, 4502);
    assert!(revoked.elapsed() < SOON, "{:?}", revoked.elapsed());

    // Whose client was away is over, too: neither that token nor another of the same name goes on with it.
    let mut back = first(&scene, &resume_with(&kept, seq, &ann)).await;
    assert_eq!(back.expect("error").await["code"], "unauthorised");
    assert_eq!(back.closed().await, 4502);
    while connections.count() > 1 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let new = issued.make(3, "ann", Terms::default());
    let mut back = first(&scene, &resume_with(&kept, seq, &new)).await;
    back.expect("invalid_session").await;
    back.say(&identify(&new)).await;
    assert_eq!(back.expect("ready").await["user"], "ann");

    // The other one goes on, and heard of nothing but that ann left.
    other.say(&say("n")).await;
    loop {
        match other.next().await.unwrap().unwrap() {
            frame if frame["op"] == "presence" => assert_eq!(frame["joins"], serde_json::json!([])),
            frame => {
                assert!(frame["op"] == "said" || frame["op"] == "turn", "{frame}");
                break;
            }
        }
    }
    other.expect("ended").await;
    scene.end().await;
}

#[tokio::test]
async fn whoever_came_in_without_a_token_is_let_go_once_one_is_needed() {
    for (auth, stays) in [(Auth::Auto, false), (Auth::Off, true)] {
        let issued = Issued::default();
        let scene = issued.scene(hello(), auth).await;
        let (mut guest, _) = Client::viewer(scene.address, "gus").await;
        let token = issued.make(1, "ann", Terms::default());
        if stays {
            guest.say(&say("n")).await;
            guest.expect("ended").await;
        } else {
            assert_eq!(guest.closed().await, 4502);
            let (mut ann, _) = viewer(&scene, &token).await;
            ann.say(&say("n")).await;
            ann.expect("ended").await;
        }
        scene.end().await;
    }
}

#[tokio::test]
async fn a_session_is_held_to_what_it_was_last_gone_on_with() {
    let issued = Issued::default();
    let token = issued.make(1, "ann", Terms::default());
    let scene = issued.scene(hello(), Auth::Off).await;
    // Begun by a name alone, where that is enough, and gone on with by the token of that name.
    let (client, ready) = Client::viewer(scene.address, "ann").await;
    let seq = client.seq;
    drop(client);
    let mut back = first(&scene, &resume_with(&ready, seq, &token)).await;
    back.expect("resumed").await;
    issued.change(|grants| drop(grants.revoke("ann").unwrap()));
    assert_eq!(back.closed().await, 4502);
    scene.end().await;
}

fn post_as(token: &str) -> String {
    let headers = format!("authorization: Bearer {token}\r\n");
    post(&ask(r#","max_tokens":3"#), &headers)
}

#[tokio::test]
async fn what_is_said_counts_as_a_request_and_one_too_many_is_told_when_to_come_again() {
    let issued = Issued::default();
    let terms = Terms {
        requests_per_minute: Some(2),
        concurrent: None,
    };
    let ann = issued.make(1, "ann", terms);
    let bob = issued.make(2, "bob", terms);
    let scene = issued.scene(hello(), Auth::Required).await;
    assert_eq!(exchange(scene.address, &post_as(&ann)).await.status, 200);
    let (mut client, _) = viewer(&scene, &ann).await;
    client.say(&say("first")).await;
    client.expect("ended").await;
    client.say(&say("second")).await;
    let refused = client.expect("error").await;
    assert_eq!(
        (
            &refused["code"],
            &refused["about"],
            &refused["nonce"],
            &refused["conversation"]
        ),
        (
            &"rate_limit_exceeded".into(),
            &"say".into(),
            &"second".into(),
            &"c".into()
        )
    );
    let wait = refused["retry_after_ms"].as_u64().unwrap();
    assert!((1..=30_000).contains(&wait), "two a minute: {wait} ms");
    let message = refused["message"].as_str().unwrap();
    assert!(message.contains("2 requests a minute"), "{message}");
    assert_eq!(exchange(scene.address, &post_as(&ann)).await.status, 429);
    // What was said is known by its name, and needs nothing.
    client.say(&say("first")).await;
    assert_eq!(client.expect("said").await["nonce"], "first");
    client.say(r#"{"op":"heartbeat","seq":0}"#).await;
    client.expect("heartbeat_ack").await;
    // Another token has its own.
    let (mut other, _) = viewer(&scene, &bob).await;
    other.say(&say("mine")).await;
    other.expect("ended").await;
    scene.end().await;
}

#[tokio::test]
async fn answers_at_once_are_those_of_both_ways_and_room_is_there_when_one_has_ended() {
    let issued = Issued::default();
    let terms = Terms {
        requests_per_minute: None,
        concurrent: Some(1),
    };
    let ann = issued.make(1, "ann", terms);
    let scene = issued.scene(hello(), Auth::Required).await;
    let (mut client, _) = viewer(&scene, &ann).await;
    let gate = scene.control.gate_step(1);
    client.say(&say("slow")).await;
    client.expect("said").await;
    client.say(&say("more")).await;
    let refused = client.expect("error").await;
    assert_eq!(refused["code"], "rate_limit_exceeded");
    assert_eq!(refused["retry_after_ms"], 1000);
    assert_eq!(exchange(scene.address, &post_as(&ann)).await.status, 429);
    gate.release();
    client.expect("ended").await;
    // At once: nobody is told that it has ended before there is room.
    for nonce in ["more", "again", "and again"] {
        client.say(&say(nonce)).await;
        client.expect("said").await;
        client.expect("ended").await;
    }
    scene.end().await;
}
