//! Shared atomics become one ledger with one writer: whoever wants bytes asks, a lease gives itself back, and who wants to know
//! the pressure looks at a watch channel.

use std::sync::{Arc, Mutex};

use crate::common::*;
use supervision::kameo::actor::{Actor, ActorRef};
use supervision::kameo::error::Infallible;
use supervision::kameo::message::{Context, Message};
use supervision::{Birth, ChildSpec, Handle, Inbox};
use tokio::sync::watch;

/// How full the ledger is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pressure {
    Low,
    High,
}

/// What outlives a crash of the governor. Locked for arithmetic, never across a wait.
struct Ledger {
    limit: u64,
    leased: Mutex<u64>,
    pressure: watch::Sender<Pressure>,
}

impl Ledger {
    /// The only place where the sum changes, and with it the pressure.
    fn change(&self, to: impl FnOnce(u64) -> u64) {
        let mut leased = self.leased.lock().unwrap();
        *leased = to(*leased);
        let high = *leased > self.limit / 10 * 8;
        let pressure = if high { Pressure::High } else { Pressure::Low };
        self.pressure.send_if_modified(|shown| {
            let changed = *shown != pressure;
            *shown = pressure;
            changed
        });
    }

    fn leased(&self) -> u64 {
        *self.leased.lock().unwrap()
    }
}

struct Lease {
    bytes: u64,
    ledger: Arc<Ledger>,
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.ledger.change(|leased| leased - self.bytes);
    }
}

struct Governor {
    ledger: Arc<Ledger>,
    inbox: Inbox<Self>,
}

impl Actor for Governor {
    type Args = Birth<Self, Arc<Ledger>>;
    type Error = Infallible;

    async fn on_start(birth: Self::Args, _me: ActorRef<Self>) -> Result<Self, Infallible> {
        let Birth { seed, inbox } = birth;
        Ok(Self {
            ledger: seed,
            inbox,
        })
    }

    supervision::receive_from!(inbox);
}

struct Reserve(u64);

#[derive(Debug, PartialEq, Eq)]
struct TooLittle {
    needed: u64,
    available: u64,
}

type Granted = Result<Lease, TooLittle>;

impl Message<Reserve> for Governor {
    type Reply = Granted;

    async fn handle(&mut self, wanted: Reserve, _: &mut Context<Self, Granted>) -> Granted {
        let Reserve(needed) = wanted;
        let ledger = Arc::clone(&self.ledger);
        let available = ledger.limit.saturating_sub(ledger.leased());
        if needed > available {
            return Err(TooLittle { needed, available });
        }
        ledger.change(|leased| leased + needed);
        Ok(Lease {
            bytes: needed,
            ledger,
        })
    }
}

fn child(limit: u64) -> (ChildSpec, Handle<Governor>, Arc<Ledger>) {
    let ledger = Arc::new(Ledger {
        limit,
        leased: Mutex::new(0),
        pressure: watch::Sender::new(Pressure::Low),
    });
    let (spec, governor) = ChildSpec::actor("governor", 64, Arc::clone(&ledger));
    (spec, governor, ledger)
}

#[tokio::test(start_paused = true)]
async fn a_thousand_leases_come_and_go_and_nothing_stays_leased() {
    let (spec, governor, ledger) = child(1000);
    let root = started(root().child(spec)).await;
    for _ in 0..1000 {
        let lease = governor.ask(Reserve(900), SECOND).await.unwrap();
        let refused = governor.ask(Reserve(101), SECOND).await.err().unwrap();
        assert!(refused.to_string().contains("available: 100"), "{refused}");
        drop(lease);
    }
    assert_eq!(ledger.leased(), 0);
    root.stop(MINUTE).await;
}

#[tokio::test(start_paused = true)]
async fn whoever_watches_the_pressure_sees_each_change_and_a_lease_that_is_dropped() {
    let (spec, governor, ledger) = child(1000);
    let root = started(root().child(spec)).await;
    let mut pressure = ledger.pressure.subscribe();
    let lease = governor.ask(Reserve(900), SECOND).await.unwrap();
    pressure.changed().await.unwrap();
    assert_eq!(*pressure.borrow_and_update(), Pressure::High);
    drop(lease);
    pressure.changed().await.unwrap();
    assert_eq!(*pressure.borrow_and_update(), Pressure::Low);
    root.stop(MINUTE).await;
}
