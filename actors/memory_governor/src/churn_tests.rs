//! A governor that crashes at any moment, between messages and within them, gives what one that never crashes gives.
//!
//! What it should give is reckoned by a second desk. The governor is started again at once, so that both go by the same
//! clock. Apart, because only a message of the crate's own makes it crash.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use domain::Bytes;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use supervision::{AskError, Backoff, Events, Handle, SupervisorSpec, start_root};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use crate::actor::crashing::{CrashReserving, CrashWaiting};
use crate::crash_tests::{Crash, Nowhere};
use crate::desk::{Desk, Served};
use crate::ledger::LeaseId;
use crate::line::WaiterId;
use crate::{
    GovernorConfig, Lease, LedgerStatus, Many, MemoryGovernor, Reserve, ReserveError, ReserveMany,
    ReserveWithin, SetLimit, Status, Waiting, child_with,
};

const DEADLINE: Duration = Duration::from_hours(1);
const HOUR: Duration = Duration::from_hours(1);

/// What is said to the governor.
#[derive(Clone, Debug)]
enum Say {
    Reserve(u64),
    Many(u64, u32, u32),
    /// Bytes, and hours of patience.
    Wait(u64, u32),
    Limit(u64),
    Crash,
    CrashReserving(u64),
    CrashWaiting(u64),
}

/// What is done to what it gave, without a word.
#[derive(Clone, Debug)]
enum Do {
    Drop(usize),
    Shrink(usize, u64),
    Leave(usize),
}

/// Said at once, so that much of it is queued when the governor crashes; then done; then so many hours pass.
#[derive(Clone, Debug)]
struct Round {
    said: Vec<Say>,
    done: Vec<Do>,
    hours: u32,
}

fn round() -> impl Strategy<Value = Round> {
    let bytes = || 0u64..150;
    let say = prop_oneof![
        4 => bytes().prop_map(Say::Reserve),
        1 => (bytes(), 0u32..3, 0u32..4).prop_map(|(each, few, most)| Say::Many(each, few, most)),
        4 => (bytes(), 0u32..6).prop_map(|(bytes, hours)| Say::Wait(bytes, hours)),
        1 => (200u64..400).prop_map(Say::Limit),
        2 => Just(Say::Crash),
        1 => bytes().prop_map(Say::CrashReserving),
        1 => bytes().prop_map(Say::CrashWaiting),
    ];
    let which = || 0usize..12;
    let act = prop_oneof![
        4 => which().prop_map(Do::Drop),
        2 => (which(), bytes()).prop_map(|(at, to)| Do::Shrink(at, to)),
        1 => which().prop_map(Do::Leave),
    ];
    let said = prop::collection::vec(say, 0..8);
    let done = prop::collection::vec(act, 0..5);
    (said, done, 1u32..4).prop_map(|(said, done, hours)| Round { said, done, hours })
}

/// An answer of the governor.
enum Heard {
    Lease(Result<Lease, ReserveError>),
    Many(Result<Many, ReserveError>),
    Place(Result<Waiting, ReserveError>),
    Nothing,
}

fn wish(owner: &str, bytes: u64) -> Reserve {
    Reserve {
        owner: owner.to_owned(),
        purpose: "churn".to_owned(),
        bytes: Bytes(bytes),
    }
}

fn answered<T>(answer: Result<T, AskError<ReserveError>>) -> Result<T, ReserveError> {
    match answer {
        Ok(value) => Ok(value),
        Err(AskError::Handler(error)) => Err(error),
        Err(other) => panic!("a crash lost what was queued behind it: {other}"),
    }
}

async fn say(governor: Handle<MemoryGovernor>, owner: String, what: Say) -> Heard {
    match what {
        Say::Reserve(bytes) => {
            let answer = governor.ask(wish(&owner, bytes), DEADLINE).await;
            return Heard::Lease(answered(answer));
        }
        Say::Many(each, at_least, at_most) => {
            let wish = ReserveMany {
                owner,
                purpose: "churn".to_owned(),
                each: Bytes(each),
                at_least,
                at_most,
            };
            return Heard::Many(answered(governor.ask(wish, DEADLINE).await));
        }
        Say::Wait(bytes, hours) => {
            let wish = wish(&owner, bytes);
            let patience = HOUR * hours;
            let within = ReserveWithin { wish, patience };
            return Heard::Place(answered(governor.ask(within, DEADLINE).await));
        }
        Say::Limit(bytes) => {
            let bytes = Some(Bytes(bytes));
            governor.tell(SetLimit { bytes }).await.unwrap();
        }
        Say::Crash => governor.tell(Crash).await.unwrap(),
        Say::CrashReserving(bytes) => {
            let wish = wish(&owner, bytes);
            governor.tell(CrashReserving(wish)).await.unwrap();
        }
        Say::CrashWaiting(bytes) => {
            let wish = wish(&owner, bytes);
            governor.tell(CrashWaiting(wish)).await.unwrap();
        }
    }
    Heard::Nothing
}

/// The governor, and the desk that reckons what it should give.
struct Churn {
    governor: Handle<MemoryGovernor>,
    desk: Desk,
    opened: Instant,
    now: Duration,
    owners: usize,
    leases: BTreeMap<LeaseId, (LeaseId, Lease)>,
    line: BTreeMap<WaiterId, Waiting>,
    /// Who was seen waiting.
    stood: BTreeSet<WaiterId>,
    /// How often the governor was made to crash, and how often someone was served after standing in line.
    crashes: usize,
    waits: usize,
}

impl Churn {
    async fn round(&mut self, round: &Round) {
        let mut asking = JoinSet::new();
        let mut names = Vec::new();
        // In this order: the runtime has one thread, and takes what is ready in turn.
        for (at, what) in round.said.iter().enumerate() {
            self.owners += 1;
            names.push(self.owners.to_string());
            let (governor, owner) = (self.governor.clone(), names[at].clone());
            let what = what.clone();
            asking.spawn(async move { (at, say(governor, owner, what).await) });
        }
        let mut heard: Vec<_> = asking.join_all().await;
        heard.sort_by_key(|(at, _)| *at);
        self.serve(self.now).await;
        for ((at, heard), what) in heard.into_iter().zip(&round.said) {
            self.reckon(&names[at], what, heard).await;
        }
        self.compare().await;
        for what in &round.done {
            self.act(what);
        }
        self.serve(self.now).await;
        self.compare().await;
        let then = self.now + HOUR * round.hours;
        while let Some(at) = self.desk.line().deadline().filter(|at| *at <= then) {
            self.serve(at).await;
        }
        self.now = then;
        let then = self.opened + then;
        assert!(Instant::now() <= then, "nothing takes time but the hours");
        sleep_until(then).await;
        self.compare().await;
    }

    /// The desk does what the governor did.
    async fn reckon(&mut self, owner: &str, what: &Say, heard: Heard) {
        match (what, heard) {
            (Say::Reserve(bytes), Heard::Lease(heard)) => {
                let expected = self.desk.reserve(owner, "churn", Bytes(*bytes));
                match (expected, heard) {
                    (Ok(id), Ok(lease)) => self.hold(id, lease),
                    (expected, heard) => assert_eq!(expected.err(), heard.err()),
                }
            }
            (Say::Many(each, few, most), Heard::Many(heard)) => {
                let each = Bytes(*each);
                let expected = self.desk.reserve_many(owner, "churn", each, *few, *most);
                match (expected, heard) {
                    (Ok((id, expected)), Ok(Many { lease, count })) => {
                        assert_eq!(count, expected);
                        self.hold(id, lease);
                    }
                    (expected, heard) => assert_eq!(expected.err(), heard.err()),
                }
            }
            (Say::Wait(bytes, hours), Heard::Place(heard)) => {
                let (bytes, patience) = (Bytes(*bytes), HOUR * *hours);
                let expected = self.desk.wait(owner, "churn", bytes, self.now, patience);
                match (expected, heard) {
                    (Ok(id), Ok(place)) => drop(self.line.insert(id, place)),
                    (expected, heard) => assert_eq!(expected.err(), heard.err()),
                }
            }
            (Say::Limit(bytes), Heard::Nothing) => self.desk.set_limit(Bytes(*bytes)),
            // Whatever it held when it crashed came back.
            (_, Heard::Nothing) => self.crashes += 1,
            _ => panic!("the answer to another question"),
        }
        self.serve(self.now).await;
    }

    fn hold(&mut self, id: LeaseId, lease: Lease) {
        self.leases.insert(id, (lease.id(), lease));
    }

    fn act(&mut self, what: &Do) {
        let nth = |at: usize| self.leases.keys().cycle().take(100).nth(at).copied();
        match *what {
            Do::Drop(at) => {
                if let Some(id) = nth(at) {
                    self.leases.remove(&id);
                    self.desk.release(id);
                }
            }
            Do::Shrink(at, to) => {
                if let Some(id) = nth(at) {
                    let freed = self.leases[&id].1.shrink_to(Bytes(to));
                    assert_eq!(self.desk.shrink(id, Bytes(to)), freed);
                }
            }
            Do::Leave(at) => {
                if let Some(id) = self.line.keys().cycle().take(100).nth(at).copied() {
                    self.line.remove(&id);
                    self.desk.leave(id);
                }
            }
        }
    }

    /// Whoever the desk serves hears the same from the governor.
    async fn serve(&mut self, at: Duration) {
        for Served { id, outcome, .. } in self.desk.serve(at, false) {
            let stood = self.stood.contains(&id);
            let place = self.line.remove(&id).unwrap();
            match (outcome, place.granted().await) {
                (Ok(id), Ok(lease)) => {
                    self.waits += usize::from(stood);
                    self.hold(id, lease);
                }
                (Err(expected), Err(heard)) => assert_eq!(expected, heard),
                (expected, heard) => panic!("{heard:?} is not {expected:?}"),
            }
        }
    }

    /// Nothing is counted that is not held, nothing is held that is not counted, and everybody stands where they should.
    async fn compare(&mut self) {
        let status: LedgerStatus = self.governor.ask(Status, DEADLINE).await.unwrap();
        let ledger = self.desk.ledger();
        assert_eq!(
            (status.limit, status.leased, status.available),
            (ledger.limit(), ledger.leased(), ledger.available())
        );
        let counted: BTreeMap<_, _> = status.leases.iter().map(|l| (l.id, l.bytes)).collect();
        let held: BTreeMap<_, _> = self
            .leases
            .values()
            .map(|(id, l)| (*id, l.bytes()))
            .collect();
        assert_eq!(counted, held);
        let owners: Vec<_> = status.waiters.iter().map(|w| w.owner.as_str()).collect();
        let line: Vec<_> = self
            .desk
            .line()
            .iter()
            .map(|(_, w)| w.owner.as_str())
            .collect();
        assert_eq!(owners, line);
        self.stood.extend(self.line.keys());
        for (before, place) in self.line.values().enumerate() {
            assert_eq!(place.position(), before + 1);
            let open = place.positions().has_changed().is_ok();
            assert!(open, "answered before its turn");
        }
    }
}

async fn churn(rounds: &[Round]) -> (usize, usize) {
    let limit = Some(Bytes(300));
    // No look at the machine within the test: it would tell nothing.
    let poll = Duration::from_hours(100_000);
    let (spec, governor) = child_with(GovernorConfig { limit, poll }, Arc::new(Nowhere));
    let tree = SupervisorSpec::new("root")
        .intensity(u32::MAX, HOUR)
        .child(spec.backoff(Backoff::none()));
    let opened = Instant::now();
    let root = start_root(tree, Events::with_seed(1)).await.unwrap();
    let mut churn = Churn {
        governor,
        desk: Desk::new(Bytes(300)),
        opened,
        now: Duration::ZERO,
        owners: 0,
        leases: BTreeMap::new(),
        line: BTreeMap::new(),
        stood: BTreeSet::new(),
        crashes: 0,
        waits: 0,
    };
    for round in rounds {
        churn.round(round).await;
    }
    churn.line.clear();
    churn.leases.clear();
    churn.governor.tell(Crash).await.unwrap();
    let status = churn.governor.ask(Status, DEADLINE).await.unwrap();
    assert_eq!(
        (status.leased, status.leases, status.waiters),
        (Bytes::ZERO, Vec::new(), Vec::new())
    );
    root.stop(DEADLINE).await;
    (churn.crashes, churn.waits)
}

#[tokio::test(start_paused = true)]
async fn a_governor_that_crashes_at_any_moment_loses_and_doubles_nothing() {
    let mut runner = TestRunner::deterministic();
    let (mut crashes, mut waits) = (0, 0);
    for _ in 0..60 {
        let rounds = prop::collection::vec(round(), 1..20);
        let rounds = rounds.new_tree(&mut runner).unwrap().current();
        let (more_crashes, more_waits) = churn(&rounds).await;
        crashes += more_crashes;
        waits += more_waits;
    }
    // Otherwise this has tested nothing.
    assert!(crashes > 100 && waits > 100, "{crashes} {waits}");
}
