//! What was sent and may have been lost: the last frames, numbered, until the client says that it has them, or they are too
//! many or too old.
//!
//! Invariant: what is said again has no gap. If one frame behind the asked number is gone, nothing is said again.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

/// The most bytes that are kept: what a fast model says in ten minutes. socket.io keeps by time alone, llama.cpp by both.
pub const KEPT_BYTES: usize = 1 << 20;
/// How long a frame is kept, and how long a session waits for its client: socket.io's `maxDisconnectionDuration`.
pub const KEPT_FOR: Duration = Duration::from_mins(2);

/// The bounds of what is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// The most bytes.
    pub bytes: usize,
    /// The longest time.
    pub time: Duration,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            bytes: KEPT_BYTES,
            time: KEPT_FOR,
        }
    }
}

#[derive(Debug)]
struct Sent {
    at: Instant,
    frame: Arc<str>,
}

/// The frames of one session that may be said again.
#[derive(Debug)]
pub struct Replay {
    bounds: Bounds,
    /// Of the last frames, without a gap; the newest has the number `last`.
    sent: VecDeque<Sent>,
    bytes: usize,
    last: u64,
}

/// Why nothing can be said again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Lost {
    /// The session has ended, and says nothing any more.
    #[error("this session has ended")]
    Over,
    /// That number was never sent.
    #[error("seq = {seq} was never sent in this session, whose last is {last}")]
    Future {
        /// What was asked for.
        seq: u64,
        /// The last that was sent.
        last: u64,
    },
    /// A frame behind it is not kept any more.
    #[error(
        "what came behind seq = {seq} is not kept any more; the oldest that is kept is {oldest}"
    )]
    Gap {
        /// What was asked for.
        seq: u64,
        /// The oldest frame that is kept; one behind the last if none is.
        oldest: u64,
    },
}

impl Replay {
    /// Nothing was sent yet.
    pub fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            sent: VecDeque::new(),
            bytes: 0,
            last: 0,
        }
    }

    /// The number of the last frame; 0 before the first.
    pub fn last(&self) -> u64 {
        self.last
    }

    /// Keeps the next frame, which is made with its number.
    pub fn push(&mut self, make: impl FnOnce(u64) -> Arc<str>, now: Instant) -> Arc<str> {
        self.last += 1;
        let frame = make(self.last);
        self.bytes += frame.len();
        self.sent.push_back(Sent {
            at: now,
            frame: Arc::clone(&frame),
        });
        self.trim(now);
        frame
    }

    /// The client has everything up to this number.
    pub fn has(&mut self, seq: u64) {
        while !self.sent.is_empty() && self.oldest() <= seq {
            self.forget();
        }
    }

    /// Nobody is there to say what it has: the time of all that is kept begins anew.
    pub fn hold(&mut self, now: Instant) {
        self.trim(now);
        for sent in &mut self.sent {
            sent.at = now;
        }
    }

    /// What came behind this number, in order.
    ///
    /// # Errors
    /// [`Lost`]: then the client has to begin anew.
    pub fn behind(&mut self, seq: u64, now: Instant) -> Result<Vec<Arc<str>>, Lost> {
        self.trim(now);
        let (oldest, last) = (self.oldest(), self.last);
        if seq > last {
            return Err(Lost::Future { seq, last });
        }
        if seq + 1 < oldest {
            return Err(Lost::Gap { seq, oldest });
        }
        let known = usize::try_from(seq + 1 - oldest).unwrap_or(usize::MAX);
        let missed = self.sent.iter().skip(known);
        Ok(missed.map(|sent| Arc::clone(&sent.frame)).collect())
    }

    /// Bytes that are kept.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// The number of the oldest that is kept; one behind the last if none is.
    fn oldest(&self) -> u64 {
        self.last + 1 - self.sent.len() as u64
    }

    fn trim(&mut self, now: Instant) {
        let Bounds { bytes, time } = self.bounds;
        let old = |sent: &Sent| now.saturating_duration_since(sent.at) > time;
        while self.bytes > bytes || self.sent.front().is_some_and(old) {
            self.forget();
        }
        // An idle session holds no more than an empty one.
        if self.sent.is_empty() {
            self.sent.shrink_to_fit();
        }
    }

    fn forget(&mut self) {
        if let Some(sent) = self.sent.pop_front() {
            self.bytes -= sent.frame.len();
        }
        if self.sent.is_empty() {
            self.sent.shrink_to_fit();
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn frame(seq: u64, bytes: usize) -> Arc<str> {
        format!("{seq:0bytes$}").into()
    }

    fn numbers(frames: &[Arc<str>]) -> Vec<u64> {
        frames.iter().map(|frame| frame.parse().unwrap()).collect()
    }

    fn replay(bytes: usize, secs: u64) -> Replay {
        Replay::new(Bounds {
            bytes,
            time: Duration::from_secs(secs),
        })
    }

    #[test]
    fn what_was_missed_is_said_again_in_order() {
        let now = Instant::now();
        let mut replay = replay(1000, 10);
        for _ in 0..5 {
            replay.push(|seq| frame(seq, 10), now);
        }
        for (seq, missed) in [(0, 1..=5), (2, 3..=5), (4, 5..=5)] {
            let again = replay.behind(seq, now).unwrap();
            assert_eq!(numbers(&again), missed.collect::<Vec<u64>>());
        }
        assert_eq!(replay.behind(5, now), Ok(Vec::new()));
        assert_eq!(replay.behind(6, now), Err(Lost::Future { seq: 6, last: 5 }));
    }

    #[test]
    fn a_gap_is_said_and_never_skipped() {
        let now = Instant::now();
        let mut replay = replay(30, 10);
        for _ in 0..5 {
            replay.push(|seq| frame(seq, 10), now);
        }
        assert_eq!(replay.bytes(), 30);
        assert_eq!(replay.behind(1, now), Err(Lost::Gap { seq: 1, oldest: 3 }));
        assert_eq!(numbers(&replay.behind(2, now).unwrap()), [3, 4, 5]);
        // One frame that is larger than all that may be kept.
        replay.push(|seq| frame(seq, 31), now);
        assert_eq!(replay.bytes(), 0);
        assert_eq!(replay.behind(5, now), Err(Lost::Gap { seq: 5, oldest: 7 }));
        assert_eq!(replay.behind(6, now), Ok(Vec::new()));
    }

    #[test]
    fn what_is_too_old_is_gone_and_what_is_just_old_enough_is_not() {
        let now = Instant::now();
        let mut replay = replay(1000, 10);
        replay.push(|seq| frame(seq, 10), now);
        replay.push(|seq| frame(seq, 10), now + Duration::from_secs(5));
        let edge = now + Duration::from_secs(10);
        assert_eq!(numbers(&replay.behind(0, edge).unwrap()), [1, 2]);
        let past = edge + Duration::from_nanos(1);
        assert_eq!(replay.behind(0, past), Err(Lost::Gap { seq: 0, oldest: 2 }));
        assert_eq!(numbers(&replay.behind(1, past).unwrap()), [2]);
    }

    #[test]
    fn the_time_of_what_is_kept_begins_when_nobody_is_there() {
        let now = Instant::now();
        let mut replay = replay(1000, 10);
        replay.push(|seq| frame(seq, 10), now);
        replay.hold(now + Duration::from_secs(9));
        let again = replay.behind(0, now + Duration::from_secs(19));
        assert_eq!(numbers(&again.unwrap()), [1]);
    }

    #[test]
    fn what_the_client_has_is_not_kept() {
        let now = Instant::now();
        let mut replay = replay(1000, 10);
        for _ in 0..5 {
            replay.push(|seq| frame(seq, 10), now);
        }
        replay.has(3);
        assert_eq!(replay.bytes(), 20);
        replay.has(1);
        replay.has(99);
        assert_eq!((replay.bytes(), replay.last()), (0, 5));
        assert_eq!(replay.sent.capacity(), 0, "an idle session holds nothing");
    }

    proptest! {
        /// Against a list of all that was ever sent: either exactly what is behind the number, or an error.
        #[test]
        fn it_is_exactly_what_was_missed_or_an_error(
            steps in proptest::collection::vec((0u8..4, 1usize..40, 0u64..5), 0..60),
            bytes in 1usize..200,
        ) {
            let mut now = Instant::now();
            let mut replay = replay(bytes, 8);
            let mut all: Vec<Arc<str>> = Vec::new();
            for (what, size, number) in steps {
                match what {
                    0 => now += Duration::from_secs(number),
                    1 => replay.has(number * 7),
                    _ => all.push(replay.push(|seq| frame(seq, size), now)),
                }
                prop_assert!(replay.bytes() <= bytes);
                for seq in 0..=all.len() as u64 + 1 {
                    match replay.behind(seq, now) {
                        Ok(again) => {
                            let missed = &all[usize::try_from(seq).unwrap()..];
                            prop_assert_eq!(again.as_slice(), missed);
                        }
                        Err(Lost::Future { .. }) => prop_assert!(seq > all.len() as u64),
                        Err(Lost::Over) => prop_assert!(false, "a replay does not end"),
                        Err(Lost::Gap { oldest, .. }) => prop_assert!(seq + 1 < oldest),
                    }
                }
            }
        }
    }
}
