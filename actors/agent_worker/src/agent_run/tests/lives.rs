//! What a turn does after its worker or its process crashed.

use super::*;

#[test]
fn a_crash_in_an_answer_repeats_it_and_says_only_what_is_new() {
    for taken in 0..4 {
        let mut shell = Shell::new(settings());
        shell.step();
        shell.step();
        shell.input(text("héllo "));
        shell.input(text("dear "));
        for _ in 0..taken {
            shell.step();
        }
        shell.run.reborn(shell.now);
        let mut diary = shell.after([
            text("hé"),
            text("llo d"),
            text("ear wor"),
            text("ld"),
            finished(3),
        ]);
        diary.retain(|line| {
            line.starts_with("say ") || line.starts_with("model") || line.starts_with("end")
        });
        let said: String = diary
            .iter()
            .filter_map(|line| line.strip_prefix("say "))
            .collect();
        assert_eq!(said, "héllo dear world", "{taken}");
        assert_eq!(shell.run.messages()[1].content, "héllo dear world");
        assert_eq!(shell.last_call.as_ref().unwrap().number, 1);
    }
}

#[test]
fn an_answer_that_cannot_be_repeated_as_it_began_fails() {
    for other in [vec![text("hullo")], vec![text("he"), finished(1)]] {
        let mut shell = Shell::new(settings());
        shell.after([text("hello")]);
        shell.run.reborn(shell.now);
        let diary = shell.after(other);
        assert_eq!(diary.last().map(String::as_str), Some("end failed"));
        assert_eq!(shell.run.messages()[1].content, "hello");
    }
}

#[test]
fn after_a_crash_no_tool_runs_twice_unless_that_is_harmless() {
    let mut shell = Shell::new(settings());
    shell.after([]);
    shell.after(calls(&["once", "idem", "done"]));
    shell.after([tool_ended("call-1-3")]);
    shell.run.reborn(shell.now);
    assert_eq!(
        shell.after([]),
        [
            "record end call-1-1",
            "ended call-1-1 unknown",
            "start call-1-2"
        ]
    );
    assert_eq!(
        shell.after([tool_ended("call-1-2")]),
        [
            "record end call-1-2",
            "ended call-1-2 ok",
            "call 2 of 8",
            "model 2"
        ]
    );
    assert!(shell.shown()[4].contains("Whether it took effect is unknown"));
    assert_eq!(shell.shown()[6], "tool: call-1-3");
}

#[test]
fn a_start_that_was_ordered_and_not_begun_is_no_start() {
    let mut shell = Shell::new(settings());
    shell.after([]);
    for input in calls(&["once"]) {
        shell.input(input);
    }
    for _ in 0..3 {
        shell.step();
    }
    shell.run.reborn(shell.now);
    assert_eq!(shell.after([])[3..], ["start call-1-1"]);
}

#[test]
fn a_question_for_approval_is_asked_again_after_a_crash() {
    let mut settings = settings();
    settings.approvals.rule = Approval::Ask;
    let mut shell = Shell::new(settings);
    shell.after([]);
    shell.after(calls(&["a"]));
    shell.now += Duration::from_mins(1);
    shell.run.reborn(shell.now);
    assert_eq!(shell.after([]), ["ask call-1-1"]);
    assert_eq!(
        shell.run.deadline(),
        Some(shell.now + Duration::from_mins(2))
    );
}

#[test]
fn a_turn_that_crashes_its_worker_again_and_again_is_given_up() {
    let mut shell = Shell::new(settings());
    shell.after([text("a")]);
    for _ in 1..LIVES {
        shell.run.reborn(shell.now);
        assert_eq!(shell.after([]), ["model 1"]);
    }
    shell.run.reborn(shell.now);
    assert_eq!(shell.after([]), ["close failed", "end failed"]);
}

#[test]
fn an_end_that_a_crash_took_is_ordered_again() {
    let mut shell = Shell::new(settings());
    shell.after([text("a"), finished(1)]);
    shell.run.reborn(shell.now);
    assert_eq!(shell.after([]), ["end finished"]);
}

#[test]
fn from_its_log_a_turn_goes_on_behind_the_last_finished_step() {
    // The whole story once, with its log, then again from each beginning of that log.
    let story = |shell: &mut Shell| {
        shell.after([]);
        shell.after(calls(&["once", "idem"]));
        shell.after([tool_ended("call-1-1"), tool_ended("call-1-2")]);
        shell.after([text("bye"), finished(1)]);
    };
    let mut whole = Shell::new(settings());
    story(&mut whole);
    assert_eq!(whole.log.len(), 6);
    let expected = [
        vec!["call 1 of 8", "model 1"],
        vec![
            "record start call-1-1",
            "started call-1-1",
            "start call-1-1",
            "record start call-1-2",
            "started call-1-2",
            "start call-1-2",
        ],
        vec![
            "record end call-1-1",
            "ended call-1-1 unknown",
            "record start call-1-2",
            "started call-1-2",
            "start call-1-2",
        ],
        vec![
            "record end call-1-1",
            "ended call-1-1 unknown",
            "start call-1-2",
        ],
        vec!["start call-1-2"],
        vec!["call 2 of 8", "model 2"],
        vec!["say bye", "close done", "end finished"],
    ];
    for (steps, expected) in expected.into_iter().enumerate() {
        let now = start();
        let run = AgentRun::resumed(beginning(settings()), &whole.log[..steps], assess, now);
        let mut shell = Shell {
            run,
            now,
            diary: Vec::new(),
            log: Vec::new(),
            last_call: None,
        };
        assert_eq!(shell.after([]), expected, "after {steps} steps");
    }
}

#[test]
fn a_log_that_ends_at_the_limit_of_calls_runs_no_tool() {
    let limits = TurnLimits {
        max_turns: 1,
        ..TurnLimits::default()
    };
    let step = StepRecord::ModelCalled {
        number: 1,
        steered: 0,
        text: String::new(),
        tool_calls: vec![call("a").call],
        usage: Usage::default(),
        reason: FinishReason::ToolCalls,
    };
    let now = start();
    let run = AgentRun::resumed(
        beginning(TurnSettings {
            limits,
            ..settings()
        }),
        &[step],
        assess,
        now,
    );
    let mut shell = Shell {
        run,
        now,
        diary: Vec::new(),
        log: Vec::new(),
        last_call: None,
    };
    assert_eq!(shell.after([]), ["close failed", "end max turns 1"]);
}

/// What was allowed before the process died is not run where the rule says no by now.
#[test]
fn a_permission_of_before_does_not_outlive_its_rule() {
    let under = |rule: Approval| TurnSettings {
        approvals: Approvals {
            rule,
            ..Approvals::default()
        },
        ..settings()
    };
    let mut before = Shell::new(under(Ask));
    before.after([]);
    before.after(calls(&["a"]));
    let id = id("call-1-1");
    before.after([Input::Answered { id, granted: true }]);
    let granted = |step: &StepRecord| matches!(step, StepRecord::Approved { granted: true, .. });
    let upto = before.log.iter().position(granted).unwrap() + 1;
    for (rule, starts) in [(Ask, true), (Auto, true), (Deny, false)] {
        let (log, now) = (&before.log[..upto], start());
        let mut shell = Shell::new(under(rule));
        shell.run = AgentRun::resumed(beginning(under(rule)), log, assess, now);
        shell.now = now;
        let diary = shell.after([]);
        let started = diary.iter().any(|line| line == "start call-1-1");
        assert_eq!(started, starts, "{rule:?}: {diary:?}");
        let denied = diary.iter().any(|line| line == "ended call-1-1 denied");
        assert_eq!(denied, !starts, "{rule:?}: {diary:?}");
    }
}
