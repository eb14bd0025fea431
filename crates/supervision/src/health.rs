//! How a child is, in one word: where it is in its life, and whether the handler it is in ever comes to an end.

use std::fmt;

use crate::exit::ChildState;

/// How a child is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Health {
    /// Not ready yet; messages queue.
    Starting,
    /// Handling messages.
    Up,
    /// Between two lives; messages queue.
    BackingOff,
    /// Up, but its present message has been handled for longer than its handler budget; messages queue behind it.
    Stuck,
    /// Asked to stop: it handles what is queued, within its `Shutdown` deadline.
    Draining,
    /// Gone for good, unless an administrator starts it again.
    Down,
}

impl Health {
    /// Every word.
    pub const ALL: [Self; 6] = [
        Self::Starting,
        Self::Up,
        Self::BackingOff,
        Self::Stuck,
        Self::Draining,
        Self::Down,
    ];

    /// `stuck` matters only to one that is up: a start has its timeout and a stop its deadline, each with words of its
    /// own.
    pub fn of(state: ChildState, stuck: bool) -> Self {
        match state {
            ChildState::Starting => Self::Starting,
            ChildState::Up if stuck => Self::Stuck,
            ChildState::Up => Self::Up,
            ChildState::BackingOff => Self::BackingOff,
            ChildState::Stopping => Self::Draining,
            ChildState::Down => Self::Down,
        }
    }

    /// `backing_off` for `BackingOff`; the value of the metric label `state`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Up => "up",
            Self::BackingOff => "backing_off",
            Self::Stuck => "stuck",
            Self::Draining => "draining",
            Self::Down => "down",
        }
    }
}

impl fmt::Display for Health {
    /// Takes the formatter's width and alignment.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_that_is_up_can_be_stuck() {
        let table = [
            (ChildState::Starting, "starting", "starting"),
            (ChildState::Up, "up", "stuck"),
            (ChildState::BackingOff, "backing_off", "backing_off"),
            (ChildState::Stopping, "draining", "draining"),
            (ChildState::Down, "down", "down"),
        ];
        for (state, moving, stuck) in table {
            assert_eq!(Health::of(state, false).to_string(), moving);
            assert_eq!(Health::of(state, true).to_string(), stuck);
        }
    }

    #[test]
    fn every_word_is_another() {
        let mut words = Health::ALL.map(Health::as_str).to_vec();
        words.sort_unstable();
        words.dedup();
        assert_eq!(words.len(), Health::ALL.len());
    }

    #[test]
    fn it_stands_in_columns() {
        assert_eq!(format!("[{:<8}]", Health::Up), "[up      ]");
    }
}
