//! An answer that a signal found unfinished. Ctrl-C ends it: what was said by then is kept. After SIGTERM it has a few seconds to
//! come to its end; one that does not, and one whose process was killed, broke off: it is gone on with when somebody wishes.

use std::io::Read;

use rustix::process::Signal;

use crate::common::{Home, assert_refused, finish, signal};
use crate::{conversations, roles, talker};

/// An answer that takes minutes, sent this once it has begun; its exit status.
fn interrupted(home: &Home, sent: Signal) -> (Option<i32>, String) {
    let ask = ["ask", "--max-tokens", "130000", "--conversation", "x"];
    let mut command = home.command(&[&ask[..], &["Tell me a story."]].concat());
    let mut child = command.spawn().unwrap();
    let mut out = child.stdout.take().unwrap();
    out.read_exact(&mut [0]).expect("an answer begins");
    signal(&child, sent);
    // Read to its end: a full pipe would hold the answer up.
    out.read_to_end(&mut Vec::new()).unwrap();
    let ran = finish(child);
    (ran.code, ran.err)
}

/// Nothing of `x` is to be gone on with.
fn assert_nothing_broke_off(home: &Home) {
    let parts = ["no answer of the conversation x broke off", "hint:"];
    assert_refused(&home.run(&["ask", "--continue"]), 2, &parts);
}

#[test]
fn sigterm_breaks_an_answer_off_that_is_gone_on_with_by_asking_nothing() {
    let home = talker();
    let (code, err) = interrupted(&home, Signal::TERM);
    assert_eq!(code, Some(143), "{err}");
    assert!(err.contains("abandoned: "), "{err}");
    assert_eq!(conversations(&home), ["x"]);
    assert!(roles(&home, "x").is_empty(), "a turn is kept when it ends");

    let both = home.run(&["ask", "--conversation", "x", "--continue"]);
    assert_refused(&both, 2, &["cannot be used with"]);
    let ran = home.run(&["ask", "--continue"]).well();
    assert!(!ran.out.trim().is_empty());
    assert_eq!(roles(&home, "x"), ["user", "assistant"]);
    let found = home.say(&["history", "search", "story"]);
    assert!(found.contains("Tell me a story."), "{found}");
    assert_nothing_broke_off(&home);
}

#[test]
fn ctrl_c_ends_an_answer_and_keeps_what_was_said() {
    let home = talker();
    let (code, err) = interrupted(&home, Signal::INT);
    assert_eq!(code, Some(130), "{err}");
    assert_eq!(roles(&home, "x"), ["user", "assistant"]);
    assert_nothing_broke_off(&home);
}

#[test]
fn what_broke_off_is_told_of_to_who_goes_on_otherwise() {
    let home = talker();
    assert_eq!(interrupted(&home, Signal::KILL).0, None);
    let ran = home.run(&["ask", "--conversation", "x", "Hello?"]).well();
    let said =
        "an answer of this conversation broke off: `paraphym ask --conversation x` without a text";
    assert!(ran.err.contains(said), "{}", ran.err);
    assert_eq!(roles(&home, "x").len(), 2);

    // At the prompt it is gone on with by a command, or at once if that was asked for.
    let chat = home.run_with_input(&["chat", "--conversation", "x"], b"/continue\n/continue\n");
    let chat = chat.well();
    for part in [
        "an answer of this conversation broke off: /continue goes on with it",
        "no answer broke off",
    ] {
        assert!(chat.out.contains(part), "{part}: {}", chat.out);
    }
    let goes_on = "going on with the answer that broke off";
    assert!(chat.err.contains(goes_on), "{}", chat.err);
    assert_eq!(roles(&home, "x").len(), 4);

    assert_eq!(interrupted(&home, Signal::KILL).0, None);
    let chat = home.run_with_input(&["chat", "--continue"], b"").well();
    assert!(chat.err.contains(goes_on), "{}", chat.err);
    assert_eq!(roles(&home, "x").len(), 6);
    assert_nothing_broke_off(&home);
}
