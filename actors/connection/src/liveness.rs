//! Whether a client is there: it is heard, or it is asked, a few times, and then given up.
//!
//! Invariants: a client is given up at its deadline and not before, by the clock that is handed in; anything it says brings
//! it back and gives it all its attempts again; who is given up stays so.

use std::time::Duration;

use tokio::time::Instant;

/// When a client counts as silent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rhythm {
    /// Without a word for so long it is asked. 30 s: a heartbeat, and 3 s for it to come.
    pub silence: Duration,
    /// How long each attempt waits. 5 s: a phone that wakes needs two or three.
    pub attempt: Duration,
    /// How many attempts there are. 3.
    pub attempts: u32,
}

impl Default for Rhythm {
    fn default() -> Self {
        Self {
            silence: Duration::from_secs(30),
            attempt: Duration::from_secs(5),
            attempts: 3,
        }
    }
}

impl Rhythm {
    /// How often a client says that it is there: nine tenths of the silence that is borne. A transport loses no beat while it
    /// lives, and who is late is only asked; each beat wakes a thread, which ten thousand idle clients should do as seldom as
    /// they can.
    pub fn heartbeat(&self) -> Duration {
        self.silence * 9 / 10
    }
}

/// How it is with a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pulse {
    /// It was heard.
    Heard,
    /// It was asked so often, and has not answered yet.
    Asked(u32),
    /// It was given up.
    Lost,
}

/// What is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// Ask it: this is the attempt of that number, from 1.
    Ask(u32),
    /// Give it up.
    GiveUp,
}

/// One client's.
#[derive(Clone, Copy, Debug)]
pub struct Liveness {
    rhythm: Rhythm,
    pulse: Pulse,
    due: Instant,
}

impl Liveness {
    /// It was heard just now.
    pub fn new(rhythm: Rhythm, now: Instant) -> Self {
        Self {
            rhythm,
            pulse: Pulse::Heard,
            due: now + rhythm.silence,
        }
    }

    /// How it is.
    pub fn pulse(&self) -> Pulse {
        self.pulse
    }

    /// It said something, whatever it was. After how many attempts, if it had been asked.
    pub fn heard(&mut self, now: Instant) -> Option<u32> {
        let attempts = match self.pulse {
            Pulse::Lost => return None,
            Pulse::Heard => None,
            Pulse::Asked(attempts) => Some(attempts),
        };
        self.pulse = Pulse::Heard;
        self.due = now + self.rhythm.silence;
        attempts
    }

    /// When [`Liveness::tick`] has something to say; never again for who was given up.
    pub fn deadline(&self) -> Option<Instant> {
        (self.pulse != Pulse::Lost).then_some(self.due)
    }

    /// What is due now, if anything. If nobody looked for long, one step is due, and the next an attempt later: a server
    /// that stood still does not blame its clients.
    pub fn tick(&mut self, now: Instant) -> Option<Due> {
        if now < self.deadline()? {
            return None;
        }
        let asked = match self.pulse {
            Pulse::Heard => 0,
            Pulse::Asked(attempts) => attempts,
            Pulse::Lost => return None,
        };
        if asked >= self.rhythm.attempts {
            self.pulse = Pulse::Lost;
            return Some(Due::GiveUp);
        }
        self.pulse = Pulse::Asked(asked + 1);
        self.due = now + self.rhythm.attempt;
        Some(Due::Ask(asked + 1))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn secs(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    /// What is due, second by second, of a client that says something at these seconds.
    fn story(says: &[u64], until: u64) -> Vec<(u64, Due)> {
        let start = Instant::now();
        let mut liveness = Liveness::new(Rhythm::default(), start);
        let mut due = Vec::new();
        for second in 0..=until {
            let now = start + secs(second);
            if says.contains(&second) {
                liveness.heard(now);
            }
            due.extend(liveness.tick(now).map(|what| (second, what)));
        }
        due
    }

    #[test]
    fn a_silent_client_is_asked_three_times_and_given_up_at_45_seconds() {
        let all = [
            (30, Due::Ask(1)),
            (35, Due::Ask(2)),
            (40, Due::Ask(3)),
            (45, Due::GiveUp),
        ];
        assert_eq!(story(&[], 1000), all);
    }

    #[test]
    fn a_word_brings_it_back_with_all_its_attempts() {
        assert!(story(&[15, 30, 45, 60, 75], 104).is_empty());
        let all = [
            (30, Due::Ask(1)),
            (35, Due::Ask(2)),
            // Heard at 44, a second before it would have been given up.
            (40, Due::Ask(3)),
            (74, Due::Ask(1)),
        ];
        assert_eq!(story(&[44], 78), all);
    }

    #[test]
    fn the_attempts_it_took_are_told_once() {
        let start = Instant::now();
        let mut liveness = Liveness::new(Rhythm::default(), start);
        assert_eq!(liveness.heard(start), None);
        assert_eq!(liveness.tick(start + secs(30)), Some(Due::Ask(1)));
        assert_eq!(liveness.tick(start + secs(35)), Some(Due::Ask(2)));
        assert_eq!(liveness.heard(start + secs(36)), Some(2));
        assert_eq!(liveness.heard(start + secs(37)), None);
        assert_eq!(liveness.pulse(), Pulse::Heard);
    }

    #[test]
    fn who_was_given_up_stays_so() {
        let start = Instant::now();
        let rhythm = Rhythm {
            attempts: 0,
            ..Rhythm::default()
        };
        let mut liveness = Liveness::new(rhythm, start);
        assert_eq!(liveness.tick(start + secs(30)), Some(Due::GiveUp));
        assert_eq!(liveness.heard(start + secs(31)), None);
        assert_eq!(liveness.tick(start + secs(99)), None);
        assert_eq!((liveness.pulse(), liveness.deadline()), (Pulse::Lost, None));
    }

    #[test]
    fn a_server_that_stood_still_asks_before_it_gives_up() {
        let start = Instant::now();
        let mut liveness = Liveness::new(Rhythm::default(), start);
        let late = start + secs(3600);
        assert_eq!(liveness.tick(late), Some(Due::Ask(1)));
        assert_eq!(liveness.tick(late), None);
        assert_eq!(liveness.deadline(), Some(late + secs(5)));
    }

    proptest! {
        /// Nobody is given up within 45 s of their last word, and everybody right then who says no more.
        #[test]
        fn the_deadline_is_exact(pauses in proptest::collection::vec(0u64..45, 0..20)) {
            let says: Vec<u64> = pauses.iter().scan(0, |at, pause| {
                *at += pause;
                Some(*at)
            }).collect();
            let last = says.last().copied().unwrap_or(0);
            let over = story(&says, last + 100);
            let given_up: Vec<u64> = over
                .iter()
                .filter(|(_, what)| *what == Due::GiveUp)
                .map(|(second, _)| *second)
                .collect();
            prop_assert_eq!(given_up, [last + 45]);
        }
    }
}
