//! What the person says while a turn runs.

use super::*;

fn steer(shell: &mut Shell, text: &str) -> Result<u32, NotSteered> {
    shell.run.steer(text.to_owned())
}

fn kept(shell: &Shell) -> Vec<String> {
    let messages = shell.run.messages();
    messages
        .iter()
        .map(|m| format!("{}: {}", m.role, m.content))
        .collect()
}

/// Goes on with what is in this log.
fn resumed(log: &[StepRecord], settings: TurnSettings) -> Shell {
    let mut shell = Shell::new(settings.clone());
    shell.run = AgentRun::resumed(beginning(settings), log, assess, shell.now);
    shell
}

fn at_most(max_turns: u32) -> TurnSettings {
    let mut settings = settings();
    settings.limits.max_turns = max_turns;
    settings
}

#[test]
fn what_is_said_during_an_answer_is_taken_in_behind_it_and_answered() {
    let mut shell = Shell::new(settings());
    shell.after([text("Hel")]);
    assert_eq!(steer(&mut shell, "in French"), Ok(1));
    assert_eq!(steer(&mut shell, "and loud"), Ok(2));
    assert_eq!(shell.after([]), ["record steer 1", "record steer 2"]);
    assert_eq!(
        shell.after([text("lo"), finished(2)]),
        [
            "say lo",
            "record model 1",
            "steered 1 in French",
            "steered 2 and loud",
            "call 2 of 8",
            "model 2"
        ]
    );
    assert_eq!(
        shell.shown()[2..],
        [
            "user: hi",
            "assistant: Hello",
            "user: in French\n\nand loud"
        ]
    );
    assert_eq!(steer(&mut shell, "please"), Ok(3));
    shell.after([text("SALUT"), finished(1)]);
    let end = shell.after([text("S'IL VOUS PLAIT"), finished(1)]);
    assert_eq!(end.last().map(String::as_str), Some("end finished"));
    assert_eq!(
        kept(&shell),
        [
            "user: hi",
            "assistant: Hello",
            "user: in French",
            "user: and loud",
            "assistant: SALUT",
            "user: please",
            "assistant: S'IL VOUS PLAIT"
        ]
    );
    assert_eq!(steer(&mut shell, "more"), Err(NotSteered::Over));
}

#[test]
fn what_is_said_while_tools_run_is_taken_in_behind_all_their_results() {
    let mut shell = Shell::new(settings());
    shell.after([]);
    shell.after(calls(&["a", "b"]));
    assert_eq!(steer(&mut shell, "hurry"), Ok(1));
    assert_eq!(shell.after([]), ["record steer 1"]);
    assert_eq!(
        shell.after([tool_ended("call-1-2")]),
        ["record end call-1-2", "ended call-1-2 ok"]
    );
    assert_eq!(
        shell.after([tool_ended("call-1-1")])[2..],
        ["steered 1 hurry", "call 2 of 8", "model 2"]
    );
    assert_eq!(
        shell.shown()[3..],
        [
            "assistant: ",
            "tool: call-1-1",
            "tool: call-1-2",
            "user: hurry"
        ]
    );
}

#[test]
fn what_is_said_before_the_first_call_is_shown_to_it() {
    let memory = Some(MemorySettings::default());
    let mut shell = Shell::new(TurnSettings {
        memory,
        ..settings()
    });
    shell.after([]);
    assert_eq!(steer(&mut shell, "in French"), Ok(1));
    let found = Input::Recalled(Recollection::default());
    assert_eq!(
        shell.after([found]),
        [
            "record steer 1",
            "steered 1 in French",
            "call 1 of 8",
            "model 1"
        ]
    );
    assert_eq!(shell.shown()[2..], ["user: hi\n\nin French"]);

    let mut waited = beginning(settings());
    waited.steers = vec!["in French".into(), "now".into()];
    shell.run = AgentRun::new(waited, shell.now);
    assert_eq!(
        shell.after([]),
        [
            "record steer 1",
            "record steer 2",
            "steered 1 in French",
            "steered 2 now",
            "call 1 of 8",
            "model 1"
        ]
    );
    assert_eq!(steer(&mut shell, "more"), Ok(3));
}

/// What was accepted is read: where no call can follow, it is refused at once.
#[test]
fn the_last_call_is_told_nothing_more() {
    for max_turns in 1..4 {
        let mut shell = Shell::new(at_most(max_turns));
        shell.after([]);
        for number in 1..max_turns {
            assert_eq!(steer(&mut shell, "go on"), Ok(number));
            let diary = shell.after([text("a"), finished(1)]);
            assert_eq!(diary.last(), Some(&format!("model {}", number + 1)));
        }
        let refused = Err(NotSteered::LastCall(max_turns));
        assert_eq!(steer(&mut shell, "go on"), refused);
        let end = shell.after([text("a"), finished(1)]);
        assert_eq!(end.last().map(String::as_str), Some("end finished"));
    }
}

#[test]
fn a_spent_budget_ends_a_turn_that_would_have_gone_on_and_takes_nothing_in() {
    let mut few = settings();
    few.limits.tokens = 2;
    let mut shell = Shell::new(few);
    shell.after([text("a b")]);
    steer(&mut shell, "go on").unwrap();
    assert_eq!(
        shell.after([finished(2)]),
        [
            "record steer 1",
            "record model 1",
            "close failed",
            "end turn_tokens 2"
        ]
    );
    assert_eq!(kept(&shell), ["user: hi", "assistant: a b"]);
}

#[test]
fn what_was_not_answered_is_not_remembered() {
    // Said before anything was answered.
    let mut shell = Shell::new(settings());
    shell.after([]);
    steer(&mut shell, "in French").unwrap();
    shell.after([Input::Stop]);
    assert_eq!(kept(&shell), [""; 0]);

    // Taken in, and then the turn was stopped.
    let mut shell = Shell::new(settings());
    shell.after([text("Hello")]);
    steer(&mut shell, "in French").unwrap();
    shell.after([finished(1)]);
    shell.after([Input::Stop]);
    assert_eq!(kept(&shell), ["user: hi", "assistant: Hello"]);
}

/// A text that nobody took was never said, in whichever call, and nothing behind it was heard.
#[test]
fn what_was_not_taken_of_an_answer_before_is_not_remembered() {
    for (taken, remembered) in [(0, None), (1, Some("one ")), (2, Some("one two"))] {
        let mut shell = Shell::new(settings());
        shell.after([]);
        shell.input(text("one "));
        shell.input(text("two"));
        steer(&mut shell, "go on").unwrap();
        shell.input(finished(2));
        for _ in 0..taken {
            shell.step();
        }
        let diary = shell.after([Input::Stop]);
        assert_eq!(diary[diary.len() - 2..], ["close cancelled", "end stopped"]);
        let answer = remembered.map(|text| format!("assistant: {text}"));
        let user = answer.iter().map(|_| "user: hi".to_owned());
        let all: Vec<String> = user.chain(answer.clone()).collect();
        assert_eq!(kept(&shell), all, "{taken}");
    }
    // The same for a call of tools, whose results stay with it.
    let mut shell = Shell::new(at_most(1));
    shell.after([]);
    shell.input(text("one "));
    shell.input(text("two"));
    for input in calls(&["a"]) {
        shell.input(input);
    }
    shell.step();
    shell.after([Input::Stop]);
    let messages = kept(&shell);
    assert_eq!(messages[..2], ["user: hi", "assistant: one "]);
    assert!(messages[2].starts_with("tool: `a` was not called"));
}

#[test]
fn a_crash_of_the_worker_loses_nothing_that_was_said() {
    // Before it is taken in, and after.
    for said_after in [false, true] {
        let mut shell = Shell::new(settings());
        shell.after([text("Hel")]);
        steer(&mut shell, "in French").unwrap();
        if said_after {
            shell.input(text("lo"));
            shell.input(finished(1));
        }
        shell.run.reborn(shell.now);
        let mut diary = shell.after([]);
        if !said_after {
            diary.extend(shell.after([text("Hello"), finished(1)]));
        }
        let told = |line: &&String| line.starts_with("steered") || *line == "record steer 1";
        let told: Vec<&String> = diary.iter().filter(told).collect();
        assert_eq!(told, ["record steer 1", "steered 1 in French"]);
        assert_eq!(diary.last().map(String::as_str), Some("model 2"));
        shell.run.reborn(shell.now);
        assert_eq!(shell.after([]), ["model 2"]);
        assert_eq!(shell.shown()[3..], ["assistant: Hello", "user: in French"]);
        assert_eq!(steer(&mut shell, "more"), Ok(2));
    }
}

#[test]
fn from_its_log_a_turn_goes_on_with_what_was_said_in_its_place() {
    let mut whole = Shell::new(settings());
    whole.after([]);
    steer(&mut whole, "first").unwrap();
    whole.after(calls(&["a"]));
    steer(&mut whole, "second").unwrap();
    whole.after([tool_ended("call-1-1")]);
    steer(&mut whole, "third").unwrap();
    whole.after([text("so"), finished(1)]);
    whole.after([text("bye"), finished(1)]);
    let steps: Vec<&str> = whole
        .log
        .iter()
        .map(|step| match step {
            StepRecord::ModelCalled { .. } => "model",
            StepRecord::ToolStarted { .. } => "start",
            StepRecord::ToolEnded { .. } => "end",
            StepRecord::Steered { .. } => "steer",
            StepRecord::Approved { .. } => "approve",
        })
        .collect();
    assert_eq!(
        steps,
        [
            "steer", "model", "start", "steer", "end", "steer", "model", "model"
        ]
    );
    let memory = kept(&whole);
    let first = ["user: hi\n\nfirst"].as_slice();
    let second = [
        "user: hi",
        "assistant: ",
        "tool: call-1-1",
        "user: first\n\nsecond",
    ];
    let third = [
        "user: hi",
        "assistant: ",
        "tool: call-1-1",
        "user: first\n\nsecond",
        "assistant: so",
        "user: third",
    ];
    for (upto, next, shown) in [
        (1, "model 1", first),
        (5, "model 2", &second),
        (7, "model 3", &third),
    ] {
        let mut shell = resumed(&whole.log[..upto], settings());
        let diary = shell.after([]);
        assert_eq!(diary.last().map(String::as_str), Some(next));
        assert_eq!(shell.shown()[2..], *shown, "after {upto} steps");
        let numbers = diary.iter().filter(|line| line.starts_with("steered"));
        assert!(numbers.count() > 0, "{diary:?}");
        assert!(!diary.iter().any(|line| line.starts_with("say")));
    }
    let mut over = resumed(&whole.log, settings());
    assert_eq!(over.after([]), ["say bye", "close done", "end finished"]);
    assert_eq!(kept(&over), memory);
    // The limits it goes on with may be others.
    let mut fewer = resumed(&whole.log[..7], at_most(2));
    assert_eq!(fewer.after([]), ["close failed", "end max turns 2"]);
}
