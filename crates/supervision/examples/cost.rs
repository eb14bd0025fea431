//! What it costs to be looked at: a tell and an ask of one supervised actor while nobody looks, while its vitals are read
//! ten times a second, and while somebody taps it. In alternation, because a machine's mood changes from minute to minute.
//!
//!     cargo run --release -p paraphym_supervision --example cost

#![allow(
    clippy::print_stdout,
    clippy::cast_precision_loss,
    reason = "an example talks to whoever runs it"
)]

extern crate paraphym_supervision as supervision;

use std::time::Duration;

use supervision::kameo::actor::{Actor, ActorRef};
use supervision::kameo::error::Infallible;
use supervision::kameo::message::{Context, Message};
use supervision::{
    Birth, ChildSpec, Events, Handle, Inbox, SupervisorSpec, TapLimits, TaskError, start_root,
};
use tokio::time::Instant;

const TELLS: u32 = 1_000_000;
const ASKS: usize = 200_000;
const ROUNDS: usize = 5;
const DEADLINE: Duration = Duration::from_secs(5);

struct Counter {
    count: u64,
    inbox: Inbox<Self>,
}

impl Actor for Counter {
    type Args = Birth<Self, ()>;
    type Error = Infallible;

    async fn on_start(birth: Self::Args, _: ActorRef<Self>) -> Result<Self, Infallible> {
        let inbox = birth.inbox;
        Ok(Self { count: 0, inbox })
    }

    supervision::receive_from!(inbox);
}

struct Add;
struct Count;

impl Message<Add> for Counter {
    type Reply = ();
    async fn handle(&mut self, _: Add, _: &mut Context<Self, ()>) {
        self.count += 1;
    }
}

impl Message<Count> for Counter {
    type Reply = u64;
    async fn handle(&mut self, _: Count, _: &mut Context<Self, u64>) -> u64 {
        self.count
    }
}

/// Who looks meanwhile.
#[derive(Clone, Copy, Debug)]
enum Looked {
    Nobody,
    Vitals,
    Tap,
}

/// Nanoseconds per tell, and the median of those per ask.
async fn measure(counter: &Handle<Counter>) -> Result<(f64, u64), TaskError> {
    let before = counter.ask(Count, DEADLINE).await?;
    let begun = Instant::now();
    for _ in 0..TELLS {
        drop(counter.tell(Add).await);
    }
    let told = counter.ask(Count, DEADLINE).await? - before;
    let tell = begun.elapsed().as_nanos() as f64 / told as f64;
    let mut asks = Vec::with_capacity(ASKS);
    for _ in 0..ASKS {
        let begun = Instant::now();
        counter.ask(Count, DEADLINE).await?;
        asks.push(begun.elapsed().as_nanos() as u64);
    }
    asks.sort_unstable();
    Ok((tell, asks.get(ASKS / 2).copied().unwrap_or_default()))
}

async fn one_round(looked: Looked) -> Result<(), TaskError> {
    let (spec, counter) = ChildSpec::actor::<Counter, _>("counter", 64, ());
    // The sender is a child, too, so that it runs on a worker of the runtime.
    let sender = ChildSpec::task("sender", move |context| {
        let counter = counter.clone();
        async move {
            context.ready();
            let (tell, ask) = measure(&counter).await?;
            println!("{looked:?}: tell {tell:.0} ns, ask {ask} ns");
            Ok(())
        }
    });
    let looking = ChildSpec::task("looking", move |context| async move {
        context.ready();
        let admin = context.administration();
        let stopping = context.stopping();
        let look = async {
            match looked {
                Looked::Nobody => std::future::pending().await,
                Looked::Vitals => loop {
                    drop(admin.vitals(DEADLINE).await.to_prometheus());
                    tokio::time::sleep(Duration::from_millis(100)).await;
                },
                Looked::Tap => {
                    let limits = TapLimits::default();
                    let mut tap = admin.tap("counter", limits, DEADLINE).await?;
                    while tap.next().await.is_some() {}
                    Ok(())
                }
            }
        };
        tokio::select! {
            () = stopping => Ok(()),
            looked = look => looked.map_err(|error: supervision::AdminError| error.into()),
        }
    });
    let sender = sender.transient();
    let spec = SupervisorSpec::new("root")
        .child(spec)
        .child(looking.transient())
        .child(sender);
    let root = start_root(spec, Events::default()).await?;
    let mut events = root.events();
    while let Ok(event) = events.recv().await {
        let over = matches!(event.what, supervision::Lifecycle::Stopped { .. });
        if over && event.child == "root/sender" {
            break;
        }
    }
    root.stop(DEADLINE).await;
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), TaskError> {
    for _ in 0..ROUNDS {
        for looked in [Looked::Nobody, Looked::Vitals, Looked::Tap] {
            one_round(looked).await?;
        }
    }
    Ok(())
}
