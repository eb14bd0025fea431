//! Why a connection is closed. The range of a code carries what a client should do, so that one who does not know the code
//! does the right thing: 4000 to 4499 come again, 4500 to 4999 do not.

/// Why the server closes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CloseCode {
    /// The server ends or restarts: come again after a rest, and resume.
    GoingAway,
    /// It read too slowly, and what waited for it grew past the bound: begin anew.
    Slow,
    /// Nothing was heard of it, and no attempt was answered.
    Silent,
    /// Its part of the server crashed: begin anew.
    Crashed,
    /// Neither `identify` nor `resume` came in time.
    NotIdentified,
    /// An operator closed it.
    Kicked,
    /// Another connection resumed its session.
    Replaced,
    /// There was no valid token.
    Unauthorised,
    /// Too many frames were wrong.
    Malformed,
    /// Too many frames in a short time, in spite of errors that said so.
    RateLimited,
    /// There are too many connections, of this person or in all.
    TooMany,
    /// RFC 6455: a frame was not text.
    Unsupported,
    /// RFC 6455: a text was not UTF-8.
    NotUtf8,
    /// RFC 6455: a frame was larger than `hello` allows.
    TooLarge,
}

/// What a client should do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// Connect again after a rest, with jitter, and resume.
    Resume,
    /// Connect again after a rest, with jitter, and identify.
    Anew,
    /// Do not connect again until a person says so.
    Stay,
}

impl CloseCode {
    /// All, for the page that lists them.
    pub const ALL: [Self; 14] = [
        Self::GoingAway,
        Self::Slow,
        Self::Silent,
        Self::Crashed,
        Self::NotIdentified,
        Self::Kicked,
        Self::Replaced,
        Self::Unauthorised,
        Self::Malformed,
        Self::RateLimited,
        Self::TooMany,
        Self::Unsupported,
        Self::NotUtf8,
        Self::TooLarge,
    ];

    /// As it is on the wire.
    pub fn number(self) -> u16 {
        match self {
            Self::GoingAway => 4000,
            Self::Slow => 4001,
            Self::Silent => 4002,
            Self::Crashed => 4003,
            Self::NotIdentified => 4004,
            Self::RateLimited => 4005,
            Self::Kicked => 4500,
            Self::Replaced => 4501,
            Self::Unauthorised => 4502,
            Self::Malformed => 4503,
            Self::TooMany => 4504,
            Self::Unsupported => 1003,
            Self::NotUtf8 => 1007,
            Self::TooLarge => 1009,
        }
    }

    /// As metrics and people have it.
    pub fn label(self) -> &'static str {
        match self {
            Self::GoingAway => "going_away",
            Self::Slow => "slow",
            Self::Silent => "silent",
            Self::Crashed => "crashed",
            Self::NotIdentified => "not_identified",
            Self::Kicked => "kicked",
            Self::Replaced => "replaced",
            Self::Unauthorised => "unauthorised",
            Self::Malformed => "malformed",
            Self::RateLimited => "rate_limited",
            Self::TooMany => "too_many",
            Self::Unsupported => "not_text",
            Self::NotUtf8 => "not_utf8",
            Self::TooLarge => "too_large",
        }
    }

    /// What a client should do.
    pub fn policy(self) -> Policy {
        match self {
            Self::GoingAway => Policy::Resume,
            Self::Slow | Self::Silent | Self::Crashed | Self::NotIdentified | Self::RateLimited => {
                Policy::Anew
            }
            _ => Policy::Stay,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_range_of_a_code_is_its_policy() {
        for code in CloseCode::ALL {
            let comes_again = code.policy() != Policy::Stay;
            let number = code.number();
            assert_eq!((4000..4500).contains(&number), comes_again, "{code:?}");
            assert!(comes_again || (4500..5000).contains(&number) || number < 1012);
        }
    }

    #[test]
    fn each_code_is_there_once() {
        let numbers: BTreeSet<u16> = CloseCode::ALL.iter().map(|code| code.number()).collect();
        let labels: BTreeSet<&str> = CloseCode::ALL.iter().map(|code| code.label()).collect();
        assert_eq!((numbers.len(), labels.len()), (14, 14));
    }
}
