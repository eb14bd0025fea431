//! A call that somebody has to allow: asked for at the terminal, wherever standard input comes from; denied at once where there
//! is none.

use std::fs;

use crate::common::Home;
use crate::terminal::{Seen, Terminal};
use crate::{caller, events, named, set};

const ASKS: [&str; 3] = [
    "agents.x.tools=[\"current_time\"]",
    "agents.x.tool_choice=required",
    "tools.overrides.current_time=ask",
];

/// A call that runs, and one that does not, as the screen tells of them.
const RUNS: &str = "\n· current_time {";
const DENIED: &str = "· current_time was not run: ";

/// As the agent that has to be allowed to look at the clock.
fn asking<'a>(command: &'a str, rest: &[&'a str]) -> Vec<&'a str> {
    [&[command, "--agent", "x"], &set(&ASKS)[..], rest].concat()
}

async fn asked(home: &Home, rest: &[&str], answers: &[&str]) -> Seen {
    let args = asking("ask", rest);
    Terminal::open(home, &args, None).answering(answers).await
}

#[test]
fn without_a_terminal_a_call_is_denied_at_once_and_the_turn_goes_on() {
    let home = caller();
    let ran = home.run(&asking("ask", &["What time is it?"])).well();
    for part in [
        "current_time may not run: nobody is here to allow it",
        "`paraphym config set tools.overrides.current_time=auto`",
        DENIED,
    ] {
        assert!(ran.err.contains(part), "{part} is missing in: {}", ran.err);
    }
    assert!(!ran.err.contains(RUNS), "{}", ran.err);

    let told = events(
        &home
            .run(&asking("ask", &["--json", "What time is it?"]))
            .well(),
    );
    let (needed, ended) = (named(&told, "approval_needed"), named(&told, "tool_ended"));
    assert_eq!((needed.len(), ended.len()), (1, 1), "{told:?}");
    assert_eq!(needed[0]["name"], "current_time");
    assert_eq!(needed[0]["id"], ended[0]["id"]);
    assert_eq!(ended[0]["outcome"], "denied");
    assert!(named(&told, "tool_started").is_empty(), "{told:?}");
    assert_eq!(told.last().unwrap()["event"], "finished");

    // As it says, so it is.
    home.run(&["config", "set", "tools.overrides.current_time=auto"])
        .well();
    let allowed = [&["ask", "--agent", "x", "--json"], &set(&ASKS[..2])[..]].concat();
    let told = events(&home.run(&[&allowed[..], &["And now?"]].concat()).well());
    assert!(named(&told, "approval_needed").is_empty(), "{told:?}");
    assert_eq!(named(&told, "tool_started").len(), 1, "{told:?}");
}

#[tokio::test]
async fn at_a_terminal_only_a_clear_yes_is_one() {
    let home = caller();
    // The last is the end of the input, Ctrl-D.
    for (keys, runs) in [
        ("y\n", true),
        ("Yes\n", true),
        ("n\n", false),
        ("\n", false),
        ("perhaps\n", false),
        ("\u{4}", false),
    ] {
        let seen = asked(&home, &["What time is it?"], &[keys]).await;
        let screen = &seen.screen;
        assert_eq!(seen.code, Some(0), "{keys:?}: {screen}");
        assert!(seen.questions > 0, "{keys:?}: {screen}");
        assert_eq!(screen.contains(RUNS), runs, "{keys:?}: {screen}");
        assert_eq!(!screen.contains(DENIED), runs, "{keys:?}: {screen}");
        // What was asked about is what ran.
        let (question, after) = screen.split_once("\nMay it run?").unwrap();
        let (_, arguments) = question.rsplit_once("current_time ").unwrap();
        assert!(arguments.starts_with('{') && arguments.ends_with('}'));
        let same = format!("{RUNS}{}\n", &arguments[1..]);
        assert_eq!(after.contains(&same), runs, "{keys:?}: {screen}");
        // Whatever follows has a line of its own.
        assert!(after.contains("\n· current_time"), "{keys:?}: {screen}");
    }
}

#[tokio::test]
async fn always_holds_for_as_long_as_the_process() {
    let home = caller();
    let lines = home.path("lines");
    fs::write(&lines, "What time is it?\nAnd now?\n").unwrap();
    let chat = asking("chat", &[]);
    for (answers, questions) in [(&["a\n"][..], 1), (&["y\n"], 2)] {
        let terminal = Terminal::open(&home, &chat, Some(&lines));
        let seen = terminal.answering(answers).await;
        assert_eq!(seen.code, Some(0), "{}", seen.screen);
        assert!(seen.screen.matches(RUNS).count() >= 2, "{}", seen.screen);
        if questions == 1 {
            assert_eq!(seen.questions, 1, "{}", seen.screen);
        } else {
            assert!(seen.questions >= 2, "{}", seen.screen);
        }
    }
}

#[tokio::test]
async fn a_question_that_was_left_is_not_in_the_way_of_the_next() {
    let home = caller();
    let lines = home.path("lines");
    fs::write(&lines, "What time is it?\nAnd now?\n").unwrap();
    let terminal = Terminal::open(&home, &asking("chat", &[]), Some(&lines));
    // Ctrl-C, then a yes.
    let seen = terminal.answering(&["\u{3}", "y\n"]).await;
    assert_eq!(seen.code, Some(0), "{}", seen.screen);
    assert!(seen.questions >= 2, "{}", seen.screen);
    let (_, after) = seen.screen.split_once("\nstopped\n").unwrap();
    assert!(after.contains(RUNS), "{}", seen.screen);

    let seen = asked(&home, &["What time is it?"], &["\u{3}"]).await;
    assert_eq!((seen.code, seen.questions), (Some(130), 1));
}

#[tokio::test]
async fn nobody_who_answers_in_time_is_a_no() {
    let home = caller();
    let rest = ["--set", "tools.approval_wait=1s", "What time is it?"];
    let seen = asked(&home, &rest, &[]).await;
    assert_eq!(seen.code, Some(0), "{}", seen.screen);
    for part in ["[N]o: (too late)\n", DENIED, "nobody allowed it within 1s"] {
        assert!(seen.screen.contains(part), "{part}: {}", seen.screen);
    }
}
