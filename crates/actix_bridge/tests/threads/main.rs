//! Not one more thread: the process's threads counted before, during and after, on the runtime of ours, and inside an
//! actix system. Alone in its file, because the test harness gives each file a process.
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::collections::BTreeSet;
use std::net::TcpListener;
use std::time::Duration;

use actix::{Actor, Context, Handler, Message, System};
use actix_web::{App, web};
use futures_util::stream;
use paraphym_actix_bridge::{
    Bridge, DeliveryLimits, EnvoyLimits, GateLimits, WebLimits, deliver, envoy, gate, run,
};
use runtime::{Role, RuntimeOptions};
use supervision::{AskError, Backoff, Events, SupervisorSpec, start_root};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const SECOND: Duration = Duration::from_secs(5);

/// Every thread of the process, by its id: one that ended and one that came would not look like none.
fn threads() -> BTreeSet<String> {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    let name = |entry: std::io::Result<std::fs::DirEntry>| entry.unwrap().file_name();
    tasks
        .map(|task| name(task).into_string().unwrap())
        .collect()
}

/// An ended thread is listed for some microseconds more, until the kernel has cleared it away.
fn threads_settle_at(expected: &BTreeSet<String>) -> bool {
    (0..10_000).any(|_| {
        std::thread::yield_now();
        threads() == *expected
    })
}

#[derive(Default)]
struct Sum(u64);

impl Actor for Sum {
    type Context = Context<Self>;
}

/// A panic from 1000 on.
struct Add(u64);

impl Message for Add {
    type Result = u64;
}

impl Handler<Add> for Sum {
    type Result = u64;

    fn handle(&mut self, Add(n): Add, _: &mut Context<Self>) -> u64 {
        assert!(n < 1000, "too much");
        self.0 += n;
        self.0
    }
}

/// Everything the bridge has, once.
async fn everything(bridge: Bridge) {
    let before = threads();
    let (guest, sum) = bridge.actor("sum", 16, |_| Sum::default());
    let asked = sum.clone();
    let (door, gate) = gate("gate", GateLimits::default(), move |Add(n)| {
        let sum = asked.clone();
        async move { sum.ask(Add(n), SECOND).await.unwrap_or(u64::MAX) }
    });
    let alone = Sum::default().start();
    let (carries, envoy) = envoy("envoy", EnvoyLimits::default(), alone.clone().recipient());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let routes = bridge.web("web", listener, WebLimits::default(), || {
        App::new().route("/", web::get().to(async || "hello"))
    });
    let spec = SupervisorSpec::new("root")
        .child(guest.backoff(Backoff::none()))
        .child(door)
        .child(carries)
        .child(routes.unwrap());
    let tree = start_root(spec, Events::default()).await.unwrap();

    assert_eq!(sum.ask(Add(1), SECOND).await.unwrap(), 1);
    assert_eq!(gate.recipient().send(Add(2)).await.unwrap(), 3);
    assert_eq!(envoy.ask(Add(4), SECOND).await.unwrap(), 4);
    let items = stream::iter((1..=20).map(Add));
    let told = deliver(items, gate.recipient(), DeliveryLimits::default()).await;
    assert_eq!(told, Ok(20));
    let crash = sum.ask(Add(1000), SECOND).await;
    assert!(matches!(crash, Err(AskError::Crashed { .. })), "{crash:?}");
    assert_eq!(sum.ask(Add(5), SECOND).await.unwrap(), 5);
    // From all threads of the runtime.
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let (sum, alone) = (sum.clone(), alone.clone());
        tasks.spawn(async move {
            for _ in 0..100 {
                sum.ask(Add(1), SECOND).await.unwrap();
                alone.send(Add(1)).await.unwrap();
            }
        });
    }
    tasks.join_all().await;
    assert_eq!(sum.ask(Add(0), SECOND).await.unwrap(), 805);
    assert_eq!(alone.send(Add(0)).await.unwrap(), 804);
    let mut client = TcpStream::connect(address).await.unwrap();
    let request = b"GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    client.write_all(request).await.unwrap();
    let mut said = String::new();
    client.read_to_string(&mut said).await.unwrap();
    assert!(said.ends_with("hello"), "{said}");
    assert_eq!(threads(), before, "while all of it lives");
    assert_eq!(tree.stop(SECOND).await.abandoned, []);
}

/// Two threads of a runtime of ours, and then the one of an actix system; nothing beside them at any moment.
#[test]
fn not_one_more_thread_on_our_runtime_nor_in_an_actix_system() {
    let at_first = threads();
    let options = RuntimeOptions { workers: Some(2) };
    let during = runtime::run(&options, |runtime| {
        run(async move |bridge| {
            let before = threads();
            assert!(!System::is_registered());
            everything(bridge).await;
            assert!(!System::is_registered(), "no system was needed");
            let census = runtime.census();
            assert_eq!(census.count(Role::Foreign), 0, "{census:?}");
            assert_eq!(census.count(Role::Worker), 2, "{census:?}");
            assert_eq!(census.count(Role::Blocking), 0, "{census:?}");
            (before, threads())
        })
    });
    let (before, after) = during.unwrap();
    assert_eq!(before, after);
    assert_eq!(before.len(), at_first.len() + 2);
    assert!(threads_settle_at(&at_first), "a thread was left");

    // What `#[actix::main]` is: a system, whose runtime is the one there is.
    System::new().block_on(async {
        assert_eq!(threads(), at_first);
        run(everything).await;
        assert_eq!(threads(), at_first);
    });
    assert!(threads_settle_at(&at_first), "a thread was left");
}
