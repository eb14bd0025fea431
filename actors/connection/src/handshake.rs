//! The first words of a connection: hello, and who it is. Until then it holds nothing but a place and a deadline.
//!
//! Invariants: nothing is believed before one of the two first frames; who says nothing is gone at the deadline; a wrong
//! frame is answered, a few times.

use std::time::Duration;

use tokio::time::Instant;

use crate::wire::{ClientFrame, CloseCode, FrameError, PROTOCOL, ServerFrame};

/// How long a client may take to say who it is, if nobody says otherwise; as in centrifugo.
pub const IDENTIFY: Duration = Duration::from_secs(10);
/// Wrong frames, and sessions that are not there, that are answered before the connection is closed.
const WRONG: u32 = 3;
/// Questions whether anybody is there before the connection is closed: two a second.
const PINGS: u32 = 20;

/// Who a connection wants to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wish {
    /// A new session.
    New {
        /// What the person is called.
        user: Option<String>,
        /// Their token.
        token: Option<String>,
    },
    /// A session that was cut off.
    Old {
        /// Its id.
        session: String,
        /// The process it was in.
        epoch: String,
        /// The last number that arrived.
        seq: u64,
        /// Their token.
        token: Option<String>,
    },
}

/// What comes of a frame.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// It says who it is.
    Wish(Wish),
    /// Tell it this, and wait on.
    Say(ServerFrame),
    /// Tell it this, and close.
    Close(Option<ServerFrame>, CloseCode),
}

/// A connection that has not said who it is.
#[derive(Debug)]
pub struct Handshake {
    deadline: Instant,
    wrong: u32,
    pings: u32,
}

impl Handshake {
    /// It has just connected, and may take so long to say who it is.
    pub fn new(now: Instant, identify: Duration) -> Self {
        Self {
            deadline: now + identify,
            wrong: 0,
            pings: 0,
        }
    }

    /// The first frame to it.
    pub fn hello(heartbeat: Duration, identify: Duration, frame_bytes: usize) -> ServerFrame {
        ServerFrame::Hello {
            protocol: PROTOCOL,
            heartbeat_ms: crate::ms(heartbeat),
            identify_ms: crate::ms(identify),
            frame_bytes,
        }
    }

    /// When it is closed with [`CloseCode::NotIdentified`].
    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    /// It said something.
    pub fn heard(&mut self, frame: Result<ClientFrame, FrameError>) -> Step {
        let error = match frame {
            Ok(ClientFrame::Identify { user, token }) => {
                return Step::Wish(Wish::New { user, token });
            }
            Ok(ClientFrame::Resume {
                session,
                epoch,
                seq,
                token,
            }) => {
                return Step::Wish(Wish::Old {
                    session,
                    epoch,
                    seq,
                    token,
                });
            }
            Ok(early) => not_yet(&early),
            Err(error) => crate::not_understood(&error),
        };
        self.wrong += 1;
        if self.wrong > WRONG {
            return Step::Close(Some(error), CloseCode::Malformed);
        }
        Step::Say(error)
    }

    /// The session it wanted was not there, and it was told so; whether it has tried often enough.
    pub fn in_vain(&mut self) -> Option<CloseCode> {
        self.wrong += 1;
        (self.wrong > WRONG).then_some(CloseCode::NotIdentified)
    }

    /// It asked its transport whether anybody is there; whether it has often enough.
    pub fn pinged(&mut self) -> Option<CloseCode> {
        self.pings += 1;
        (self.pings > PINGS).then_some(CloseCode::RateLimited)
    }
}

fn not_yet(frame: &ClientFrame) -> ServerFrame {
    ServerFrame::Error {
        code: "not_identified".to_owned(),
        message: "the first frame has to be identify or resume".to_owned(),
        field: Some("op".to_owned()),
        about: Some(frame.op().to_owned()),
        conversation: None,
        nonce: frame.nonce().map(str::to_owned),
        retry_after_ms: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::decode;

    fn step(handshake: &mut Handshake, text: &str) -> Step {
        handshake.heard(decode(text))
    }

    #[test]
    fn the_first_word_says_who_it_is() {
        let mut handshake = Handshake::new(Instant::now(), IDENTIFY);
        let new = Wish::New {
            user: Some("ann".into()),
            token: None,
        };
        let said = step(&mut handshake, r#"{"op":"identify","user":"ann"}"#);
        assert_eq!(said, Step::Wish(new));
        let old = Wish::Old {
            session: "s".into(),
            epoch: "e".into(),
            seq: 3,
            token: Some("t".into()),
        };
        let text = r#"{"op":"resume","session":"s","epoch":"e","seq":3,"token":"t"}"#;
        assert_eq!(step(&mut handshake, text), Step::Wish(old));
    }

    #[test]
    fn what_comes_too_early_or_is_wrong_is_answered_three_times() {
        let start = Instant::now();
        let mut handshake = Handshake::new(start, IDENTIFY);
        for (text, code) in [
            (
                r#"{"op":"say","conversation":"c","text":"hi","nonce":"n"}"#,
                "not_identified",
            ),
            ("garbage", "not_json"),
            (r#"{"op":"heartbeat"}"#, "missing_field"),
        ] {
            match step(&mut handshake, text) {
                Step::Say(ServerFrame::Error { code: said, .. }) => assert_eq!(said, code),
                other => unreachable!("{other:?}"),
            }
        }
        let over = step(&mut handshake, "garbage");
        assert!(matches!(over, Step::Close(Some(_), CloseCode::Malformed)));
        assert_eq!(handshake.in_vain(), Some(CloseCode::NotIdentified));
        assert_eq!(handshake.deadline(), start + Duration::from_secs(10));
    }

    #[test]
    fn who_wants_sessions_that_are_not_there_or_pings_without_end_is_closed() {
        let mut handshake = Handshake::new(Instant::now(), IDENTIFY);
        let tries: Vec<_> = (0..4).map(|_| handshake.in_vain()).collect();
        assert_eq!(tries, [None, None, None, Some(CloseCode::NotIdentified)]);
        let pings = (0..PINGS).filter_map(|_| handshake.pinged()).count();
        assert_eq!(
            (pings, handshake.pinged()),
            (0, Some(CloseCode::RateLimited))
        );
    }
}
