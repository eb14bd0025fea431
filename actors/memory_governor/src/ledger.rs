//! Who holds how many bytes: the one book, kept by plain arithmetic.
//!
//! Every lease has an identity that is never used twice, so a second release of the same lease finds nothing to take
//! away. Invariants: `leased` is the sum of the live leases; no lease is granted beyond the limit; a limit below what is
//! leased is legal and leaves nothing available. Nothing here waits, reads a clock or knows an actor.

use std::collections::BTreeMap;
use std::fmt;

use domain::Bytes;

use crate::messages::LeaseInfo;
use crate::reserve_error::ReserveError;

/// Names one lease for the life of the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LeaseId(u64);

impl fmt::Display for LeaseId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "lease-{}", self.0)
    }
}

struct Entry {
    owner: String,
    purpose: String,
    bytes: Bytes,
}

/// The live leases and the limit they share.
pub struct Ledger {
    limit: Bytes,
    leased: Bytes,
    next_id: u64,
    entries: BTreeMap<LeaseId, Entry>,
}

impl Ledger {
    /// An empty ledger.
    pub fn new(limit: Bytes) -> Self {
        Self {
            limit,
            leased: Bytes::ZERO,
            next_id: 1,
            entries: BTreeMap::new(),
        }
    }

    /// Writes a lease down if it fits.
    ///
    /// # Errors
    /// `ZeroBytes`, or `Refused` with the bytes needed and available; the ledger is then as before.
    pub fn reserve(
        &mut self,
        owner: &str,
        purpose: &str,
        bytes: Bytes,
    ) -> Result<LeaseId, ReserveError> {
        if bytes == Bytes::ZERO {
            return Err(ReserveError::ZeroBytes {
                owner: owner.to_owned(),
                purpose: purpose.to_owned(),
            });
        }
        let sum = self.leased.0.checked_add(bytes.0).map(Bytes);
        let fits = sum.filter(|sum| *sum <= self.limit);
        // 2^64 leases take longer than any machine lives; without an id there is no lease.
        let next_id = self.next_id.checked_add(1);
        let (Some(leased), Some(next_id)) = (fits, next_id) else {
            return Err(self.refusal(purpose, bytes, 0));
        };
        let id = LeaseId(self.next_id);
        self.next_id = next_id;
        self.leased = leased;
        self.entries.insert(
            id,
            Entry {
                owner: owner.to_owned(),
                purpose: purpose.to_owned(),
                bytes,
            },
        );
        Ok(id)
    }

    /// Writes one lease down for as many of `each` bytes as fit, and says how many: from `at_least` to `at_most`.
    ///
    /// # Errors
    /// `ZeroBytes` if there is nothing of each, `Count` if the numbers make no sense, or `Refused` with the bytes that
    /// `at_least` needs; the ledger is then as before.
    pub fn reserve_many(
        &mut self,
        owner: &str,
        purpose: &str,
        each: Bytes,
        at_least: u32,
        at_most: u32,
    ) -> Result<(LeaseId, u32), ReserveError> {
        let wrong = |field, value, way_out: String| ReserveError::Count {
            purpose: purpose.to_owned(),
            field,
            value,
            way_out,
        };
        if at_least == 0 {
            let way_out = "say how few are of use, at least 1".to_owned();
            return Err(wrong("at_least", at_least, way_out));
        }
        if at_most < at_least {
            let way_out = format!("at_least is {at_least}, so say {at_least} or more");
            return Err(wrong("at_most", at_most, way_out));
        }
        let fit = self.available().0.checked_div(each.0).unwrap_or_default();
        let fit = u32::try_from(fit).unwrap_or(u32::MAX);
        // If fewer fit, this many are refused.
        let count = fit.clamp(at_least, at_most);
        let Some(bytes) = each.0.checked_mul(count.into()) else {
            return Err(self.refusal(purpose, Bytes(u64::MAX), 0));
        };
        let id = self.reserve(owner, purpose, Bytes(bytes))?;
        Ok((id, count))
    }

    /// The figures of a refusal, now.
    pub(crate) fn refusal(&self, purpose: &str, needed: Bytes, waiting: usize) -> ReserveError {
        ReserveError::Refused {
            purpose: purpose.to_owned(),
            needed,
            available: self.available(),
            limit: self.limit,
            waiting,
        }
    }

    /// Strikes a lease out and returns its bytes; an unknown or already released one gives nothing back.
    pub fn release(&mut self, id: LeaseId) -> Bytes {
        let Some(entry) = self.entries.remove(&id) else {
            return Bytes::ZERO;
        };
        // Cannot saturate: `leased` is the sum of the entries.
        self.leased = self.leased.saturating_sub(entry.bytes);
        entry.bytes
    }

    /// Lowers a lease to `to` and returns what that gave back. A lease never grows, and one that is unknown or already
    /// released gives nothing back; at zero it stays listed.
    pub fn shrink(&mut self, id: LeaseId, to: Bytes) -> Bytes {
        let Some(entry) = self.entries.get_mut(&id) else {
            return Bytes::ZERO;
        };
        let freed = entry.bytes.saturating_sub(to);
        entry.bytes = entry.bytes.min(to);
        // Cannot saturate: `leased` is the sum of the entries.
        self.leased = self.leased.saturating_sub(freed);
        freed
    }

    /// What for, and how much, lease by lease.
    pub(crate) fn purposes(&self) -> impl Iterator<Item = (&str, Bytes)> {
        let entries = self.entries.values();
        entries.map(|entry| (entry.purpose.as_str(), entry.bytes))
    }

    /// Changes the limit; what is leased stays leased.
    pub fn set_limit(&mut self, limit: Bytes) {
        self.limit = limit;
    }

    /// The limit.
    pub fn limit(&self) -> Bytes {
        self.limit
    }

    /// The sum of the live leases.
    pub fn leased(&self) -> Bytes {
        self.leased
    }

    /// What could be leased now; zero while more is leased than the limit allows.
    pub fn available(&self) -> Bytes {
        self.limit.saturating_sub(self.leased)
    }

    /// The live leases, oldest first.
    pub fn leases(&self) -> Vec<LeaseInfo> {
        self.entries
            .iter()
            .map(|(id, entry)| LeaseInfo {
                id: *id,
                owner: entry.owner.clone(),
                purpose: entry.purpose.clone(),
                bytes: entry.bytes,
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_refusal_names_needed_and_available() {
        let mut ledger = Ledger::new(Bytes(100));
        ledger.reserve("a", "weights", Bytes(70)).unwrap();
        assert_eq!(
            ledger.reserve("b", "kv", Bytes(31)),
            Err(ReserveError::Refused {
                purpose: "kv".to_owned(),
                needed: Bytes(31),
                available: Bytes(30),
                limit: Bytes(100),
                waiting: 0,
            })
        );
        ledger.reserve("b", "kv", Bytes(30)).unwrap();
        assert_eq!(ledger.available(), Bytes::ZERO);
    }

    #[test]
    fn zero_bytes_are_refused() {
        let refused = Ledger::new(Bytes(1)).reserve("a", "nothing", Bytes::ZERO);
        assert!(matches!(refused, Err(ReserveError::ZeroBytes { .. })));
    }

    #[test]
    fn sums_that_do_not_exist_are_refused() {
        let mut ledger = Ledger::new(Bytes(u64::MAX));
        ledger
            .reserve("a", "all but one", Bytes(u64::MAX - 1))
            .unwrap();
        assert!(ledger.reserve("b", "two", Bytes(2)).is_err());
        assert_eq!(ledger.leased(), Bytes(u64::MAX - 1));
    }

    #[test]
    fn a_limit_below_what_is_leased_is_legal() {
        let mut ledger = Ledger::new(Bytes(100));
        let id = ledger.reserve("a", "x", Bytes(80)).unwrap();
        ledger.set_limit(Bytes(50));
        assert_eq!(ledger.available(), Bytes::ZERO);
        assert!(ledger.reserve("b", "y", Bytes(1)).is_err());
        assert_eq!(ledger.release(id), Bytes(80));
        assert_eq!(ledger.available(), Bytes(50));
    }

    #[test]
    fn a_second_release_changes_nothing() {
        let mut ledger = Ledger::new(Bytes(100));
        let id = ledger.reserve("a", "x", Bytes(80)).unwrap();
        ledger.reserve("a", "y", Bytes(5)).unwrap();
        assert_eq!(ledger.release(id), Bytes(80));
        assert_eq!(ledger.release(id), Bytes::ZERO);
        assert_eq!(ledger.leased(), Bytes(5));
    }

    #[test]
    fn a_lease_shrinks_and_never_grows() {
        let mut ledger = Ledger::new(Bytes(100));
        let id = ledger.reserve("a", "x", Bytes(80)).unwrap();
        for (to, freed, left) in [
            (90, 0, 80),
            (80, 0, 80),
            (30, 50, 30),
            (40, 0, 30),
            (0, 30, 0),
        ] {
            assert_eq!(ledger.shrink(id, Bytes(to)), Bytes(freed), "to {to}");
            assert_eq!(ledger.leased(), Bytes(left), "to {to}");
        }
        assert_eq!(ledger.leases().len(), 1, "a lease of nothing is still held");
        assert_eq!(ledger.release(id), Bytes::ZERO);
        assert_eq!(ledger.shrink(id, Bytes::ZERO), Bytes::ZERO);
        assert_eq!(ledger.leases(), []);
    }

    #[test]
    fn as_many_as_fit_are_one_lease() {
        let most = u64::MAX;
        for (limit, taken, each, at_least, at_most, expected) in [
            (100, 0, 30, 1, 9, Ok(3)),
            (100, 0, 30, 1, 2, Ok(2)),
            (100, 40, 30, 2, 2, Ok(2)),
            (
                100,
                41,
                30,
                2,
                2,
                Err("60 B needed, 59 B available of 100 B"),
            ),
            (100, 80, 30, 1, 1, Err("30 B needed, 20 B available")),
            (100, 0, 30, 4, 9, Err("120 B needed, 100 B is all there is")),
            (100, 0, 0, 1, 9, Err("0 bytes")),
            (100, 0, 30, 0, 9, Err("at_least is 0, for kv: say how few")),
            (
                100,
                0,
                30,
                3,
                2,
                Err("at_most is 2, for kv: at_least is 3, so say 3 or more"),
            ),
            (most, 0, 1, 1, u32::MAX, Ok(u32::MAX)),
            (most - 1, 0, most, 2, 3, Err("is all there is")),
            (most, 1, most / 2, 1, 9, Ok(2)),
            (most, 2, most / 2, 1, 9, Ok(1)),
            (most, 0, most / 2, 3, 9, Err("16777216.0 TiB needed")),
        ] {
            let mut ledger = Ledger::new(Bytes(limit));
            if taken > 0 {
                ledger.reserve("a", "x", Bytes(taken)).unwrap();
            }
            match (
                ledger.reserve_many("b", "kv", Bytes(each), at_least, at_most),
                expected,
            ) {
                (Ok((_, count)), Ok(expected)) => {
                    assert_eq!(count, expected);
                    assert_eq!(ledger.leased(), Bytes(taken + each * u64::from(count)));
                    assert_eq!(ledger.leases().len(), usize::from(taken > 0) + 1);
                }
                (Err(error), Err(expected)) => {
                    assert!(error.to_string().contains(expected), "{error}");
                    assert_eq!(ledger.leased(), Bytes(taken));
                }
                (answer, expected) => panic!("{answer:?} is not {expected:?}"),
            }
        }
    }

    #[derive(Clone, Debug)]
    enum Op {
        Reserve(u64),
        Shrink(usize, u64),
        Release(usize),
        Limit(u64),
    }

    fn op() -> impl Strategy<Value = Op> {
        let size = prop_oneof![0u64..200, Just(u64::MAX), Just(u64::MAX / 2)];
        prop_oneof![
            size.clone().prop_map(Op::Reserve),
            (0usize..40, size.clone()).prop_map(|(at, to)| Op::Shrink(at, to)),
            (0usize..40).prop_map(Op::Release),
            size.prop_map(Op::Limit),
        ]
    }

    proptest! {
        #[test]
        fn the_books_always_balance(ops in prop::collection::vec(op(), 0..80)) {
            let mut ledger = Ledger::new(Bytes(500));
            let mut granted = Vec::new();
            for op in ops {
                match op {
                    Op::Reserve(bytes) => {
                        let before = ledger.available();
                        match ledger.reserve("o", "p", Bytes(bytes)) {
                            Ok(id) => {
                                prop_assert!(Bytes(bytes) <= before);
                                prop_assert!(ledger.leased() <= ledger.limit());
                                prop_assert!(!granted.contains(&id), "an id was used twice");
                                granted.push(id);
                            }
                            Err(_) => prop_assert!(bytes == 0 || Bytes(bytes) > before),
                        }
                    }
                    Op::Shrink(at, to) => {
                        if let Some(id) = granted.get(at) {
                            let before = ledger.leased();
                            let freed = ledger.shrink(*id, Bytes(to));
                            prop_assert_eq!(ledger.leased().0, before.0 - freed.0);
                        }
                    }
                    Op::Release(at) => {
                        if let Some(id) = granted.get(at) {
                            ledger.release(*id);
                        }
                    }
                    Op::Limit(bytes) => ledger.set_limit(Bytes(bytes)),
                }
                let sum: u128 = ledger.leases().iter().map(|l| u128::from(l.bytes.0)).sum();
                prop_assert_eq!(sum, u128::from(ledger.leased().0));
            }
        }
    }
}
