//! Who is compared, on what, with which numbers: the same for both worlds, so that a difference is theirs.

use std::error::Error;
use std::time::Duration;

pub(crate) type Failure = Box<dyn Error + Send + Sync>;

/// A world.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Lane {
    /// Nine threads, as they were written.
    Before,
    /// The same, its clock for heartbeats mended: what the design would have given without that bug.
    Mended,
    /// The tree.
    Ours,
}

impl Lane {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Before => "before",
            Self::Mended => "mended",
            Self::Ours => "ours",
        }
    }
}

/// What is measured in one process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Part {
    /// Threads, switches and processor time with nothing to do.
    Idle,
    /// Memory and reaction with so many connections.
    Crowd(usize),
    /// How exactly silence ends a connection.
    Heartbeats,
    /// How exactly silence ends typing.
    Typing,
    /// From the wish to stop to the last thread.
    Stop,
    /// One part panics.
    Panic,
}

impl Part {
    pub(crate) fn name(self) -> String {
        match self {
            Self::Idle => "idle".to_owned(),
            Self::Crowd(connections) => format!("crowd-{connections}"),
            Self::Heartbeats => "heartbeats".to_owned(),
            Self::Typing => "typing".to_owned(),
            Self::Stop => "stop".to_owned(),
            Self::Panic => "panic".to_owned(),
        }
    }
}

/// Part and lane by the name that a fresh process is told.
pub(crate) fn parse(part: &str, lane: &str) -> Result<(Part, Lane), Failure> {
    let crowd = part.strip_prefix("crowd-").map(str::parse);
    let part = match (part, crowd) {
        (_, Some(connections)) => Part::Crowd(connections?),
        ("idle", _) => Part::Idle,
        ("heartbeats", _) => Part::Heartbeats,
        ("typing", _) => Part::Typing,
        ("stop", _) => Part::Stop,
        ("panic", _) => Part::Panic,
        (other, _) => return Err(format!("no part is called {other}").into()),
    };
    let lanes = [Lane::Before, Lane::Mended, Lane::Ours];
    let lane = lanes.into_iter().find(|known| known.name() == lane);
    Ok((part, lane.ok_or("the lanes are before, mended and ours")?))
}

/// What both worlds promise. The defaults are those of the origin, or of both.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Promise {
    /// A keystroke counts for so long.
    pub(crate) typing: Duration,
    /// How often the old world looks for those who fell silent.
    pub(crate) sweep: Duration,
    /// How often the old world looks at the machine's memory.
    pub(crate) memory_look: Duration,
    /// A client that is silent for so long is asked, or was to be.
    pub(crate) silence: Duration,
    /// How long each of the attempts after that waits.
    pub(crate) attempt: Duration,
    /// The old heartbeats as they were meant.
    pub(crate) mended: bool,
    /// Parts may be made to panic.
    pub(crate) chaos: bool,
}

/// Attempts before a client is given up; the same number in both worlds.
pub(crate) const ATTEMPTS: u32 = 3;

impl Promise {
    /// After so long without a word a client is given up.
    pub(crate) fn given_up(&self) -> Duration {
        self.silence + self.attempt * ATTEMPTS
    }
}

impl Default for Promise {
    fn default() -> Self {
        Self {
            typing: Duration::from_secs(5),
            sweep: Duration::from_mins(1),
            memory_look: Duration::from_secs(5),
            silence: Duration::from_secs(30),
            attempt: Duration::from_secs(5),
            mended: false,
            chaos: false,
        }
    }
}
