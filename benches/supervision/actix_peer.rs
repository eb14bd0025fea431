//! actix on the one runtime: its actors are tasks of the main thread (a `LocalSet`), without arbiters, so it brings no
//! thread. It catches no panic; what restarts here is an actor that catches its own and says so.

use std::panic::catch_unwind;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use actix::{Actor, ActorContext, Addr, Context, Handler, Message, Supervised, Supervisor};
use tokio::sync::Notify;

use crate::peer::{Address, CROWD_CAPACITY, Crowd, Failure, Ledger, Peer, bug, hear_all, on_main};

/// Who waits for the last of a crowd.
#[derive(Default)]
struct Leaving {
    left: AtomicUsize,
    one_left: Notify,
}

pub(crate) struct Counter {
    count: u64,
    capacity: usize,
    ledger: Arc<Ledger>,
    leaving: Arc<Leaving>,
}

impl Counter {
    fn new(capacity: usize, ledger: Arc<Ledger>, leaving: Arc<Leaving>) -> Self {
        Self {
            count: 0,
            capacity,
            ledger,
            leaving,
        }
    }
}

impl Actor for Counter {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Context<Self>) {
        context.set_mailbox_capacity(self.capacity);
        self.ledger.born();
    }

    fn stopped(&mut self, _: &mut Context<Self>) {
        self.leaving.left.fetch_add(1, Ordering::Relaxed);
        self.leaving.one_left.notify_one();
    }
}

impl Supervised for Counter {
    fn restarting(&mut self, _: &mut Context<Self>) {
        self.count = 0;
    }
}

pub(crate) struct Add;
pub(crate) struct Count;
pub(crate) struct Crash;
pub(crate) struct Leave;

impl Message for Add {
    type Result = ();
}
impl Message for Count {
    type Result = u64;
}
impl Message for Crash {
    type Result = ();
}
impl Message for Leave {
    type Result = ();
}

impl Handler<Add> for Counter {
    type Result = ();
    fn handle(&mut self, _: Add, _: &mut Context<Self>) {
        self.count += 1;
    }
}

impl Handler<Count> for Counter {
    type Result = u64;
    fn handle(&mut self, _: Count, _: &mut Context<Self>) -> u64 {
        self.count
    }
}

impl Handler<Crash> for Counter {
    type Result = ();
    fn handle(&mut self, _: Crash, context: &mut Context<Self>) {
        self.ledger.dies(self.count);
        if catch_unwind(|| bug()).is_err() {
            context.terminate();
        }
    }
}

impl Handler<Leave> for Counter {
    type Result = ();
    fn handle(&mut self, _: Leave, context: &mut Context<Self>) {
        context.stop();
    }
}

/// `do_send` looks at no bound; like a sender of a bounded channel it gives way when its budget is used up.
#[derive(Clone)]
pub(crate) struct Posted(Addr<Counter>);

impl Address for Posted {
    async fn add(&self) -> Result<(), Failure> {
        self.0.do_send(Add);
        tokio::task::consume_budget().await;
        Ok(())
    }

    async fn count(&self) -> Result<u64, Failure> {
        Ok(self.0.send(Count).await?)
    }

    async fn crash(&self) -> Result<(), Failure> {
        self.0.do_send(Crash);
        Ok(())
    }
}

pub(crate) struct Alone {
    address: Addr<Counter>,
    leaving: Arc<Leaving>,
}

impl Peer for Alone {
    type Address = Posted;

    async fn start(capacity: usize, ledger: Arc<Ledger>) -> Result<Self, Failure> {
        let leaving = Arc::<Leaving>::default();
        let address = Counter::new(capacity, ledger, leaving.clone()).start();
        Ok(Self { address, leaving })
    }

    fn address(&self) -> Posted {
        Posted(self.address.clone())
    }

    async fn end(self) -> Result<(), Failure> {
        self.address.do_send(Leave);
        self.leaving.one_left.notified().await;
        Ok(())
    }
}

/// Under actix's `Supervisor`, which keeps one object and its mailbox for ever. Nobody can end it while it has an address.
pub(crate) struct Restarted(Addr<Counter>);

impl Peer for Restarted {
    type Address = Posted;

    async fn start(capacity: usize, ledger: Arc<Ledger>) -> Result<Self, Failure> {
        let address = Supervisor::start(move |_| Counter::new(capacity, ledger, Arc::default()));
        Ok(Self(address))
    }

    fn address(&self) -> Posted {
        Posted(self.0.clone())
    }

    async fn end(self) -> Result<(), Failure> {
        Ok(())
    }
}

/// Many; actix has no parents.
pub(crate) struct LocalCrowd {
    addresses: Vec<Posted>,
    leaving: Arc<Leaving>,
}

impl Crowd for LocalCrowd {
    async fn gather(actors: usize) -> Result<Self, Failure> {
        on_main(async move {
            let leaving = Arc::<Leaving>::default();
            let mut addresses = Vec::with_capacity(actors);
            for _ in 0..actors {
                let counter = Counter::new(CROWD_CAPACITY, Arc::default(), leaving.clone());
                addresses.push(Posted(counter.start()));
            }
            hear_all(&addresses).await?;
            Ok(Self { addresses, leaving })
        })
        .await
    }

    async fn disperse(self) -> Result<(), Failure> {
        on_main(async move {
            for Posted(address) in &self.addresses {
                address.do_send(Leave);
            }
            while self.leaving.left.load(Ordering::Relaxed) < self.addresses.len() {
                self.leaving.one_left.notified().await;
            }
            Ok(())
        })
        .await
    }
}
