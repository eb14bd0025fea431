//! Why bytes were not leased, in figures: apart from the messages, because each refusal says what to do about it.

use std::fmt;
use std::time::Duration;

use domain::Bytes;

use crate::line::MOST_WAITING;

/// Why bytes were not leased.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReserveError {
    /// Zero bytes were asked for.
    #[error("{owner} asked for 0 bytes for {purpose}: say how many are needed")]
    ZeroBytes {
        /// Who asked.
        owner: String,
        /// What for.
        purpose: String,
    },
    /// So many and no fewer, but nothing is so many.
    #[error("{field} is {value}, for {purpose}: {way_out}")]
    Count {
        /// What for.
        purpose: String,
        /// `at_least` or `at_most`.
        field: &'static str,
        /// What it says.
        value: u32,
        /// What it may say.
        way_out: String,
    },
    /// It does not fit now, or it would overtake those who wait.
    #[error("{}", Shortage { purpose, needed: *needed, available: *available, limit: *limit, waiting: *waiting })]
    Refused {
        /// What for.
        purpose: String,
        /// Bytes asked for.
        needed: Bytes,
        /// Bytes that are free now. They may be enough: then they are for those who wait.
        available: Bytes,
        /// The limit in force. Below `needed`, waiting does not help.
        limit: Bytes,
        /// How many wait before it.
        waiting: usize,
    },
    /// Too many wait already.
    #[error(
        "{purpose} cannot wait for {needed}: {MOST_WAITING} wait already; ask again when some of them were served"
    )]
    LineFull {
        /// What for.
        purpose: String,
        /// Bytes asked for.
        needed: Bytes,
    },
    /// It waited as long as it wanted to.
    #[error(
        "{needed} for {purpose} did not come free within {waited:?}: {available} available of {limit}, {ahead} wait \
         before it; wait longer, or let something go first"
    )]
    GaveUp {
        /// What for.
        purpose: String,
        /// Bytes asked for.
        needed: Bytes,
        /// Bytes that were free then.
        available: Bytes,
        /// The limit then.
        limit: Bytes,
        /// How long it waited.
        waited: Duration,
        /// How many were before it then.
        ahead: usize,
    },
    /// The governor said nothing: its tree has stopped, or it is down.
    #[error("nobody answers who waits for {needed} for {purpose}: the memory governor is gone")]
    NoAnswer {
        /// What for.
        purpose: String,
        /// Bytes asked for.
        needed: Bytes,
    },
}

impl ReserveError {
    /// Bytes asked for; zero if it was not said how many.
    pub fn needed(&self) -> Bytes {
        match self {
            Self::ZeroBytes { .. } | Self::Count { .. } => Bytes::ZERO,
            Self::Refused { needed, .. }
            | Self::LineFull { needed, .. }
            | Self::GaveUp { needed, .. }
            | Self::NoAnswer { needed, .. } => *needed,
        }
    }

    /// How many it would have overtaken, or waited behind in vain.
    pub fn waiting(&self) -> usize {
        match self {
            Self::Refused { waiting, .. } => *waiting,
            Self::LineFull { .. } => MOST_WAITING,
            Self::GaveUp { ahead, .. } => *ahead,
            Self::ZeroBytes { .. } | Self::Count { .. } | Self::NoAnswer { .. } => 0,
        }
    }

    /// Whether it is more than the whole budget: it fits only if the limit rises, however long one waits.
    pub fn never_fits(&self) -> bool {
        matches!(self, Self::Refused { needed, limit, .. } if needed > limit)
    }
}

/// Three reasons, one set of figures.
struct Shortage<'a> {
    purpose: &'a str,
    needed: Bytes,
    available: Bytes,
    limit: Bytes,
    waiting: usize,
}

impl fmt::Display for Shortage<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            purpose,
            needed,
            available,
            limit,
            waiting,
        } = self;
        if needed > limit {
            return write!(
                f,
                "not enough memory for {purpose}: {needed} needed, {limit} is all there is ({available} available); \
                 raise the limit, or need less"
            );
        }
        if *waiting > 0 {
            return write!(
                f,
                "it is not the turn of {purpose}: {waiting} wait before it, {needed} needed, {available} available of \
                 {limit}; wait in line, or ask again later"
            );
        }
        write!(
            f,
            "not enough memory for {purpose}: {needed} needed, {available} available of {limit}; \
             raise the limit, or let something go first"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(needed: u64, limit: u64, waiting: usize) -> ReserveError {
        ReserveError::Refused {
            purpose: "kv".to_owned(),
            needed: Bytes(needed),
            available: Bytes(50),
            limit: Bytes(limit),
            waiting,
        }
    }

    #[test]
    fn each_refusal_says_what_to_do_about_it() {
        for (error, never, text) in [
            (
                refused(60, 100, 0),
                false,
                "not enough memory for kv: 60 B needed, 50 B available of 100 B; raise the limit, or let something go first",
            ),
            (
                refused(40, 100, 2),
                false,
                "it is not the turn of kv: 2 wait before it, 40 B needed, 50 B available of 100 B; wait in line, or ask again later",
            ),
            (
                refused(101, 100, 2),
                true,
                "not enough memory for kv: 101 B needed, 100 B is all there is (50 B available); raise the limit, or need less",
            ),
            (
                ReserveError::GaveUp {
                    purpose: "kv".to_owned(),
                    needed: Bytes(60),
                    available: Bytes(50),
                    limit: Bytes(100),
                    waited: Duration::from_millis(1500),
                    ahead: 1,
                },
                false,
                "60 B for kv did not come free within 1.5s: 50 B available of 100 B, 1 wait before it; wait longer, or let something go first",
            ),
        ] {
            assert_eq!(error.to_string(), text);
            assert_eq!(error.never_fits(), never, "{text}");
        }
    }
}
