//! A supervised counter: it is asked, it crashes, it is asked again through the same handle, and the tree stops.
//!
//!     cargo run -p paraphym_supervision --example counter

#![allow(clippy::print_stdout, reason = "an example talks to whoever runs it")]

extern crate paraphym_supervision as supervision;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use supervision::kameo::actor::{Actor, ActorRef};
use supervision::kameo::error::Infallible;
use supervision::kameo::message::{Context, Message};
use supervision::{Birth, ChildSpec, Events, Inbox, SupervisorSpec, start_root};

/// What must outlive a crash is in the seed.
type Total = Arc<AtomicU64>;

struct Counter {
    total: Total,
    inbox: Inbox<Self>,
}

impl Actor for Counter {
    type Args = Birth<Self, Total>;
    type Error = Infallible;

    async fn on_start(birth: Self::Args, _: ActorRef<Self>) -> Result<Self, Infallible> {
        println!(
            "{} begins life {}",
            birth.inbox.child(),
            birth.inbox.incarnation()
        );
        Ok(Self {
            total: birth.seed,
            inbox: birth.inbox,
        })
    }

    supervision::receive_from!(inbox);
}

struct Add(u64);

impl Message<Add> for Counter {
    type Reply = u64;
    async fn handle(&mut self, Add(n): Add, _: &mut Context<Self, u64>) -> u64 {
        assert!(n < 1000, "{n} is too much for me");
        self.total.fetch_add(n, Ordering::SeqCst) + n
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (spec, counter) = ChildSpec::actor::<Counter, _>("counter", 16, Total::default());
    let tree = SupervisorSpec::new("root").child(spec);
    let root = start_root(tree, Events::default()).await?;
    let second = Duration::from_secs(1);

    println!("2 -> {:?}", counter.ask(Add(2), second).await);
    println!("1000 -> {:?}", counter.ask(Add(1000), second).await);
    println!("3 -> {:?}", counter.ask(Add(3), second).await);

    let report = root.stop(second).await;
    println!(
        "stopped in {:?}, left undone: {:?}",
        report.took, report.abandoned
    );
    Ok(())
}
