//! The open connections, for whoever opens one and for whoever operates the server. It outlives the lives of the listener:
//! what an operator limits stays limited.
//!
//! Invariants: a connection is listed from when it was accepted until its socket is closed; no lock is held while anybody
//! waits.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::guard::seats::{Kind, NoSeat, Seats, Taken};
use crate::meters;

/// The seats, shared. Cloning gives another hold on the same.
#[derive(Clone, Debug)]
pub(crate) struct Seating(Arc<Mutex<Seats<Kept>>>);

/// Until somebody says, nobody sits.
impl Default for Seating {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(Seats::new(0))))
    }
}

#[derive(Clone, Debug)]
struct Kept {
    since: Instant,
    traffic: Arc<Traffic>,
    kicked: CancellationToken,
}

/// What went over a connection.
#[derive(Debug, Default)]
pub(crate) struct Traffic {
    requests: AtomicU64,
    pub(crate) read_bytes: AtomicU64,
    pub(crate) written_bytes: AtomicU64,
    /// Somebody was told that it spoke.
    spoke: AtomicBool,
}

/// A connection is open while this lives.
#[derive(Debug)]
pub(crate) struct Seat {
    sitter: Sitter,
    kicked: CancellationToken,
}

/// What requests know of their connection.
#[derive(Clone, Debug)]
pub(crate) struct Sitter {
    number: u64,
    traffic: Arc<Traffic>,
    seating: Seating,
}

/// An open connection, as operators see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenConnection {
    /// Its number, from 1; no other of this process has it.
    pub number: u64,
    /// What it is for.
    pub kind: Kind,
    /// Who is at the other end: the client, or the proxy before it.
    pub peer: SocketAddr,
    /// For how long it has been open.
    pub open_for: Duration,
    /// Whether it has not sent a whole request yet.
    pub silent: bool,
    /// Requests whose head it sent.
    pub requests: u64,
    /// Bytes that were read from it.
    pub read_bytes: u64,
    /// Bytes that were handed to the kernel for it.
    pub written_bytes: u64,
}

/// How the seats are taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Occupancy {
    /// Connections that may be open.
    pub limit: usize,
    /// Connections that are. They can be more than the limit once that was lowered.
    pub open: usize,
    /// Connections that were sent away since the process began.
    pub refused: u64,
}

impl Seating {
    /// From now on at most so many connections.
    pub(crate) fn limit_to(&self, limit: usize) -> Occupancy {
        let mut seats = self.seats();
        seats.limit_to(limit);
        meters::connections_limited(limit);
        occupancy(&seats)
    }

    /// A connection was accepted.
    ///
    /// # Errors
    /// There is no seat for it.
    pub(crate) fn sit(&self, kind: Kind, peer: SocketAddr, now: Instant) -> Result<Seat, NoSeat> {
        let kept = Kept {
            since: now,
            traffic: Arc::default(),
            kicked: CancellationToken::new(),
        };
        let (traffic, kicked) = (Arc::clone(&kept.traffic), kept.kicked.clone());
        let sat = self.seats().sit(kind, peer, kept);
        let number = sat.inspect_err(meters::connection_refused)?;
        let sitter = Sitter {
            number,
            traffic,
            seating: self.clone(),
        };
        Ok(Seat { sitter, kicked })
    }

    /// How many there are.
    pub(crate) fn occupancy(&self) -> Occupancy {
        occupancy(&self.seats())
    }

    /// At most so many of them, the oldest first.
    pub(crate) fn list(&self, most: usize) -> Vec<OpenConnection> {
        let (seats, now) = (self.seats(), Instant::now());
        let some = seats.all().take(most);
        some.map(|(number, taken)| shown(number, taken, now))
            .collect()
    }

    /// The one of that number.
    pub(crate) fn get(&self, number: u64) -> Option<OpenConnection> {
        let now = Instant::now();
        let seats = self.seats();
        seats.get(number).map(|taken| shown(number, taken, now))
    }

    /// Has it closed, whatever it does; which one it was.
    pub(crate) fn kick(&self, number: u64) -> Option<OpenConnection> {
        let now = Instant::now();
        let seats = self.seats();
        let taken = seats.get(number)?;
        taken.kept.kicked.cancel();
        Some(shown(number, taken, now))
    }

    fn seats(&self) -> MutexGuard<'_, Seats<Kept>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn occupancy(seats: &Seats<Kept>) -> Occupancy {
    Occupancy {
        limit: seats.limit(),
        open: seats.open(),
        refused: seats.refused(),
    }
}

fn shown(number: u64, taken: &Taken<Kept>, now: Instant) -> OpenConnection {
    let Kept { since, traffic, .. } = &taken.kept;
    OpenConnection {
        number,
        kind: taken.kind.clone(),
        peer: taken.peer,
        open_for: now.saturating_duration_since(*since),
        silent: taken.silent,
        requests: traffic.requests.load(Ordering::Relaxed),
        read_bytes: traffic.read_bytes.load(Ordering::Relaxed),
        written_bytes: traffic.written_bytes.load(Ordering::Relaxed),
    }
}

impl Seat {
    /// It is for something else from now on.
    pub(crate) fn becomes(&self, kind: Kind) {
        let Sitter {
            number, seating, ..
        } = &self.sitter;
        seating.seats().becomes(*number, kind);
    }

    /// Cancelled when somebody says that this connection is to be closed.
    pub(crate) fn kick(&self) -> CancellationToken {
        self.kicked.clone()
    }

    /// Until somebody says that this connection is to be closed.
    pub(crate) async fn kicked(&self) {
        self.kicked.cancelled().await;
    }

    pub(crate) fn sitter(&self) -> &Sitter {
        &self.sitter
    }

    pub(crate) fn traffic(&self) -> &Arc<Traffic> {
        &self.sitter.traffic
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let Sitter {
            number, seating, ..
        } = &self.sitter;
        seating.seats().leave(*number);
    }
}

impl Sitter {
    /// Its connection's number.
    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// A request's head was read.
    pub(crate) fn asks(&self) {
        self.traffic.requests.fetch_add(1, Ordering::Relaxed);
    }

    /// A whole request was read, or answered whatever there was of it.
    pub(crate) fn spoke(&self) {
        if !self.traffic.spoke.swap(true, Ordering::Relaxed) {
            self.seating.seats().spoke(self.number);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_is_open_is_listed_until_it_is_closed() {
        let seating = Seating::default();
        let peer = "10.0.0.1:5000".parse().unwrap();
        let sit = || seating.sit(Kind::Http, peer, Instant::now());
        assert_eq!(sit().unwrap_err(), NoSeat::Full(0));
        seating.limit_to(8);
        let (first, second) = (sit().unwrap(), sit().unwrap());
        tokio::time::advance(Duration::from_secs(3)).await;
        first.sitter().asks();
        first.traffic().read_bytes.fetch_add(7, Ordering::Relaxed);
        assert!(seating.get(1).unwrap().silent);
        first.sitter().spoke();
        first.becomes(Kind::WebSocket);
        let shown = OpenConnection {
            number: 1,
            kind: Kind::WebSocket,
            peer,
            open_for: Duration::from_secs(3),
            silent: false,
            requests: 1,
            read_bytes: 7,
            written_bytes: 0,
        };
        assert_eq!(seating.list(1), std::slice::from_ref(&shown));
        assert_eq!(seating.kick(1), Some(shown));
        assert_eq!(seating.kick(9), None);
        first.kicked().await;
        drop(first);
        assert_eq!(seating.get(1), None);
        let taken = Occupancy {
            limit: 1,
            open: 1,
            refused: 1,
        };
        assert_eq!(seating.limit_to(1), taken);
        drop(second);
        assert_eq!(seating.occupancy().open, 0);
        assert!(seating.list(9).is_empty());
    }
}
