//! A template with as many children as there are customers: started by name, found again, crashed, ended, forgotten.
//!
//!     cargo run -p paraphym_supervision --example pool

#![allow(clippy::print_stdout, reason = "an example talks to whoever runs it")]

extern crate paraphym_supervision as supervision;

use std::time::Duration;

use supervision::kameo::actor::{Actor, ActorRef};
use supervision::kameo::error::Infallible;
use supervision::kameo::message::{Context, Message};
use supervision::{
    Birth, ChildSpec, Events, Inbox, Instances, Policy, Restart, SupervisorSpec, start_root,
};

struct Session {
    orders: u32,
    inbox: Inbox<Self>,
}

impl Actor for Session {
    type Args = Birth<Self, ()>;
    type Error = Infallible;

    async fn on_start(birth: Self::Args, _: ActorRef<Self>) -> Result<Self, Infallible> {
        println!(
            "{} begins life {}",
            birth.inbox.child(),
            birth.inbox.incarnation()
        );
        Ok(Self {
            orders: 0,
            inbox: birth.inbox,
        })
    }

    supervision::receive_from!(inbox);
}

struct Order(&'static str);

impl Message<Order> for Session {
    type Reply = u32;
    async fn handle(&mut self, Order(what): Order, _: &mut Context<Self, u32>) -> u32 {
        assert_ne!(what, "bomb", "we do not sell those");
        self.orders += 1;
        self.orders
    }
}

struct Leave;

impl Message<Leave> for Session {
    type Reply = bool;
    async fn handle(&mut self, _: Leave, _: &mut Context<Self, bool>) -> bool {
        self.inbox.stop_if_idle()
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let policy = Policy {
        restart: Restart::Transient,
        ..Policy::worker()
    };
    let (sessions, by_customer): (_, Instances<Session, ()>) =
        SupervisorSpec::simple_one_for_one("sessions", 16, policy);
    let tree = SupervisorSpec::new("root").child(ChildSpec::supervisor(sessions));
    let root = start_root(tree, Events::default()).await?;
    let second = Duration::from_secs(1);

    let ada = by_customer.ensure("ada", ()).await?;
    let bob = by_customer.ensure("bob", ()).await?;
    println!("ada: {:?}", ada.ask(Order("tea"), second).await);
    println!("bob: {:?}", bob.ask(Order("bomb"), second).await);
    println!("bob: {:?}", bob.ask(Order("tea"), second).await);
    println!("{}", root.topology(second).await);

    ada.ask(Leave, second).await?;
    let again = by_customer.ensure("ada", ()).await?;
    println!("ada is another now: {}", again != ada);
    println!("ada: {:?}", again.ask(Order("cake"), second).await);
    println!("{:?}", by_customer.supervisor().count_children().await);

    root.stop(second).await;
    Ok(())
}
