//! A small tree in which not all is well, drawn as a person would see it: one handler that does not come to its end, one
//! supervisor that rests after its only child crashed once too often, and the rest up.
//!
//!     cargo run -p paraphym_supervision --example topology

#![allow(
    clippy::print_stdout,
    clippy::panic,
    reason = "an example talks to whoever runs it, and this one has to crash"
)]

extern crate paraphym_supervision as supervision;

use std::time::Duration;

use supervision::kameo::actor::{Actor, ActorRef};
use supervision::kameo::error::Infallible;
use supervision::kameo::message::{Context, Message};
use supervision::{
    Backoff, Birth, ChildSpec, Events, Handle, Inbox, Lifecycle, LifecycleEvent, Strategy,
    SupervisorSpec, start_root,
};
use tokio::sync::broadcast::{Receiver, error::RecvError};

struct Worker {
    inbox: Inbox<Self>,
}

impl Actor for Worker {
    type Args = Birth<Self, ()>;
    type Error = Infallible;

    async fn on_start(birth: Self::Args, _: ActorRef<Self>) -> Result<Self, Infallible> {
        Ok(Self { inbox: birth.inbox })
    }

    supervision::receive_from!(inbox);
}

struct Dig(Duration);

impl Message<Dig> for Worker {
    type Reply = ();
    async fn handle(&mut self, Dig(takes): Dig, _: &mut Context<Self, ()>) {
        tokio::time::sleep(takes).await;
    }
}

struct Stumble(&'static str);

impl Message<Stumble> for Worker {
    type Reply = ();
    async fn handle(&mut self, Stumble(why): Stumble, _: &mut Context<Self, ()>) {
        assert!(why.is_empty(), "{why}");
    }
}

fn worker(id: &str) -> (ChildSpec, Handle<Worker>) {
    let (spec, handle) = ChildSpec::actor::<Worker, _>(id, 8, ());
    let budget = Duration::from_millis(100);
    (spec.backoff(Backoff::none()).handler_budget(budget), handle)
}

/// Waits for a step in the life of that child.
async fn until(
    events: &mut Receiver<LifecycleEvent>,
    child: &str,
    wanted: impl Fn(&Lifecycle) -> bool,
) -> Result<(), RecvError> {
    loop {
        let event = events.recv().await?;
        if event.child == *child && wanted(&event.what) {
            return Ok(());
        }
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let second = Duration::from_secs(1);
    let (counter, counting) = worker("counter");
    let (one, digging) = worker("worker-1");
    let (two, _) = worker("worker-2");
    let (only, stumbling) = worker("only");
    let agents = SupervisorSpec::new("agents").strategy(Strategy::RestForOne);
    let rest = Backoff {
        base: 60 * second,
        cap: 60 * second,
        healthy_after: second,
    };
    let brittle = SupervisorSpec::new("brittle").intensity(0, second);
    let listener = ChildSpec::task("listener", |task| async move {
        let _open = task.work("waiting for a caller");
        task.ready();
        task.stopping().await;
        Ok(())
    });
    let tree = SupervisorSpec::new("root")
        .child(counter)
        .child(ChildSpec::supervisor(agents.child(one).child(two)))
        .child(ChildSpec::supervisor(brittle.child(only)).backoff(rest))
        .child(listener);
    let root = start_root(tree, Events::default()).await?;
    let mut events = root.events();

    drop(counting.ask(Stumble("over a stone"), second).await);
    drop(stumbling.ask(Stumble("over its feet"), second).await);
    until(&mut events, "root/brittle", |what| {
        matches!(what, Lifecycle::BackingOff { .. })
    })
    .await?;
    for _ in 0..3 {
        digging.tell(Dig(second / 2)).await?;
    }
    until(&mut events, "root/agents/worker-1", |what| {
        matches!(what, Lifecycle::Stuck { .. })
    })
    .await?;

    let topology = root.topology(second).await;
    println!("{topology}\n\nNot well:");
    for node in topology.unhealthy() {
        println!("  {} is {}", node.info.child, node.health());
    }
    let report = root.stop(5 * second).await;
    println!("stopped; left undone: {:?}", report.abandoned);
    Ok(())
}
