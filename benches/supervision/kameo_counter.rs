//! The counting actor as plain kameo writes it; bare and supervised kameo are measured on the same one.

use std::sync::Arc;
use std::time::Duration;

use kameo::actor::{Actor, ActorRef};
use kameo::error::Infallible;
use kameo::message::{Context, Message};

use crate::peer::{Address, Failure, Ledger, bug, told};

/// As long as ours waits.
pub(crate) const DEADLINE: Duration = Duration::from_secs(5);

pub(crate) struct Counter {
    count: u64,
    ledger: Arc<Ledger>,
}

impl Actor for Counter {
    type Args = Arc<Ledger>;
    type Error = Infallible;

    async fn on_start(ledger: Self::Args, _me: ActorRef<Self>) -> Result<Self, Infallible> {
        ledger.born();
        Ok(Self { count: 0, ledger })
    }
}

pub(crate) struct Add;
pub(crate) struct Count;
pub(crate) struct Crash;

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

impl Message<Crash> for Counter {
    type Reply = ();
    async fn handle(&mut self, _: Crash, _: &mut Context<Self, ()>) {
        self.ledger.dies(self.count);
        bug();
    }
}

/// kameo as it comes: an ask waits for ever.
#[derive(Clone)]
pub(crate) struct Plain(pub(crate) ActorRef<Counter>);

#[allow(
    clippy::disallowed_methods,
    reason = "a bare ask without a deadline is what is compared"
)]
impl Address for Plain {
    async fn add(&self) -> Result<(), Failure> {
        self.0.tell(Add).await.map_err(told)
    }

    async fn count(&self) -> Result<u64, Failure> {
        self.0.ask(Count).await.map_err(told)
    }

    async fn crash(&self) -> Result<(), Failure> {
        self.0.tell(Crash).await.map_err(told)
    }
}

/// kameo with both of its timeouts, which together are the deadline ours always has.
#[derive(Clone)]
pub(crate) struct Timed(pub(crate) ActorRef<Counter>);

#[allow(
    clippy::disallowed_methods,
    reason = "the ask of the contender itself is what is measured"
)]
impl Address for Timed {
    async fn add(&self) -> Result<(), Failure> {
        let told_in_time = self.0.tell(Add).mailbox_timeout(DEADLINE).await;
        told_in_time.map_err(told)
    }

    async fn count(&self) -> Result<u64, Failure> {
        let ask = self.0.ask(Count).mailbox_timeout(DEADLINE);
        ask.reply_timeout(DEADLINE).await.map_err(told)
    }

    async fn crash(&self) -> Result<(), Failure> {
        let told_in_time = self.0.tell(Crash).mailbox_timeout(DEADLINE).await;
        told_in_time.map_err(told)
    }
}
