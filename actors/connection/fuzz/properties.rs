//! What must hold for whatever anybody says on a WebSocket: the property behind the fuzz target, which the ordinary tests
//! hold, too (`../tests/fuzz_properties.rs`), over the committed seeds and over chance.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    unreachable_pub,
    reason = "properties: what does not hold ends the run"
)]

use connection::session::{Effect, Limits, Session};
use connection::wire::{ClientFrame, CloseCode, ServerFrame, decode};
use serde_json::Value;
use tokio::time::Instant;

/// The most bytes of an error, whatever it is about.
const ERROR: usize = 1000;

/// Each line is a frame, said to a session: it is understood, and then means the same when it is written and read again; or
/// it is refused with a short error that the client hears, and never with a token in it. Too many wrong ones, and no fewer,
/// close the session as malformed; what it says is numbered without a gap.
pub fn frames_are_understood_or_refused(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let now = Instant::now();
    let ready = ServerFrame::Resumed { replayed: 0 };
    let mut session = Session::new(Limits::default(), ready, now);
    let mut last = 0;
    let (mut wrong, mut closed) = (0, false);
    for line in text.split('\n') {
        let frame = decode(line);
        match &frame {
            Ok(frame) => means_the_same(frame),
            Err(error) => {
                let said = error.to_string();
                assert!(!said.is_empty() && said.len() < ERROR, "{said}");
                assert!(!error.code().is_empty());
            }
        }
        let acts = match &frame {
            Ok(ClientFrame::Identify { .. } | ClientFrame::Resume { .. }) | Err(_) => false,
            Ok(ClientFrame::Heartbeat { seq }) => *seq == 0,
            Ok(_) => true,
        };
        let effects = session.heard(frame, now);
        if closed {
            assert_eq!(effects, [], "a session that has ended does nothing");
            continue;
        }
        wrong = if acts { 0 } else { wrong + 1 };
        let end = effects.iter().find_map(|effect| match effect {
            Effect::Close(code) => Some(*code),
            _ => None,
        });
        closed = end.is_some();
        // A pace is kept, too: more than that is refused, and closed in the end.
        let known = matches!(
            end,
            None | Some(CloseCode::Malformed | CloseCode::RateLimited)
        );
        assert!(known, "{end:?} by {line:?}");
        assert!(end != Some(CloseCode::Malformed) || wrong > 1, "{line:?}");
        while let Some(said) = session.next(now) {
            last = numbered(&said, last);
        }
    }
}

/// The number of the frame, one more than the last; the same for one without.
fn numbered(said: &str, last: u64) -> u64 {
    let said: Value = serde_json::from_str(said).expect("a frame of ours is JSON");
    assert!(said["op"].is_string(), "{said}");
    match said["seq"].as_u64() {
        Some(seq) => {
            assert_eq!(seq, last + 1);
            seq
        }
        None => last,
    }
}

fn means_the_same(frame: &ClientFrame) {
    let again = serde_json::to_string(frame).expect("a frame can be written");
    assert_eq!(decode(&again).as_ref(), Ok(frame), "{again}");
}
