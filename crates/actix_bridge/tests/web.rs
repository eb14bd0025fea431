//! Routes of actix-web as a child of the tree.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test stops at the first surprise"
)]

use std::convert::Infallible;
use std::net::{SocketAddr, TcpListener};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use actix_web::{App, HttpRequest, HttpResponse, web};
use futures_util::Stream;
use paraphym_actix_bridge::{Bridge, WebLimits, run};
use supervision::{ChildSpec, ChildState, Lifecycle, Shutdown};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Notify;

use crate::common::*;

/// What the routes tell the test.
#[derive(Clone, Default)]
struct Watch {
    log: Log,
    asked: Arc<Notify>,
    go_on: Arc<Notify>,
    ended: Arc<Notify>,
}

/// Says a word, then nothing more; its end is noted.
struct Endless(Watch, bool);

impl Stream for Endless {
    type Item = Result<web::Bytes, Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if std::mem::replace(&mut self.1, true) {
            return Poll::Pending;
        }
        Poll::Ready(Some(Ok(web::Bytes::from_static(b"once"))))
    }
}

impl Drop for Endless {
    fn drop(&mut self) {
        self.0.log.note("the stream is dropped");
        self.0.ended.notify_one();
    }
}

fn child(bridge: &Bridge, watch: &Watch, limits: WebLimits) -> (ChildSpec, SocketAddr) {
    // Ports are taken by address: nobody else takes one of this address while it is free.
    let listener = TcpListener::bind("127.0.0.77:0").unwrap();
    let address = listener.local_addr().unwrap();
    let watch = watch.clone();
    let spec = bridge.web("web", listener, limits, move || {
        App::new()
            .app_data(web::Data::new(watch.clone()))
            .route("/", web::get().to(|| async { "hello" }))
            .route("/peer", web::get().to(peer))
            .route("/slow", web::get().to(slow))
            .route("/endless", web::get().to(endless))
            .route("/boom", web::get().to(boom))
    });
    (spec.unwrap(), address)
}

async fn peer(request: HttpRequest) -> String {
    request.peer_addr().unwrap().ip().to_string()
}

async fn slow(watch: web::Data<Watch>) -> &'static str {
    watch.asked.notify_one();
    watch.go_on.notified().await;
    "at last"
}

async fn endless(watch: web::Data<Watch>) -> HttpResponse {
    HttpResponse::Ok().streaming(Endless(watch.get_ref().clone(), false))
}

async fn boom() -> &'static str {
    panic!("a handler of theirs")
}

async fn connect(address: SocketAddr, path: &str, more: &str) -> TcpStream {
    let mut client = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n{more}\r\n");
    client.write_all(request.as_bytes()).await.unwrap();
    client
}

/// The whole answer on a connection that is closed behind it.
async fn get(address: SocketAddr, path: &str) -> String {
    let mut said = String::new();
    let mut client = connect(address, path, "connection: close\r\n").await;
    client.read_to_string(&mut said).await.unwrap();
    said
}

#[tokio::test]
async fn it_serves_and_a_panic_ends_one_connection_alone() {
    run(async |bridge| {
        let (spec, address) = child(&bridge, &Watch::default(), WebLimits::default());
        let scene = scene(spec).await;
        assert!(get(address, "/").await.ends_with("\r\n\r\nhello"));
        assert!(get(address, "/peer").await.ends_with("\r\n\r\n127.0.0.1"));
        assert!(get(address, "/none").await.starts_with("HTTP/1.1 404"));
        assert_eq!(get(address, "/boom").await, "");
        assert!(get(address, "/").await.ends_with("\r\n\r\nhello"));
        let info = scene.supervisor().which_children().await.remove(0);
        assert_eq!((info.state, info.restarts), (ChildState::Up, 0));
        assert_eq!(scene.stop().await.abandoned, []);
    })
    .await;
}

#[tokio::test]
async fn a_client_that_leaves_ends_its_answer() {
    run(async |bridge| {
        let watch = Watch::default();
        let (spec, address) = child(&bridge, &watch, WebLimits::default());
        let scene = scene(spec).await;
        let mut client = connect(address, "/endless", "").await;
        let mut said = Vec::new();
        while !said.ends_with(b"once\r\n") {
            client.read_buf(&mut said).await.unwrap();
        }
        assert_eq!(watch.log.take(), [""; 0]);
        drop(client);
        watch.ended.notified().await;
        assert_eq!(watch.log.take(), ["the stream is dropped"]);
        scene.stop().await;
    })
    .await;
}

#[tokio::test]
async fn a_stop_closes_idle_connections_and_lets_answers_finish() {
    run(async |bridge| {
        let watch = Watch::default();
        let limits = WebLimits {
            keep_alive: Duration::from_hours(1),
            ..WebLimits::default()
        };
        let (spec, address) = child(&bridge, &watch, limits);
        let scene = scene(spec.shutdown(Shutdown::Timeout(MINUTE))).await;
        let mut idle = connect(address, "/", "").await;
        let mut said = Vec::new();
        while !said.ends_with(b"hello") {
            idle.read_buf(&mut said).await.unwrap();
        }
        let mut busy = connect(address, "/slow", "").await;
        watch.asked.notified().await;
        let client = async {
            assert_eq!(idle.read(&mut [0; 8]).await.unwrap(), 0, "closed");
            // By then nobody is let in any more.
            assert!(TcpStream::connect(address).await.is_err());
            watch.go_on.notify_one();
            let mut said = String::new();
            busy.read_to_string(&mut said).await.unwrap();
            said
        };
        let (report, said) = tokio::join!(scene.stop(), client);
        assert!(said.ends_with("\r\n\r\nat last"), "{said}");
        assert_eq!(report.abandoned, []);
        assert!(report.took < MINUTE, "{:?}", report.took);
    })
    .await;
}

#[tokio::test]
async fn past_its_deadline_answers_are_cut_off() {
    run(async |bridge| {
        let watch = Watch::default();
        let (spec, address) = child(&bridge, &watch, WebLimits::default());
        let scene = scene(spec.shutdown(Shutdown::Timeout(ms(10)))).await;
        let mut client = connect(address, "/slow", "").await;
        watch.asked.notified().await;
        scene.stop().await;
        let mut said = Vec::new();
        // A reset is an end, too.
        let _ = client.read_to_end(&mut said).await;
        assert_eq!(said, b"");
    })
    .await;
}

#[tokio::test]
async fn who_comes_while_it_restarts_waits_and_a_stop_for_good_frees_the_port() {
    run(async |bridge| {
        let watch = Watch::default();
        let (spec, address) = child(&bridge, &watch, WebLimits::default());
        let mut scene = scene(spec.shutdown(Shutdown::Timeout(MINUTE))).await;
        let mut slow = connect(address, "/slow", "").await;
        watch.asked.notified().await;
        let admin = scene.root().administration();
        // It is draining when the second one comes, which the next life serves.
        let client = async {
            let draining = |what: &Lifecycle| matches!(what, Lifecycle::Stopping);
            scene.expect_event("root/web", draining).await;
            let late = connect(address, "/peer", "connection: close\r\n").await;
            watch.go_on.notify_one();
            late
        };
        let (again, mut late) = tokio::join!(admin.restart("web", MINUTE), client);
        again.unwrap();
        let mut said = String::new();
        slow.read_to_string(&mut said).await.unwrap();
        assert!(said.ends_with("at last"), "{said}");
        said.clear();
        late.read_to_string(&mut said).await.unwrap();
        assert!(said.ends_with("127.0.0.1"), "{said}");

        admin.stop("web", MINUTE).await.unwrap();
        assert!(TcpStream::connect(address).await.is_err());
        admin.start("web", MINUTE).await.unwrap();
        assert!(get(address, "/").await.ends_with("hello"));
        scene.stop().await;
    })
    .await;
}

#[tokio::test]
async fn more_than_its_connections_wait() {
    run(async |bridge| {
        let watch = Watch::default();
        let limits = WebLimits {
            connections: 1,
            ..WebLimits::default()
        };
        let (spec, address) = child(&bridge, &watch, limits);
        let scene = scene(spec).await;
        let mut first = connect(address, "/slow", "connection: close\r\n").await;
        watch.asked.notified().await;
        let mut second = connect(address, "/", "connection: close\r\n").await;
        let mut said = String::new();
        tokio::select! {
            biased;
            () = async { settle().await; tokio::time::sleep(ms(20)).await } => {}
            _ = second.read_to_string(&mut said) => {}
        }
        assert_eq!(said, "", "no place yet");
        watch.go_on.notify_one();
        first.read_to_string(&mut said).await.unwrap();
        said.clear();
        second.read_to_string(&mut said).await.unwrap();
        assert!(said.ends_with("hello"), "{said}");
        scene.stop().await;
    })
    .await;
}
