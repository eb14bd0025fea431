//! What must hold for whatever anybody says on the control socket: the property behind the fuzz target, which the ordinary
//! tests hold, too (`../tests/fuzz_properties.rs`), over the committed seeds and over chance.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    unreachable_pub,
    reason = "properties: what does not hold ends the run"
)]

use std::collections::VecDeque;

use control::codec::{Heard, Lines};
use control::protocol::PROTOCOL;
use control::protocol::hello::Greeting;
use control::protocol::level::Level;
use control::protocol::rpc::{Code, Id};
use control::protocol::table::{Call, method};
use control::session::{Session, Step, UNDER_WAY};
use serde_json::{Value, json};
use tokio_util::bytes::BytesMut;
use tokio_util::codec::Decoder;

/// The bytes, in pieces of a size that the first byte decides, cut into lines and said to a session: each line is answered
/// once, with a result or an error that says what to do; what is to be carried out is a call that may be, and means the
/// same when it is written down and read again.
pub fn a_session_answers_every_line_once(bytes: &[u8]) {
    let Some((size, bytes)) = bytes.split_first() else {
        return;
    };
    let heard = lines(bytes, usize::from(*size) + 1);
    let whole = lines(bytes, bytes.len().max(1));
    assert_eq!(heard, whole, "however it is cut, the same is heard");
    // The highest bit says whether the rights are given up.
    let level = if size & 0x80 == 0 {
        Level::Admin
    } else {
        Level::Observe
    };
    let mut session = Session::new(Greeting {
        protocol: PROTOCOL,
        version: "1".to_owned(),
        pid: 1,
        started_ms: 0,
        level,
    });
    let mut under_way: VecDeque<Id> = VecDeque::new();
    for line in heard {
        match session.heard(line) {
            Step::Say(said) => answers(&said),
            Step::SayAndEnd(said) => return answers(&said),
            Step::Do(id, call) => {
                may(&call, level);
                means_the_same(&call);
                assert!(!under_way.contains(&id), "one request of an id at a time");
                under_way.push_back(id);
                assert!(under_way.len() <= UNDER_WAY, "{under_way:?}");
                // Half of them take longer than the next line.
                if under_way.len() > UNDER_WAY / 2 {
                    let first = under_way.pop_front().expect("there is one");
                    answers(&session.answered(&first, Ok(json!({}))));
                }
            }
        }
    }
    for id in under_way {
        let said = session.answered(&id, Ok(json!({})));
        answers(&said);
        assert_eq!(value(&said)["id"], json!(id));
    }
}

fn lines(bytes: &[u8], size: usize) -> Vec<Heard> {
    let (mut codec, mut kept, mut heard) = (Lines::default(), BytesMut::new(), Vec::new());
    for piece in bytes.chunks(size) {
        kept.extend_from_slice(piece);
        while let Some(one) = codec.decode(&mut kept).expect("no line is an error") {
            heard.push(one);
        }
    }
    while let Some(one) = codec.decode_eof(&mut kept).expect("no end is an error") {
        heard.push(one);
    }
    heard
}

fn value(line: &str) -> Value {
    serde_json::from_str(line).expect("an answer is JSON")
}

/// One line, of the protocol, with either a result or an error that is known and says something.
fn answers(line: &str) {
    assert!(!line.contains('\n'), "{line}");
    let said = value(line);
    assert_eq!(said["jsonrpc"], "2.0");
    let (result, error) = (said.get("result"), said.get("error"));
    assert!(result.is_some() != error.is_some(), "{line}");
    let Some(error) = error else { return };
    let known = Code::ALL.iter().any(|code| error["code"] == code.number());
    let message = error["message"].as_str().unwrap_or_default();
    assert!(known && !message.is_empty(), "{line}");
}

fn may(call: &Call, level: Level) {
    let needed = method(call.name()).expect("it is in the table").level;
    assert!(needed <= level, "{call:?} needs {needed}");
}

fn means_the_same(call: &Call) {
    let again = Call::read(call.name(), call.params()).expect("it is in the table");
    assert_eq!(again.ok().as_ref(), Some(call));
}
