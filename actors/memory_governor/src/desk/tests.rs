//! The desk by tables, and against a second set of books that is kept by hand.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::line::MOST_WAITING;

const fn sec(n: u64) -> Duration {
    Duration::from_secs(n)
}

fn wait(desk: &mut Desk, bytes: u64, now: u64, patience: u64) -> WaiterId {
    desk.wait("w", "kv", Bytes(bytes), sec(now), sec(patience))
        .unwrap()
}

fn ids(served: &[Served]) -> Vec<WaiterId> {
    served.iter().map(|one| one.id).collect()
}

#[test]
fn nobody_overtakes_not_even_who_would_fit() {
    let mut desk = Desk::new(Bytes(100));
    let held = desk.reserve("a", "x", Bytes(60)).unwrap();
    let large = wait(&mut desk, 70, 0, 9);
    let small = wait(&mut desk, 10, 1, 9);
    assert_eq!(desk.serve(sec(1), false), []);
    assert_eq!(desk.shortfall(), Bytes(30));
    let refused = ReserveError::Refused {
        purpose: "y".to_owned(),
        needed: Bytes(5),
        available: Bytes(40),
        limit: Bytes(100),
        waiting: 2,
    };
    assert_eq!(desk.reserve("b", "y", Bytes(5)), Err(refused.clone()));
    assert_eq!(desk.reserve_many("b", "y", Bytes(5), 1, 9), Err(refused));
    // Nonsense is told as such, whoever waits.
    for (each, at_least) in [(0, 1), (5, 0)] {
        let error = desk.reserve_many("b", "y", Bytes(each), at_least, 9);
        assert!(!matches!(error, Err(ReserveError::Refused { .. })));
    }
    assert_eq!(desk.shrink(held, Bytes(35)), Bytes(25));
    assert_eq!(desk.serve(sec(2), false), []);
    assert_eq!(desk.shrink(held, Bytes(20)), Bytes(15));
    let served = desk.serve(sec(3), false);
    assert_eq!(ids(&served), [large, small]);
    assert!(served.iter().all(|one| one.outcome.is_ok()));
    assert_eq!(desk.ledger().leased(), Bytes(100));
    assert_eq!(desk.shortfall(), Bytes::ZERO);
}

#[test]
fn whoever_leaves_or_gives_up_lets_those_behind_move_up() {
    let mut desk = Desk::new(Bytes(100));
    desk.reserve("a", "x", Bytes(60)).unwrap();
    let first = wait(&mut desk, 50, 0, 9);
    let second = wait(&mut desk, 50, 0, 2);
    let third = wait(&mut desk, 40, 1, 9);
    assert_eq!(desk.serve(sec(1), false), []);
    desk.leave(first);
    let served = desk.serve(sec(2), false);
    assert_eq!(ids(&served), [second, third]);
    assert_eq!(
        served[0].outcome,
        Err(ReserveError::GaveUp {
            purpose: "kv".to_owned(),
            needed: Bytes(50),
            available: Bytes(40),
            limit: Bytes(100),
            waited: sec(2),
            ahead: 0,
        })
    );
    assert!(served[1].outcome.is_ok());
    assert!(desk.line().is_empty());
}

#[test]
fn bytes_that_are_there_at_the_deadline_are_given() {
    let mut desk = Desk::new(Bytes(100));
    let held = desk.reserve("a", "x", Bytes(100)).unwrap();
    let late = wait(&mut desk, 100, 0, 5);
    desk.release(held);
    let served = desk.serve(sec(7), false);
    assert_eq!(ids(&served), [late]);
    assert!(served[0].outcome.is_ok());
    // No patience at all is a question that is answered now.
    let now = wait(&mut desk, 1, 7, 0);
    let served = desk.serve(sec(7), false);
    assert_eq!(ids(&served), [now]);
    assert!(matches!(
        served[0].outcome,
        Err(ReserveError::GaveUp { .. })
    ));
}

#[test]
fn nobody_waits_for_what_can_never_be() {
    let mut desk = Desk::new(Bytes(100));
    desk.reserve("a", "x", Bytes(80)).unwrap();
    let too_large = desk.wait("w", "kv", Bytes(101), sec(0), sec(9));
    assert!(too_large.unwrap_err().never_fits());
    let zero = desk.wait("w", "kv", Bytes::ZERO, sec(0), sec(9));
    assert!(matches!(zero, Err(ReserveError::ZeroBytes { .. })));
    assert!(desk.line().is_empty());
    // The limit falls: who needs more than all of it does not hold up those behind.
    let large = wait(&mut desk, 95, 0, 9);
    let small = wait(&mut desk, 10, 0, 9);
    desk.set_limit(Bytes(90));
    let served = desk.serve(sec(1), false);
    assert_eq!(ids(&served), [large, small]);
    assert!(served[0].outcome.as_ref().unwrap_err().never_fits());
    assert!(served[1].outcome.is_ok());
}

#[test]
fn a_full_line_says_so() {
    let mut desk = Desk::new(Bytes(100));
    desk.reserve("a", "x", Bytes(100)).unwrap();
    for _ in 0..MOST_WAITING {
        wait(&mut desk, 1, 0, 9);
    }
    let error = desk.wait("w", "kv", Bytes(7), sec(0), sec(9)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "kv cannot wait for 7 B: 64 wait already; ask again when some of them were served"
    );
}

#[derive(Clone, Debug)]
enum Op {
    Reserve(u64),
    Many(u64, u32, u32),
    Wait(u64, u64),
    Leave(usize),
    Release(usize),
    Shrink(usize, u64),
    Limit(u64),
    Pass(u64),
}

fn op() -> impl Strategy<Value = Op> {
    // Mostly what fits, sometimes what cannot be added up.
    let size = prop_oneof![9 => 0u64..300, 1 => Just(u64::MAX), 1 => Just(u64::MAX / 2)];
    let which = 0usize..30;
    prop_oneof![
        3 => size.clone().prop_map(Op::Reserve),
        1 => (size.clone(), 0u32..4, 0u32..6).prop_map(|(each, at_least, at_most)| Op::Many(each, at_least, at_most)),
        4 => (size.clone(), 0u64..20).prop_map(|(bytes, patience)| Op::Wait(bytes, patience)),
        1 => which.clone().prop_map(Op::Leave),
        // An owner that ends, however it ends, drops its lease.
        4 => which.clone().prop_map(Op::Release),
        2 => (which, size.clone()).prop_map(|(at, to)| Op::Shrink(at, to)),
        1 => size.prop_map(Op::Limit),
        2 => (0u64..8).prop_map(Op::Pass),
    ]
}

/// The desk, and what it should hold.
struct Books {
    desk: Desk,
    now: u64,
    leases: BTreeMap<LeaseId, u64>,
    /// In order of arrival: who, how much, until when.
    line: Vec<(WaiterId, u64, u64)>,
    /// Everybody who ever was in line.
    seen: Vec<WaiterId>,
}

impl Books {
    fn granted(&mut self, id: LeaseId, bytes: u64) -> Result<(), TestCaseError> {
        let ledger = self.desk.ledger();
        prop_assert!(ledger.leased() <= ledger.limit(), "granted above the limit");
        prop_assert!(bytes > 0);
        prop_assert_eq!(self.leases.insert(id, bytes), None, "an id was used twice");
        Ok(())
    }

    fn apply(&mut self, op: &Op) -> Result<(), TestCaseError> {
        let free = self.desk.ledger().available().0;
        let lease = |at: usize| self.leases.keys().nth(at).copied();
        match *op {
            Op::Reserve(bytes) => {
                let fits = bytes > 0 && bytes <= free && self.line.is_empty();
                let answer = self.desk.reserve("o", "p", Bytes(bytes));
                prop_assert_eq!(answer.is_ok(), fits);
                answer.map_or(Ok(()), |id| self.granted(id, bytes))?;
            }
            Op::Many(each, at_least, at_most) => {
                let fits = (0..=at_most)
                    .rev()
                    .find(|n| each.checked_mul((*n).into()).is_some_and(|sum| sum <= free));
                let sense = each > 0 && at_least > 0 && self.line.is_empty();
                let expected = fits.filter(|n| sense && *n >= at_least);
                let answer = self
                    .desk
                    .reserve_many("o", "p", Bytes(each), at_least, at_most);
                prop_assert_eq!(answer.as_ref().ok().map(|(_, count)| *count), expected);
                answer.map_or(Ok(()), |(id, n)| self.granted(id, each * u64::from(n)))?;
            }
            Op::Wait(bytes, patience) => {
                let (now, patience) = (sec(self.now), sec(patience));
                let fits = bytes > 0 && bytes <= self.desk.ledger().limit().0;
                let room = self.line.len() < MOST_WAITING;
                let answer = self.desk.wait("o", "p", Bytes(bytes), now, patience);
                prop_assert_eq!(answer.is_ok(), fits && room);
                if let Ok(id) = answer {
                    prop_assert!(!self.seen.contains(&id), "an id was used twice");
                    self.seen.push(id);
                    self.line.push((id, bytes, self.now + patience.as_secs()));
                }
            }
            Op::Leave(at) => {
                if at < self.line.len() {
                    let (id, ..) = self.line.remove(at);
                    self.desk.leave(id);
                }
            }
            Op::Release(at) => {
                if let Some(id) = lease(at) {
                    let held = self.leases.remove(&id);
                    prop_assert_eq!(Some(self.desk.release(id).0), held);
                    prop_assert_eq!(self.desk.release(id), Bytes::ZERO);
                }
            }
            Op::Shrink(at, to) => {
                if let Some(id) = lease(at) {
                    self.desk.shrink(id, Bytes(to));
                    self.leases
                        .entry(id)
                        .and_modify(|held| *held = to.min(*held));
                }
            }
            Op::Limit(bytes) => self.desk.set_limit(Bytes(bytes)),
            Op::Pass(seconds) => self.now += seconds,
        }
        Ok(())
    }

    /// Who is served is first in line, who is turned away has a reason, and nobody is told twice.
    fn serve(&mut self) -> Result<(), TestCaseError> {
        let limit = self.desk.ledger().limit().0;
        let before = self.desk.ledger().leased();
        let served = self.desk.serve(sec(self.now), false);
        if served.iter().any(|one| one.outcome.is_ok()) {
            let ledger = self.desk.ledger();
            prop_assert!(ledger.leased() <= ledger.limit(), "granted above the limit");
        } else {
            prop_assert_eq!(self.desk.ledger().leased(), before);
        }
        for one in served {
            let at = self.line.iter().position(|(id, ..)| *id == one.id);
            prop_assert!(at.is_some(), "told twice, or never in line");
            let (_, bytes, deadline) = self.line.remove(at.unwrap());
            match one.outcome {
                Ok(lease) => {
                    prop_assert_eq!(at, Some(0), "someone was overtaken");
                    prop_assert_eq!(self.leases.insert(lease, bytes), None);
                }
                Err(ReserveError::GaveUp { ahead, .. }) => {
                    prop_assert!(deadline <= self.now);
                    prop_assert_eq!(Some(ahead), at);
                }
                Err(error) => prop_assert!(error.never_fits() && bytes > limit, "{}", error),
            }
        }
        Ok(())
    }

    fn check(&self) -> Result<(), TestCaseError> {
        let ledger = self.desk.ledger();
        let sum: u128 = self.leases.values().map(|bytes| u128::from(*bytes)).sum();
        prop_assert_eq!(sum, u128::from(ledger.leased().0));
        let listed: BTreeMap<_, _> = ledger.leases().iter().map(|l| (l.id, l.bytes.0)).collect();
        prop_assert_eq!(&listed, &self.leases);
        let line: Vec<_> = self.desk.line().iter().map(|(id, _)| id).collect();
        prop_assert_eq!(
            line,
            self.line.iter().map(|(id, ..)| *id).collect::<Vec<_>>()
        );
        if let Some((_, bytes, _)) = self.line.first() {
            prop_assert!(*bytes > ledger.available().0, "who fits waits");
            prop_assert_eq!(self.desk.shortfall().0, bytes - ledger.available().0);
        }
        let (limit, now) = (ledger.limit().0, self.now);
        let idle = |(_, bytes, deadline): &(_, u64, u64)| *bytes > limit || *deadline <= now;
        prop_assert!(!self.line.iter().any(idle), "someone waits for nothing");
        let deadline = self.line.iter().map(|(.., deadline)| sec(*deadline)).min();
        prop_assert_eq!(self.desk.line().deadline(), deadline);
        Ok(())
    }
}

proptest! {
    #[test]
    fn bytes_balance_and_nobody_overtakes_whatever_happens(ops in prop::collection::vec(op(), 0..120)) {
        let mut books = Books {
            desk: Desk::new(Bytes(500)),
            now: 0,
            leases: BTreeMap::new(),
            line: Vec::new(),
            seen: Vec::new(),
        };
        for op in &ops {
            books.apply(op)?;
            books.serve()?;
            books.check()?;
        }
        // All owners go: first those who wait, then those who hold.
        books.now += 1000;
        books.serve()?;
        prop_assert!(books.desk.line().is_empty());
        for id in std::mem::take(&mut books.leases).into_keys() {
            books.desk.release(id);
        }
        books.check()?;
        prop_assert_eq!(books.desk.ledger().leased(), Bytes::ZERO);
    }
}

#[test]
fn while_relief_is_under_way_those_in_line_wait_and_a_full_machine_lends_nothing() {
    let mut desk = Desk::new(Bytes(100));
    let first = wait(&mut desk, 10, 0, 5);
    let second = wait(&mut desk, 10, 0, 9);
    assert_eq!(desk.serve(sec(1), true), []);
    // Held or not, nobody waits longer than they wanted to.
    let served = desk.serve(sec(5), true);
    assert_eq!(ids(&served), [first]);
    assert!(matches!(
        served[0].outcome,
        Err(ReserveError::GaveUp { .. })
    ));

    desk.set_scarce(true);
    assert_eq!(desk.serve(sec(6), false), []);
    let refused = |waiting| ReserveError::Refused {
        purpose: "kv".to_owned(),
        needed: Bytes(10),
        available: Bytes::ZERO,
        limit: Bytes(100),
        waiting,
    };
    assert_eq!(desk.reserve("b", "kv", Bytes(10)), Err(refused(1)));
    let away = desk.turn_first_away().unwrap();
    assert_eq!((away.id, away.outcome), (second, Err(refused(0))));
    assert_eq!(desk.turn_first_away(), None);
    assert_eq!(
        desk.reserve_many("b", "kv", Bytes(10), 1, 9),
        Err(refused(0))
    );
    desk.set_scarce(false);
    assert!(desk.reserve("b", "kv", Bytes(10)).is_ok());
}
