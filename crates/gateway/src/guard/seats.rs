//! Who has a seat among the open connections, and who is sent away. Pure.
//!
//! Invariants: nobody who has a seat loses it to a lower limit; with a limit of `n` nobody new sits down while `n` sit; those
//! of one place in the net who have not asked for anything yet have at most a quarter of the seats, so that who connects and
//! says nothing cannot keep the others out.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// One in so many seats may belong to the silent of one place.
const SHARE: usize = 4;

/// What a connection is for.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// Requests over HTTP/1.1, one after the other.
    Http,
    /// A session in real time, or who is about to begin one.
    WebSocket,
}

impl Kind {
    /// As one word.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::WebSocket => "websocket",
        }
    }
}

/// Why there is no seat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoSeat {
    /// So many are taken, and no more may be.
    Full(usize),
    /// So many belong to the silent of that place, and no more may.
    Silent(usize),
}

/// The seats. `T` is what is kept with each that is taken.
#[derive(Debug)]
pub(crate) struct Seats<T> {
    limit: usize,
    next: u64,
    taken: BTreeMap<u64, Taken<T>>,
    silent: HashMap<IpAddr, usize>,
    refused: u64,
}

/// A seat that is taken.
#[derive(Debug)]
pub(crate) struct Taken<T> {
    pub(crate) kind: Kind,
    pub(crate) peer: SocketAddr,
    /// It has not asked for anything yet.
    pub(crate) silent: bool,
    pub(crate) kept: T,
}

impl<T> Seats<T> {
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            limit,
            next: 1,
            taken: BTreeMap::new(),
            silent: HashMap::new(),
            refused: 0,
        }
    }

    /// Takes a seat; its number, from 1, never given twice.
    ///
    /// # Errors
    /// `Full`, `Silent`.
    pub(crate) fn sit(&mut self, kind: Kind, peer: SocketAddr, kept: T) -> Result<u64, NoSeat> {
        let share = (self.limit / SHARE).max(1);
        let place = place(peer.ip());
        let no_seat = if self.taken.len() >= self.limit {
            Some(NoSeat::Full(self.limit))
        } else {
            let silent = self.silent.get(&place).copied().unwrap_or_default();
            (silent >= share).then_some(NoSeat::Silent(share))
        };
        if let Some(no_seat) = no_seat {
            self.refused += 1;
            return Err(no_seat);
        }
        let number = self.next;
        self.next += 1;
        *self.silent.entry(place).or_default() += 1;
        let taken = Taken {
            kind,
            peer,
            silent: true,
            kept,
        };
        self.taken.insert(number, taken);
        Ok(number)
    }

    /// It is for something else from now on.
    pub(crate) fn becomes(&mut self, number: u64, kind: Kind) {
        if let Some(taken) = self.taken.get_mut(&number) {
            taken.kind = kind;
        }
    }

    /// It has sent a whole request.
    pub(crate) fn spoke(&mut self, number: u64) {
        let Some(taken) = self.taken.get_mut(&number) else {
            return;
        };
        if std::mem::replace(&mut taken.silent, false) {
            let peer = taken.peer;
            self.one_silent_less(peer);
        }
    }

    /// Its seat is free again.
    pub(crate) fn leave(&mut self, number: u64) {
        if let Some(taken) = self.taken.remove(&number)
            && taken.silent
        {
            self.one_silent_less(taken.peer);
        }
    }

    fn one_silent_less(&mut self, peer: SocketAddr) {
        let place = place(peer.ip());
        let left = self.silent.get(&place).map_or(0, |silent| silent - 1);
        if left == 0 {
            self.silent.remove(&place);
        } else {
            self.silent.insert(place, left);
        }
    }

    /// From now on at most so many; those that are there stay.
    pub(crate) fn limit_to(&mut self, limit: usize) {
        self.limit = limit;
    }

    pub(crate) fn limit(&self) -> usize {
        self.limit
    }

    /// Seats that are taken.
    pub(crate) fn open(&self) -> usize {
        self.taken.len()
    }

    /// How often somebody was sent away.
    pub(crate) fn refused(&self) -> u64 {
        self.refused
    }

    pub(crate) fn get(&self, number: u64) -> Option<&Taken<T>> {
        self.taken.get(&number)
    }

    /// Those that are taken, the oldest first.
    pub(crate) fn all(&self) -> impl Iterator<Item = (u64, &Taken<T>)> {
        self.taken.iter().map(|(number, taken)| (*number, taken))
    }
}

/// Addresses that one machine usually has all of: an IPv4 address, and a /64 of IPv6 (RFC 7421).
fn place(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) if !v6.is_loopback() => {
            let [a, b, c, d, ..] = v6.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn peer(host: &str) -> SocketAddr {
        SocketAddr::new(host.parse().unwrap(), 5000)
    }

    #[test]
    fn a_lower_limit_takes_no_seat_away_and_gives_none_until_there_is_room() {
        let mut seats = Seats::new(3);
        let sit = |seats: &mut Seats<()>| {
            let number = seats.sit(Kind::Http, peer("10.0.0.1"), ())?;
            seats.spoke(number);
            Ok(number)
        };
        assert_eq!([1, 2, 3].map(|_| sit(&mut seats)), [Ok(1), Ok(2), Ok(3)]);
        assert_eq!(sit(&mut seats), Err(NoSeat::Full(3)));
        seats.limit_to(1);
        assert_eq!((seats.open(), seats.limit()), (3, 1));
        for left in [1, 2, 3] {
            assert_eq!(sit(&mut seats), Err(NoSeat::Full(1)), "before {left} left");
            seats.leave(left);
        }
        assert_eq!(sit(&mut seats), Ok(4), "no number is given twice");
        seats.limit_to(2);
        assert_eq!(sit(&mut seats), Ok(5));
        assert_eq!((seats.refused(), seats.open()), (4, 2));
    }

    #[test]
    fn the_silent_of_one_place_have_a_quarter_and_keep_no_other_out() {
        let mut seats = Seats::new(16);
        for number in 1..=4 {
            assert_eq!(seats.sit(Kind::Http, peer("10.0.0.1"), ()), Ok(number));
        }
        let refused = seats.sit(Kind::Http, peer("10.0.0.1"), ());
        assert_eq!(refused, Err(NoSeat::Silent(4)));
        assert_eq!(seats.sit(Kind::Http, peer("10.0.0.2"), ()), Ok(5));
        seats.spoke(1);
        seats.spoke(1);
        assert_eq!(seats.sit(Kind::Http, peer("10.0.0.1"), ()), Ok(6));
        let refused = seats.sit(Kind::Http, peer("10.0.0.1"), ());
        assert_eq!(refused, Err(NoSeat::Silent(4)));
        seats.leave(1);
        let refused = seats.sit(Kind::Http, peer("10.0.0.1"), ());
        assert_eq!(refused, Err(NoSeat::Silent(4)), "that one had spoken");
        seats.leave(2);
        assert_eq!(seats.sit(Kind::Http, peer("10.0.0.1"), ()), Ok(7));
        // Whoever speaks has as many as there are.
        let mut seats = Seats::new(16);
        for number in 1..=16 {
            assert_eq!(seats.sit(Kind::Http, peer("10.0.0.1"), ()), Ok(number));
            seats.spoke(number);
        }
        let one = Seats::new(1).sit(Kind::Http, peer("10.0.0.1"), ());
        assert_eq!(one, Ok(1), "a quarter of few is one");
    }

    #[test]
    fn a_place_is_what_one_machine_has() {
        for (one, other, same) in [
            ("10.0.0.1", "10.0.0.1", true),
            ("10.0.0.1", "10.0.0.2", false),
            ("10.0.0.1", "::ffff:10.0.0.1", true),
            ("2001:db8::1", "2001:db8::ffff:2", true),
            ("2001:db8::1", "2001:db8:0:1::1", false),
            ("::1", "::2", false),
        ] {
            let [one, other] = [one, other].map(|text| place(text.parse().unwrap()));
            assert_eq!(one == other, same, "{one} and {other}");
        }
    }

    #[derive(Clone, Debug)]
    enum Step {
        Sit(u8),
        Spoke(u64),
        Leave(u64),
        Limit(usize),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => (0..3_u8).prop_map(Step::Sit),
            2 => (1..40_u64).prop_map(Step::Spoke),
            2 => (1..40_u64).prop_map(Step::Leave),
            1 => (1..12_usize).prop_map(Step::Limit),
        ]
    }

    proptest! {
        #[test]
        fn whatever_comes_the_counts_are_those_of_who_sits(
            steps in proptest::collection::vec(step(), 1..120),
        ) {
            let mut seats = Seats::new(8);
            for step in steps {
                let (open, limit) = (seats.open(), seats.limit());
                match step {
                    Step::Sit(host) => {
                        let sat = seats.sit(Kind::Http, peer(&format!("10.0.0.{host}")), ());
                        prop_assert_eq!(seats.open(), open + usize::from(sat.is_ok()));
                        prop_assert!(sat.is_err() || seats.open() <= limit);
                    }
                    Step::Spoke(number) => seats.spoke(number),
                    Step::Leave(number) => seats.leave(number),
                    Step::Limit(limit) => {
                        seats.limit_to(limit);
                        prop_assert_eq!(seats.open(), open);
                    }
                }
                let mut silent: HashMap<IpAddr, usize> = HashMap::new();
                for (_, taken) in seats.all().filter(|(_, taken)| taken.silent) {
                    *silent.entry(taken.peer.ip()).or_default() += 1;
                }
                prop_assert_eq!(&silent, &seats.silent);
            }
        }
    }
}
