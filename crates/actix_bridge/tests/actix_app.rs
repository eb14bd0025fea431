//! The example `actix_app`, run with a model that says what it is told.
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

#[path = "../examples/actix_app.rs"]
#[allow(dead_code, reason = "its `main` brings a real model")]
mod app;

use std::net::{SocketAddr, TcpListener};

use paraphym_actix_bridge::run;
use testkit::scripted::Answer;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::common::*;

fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

async fn request(address: SocketAddr, method: &str, path: &str, body: &str) -> TcpStream {
    let mut client = TcpStream::connect(address).await.unwrap();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    client.write_all(request.as_bytes()).await.unwrap();
    client
}

async fn asked(address: SocketAddr, method: &str, path: &str, body: &str) -> String {
    let mut said = String::new();
    let mut client = request(address, method, path, body).await;
    client.read_to_string(&mut said).await.unwrap();
    said
}

#[tokio::test]
async fn it_streams_an_answer_and_its_actor_is_restarted_when_it_panics() {
    run(async |bridge| {
        let dir = tempfile::tempdir().unwrap();
        let text = "Walk, sleep and laugh.";
        let (host, _) = host(dir.path(), Answer::Text(text.to_owned())).await;
        let (listener, address) = listener();
        let tree = app::start(&bridge, host.clone(), listener).await.unwrap();

        let said = asked(address, "POST", "/ask", "Three tips?").await;
        assert!(said.starts_with("HTTP/1.1 200"), "{said}");
        assert!(said.contains("transfer-encoding: chunked"), "{said}");
        let words: Vec<&str> = text.split_inclusive(' ').collect();
        assert!(words.iter().all(|word| said.contains(word)), "{said}");
        assert!(asked(address, "GET", "/said", "").await.contains("4 words"));

        let crashed = asked(address, "POST", "/note", "poison").await;
        assert!(crashed.starts_with("HTTP/1.1 500"), "{crashed}");
        assert!(crashed.contains("app/scribe ended while"), "{crashed}");
        let again = asked(address, "POST", "/note", "two words").await;
        assert!(again.contains("2 words"), "a new one: {again}");
        let drawn = asked(address, "GET", "/tree", "").await;
        let seen = "life 2, 1 restart, last error: this cannot be written down";
        assert!(drawn.contains(seen), "{drawn}");

        tree.stop(MINUTE).await;
        host.shutdown().await;
    })
    .await;
}

#[tokio::test]
async fn a_client_that_leaves_stops_the_model() {
    run(async |bridge| {
        let dir = tempfile::tempdir().unwrap();
        let (host, control) = host(dir.path(), Answer::Counting).await;
        let (listener, address) = listener();
        let tree = app::start(&bridge, host.clone(), listener).await.unwrap();
        let gate = control.gate_step(3);
        let mut client = request(address, "POST", "/ask", "Count.").await;
        let mut said = Vec::new();
        while !said.ends_with(b" \r\n") {
            client.read_buf(&mut said).await.unwrap();
        }
        control.wait_until(|counts| counts.steps == 3).await;
        drop(client);
        // The routes see that it has gone, while the model is in the middle of a step.
        settle().await;
        gate.release();
        let counts = control.wait_until(|counts| counts.open_now() == 0).await;
        assert_eq!(counts.steps, 3, "no step after the one it was in");
        tree.stop(MINUTE).await;
        host.shutdown().await;
    })
    .await;
}
