//! Three stages that rest on each other: the later ones are restarted with an earlier one, and the end of the last is the
//! end of all.
//!
//!     cargo run -p paraphym_supervision --example pipeline

#![allow(clippy::print_stdout, reason = "an example talks to whoever runs it")]

extern crate paraphym_supervision as supervision;

use std::time::Duration;

use supervision::kameo::actor::{Actor, ActorRef};
use supervision::kameo::error::Infallible;
use supervision::kameo::message::{Context, Message};
use supervision::{
    AutoShutdown, Backoff, Birth, ChildSpec, Events, Handle, Inbox, Strategy, SupervisorSpec,
    start_root,
};

struct Stage {
    name: &'static str,
    inbox: Inbox<Self>,
}

impl Actor for Stage {
    type Args = Birth<Self, &'static str>;
    type Error = Infallible;

    async fn on_start(birth: Self::Args, _: ActorRef<Self>) -> Result<Self, Infallible> {
        println!("{} begins life {}", birth.seed, birth.inbox.incarnation());
        Ok(Self {
            name: birth.seed,
            inbox: birth.inbox,
        })
    }

    supervision::receive_from!(inbox);
}

struct Item(u32);

impl Message<Item> for Stage {
    type Reply = ();
    async fn handle(&mut self, Item(n): Item, context: &mut Context<Self, ()>) {
        println!("{} has item {n}", self.name);
        assert_ne!(n, 13, "the unlucky item");
        if n == 99 {
            context.stop();
        }
    }
}

fn stage(name: &'static str) -> (ChildSpec, Handle<Stage>) {
    let (spec, handle) = ChildSpec::actor::<Stage, _>(name, 16, name);
    (spec.backoff(Backoff::none()), handle)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (source, _) = stage("source");
    let (filter, filtering) = stage("filter");
    let (sink, sinking) = stage("sink");
    // Written in any order; `depends_on` says in which they start.
    let tree = SupervisorSpec::new("pipeline")
        .strategy(Strategy::RestForOne)
        .auto_shutdown(AutoShutdown::AnySignificant)
        .child(sink.transient().significant().depends_on(["filter"]))
        .child(filter.depends_on(["source"]))
        .child(source);
    let root = start_root(tree, Events::default()).await?;

    filtering.tell(Item(1)).await?;
    filtering.tell(Item(13)).await?;
    // Waits in its place while filter and sink are started again.
    filtering.tell(Item(2)).await?;
    tokio::time::sleep(Duration::from_millis(50)).await;
    sinking.tell(Item(99)).await?;
    println!("ended: {:?}", root.ended().await);
    Ok(())
}
