//! What is kept of a conversation, what is gone on with, and how what cannot be is refused.

use crate::common::{Home, assert_refused};
use crate::{DATABASE, conversations, roles, talker};

#[test]
fn a_question_is_kept_where_its_conversation_has_a_name() {
    let home = talker();
    home.run(&["ask", "Hi"]).well();
    assert_eq!(conversations(&home), [""; 0]);
    assert!(!home.path(DATABASE).exists(), "no file is made");

    home.run(&["ask", "--conversation", "trip", "We leave on Friday."])
        .well();
    assert_eq!(roles(&home, "trip"), ["user", "assistant"]);
    home.run(&["ask", "--continue", "When do we leave?"]).well();
    let four = ["user", "assistant", "user", "assistant"];
    assert_eq!(roles(&home, "trip"), four);
    home.run(&["ask", "Hi"]).well();
    assert_eq!(conversations(&home), ["trip"]);

    // What is gone on with is what was talked in last.
    home.run(&["ask", "--conversation", "other", "Hi"]).well();
    home.run(&["ask", "--conversation", "trip", "Where to?"])
        .well();
    home.run(&["ask", "--continue", "And back?"]).well();
    assert_eq!(roles(&home, "trip").len(), 8);
    assert_eq!(roles(&home, "other").len(), 2);
}

#[test]
fn a_chat_from_a_pipe_is_kept_unless_it_is_private() {
    let home = talker();
    home.run_with_input(&["chat", "--private"], b"secret\n/history\n")
        .well();
    assert!(!home.path(DATABASE).exists(), "no file is made");
    home.run_with_input(&["chat"], b"hello\n").well();
    let first = conversations(&home);
    assert_eq!(first.len(), 1);
    assert!(
        first[0].starts_with("20"),
        "{first:?}: when it was, in a name"
    );
    assert_eq!(roles(&home, &first[0]), ["user", "assistant"]);
    let list = home.say(&["history", "list"]);
    assert!(list.contains(&first[0]) && list.contains("hello"), "{list}");

    home.run_with_input(&["chat", "--private"], b"secret\n")
        .well();
    assert_eq!(conversations(&home), first);
    home.run_with_input(&["chat", "--continue"], b"more\n")
        .well();
    assert_eq!(roles(&home, &first[0]).len(), 4);
    home.run_with_input(&["chat"], b"another\n").well();
    assert_eq!(conversations(&home).len(), 2);
    assert!(home.say(&["history", "search", "secret"]).is_empty());
}

#[test]
fn what_cannot_be_gone_on_with_is_refused_with_what_to_do() {
    let home = talker();
    for args in [
        &["chat", "--continue"][..],
        &["ask", "--continue", "Hi"],
        &["ask", "--continue"],
    ] {
        let parts = [
            "there is no conversation to go on with",
            "hint: begin one with `paraphym chat`",
        ];
        assert_refused(&home.run(args), 2, &parts);
    }
    home.run(&["ask", "--conversation", "trip", "Hi"]).well();
    for args in [
        &["ask", "--continue"][..],
        &["ask", "--conversation", "trip"],
    ] {
        let parts = [
            "no answer of the conversation trip broke off",
            "hint: say something: paraphym ask --conversation trip \"And then?\"",
        ];
        assert_refused(&home.run(args), 2, &parts);
    }
    assert_eq!(roles(&home, "trip").len(), 2);
}

#[test]
fn a_name_that_is_none_is_refused_before_a_model_is_brought() {
    // There is none here, and bringing one would fail with another status.
    let home = Home::new();
    for command in ["ask", "chat"] {
        for name in ["a b", "a/b", "", &"x".repeat(129)] {
            let ran = home.run_with_input(&[command, "--conversation", name], b"Hi\n");
            let parts = [
                "error: conversation = ",
                " is not accepted: use 1 to 128 bytes",
                "hint:",
            ];
            assert_refused(&ran, 2, &parts);
            assert!(!ran.err.contains("pulling"), "{}", ran.err);
        }
    }
    let none = home.run(&["ask", "--continue", "Hi"]);
    assert_refused(&none, 2, &["there is no conversation to go on with"]);
}

#[test]
fn what_contradicts_itself_is_bad_usage() {
    let home = Home::new();
    for args in [
        &["ask", "--conversation", "a", "--continue", "Hi"][..],
        &["chat", "--conversation", "a", "--continue"],
        &["chat", "--private", "--continue"],
        &["chat", "--private", "--conversation", "a"],
    ] {
        assert_refused(&home.run(args), 2, &["cannot be used with"]);
    }
}
