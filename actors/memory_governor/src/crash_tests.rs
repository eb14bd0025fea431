//! A crash of the governor loses no lease and nobody's place in line. Apart, because only a message of the crate's own can make it crash.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use domain::Bytes;
use kameo::message::{Context, Message};
use supervision::{Events, SupervisorSpec, start_root};
use tokio::sync::mpsc;

use crate::{
    Decided, Enlist, FileProbe, Level, MemoryGovernor, Probe, Reserve, ReserveError, ReserveWithin,
    Stage, Standing, Status, WatchPressure, Why, child, client,
};

pub(crate) struct Crash;

impl Message<Crash> for MemoryGovernor {
    type Reply = ();

    async fn handle(&mut self, _: Crash, _: &mut Context<Self, ()>) {
        panic!("scripted crash");
    }
}

#[tokio::test(start_paused = true)]
async fn leases_survive_a_crash_and_are_returned_after_it() {
    let deadline = Duration::from_mins(1);
    let (spec, governor) = child(Some(Bytes(1000)), Arc::new(FileProbe));
    let tree = SupervisorSpec::new("root").child(spec);
    let root = start_root(tree, Events::with_seed(1)).await.unwrap();
    let wish = |bytes| Reserve {
        owner: "a test".to_owned(),
        purpose: "something".to_owned(),
        bytes: Bytes(bytes),
    };
    let kept = governor.ask(wish(100), deadline).await.unwrap();
    let dropped = governor.ask(wish(200), deadline).await.unwrap();
    assert!(governor.ask(Crash, deadline).await.is_err());
    drop(dropped);
    let status = governor.ask(Status, deadline).await.unwrap();
    assert_eq!(status.leased, Bytes(100));
    assert_eq!(status.leases[0].id, kept.id());
    assert!(governor.ask(wish(901), deadline).await.is_err());
    let later = governor.ask(wish(900), deadline).await.unwrap();
    assert_ne!(later.id(), kept.id(), "an id is never used twice");
    drop((kept, later));
    assert_eq!(
        governor.ask(Status, deadline).await.unwrap().leased,
        Bytes::ZERO
    );
    root.stop(deadline).await;
}

/// A machine that tells nothing: only the ledger counts.
pub(crate) struct Nowhere;

impl Probe for Nowhere {
    fn read(&self, _: &Path) -> io::Result<String> {
        Err(io::ErrorKind::NotFound.into())
    }
}

#[tokio::test(start_paused = true)]
async fn subscribers_and_reasons_survive_a_crash() {
    let deadline = Duration::from_mins(1);
    let (spec, governor) = child(Some(Bytes(1000)), Arc::new(Nowhere));
    let tree = SupervisorSpec::new("root").child(spec);
    let root = start_root(tree, Events::with_seed(1)).await.unwrap();
    let mut pressure = governor.ask(WatchPressure, deadline).await.unwrap();
    assert!(governor.ask(Crash, deadline).await.is_err());
    let wish = Reserve {
        owner: "a test".to_owned(),
        purpose: "something".to_owned(),
        bytes: Bytes(950),
    };
    let lease = governor.ask(wish.clone(), deadline).await.unwrap();
    pressure.changed().await.unwrap();
    assert_eq!(pressure.borrow_and_update().level, Level::Critical);
    assert!(governor.ask(Crash, deadline).await.is_err());
    assert!(governor.ask(wish, deadline).await.is_err());
    drop(lease);
    // The next life is told of what was dropped.
    pressure.changed().await.unwrap();
    assert_eq!(pressure.borrow_and_update().level, Level::Low);
    let reasons = governor.ask(Why, deadline).await.unwrap();
    let kinds: Vec<_> = reasons
        .decisions
        .iter()
        .map(|decision| match &decision.what {
            Decided::Budget { .. } => "budget",
            Decided::Level { .. } => "level",
            Decided::Refused { .. } => "refused",
            Decided::Granted { .. } => "granted",
            Decided::GaveUp { .. } => "gave up",
            Decided::Ordered { .. } => "ordered",
            Decided::OutOfMemory { .. } => "out of memory",
        })
        .collect();
    assert_eq!(kinds, ["budget", "level", "refused", "level"]);
    root.stop(deadline).await;
}

#[tokio::test(start_paused = true)]
async fn who_enlisted_and_what_was_ordered_stay_over_a_crash() {
    let deadline = Duration::from_mins(1);
    let (spec, governor) = child(Some(Bytes(1000)), Arc::new(Nowhere));
    let tree = SupervisorSpec::new("root").child(spec);
    let root = start_root(tree, Events::with_seed(1)).await.unwrap();
    let (orders, mut receiver) = mpsc::channel(1);
    let wish = Enlist {
        name: "caches".to_owned(),
        stage: Stage::Caches,
        orders,
    };
    governor.ask(wish, deadline).await.unwrap();
    assert!(governor.ask(Crash, deadline).await.is_err());
    let targets = governor.ask(Status, deadline).await.unwrap().targets;
    assert_eq!(targets.len(), 1);
    assert_eq!(targets[0].name, "caches");
    // An order that is out over a crash is not sent again, and its answer still counts.
    let full = Reserve {
        owner: "a model".to_owned(),
        purpose: "weights".to_owned(),
        bytes: Bytes(1000),
    };
    let held = governor.ask(full.clone(), deadline).await.unwrap();
    let within = ReserveWithin {
        wish: Reserve {
            bytes: Bytes(300),
            ..full
        },
        patience: deadline,
    };
    let waiting = governor.ask(within, deadline).await.unwrap();
    let order = receiver.recv().await.unwrap();
    assert!(governor.ask(Crash, deadline).await.is_err());
    let status = governor.ask(Status, deadline).await.unwrap();
    assert_eq!(status.standing, Standing::Holding);
    assert_eq!(status.targets[0].order.as_ref().unwrap().number, 1);
    assert!(receiver.try_recv().is_err(), "it was sent twice");
    assert_eq!(held.shrink_to(Bytes(700)), Bytes(300));
    order.done(Bytes(300));
    assert_eq!(waiting.granted().await.unwrap().bytes(), Bytes(300));
    assert!(receiver.try_recv().is_err(), "it was sent twice");
    drop(receiver);
    let targets = governor.ask(Status, deadline).await.unwrap().targets;
    assert_eq!(targets, [], "nobody is there to be asked");
    root.stop(deadline).await;
}

#[tokio::test(start_paused = true)]
async fn who_waits_keeps_the_place_over_a_crash() {
    let deadline = Duration::from_mins(1);
    let (spec, governor) = child(Some(Bytes(1000)), Arc::new(Nowhere));
    let tree = SupervisorSpec::new("root").child(spec);
    let root = start_root(tree, Events::with_seed(1)).await.unwrap();
    let wish = |owner: &str, bytes| Reserve {
        owner: owner.to_owned(),
        purpose: "something".to_owned(),
        bytes: Bytes(bytes),
    };
    let held = governor.ask(wish("holder", 600), deadline).await.unwrap();
    let wait = |owner, bytes, patience| {
        let governor = governor.clone();
        async move {
            let wish = wish(owner, bytes);
            client::wait_in_line(&governor, wish, patience).await
        }
    };
    let first = wait("first", 500, deadline).await.unwrap();
    // Over before the governor is there again.
    let moment = Duration::from_millis(1);
    let hasty = wait("hasty", 500, moment).await.unwrap();
    let last = wait("last", 500, deadline).await.unwrap();
    governor.tell(Crash).await.unwrap();
    let hasty = hasty.granted().await.unwrap_err();
    assert!(
        matches!(&hasty, ReserveError::GaveUp { waited, ahead: 1, .. } if *waited > moment),
        "{hasty}"
    );
    assert_eq!((first.position(), last.position()), (1, 2));
    // Both at once, while it rests: the next life serves them before anyone else.
    governor.tell(Crash).await.unwrap();
    drop(held);
    assert!(governor.ask(wish("late", 1), deadline).await.is_err());
    let (first, last) = (first.granted().await, last.granted().await);
    assert!(first.is_ok() && last.is_ok());
    let status = governor.ask(Status, deadline).await.unwrap();
    assert_eq!((status.leased, status.waiters.len()), (Bytes(1000), 0));
    drop((first, last));
    root.stop(deadline).await;
}
