//! Who may be connected in real time: pages of this server and those that were named, and, where a token is needed, whoever
//! says one in their first frame.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a broken fixture should fail the test at once"
)]

use crate::support;

use bearer::{Grants, Secret, Terms};
use connection::Seats;
use paraphym_gateway::{Auth, GatewayConfig, Tokens};
use support::live::{Bounds, Client, resume};
use support::{Scene, get, hello};
use tokio::net::TcpStream;

/// Opens with these headers; the status and the code of a refusal.
async fn opened(scene: &Scene, headers: &[(&'static str, &str)]) -> Result<Client, (u16, String)> {
    let stream = TcpStream::connect(scene.address).await.unwrap();
    let opened = Client::over(stream, headers).await;
    opened.map_err(|(status, body)| {
        let error: serde_json::Value = serde_json::from_str(&body).unwrap();
        (status, error["error"]["code"].as_str().unwrap().to_owned())
    })
}

async fn scene(change: impl FnOnce(&mut GatewayConfig)) -> Scene {
    Scene::live(hello(), Bounds::default(), change).await
}

/// Two tokens, the first of somebody who is called ann.
fn tokens() -> (Tokens, [Secret; 2]) {
    let secrets = [1, 2].map(|n| Secret::of([n; 32]));
    let mut grants = Grants::default();
    for (secret, name) in secrets.iter().zip(["ann", "bob"]) {
        let name = Some(name.to_owned());
        grants.add(secret, name, Terms::default(), 0).unwrap();
    }
    (grants.into(), secrets)
}

#[tokio::test]
async fn a_foreign_page_is_not_connected() {
    let named = "https://app.example".to_owned();
    let scene = scene(|config| config.access.cors_origins = vec![named]).await;
    for (host, origin, admitted) in [
        ("localhost", None, true),
        ("localhost", Some("http://localhost:7007"), true),
        ("127.0.0.1:7007", Some("http://127.0.0.1:7007"), true),
        ("localhost", Some("https://app.example"), true),
        ("localhost", Some("https://evil.example"), false),
        ("localhost", Some("null"), false),
        // A name of theirs that leads here.
        ("evil.example", Some("http://evil.example"), false),
        ("evil.example", None, false),
    ] {
        let mut headers = vec![("host", host)];
        headers.extend(origin.map(|origin| ("origin", origin)));
        match (opened(&scene, &headers).await, admitted) {
            (Ok(mut client), true) => {
                client.expect("hello").await;
            }
            (Err(refused), false) => assert_eq!(refused, (403, "foreign_origin".to_owned())),
            (opened, _) => assert_eq!(opened.is_ok(), admitted, "{host} {origin:?}"),
        }
    }
    scene.end().await;
}

#[tokio::test]
async fn where_a_token_is_needed_the_first_frame_brings_it() {
    let (tokens, [ann, bob]) = tokens();
    let scene = scene(|config| {
        config.access.auth = Auth::Required;
        config.access.tokens = tokens;
    })
    .await;
    let wrong = Secret::of([9; 32]);
    for said in [
        r#"{"op":"identify","user":"ann"}"#.to_owned(),
        format!(r#"{{"op":"identify","token":"{}"}}"#, wrong.reveal()),
        r#"{"op":"resume","session":"id-1","epoch":"id-0","seq":0}"#.to_owned(),
    ] {
        let mut client = opened(&scene, &[]).await.unwrap();
        client.expect("hello").await;
        client.say(&said).await;
        let error = client.expect("error").await;
        assert_eq!(error["code"], "unauthorised");
        let message = error["message"].as_str().unwrap();
        assert!(message.contains("paraphym token new"), "{message}");
        assert_eq!(client.closed().await, 4502, "{said}");
    }
    // The owner of the token, whatever they would be called.
    let mut client = opened(&scene, &[]).await.unwrap();
    client.expect("hello").await;
    let token = ann.reveal();
    client
        .say(&format!(
            r#"{{"op":"identify","user":"root","token":"{token}"}}"#
        ))
        .await;
    let ready = client.expect("ready").await;
    assert_eq!(ready["user"], "ann");
    let seq = client.seq;
    drop(client);
    // Nobody else's session is gone on with; the own one is.
    for (secret, answer) in [(&bob, "invalid_session"), (&ann, "resumed")] {
        let mut client = opened(&scene, &[]).await.unwrap();
        client.expect("hello").await;
        let token = format!(r#","token":"{}"}}"#, secret.reveal());
        let with_token = resume(&ready, seq).replace('}', &token);
        client.say(&with_token).await;
        client.expect(answer).await;
    }
    // By which page somebody comes is looked at here, too; by which name this server was reached is not.
    for (origin, admitted) in [
        ("https://chat.example", true),
        ("https://evil.example", false),
    ] {
        let headers = [("host", "chat.example"), ("origin", origin)];
        assert_eq!(opened(&scene, &headers).await.is_ok(), admitted, "{origin}");
    }
    // Nobody needs a token for the page, and everybody for all else.
    assert_eq!(get(scene.address, "/").await.status, 200);
    assert_eq!(get(scene.address, "/page/main.js").await.status, 200);
    assert_eq!(get(scene.address, "/page").await.status, 401);
    scene.end().await;
}

#[tokio::test]
async fn where_none_is_needed_somebody_is_who_they_say_or_a_guest() {
    let scene = scene(|_| {}).await;
    let mut guests = Vec::new();
    for (said, user) in [
        (
            r#"{"op":"identify","user":"Ännchen von Tharau"}"#,
            Some("Ännchen von Tharau"),
        ),
        // What was kept from another day does not keep anybody out.
        (
            r#"{"op":"identify","user":"ann","token":"old"}"#,
            Some("ann"),
        ),
        (r#"{"op":"identify"}"#, None),
        (r#"{"op":"identify"}"#, None),
    ] {
        let mut client = opened(&scene, &[]).await.unwrap();
        client.expect("hello").await;
        client.say(said).await;
        let ready = client.expect("ready").await;
        match user {
            Some(user) => assert_eq!(ready["user"], user),
            None => guests.push(ready["user"].as_str().unwrap().to_owned()),
        }
    }
    assert!(guests.iter().all(|guest| guest.starts_with("guest-")));
    assert_ne!(guests[0], guests[1]);
    // It goes on with its session, too, with that old token.
    let (client, ready) = Client::named(scene.address, "ann").await;
    let seq = client.seq;
    drop(client);
    let mut back = opened(&scene, &[]).await.unwrap();
    back.expect("hello").await;
    back.say(&resume(&ready, seq).replace('}', r#","token":"old"}"#))
        .await;
    back.expect("resumed").await;
    scene.end().await;
}

#[tokio::test]
async fn one_person_has_so_many_connections_and_all_together_so_many() {
    let bounds = Bounds {
        seats: Seats {
            in_all: 3,
            of_one: 2,
        },
        ..Bounds::default()
    };
    let scene = Scene::live(hello(), bounds, |_| {}).await;
    let mut there = Vec::new();
    for (user, admitted) in [
        ("ann", true),
        ("ann", true),
        ("ann", false),
        ("bob", true),
        ("cleo", false),
    ] {
        let mut client = Client::connect(scene.address).await;
        client.expect("hello").await;
        let identify = format!(r#"{{"op":"identify","user":"{user}"}}"#);
        client.say(&identify).await;
        if admitted {
            client.expect("ready").await;
            there.push(client);
        } else {
            assert_eq!(client.expect("error").await["code"], "too_many");
            assert_eq!(client.closed().await, 4504);
        }
    }
    drop(there);
    scene.end().await;
}

#[tokio::test]
async fn without_connections_neither_they_nor_the_page_are_served() {
    let scene = Scene::start(hello(), |_| {}).await;
    for path in ["/", "/ws", "/page/main.js"] {
        let refused = get(scene.address, path).await;
        assert_eq!(refused.status, 404, "{path}");
        assert_eq!(refused.json()["error"]["code"], "unknown_url");
    }
    scene.end().await;
}
