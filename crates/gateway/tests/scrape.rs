//! A page of metrics costs nobody else anything: it comes while actors are paused with full queues, and those who ask for it
//! and never read hold up nobody.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test stops at the first surprise"
)]

use crate::support;

use std::time::Duration;

use futures_util::future::join_all;
use model_host::Status;
use support::{FOR_EVER, Scene, ask, chat, get, hello, open};
use tokio::net::TcpStream;

/// Connections whose owners never read; the edge takes 256.
const UNREAD: usize = 150;
/// Pages asked for at once.
const AT_ONCE: usize = 60;

const SCRAPE: &str = "GET /metrics HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";

#[tokio::test]
async fn a_page_waits_for_no_actor() {
    let scene = Scene::start(hello(), |_| {}).await;
    let administration = scene.root.administration();
    let paused = ["memory_governor", "cache_janitor", "model_host"];
    for actor in paused {
        administration.pause(actor, FOR_EVER).await.unwrap();
    }
    let room = scene.governor.capacity();
    let asks = join_all((0..room).map(|_| scene.governor.ask(memory_governor::Status, FOR_EVER)));
    let scraping = async {
        while scene.governor.depth() < room {
            tokio::task::yield_now().await;
        }
        for page in join_all((0..AT_ONCE).map(|_| get(scene.address, "/metrics"))).await {
            assert_eq!(page.status, 200);
            let queue = "paraphym_supervision_queue_depth{child=\"root/memory_governor\"}";
            let full = format!("{queue} {room}\n");
            assert!(page.body.contains(&full), "{full} in {}", page.body);
        }
        // They wait all the while: nothing was handled for the sake of a page.
        assert_eq!(scene.governor.depth(), room);
        for actor in paused {
            administration.resume(actor, FOR_EVER).await.unwrap();
        }
    };
    let (answers, ()) = tokio::join!(asks, scraping);
    assert!(answers.iter().all(Result::is_ok), "each is answered then");
    scene.end().await;
}

#[tokio::test]
async fn who_asks_for_a_page_and_never_reads_it_holds_up_nobody() {
    let scene = Scene::start(hello(), |_| {}).await;
    let mut unread: Vec<TcpStream> = Vec::new();
    for _ in 0..UNREAD {
        // Some ask for many, one behind the other.
        let many = SCRAPE.replace("connection: close\r\n", "").repeat(20);
        unread.push(open(scene.address, &many).await);
    }
    let messages = async {
        for _ in 0..200 {
            scene.host.ask(Status, FOR_EVER).await.unwrap();
        }
    };
    let pages = async {
        for _ in 0..20 {
            assert_eq!(get(scene.address, "/metrics").await.status, 200);
        }
    };
    let answers = async {
        for _ in 0..5 {
            assert_eq!(chat(scene.address, &ask("")).await.status, 200);
        }
    };
    let all = async { tokio::join!(messages, pages, answers) };
    tokio::time::timeout(Duration::from_mins(2), all)
        .await
        .expect("somebody is held up");
    drop(unread);
    scene.end().await;
}
