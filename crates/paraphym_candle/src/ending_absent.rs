//! How far an ending is, in the words that control has where it is built in.

/// The steps of an ending, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Nothing new is taken.
    Draining,
    /// Running answers finish, as long as there is time.
    Answers,
    /// The actors stop, the last one first.
    Actors,
    /// All of them have ended: what is listed now is all that was not finished.
    Runtime,
}

impl Phase {
    /// The word in the log.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Draining => "draining",
            Self::Answers => "answers",
            Self::Actors => "actors",
            Self::Runtime => "runtime",
        }
    }
}

/// How far the ending is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ending {
    /// Which step it is at.
    pub phase: Phase,
    /// What is still under way: answers by their requests, then actors by their paths.
    pub under_way: Vec<String>,
    /// How much time is left, in milliseconds.
    pub left_ms: u64,
    /// What was not finished so far: whose it was, and what.
    pub abandoned: Vec<String>,
    /// Actors that did not stop in time and were killed.
    pub killed: Vec<String>,
}
