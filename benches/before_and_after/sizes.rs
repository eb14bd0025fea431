//! How much of everything: a full run, a short one, and one that only shows that all of it works.

use std::time::Duration;

/// Counts and times of one run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sizes {
    /// Alternations of what is quick.
    pub(crate) rounds: usize,
    /// How long the idle are looked at.
    pub(crate) look: Duration,
    /// Connections that are there while nothing happens, and when it is stopped.
    pub(crate) idle: usize,
    /// Connections, two sizes: a cost that grows shows.
    pub(crate) crowds: [usize; 2],
    /// Heartbeats whose answer is timed, and how many of them a second.
    pub(crate) beats: usize,
    pub(crate) beats_per_second: u32,
    /// Keystrokes whose arrival is timed; each ends again, which is timed, too.
    pub(crate) keystrokes: usize,
    /// Prompts at once.
    pub(crate) prompts: usize,
    /// Who falls silent.
    pub(crate) silent: usize,
    /// Over how long they begin.
    pub(crate) spread: Duration,
    /// Silence that is borne, and the wait of each attempt.
    pub(crate) silence: Duration,
    pub(crate) attempt: Duration,
    /// Who has not ended so long after the promise never will, as far as is looked.
    pub(crate) patience: Duration,
    /// A keystroke counts for so long, and so often the old world looks for those who fell silent.
    pub(crate) typing: Duration,
    pub(crate) sweep: Duration,
    /// A stop that takes longer is none.
    pub(crate) stop: Duration,
}

impl Sizes {
    /// Everything, with the origin's times; but heartbeats have 2 s of silence and three attempts of 1 s, in both worlds.
    pub(crate) const FULL: Self = Self {
        rounds: 3,
        look: Duration::from_secs(4),
        idle: 100,
        crowds: [1_000, 10_000],
        beats: 2_000,
        beats_per_second: 1_000,
        keystrokes: 100,
        prompts: 16,
        silent: 50,
        spread: Duration::from_secs(50),
        silence: Duration::from_secs(2),
        attempt: Duration::from_secs(1),
        patience: Duration::from_secs(4),
        typing: Duration::from_secs(5),
        sweep: Duration::from_mins(1),
        stop: Duration::from_secs(63),
    };

    /// For a look while working: one round, and a sweep every eight seconds instead of every sixty.
    pub(crate) const QUICK: Self = Self {
        rounds: 1,
        look: Duration::from_secs(2),
        crowds: [300, 1_000],
        beats: 500,
        keystrokes: 40,
        silent: 20,
        spread: Duration::from_secs(6),
        patience: Duration::from_secs(2),
        typing: Duration::from_secs(1),
        sweep: Duration::from_secs(8),
        stop: Duration::from_secs(10),
        ..Self::FULL
    };

    /// For the tests.
    pub(crate) const TINY: Self = Self {
        look: Duration::from_millis(500),
        idle: 6,
        crowds: [10, 20],
        beats: 20,
        beats_per_second: 100,
        keystrokes: 5,
        prompts: 4,
        silent: 6,
        spread: Duration::from_millis(600),
        silence: Duration::from_millis(200),
        attempt: Duration::from_millis(100),
        patience: Duration::from_secs(2),
        sweep: Duration::from_millis(1_500),
        stop: Duration::from_secs(3),
        ..Self::QUICK
    };

    /// By the name that a fresh process is told.
    pub(crate) fn named(name: &str) -> Option<Self> {
        match name {
            "full" => Some(Self::FULL),
            "quick" => Some(Self::QUICK),
            "tiny" => Some(Self::TINY),
            _ => None,
        }
    }
}
