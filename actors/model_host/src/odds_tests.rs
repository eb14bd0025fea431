//! Through a whole sequence: what is told of which token, and when, whatever holds its text back.
#![allow(
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may stop at the first surprise"
)]

use domain::{FinishReason, RequestId, Sampling, ToolCall};
use engine::{Piece, ToolSpeech, ToolSyntax};
use proptest::prelude::*;

use super::*;
use crate::live::{Heard, Sequence, Spoken};

const END: &[u8] = b"<end>";

fn sequence(stop: &[&str], tools: bool) -> Sequence {
    let sampling = Sampling {
        max_tokens: 50,
        logprobs: Some(0),
        stop: stop.iter().map(ToString::to_string).collect(),
        ..Sampling::greedy()
    };
    let calls = tools.then(|| ToolSpeech::new(ToolSyntax::Tagged, RequestId::new("r")));
    Sequence::new(vec![7], sampling, 1000, calls)
}

/// The token at `place`, so that none is taken for another.
fn odds(bytes: &[u8], place: usize) -> TokenLogprob {
    TokenLogprob {
        bytes: bytes.to_vec(),
        logprob: -(place as f32),
        likeliest: Vec::new(),
    }
}

/// What became final with each token, until the end.
fn speak(sequence: &mut Sequence, tokens: &[&[u8]]) -> Vec<Spoken> {
    let mut all = Vec::new();
    for (place, bytes) in tokens.iter().enumerate() {
        let ends = *bytes == END;
        let shown: &[u8] = if ends { b"" } else { bytes };
        match sequence.accept(1, shown, ends, Some(odds(shown, place))) {
            Heard::Said(spoken) => all.push(spoken),
            Heard::End { last, .. } => {
                all.push(last);
                return all;
            }
        }
    }
    all
}

/// "tokens told:text said" of each.
fn written(all: &[Spoken]) -> Vec<String> {
    let one = |spoken: &Spoken| {
        let told: Vec<_> = spoken
            .odds
            .iter()
            .map(|o| String::from_utf8_lossy(&o.bytes))
            .collect();
        let said = spoken.pieces.iter().map(|piece| match piece {
            Piece::Text(text) => text.clone(),
            Piece::Call(ToolCall { name, .. }) => format!("[{name}]"),
        });
        format!("{}:{}", told.join("|"), said.collect::<String>())
    };
    all.iter().map(one).collect()
}

/// Stop texts, tokens, and what comes of each token.
type Case<'a> = (&'a [&'a str], &'a [&'a [u8]], &'a [&'a str]);

#[test]
fn a_token_is_told_when_the_first_of_it_is_said() {
    let cases: [Case<'_>; 10] = [
        (&[], &[b"a", b"bc", END], &["a:a", "bc:bc", ":"]),
        // A character over three tokens.
        (
            &[],
            &[b"\xe2", b"\x98", b"\x83!", END],
            &[":", ":", "\u{fffd}|\u{fffd}|\u{fffd}!:☃!", ":"],
        ),
        // No character: what stands for it belongs to the token of its first byte.
        (
            &[],
            &[b"a\xe2", b"b", END],
            &["a\u{fffd}:a", "b:\u{fffd}b", ":"],
        ),
        (
            &[],
            &[b"\xe2", b"\xe2", END],
            &[":", "\u{fffd}:\u{fffd}", "\u{fffd}:\u{fffd}"],
        ),
        // It only looked like a stop.
        (
            &["xyz"],
            &[b"a", b"x", b"y", b"a", END],
            &["a:a", ":", ":", "x|y|a:xya", ":"],
        ),
        (&["xyz"], &[b"ax", b"y", END], &["ax:a", ":", "y:xy"]),
        // A stop: cut off whole, and cut in the middle.
        (&["xyz"], &[b"a", b"x", b"y", b"z"], &["a:a", ":", ":", ":"]),
        (&["xyz"], &[b"a", b"bx", b"yzc"], &["a:a", "bx:b", ":"]),
        (&["xyz"], &[b"bxyzc"], &["bxyzc:b"]),
        // Special tokens say nothing.
        (&[], &[b"a", b"", b"b", END], &["a:a", ":", "b:b", ":"]),
    ];
    for (stop, tokens, expected) in cases {
        let all = speak(&mut sequence(stop, false), tokens);
        assert_eq!(written(&all), expected, "{tokens:?} {stop:?}");
    }
}

#[test]
fn tokens_of_a_call_are_told_before_it_or_before_what_follows() {
    let call: &[u8] = br#"{"name":"f"}"#;
    let cases: [(&[&[u8]], &[&str]); 3] = [
        (
            &[b"so", b"<tool_call>", call, b"</tool_call>", b" ", END],
            &[
                "so:so",
                ":",
                ":",
                r#"<tool_call>|{"name":"f"}|</tool_call>:[f]"#,
                ":",
                " :",
            ],
        ),
        (
            &[b"so <tool", b"box", END],
            &["so <tool:so ", "box:<toolbox", ":"],
        ),
        (
            &[b"<tool_call>", b"{", END],
            &[":", ":", "<tool_call>|{:<tool_call>{"],
        ),
    ];
    for (tokens, expected) in cases {
        let all = speak(&mut sequence(&[], true), tokens);
        assert_eq!(written(&all), expected, "{tokens:?}");
    }
}

#[test]
fn a_replay_tells_nothing_twice_and_loses_nothing_that_waits() {
    let mut sequence = sequence(&["xyz"], false);
    let before = speak(&mut sequence, &[b"a", b"x"]);
    assert_eq!(written(&before), ["a:a", ":"]);
    sequence.depart(1);
    assert_eq!(sequence.crashed(2), None);
    sequence.replay();
    let tokens = sequence.unfed();
    sequence.depart(tokens);
    sequence.arrive(tokens);
    assert_eq!(
        written(&speak(&mut sequence, &[b"b", END])),
        ["x|b:xb", ":"]
    );
}

proptest! {
    /// However an answer is cut into tokens and whatever stops it: at any time the bytes of what was told begin with what
    /// was said, and in the end all is told but what was cut off as a whole, each once and in order.
    #[test]
    fn what_is_told_begins_with_what_is_said(
        tokens in prop::collection::vec("[abx☃]{0,3}", 0..20),
        cuts in prop::collection::vec(0usize..3, 20),
        stop in prop::option::of("[ax☃]{1,3}"),
    ) {
        // Some characters are cut over two tokens.
        let mut all: Vec<Vec<u8>> = vec![Vec::new()];
        for (token, cut) in tokens.iter().zip(cuts) {
            let (end, next) = token.as_bytes().split_at(cut.min(token.len()));
            all.last_mut().expect("never empty").extend(end);
            all.push(next.to_vec());
        }
        let mut bytes: Vec<&[u8]> = all.iter().map(Vec::as_slice).collect();
        bytes.push(END);
        let stops: Vec<&str> = stop.as_deref().into_iter().collect();
        let (mut told, mut said) = (Vec::new(), String::new());
        for spoken in speak(&mut sequence(&stops, false), &bytes) {
            told.extend(spoken.odds.iter().flat_map(|odds| odds.bytes.clone()));
            let before = told.len();
            for piece in &spoken.pieces {
                let Piece::Text(text) = piece else { panic!("no tools") };
                said.push_str(text);
            }
            prop_assert!(told.starts_with(said.as_bytes()));
            prop_assert!(said.is_empty() == (before == 0));
        }
        let whole = tokens.concat();
        let at = stop.and_then(|stop| whole.find(&stop)).unwrap_or(whole.len());
        prop_assert_eq!(&said, &whole[..at]);
        // The tokens that begin before the cut, and no other.
        let (mut place, mut expected) = (0, Vec::new());
        for token in &all {
            if place < at {
                expected.extend_from_slice(token);
            }
            place += token.len();
        }
        prop_assert_eq!(told, expected);
    }
}

#[test]
fn what_waits_at_the_limit_is_told_with_its_text() {
    let sampling = Sampling {
        max_tokens: 2,
        stop: vec!["xyz".to_owned()],
        ..Sampling::greedy()
    };
    let mut sequence = Sequence::new(vec![7], sampling, 1000, None);
    sequence.accept(1, b"x", false, Some(odds(b"x", 0)));
    let Heard::End { last, reason, .. } = sequence.accept(1, b"y", false, Some(odds(b"y", 1)))
    else {
        panic!("the limit is reached");
    };
    assert_eq!(reason, FinishReason::Length);
    assert_eq!(last.odds, [odds(b"x", 0), odds(b"y", 1)]);
    assert_eq!(last.pieces, [Piece::Text("xy".to_owned())]);
}
