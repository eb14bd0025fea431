//! Every path of a turn by tables.

mod lives;
mod steers;
mod stories;

use domain::{Approval, Citation, FinishReason, ModelName, ToolCall};

use super::*;
use Approval::{Ask, Auto, Deny};

use crate::recalls::Recollection;
use crate::settings::{Approvals, MemorySettings, ToolFilter, TurnLimits, Window};

fn start() -> Instant {
    tokio::time::Instant::now().into_std()
}

fn settings() -> TurnSettings {
    TurnSettings {
        tools: ToolFilter::All,
        approvals: Approvals {
            rule: Approval::Auto,
            ..Approvals::default()
        },
        ..TurnSettings::new(ModelName::new("m"))
    }
}

fn beginning(settings: TurnSettings) -> Beginning {
    let history = vec![Message::user("before"), Message::assistant("yes")];
    let noted = settings.context == Window::Compact;
    let user = Message::user("hi");
    let framing = Framing::new(settings.system.clone(), Arc::new(history), 0, noted, user);
    let tools = Arc::from([]);
    Beginning {
        settings,
        tools,
        framing,
        steers: Vec::new(),
    }
}

/// The tool's name says what it is: `ro` changes nothing, `idem` may run twice, `none` is not there.
fn assess(call: &ToolCall) -> Assessed {
    Assessed {
        refused: (call.name == "none").then(|| "there is no tool `none`".to_owned()),
        read_only: call.name == "ro",
        idempotent: call.name == "ro" || call.name == "idem",
        call: call.clone(),
    }
}

fn call(name: &str) -> Assessed {
    assess(&ToolCall {
        id: ToolCallId::new("the model's own"),
        name: name.into(),
        arguments: "{}".into(),
    })
}

fn id(text: &str) -> ToolCallId {
    ToolCallId::new(text)
}

fn ok(text: &str) -> ToolOutcome {
    let (text, cut) = (text.to_owned(), false);
    ToolOutcome::Ok { text, cut }
}

/// Carries orders out and keeps a diary.
struct Shell {
    run: AgentRun,
    now: Instant,
    diary: Vec<String>,
    log: Vec<StepRecord>,
    last_call: Option<ModelCall>,
}

impl Shell {
    fn new(settings: TurnSettings) -> Self {
        let now = start();
        Self {
            run: AgentRun::new(beginning(settings), now),
            now,
            diary: Vec::new(),
            log: Vec::new(),
            last_call: None,
        }
    }

    /// Carries the next order out; whether there was one.
    fn step(&mut self) -> bool {
        let Some(order) = self.run.take() else {
            return false;
        };
        let line = match order {
            Order::Recall => "recall".to_owned(),
            Order::Record(step) => {
                let line = match &step {
                    StepRecord::ModelCalled { number, .. } => format!("record model {number}"),
                    StepRecord::ToolStarted { call_id, .. } => format!("record start {call_id}"),
                    StepRecord::ToolEnded { call_id, .. } => format!("record end {call_id}"),
                    StepRecord::Approved { call_id, granted } => {
                        format!("record {call_id} {granted}")
                    }
                    StepRecord::Steered { number, .. } => format!("record steer {number}"),
                };
                self.log.push(step);
                line
            }
            Order::Say(event) => match event {
                TurnEvent::Text(text) => format!("say {text}"),
                TurnEvent::ModelCalled { number, of } => format!("call {number} of {of}"),
                TurnEvent::ApprovalNeeded { call, .. } => format!("ask {}", call.id),
                TurnEvent::ToolStarted { call } => format!("started {}", call.id),
                TurnEvent::ToolEnded { id, outcome, .. } => {
                    format!("ended {id} {}", word(&outcome))
                }
                TurnEvent::Compacted { left_out } => format!("compacted {left_out}"),
                TurnEvent::Steered { number, text } => format!("steered {number} {text}"),
                TurnEvent::Recalled { citations, .. } => format!("recalled {}", citations.len()),
                other => format!("{other:?}"),
            },
            Order::CallModel(call) => {
                let line = format!("model {}", call.number);
                self.last_call = Some(*call);
                line
            }
            Order::StartTool(id) => format!("start {id}"),
            Order::Close(state) => format!("close {}", state.as_str()),
            Order::End(ending) => format!("end {}", end(&ending)),
        };
        self.diary.push(line);
        true
    }

    fn input(&mut self, input: Input) {
        self.run.input(input, self.now);
    }

    /// What is done because of these inputs.
    fn after(&mut self, inputs: impl IntoIterator<Item = Input>) -> Vec<String> {
        for input in inputs {
            self.input(input);
        }
        while self.step() {}
        std::mem::take(&mut self.diary)
    }

    fn shown(&self) -> Vec<String> {
        let call = self.last_call.as_ref().unwrap();
        call.messages
            .iter()
            .map(|m| format!("{}: {}", m.role, m.content))
            .collect()
    }
}

fn word(outcome: &ToolOutcome) -> &'static str {
    match outcome {
        ToolOutcome::Ok { .. } => "ok",
        ToolOutcome::Failed(_) => "failed",
        ToolOutcome::Denied(_) => "denied",
        ToolOutcome::Unknown(_) => "unknown",
    }
}

fn end(ending: &Ending) -> String {
    match ending {
        Ending::Finished { .. } => "finished".to_owned(),
        Ending::Stopped => "stopped".to_owned(),
        Ending::Failed(TurnError::MaxTurns { max_turns }) => format!("max turns {max_turns}"),
        Ending::Failed(TurnError::BudgetSpent { budget, limit }) => {
            format!("{} {limit}", budget.as_str())
        }
        Ending::Failed(TurnError::Generation(_)) => "failed".to_owned(),
        Ending::Failed(TurnError::Interrupted) => "interrupted".to_owned(),
    }
}

fn text(text: &str) -> Input {
    Input::Model(GenerationEvent::Text(text.into()))
}

fn finished(tokens: u32) -> Input {
    let usage = Usage {
        prompt_tokens: 10,
        cached_tokens: 0,
        completion_tokens: tokens,
    };
    let reason = FinishReason::Stop;
    Input::Model(GenerationEvent::Finished { reason, usage })
}

fn calls(names: &[&str]) -> Vec<Input> {
    let mut inputs: Vec<Input> = names.iter().map(|name| Input::Called(call(name))).collect();
    inputs.push(finished(5));
    inputs
}

fn tool_ended(which: &str) -> Input {
    let (id, outcome) = (id(which), ok(which));
    Input::ToolEnded { id, outcome }
}

#[test]
fn a_plain_answer_is_said_written_down_and_over() {
    let mut shell = Shell::new(settings());
    assert_eq!(shell.after([]), ["call 1 of 8", "model 1"]);
    assert_eq!(
        shell.shown(),
        ["user: before", "assistant: yes", "user: hi"]
    );
    assert_eq!(
        shell.after([text("he"), text("llo"), finished(2)]),
        [
            "say he",
            "say llo",
            "record model 1",
            "close done",
            "end finished"
        ]
    );
    let kept: Vec<String> = shell
        .run
        .messages()
        .into_iter()
        .map(|m| m.content)
        .collect();
    assert_eq!(kept, ["hi", "hello"]);
    assert_eq!(
        shell.after([text("more"), Input::Stop, Input::Time]),
        [""; 0]
    );
}

#[test]
fn tools_run_side_by_side_within_their_bound_and_are_read_in_the_order_of_the_calls() {
    let mut settings = settings();
    settings.limits.tools_at_once = 2;
    let mut shell = Shell::new(settings);
    shell.after([text("I look. ")]);
    assert_eq!(
        shell.after(calls(&["a", "b", "c"])),
        [
            "record model 1",
            "record start call-1-1",
            "started call-1-1",
            "start call-1-1",
            "record start call-1-2",
            "started call-1-2",
            "start call-1-2"
        ]
    );
    assert_eq!(
        shell.after([tool_ended("call-1-2")]),
        [
            "record end call-1-2",
            "ended call-1-2 ok",
            "record start call-1-3",
            "started call-1-3",
            "start call-1-3"
        ]
    );
    assert_eq!(
        shell.after([
            tool_ended("call-1-3"),
            tool_ended("call-1-3"),
            tool_ended("call-1-1")
        ]),
        [
            "record end call-1-3",
            "ended call-1-3 ok",
            "record end call-1-1",
            "ended call-1-1 ok",
            "call 2 of 8",
            "model 2"
        ]
    );
    assert_eq!(
        shell.shown()[3..],
        [
            "assistant: I look. ",
            "tool: call-1-1",
            "tool: call-1-2",
            "tool: call-1-3"
        ]
    );
    let done = shell.after([text("so"), finished(1)]);
    assert_eq!(done.last().map(String::as_str), Some("end finished"));
    let usage = Usage {
        prompt_tokens: 20,
        cached_tokens: 0,
        completion_tokens: 6,
    };
    assert!(
        matches!(shell.run.phase, Phase::Over(Ending::Finished { usage: all, .. }) if all == usage)
    );
    assert_eq!(shell.run.messages().len(), 6);
}

#[test]
fn the_model_is_called_max_turns_times_and_the_limit_is_looked_at_before_tools_run() {
    for max_turns in 1..5 {
        let limits = TurnLimits {
            max_turns,
            ..TurnLimits::default()
        };
        let mut shell = Shell::new(TurnSettings {
            limits,
            ..settings()
        });
        let mut diary = shell.after([]);
        for number in 1..=max_turns {
            diary.extend(shell.after(calls(&["a"])));
            diary.extend(shell.after([tool_ended(&format!("call-{number}-1"))]));
        }
        let count = |what: &str| diary.iter().filter(|line| line.starts_with(what)).count() as u32;
        assert_eq!(
            (count("model "), count("start ")),
            (max_turns, max_turns - 1)
        );
        assert_eq!(diary.last(), Some(&format!("end max turns {max_turns}")));
        let last = shell.run.messages().pop().unwrap();
        assert!(last.content.contains("was not called"), "{}", last.content);
    }
}

#[test]
fn each_budget_ends_the_turn_by_its_name() {
    let mut many = settings();
    many.limits.tool_calls = 3;
    let mut shell = Shell::new(many);
    shell.after(calls(&["a", "b"]));
    shell.after([tool_ended("call-1-1"), tool_ended("call-1-2")]);
    assert_eq!(
        shell.after(calls(&["a", "b"])),
        ["record model 2", "close failed", "end turn_tool_calls 3"]
    );

    let mut few = settings();
    few.limits.tokens = 7;
    few.sampling.max_tokens = 6;
    let mut shell = Shell::new(few);
    shell.after([]);
    assert_eq!(shell.last_call.as_ref().unwrap().max_tokens, 6);
    shell.after(calls(&["a"]));
    shell.after([tool_ended("call-1-1")]);
    assert_eq!(
        shell.last_call.as_ref().unwrap().max_tokens,
        2,
        "no more than is left"
    );
    shell.after([Input::Called(call("a")), finished(2)]);
    let ended = shell.after([tool_ended("call-2-1")]);
    assert_eq!(ended[2..], ["close failed", "end turn_tokens 7"]);

    let mut shell = Shell::new(settings());
    shell.after([text("a")]);
    shell.now += Duration::from_hours(1);
    assert_eq!(shell.run.deadline(), Some(shell.now));
    assert_eq!(
        shell.after([Input::Time]),
        ["close failed", "end turn_time 3600"]
    );
    assert_eq!(shell.run.messages()[1].content, "a");
}

#[test]
fn a_tool_runs_only_if_it_is_allowed() {
    let asked = |name: &str, rule, wish| {
        let mut settings = settings();
        (settings.approvals.rule, settings.approvals.wish) = (rule, wish);
        let mut shell = Shell::new(settings);
        shell.after([]);
        let diary = shell.after(calls(&[name]));
        (shell, diary)
    };
    for (name, rule, wish, next) in [
        ("a", Auto, Auto, "record start call-1-1"),
        ("a", Auto, Ask, "ask call-1-1"),
        ("a", Ask, Auto, "ask call-1-1"),
        ("ro", Ask, Auto, "record start call-1-1"),
        ("ro", Ask, Ask, "ask call-1-1"),
        ("a", Deny, Auto, "record call-1-1 false"),
        ("a", Auto, Deny, "record call-1-1 false"),
        ("none", Ask, Auto, "ended call-1-1 failed"),
    ] {
        let (_, diary) = asked(name, rule, wish);
        assert_eq!(diary[1], next, "{name} {rule:?} {wish:?}");
    }
    let answer = |granted| Input::Answered {
        id: id("call-1-1"),
        granted,
    };
    let (mut shell, _) = asked("a", Ask, Auto);
    assert_eq!(
        shell.after([answer(true), answer(true), answer(false)]),
        [
            "record call-1-1 true",
            "record start call-1-1",
            "started call-1-1",
            "start call-1-1"
        ]
    );
    let (mut shell, _) = asked("a", Ask, Auto);
    assert_eq!(
        shell.after([answer(false)]),
        [
            "record call-1-1 false",
            "ended call-1-1 denied",
            "call 2 of 8",
            "model 2"
        ]
    );
    assert!(
        shell.shown()[4].contains("it was not allowed"),
        "{:?}",
        shell.shown()
    );
}

#[test]
fn unanswered_means_denied() {
    let mut settings = settings();
    settings.approvals.rule = Approval::Ask;
    let wait = settings.approvals.wait;
    let mut shell = Shell::new(settings);
    shell.after([]);
    shell.after(calls(&["a", "b"]));
    let due = shell.now + wait;
    assert_eq!(shell.run.deadline(), Some(due));
    shell.now += wait.saturating_sub(Duration::from_millis(1));
    assert_eq!(shell.after([Input::Time]), [""; 0]);
    let granted = true;
    shell.after([Input::Answered {
        id: id("call-1-2"),
        granted,
    }]);
    shell.now = due;
    assert_eq!(
        shell.after([Input::Time]),
        ["record call-1-1 false", "ended call-1-1 denied"]
    );
    shell.after([tool_ended("call-1-2")]);
    assert!(
        shell.shown()[4].contains("nobody allowed it within 120s"),
        "{:?}",
        shell.shown()
    );
}

#[test]
fn what_is_too_long_is_shortened_until_nothing_is_left_and_then_tried_as_it_is() {
    let overflow = || {
        let (prompt_tokens, context_tokens) = (100, 90);
        Input::Model(GenerationEvent::Failed(GenerationError::ContextOverflow {
            prompt_tokens,
            context_tokens,
        }))
    };
    let mut shell = Shell::new(TurnSettings {
        context: Window::Compact,
        ..settings()
    });
    shell.after([]);
    assert_eq!(
        shell.last_call.as_ref().unwrap().context,
        ContextPolicy::RefuseWithoutRoom
    );
    assert_eq!(shell.after([overflow()]), ["compacted 2", "model 1"]);
    assert_eq!(
        shell.shown().len(),
        2,
        "the note and the text: {:?}",
        shell.shown()
    );
    assert_eq!(shell.after([overflow()]), ["model 1"]);
    assert_eq!(
        shell.last_call.as_ref().unwrap().context,
        ContextPolicy::Refuse
    );
    assert_eq!(shell.after([overflow()]), ["close failed", "end failed"]);

    let mut shell = Shell::new(TurnSettings {
        context: Window::Refuse,
        ..settings()
    });
    shell.after([]);
    assert_eq!(shell.after([overflow()]), ["close failed", "end failed"]);
}

#[test]
fn what_was_found_is_told_and_shown_and_nothing_found_is_silent() {
    let found = |citations: usize, why: Option<&str>| {
        let one = |at: usize| Citation {
            source: format!("{at}"),
            excerpt: String::new(),
            score: 1.0,
        };
        let citations: Vec<Citation> = (0..citations).map(one).collect();
        Input::Recalled(Recollection {
            text: "[1] tea".repeat(citations.len()),
            citations,
            without_meaning: why.map(str::to_owned),
        })
    };
    for (citations, why, said, shown) in [
        (1, None, vec!["recalled 1"], 4),
        (0, None, vec![], 3),
        (0, Some("no model"), vec!["recalled 0"], 3),
    ] {
        let memory = Some(MemorySettings::default());
        let mut shell = Shell::new(TurnSettings {
            memory,
            ..settings()
        });
        assert_eq!(shell.after([]), ["recall"]);
        let diary = shell.after([found(citations, why)]);
        assert_eq!(diary, [said, vec!["call 1 of 8", "model 1"]].concat());
        assert_eq!(shell.shown().len(), shown);
    }
}

#[test]
fn what_nobody_took_was_not_said() {
    let stopped = |taken: usize, inputs: Vec<Input>| {
        let mut shell = Shell::new(settings());
        shell.after([]);
        for input in inputs {
            shell.input(input);
        }
        for _ in 0..taken {
            shell.step();
        }
        let diary = shell.after([Input::Stop]);
        assert_eq!(diary.last().map(String::as_str), Some("end stopped"));
        shell.run.messages().pop().map(|m| m.content)
    };
    let over = || vec![text("one "), text("two"), finished(2)];
    for (taken, kept) in [(0, None), (1, Some("one "))] {
        assert_eq!(stopped(taken, over()).as_deref(), kept);
        assert_eq!(
            stopped(taken, vec![text("one "), text("two")]).as_deref(),
            kept
        );
    }
}

#[test]
fn what_cannot_be_written_down_is_not_done() {
    let mut shell = Shell::new(settings());
    shell.after([]);
    for input in calls(&["a"]) {
        shell.input(input);
    }
    let part = "conversation_store".to_owned();
    let error = GenerationError::Unavailable {
        part,
        reason: "full".into(),
    };
    assert_eq!(
        shell.after([Input::NotKept(error)]),
        ["close failed", "end failed"]
    );
}

/// A cancel after any number of steps of a story with everything in it: nothing new begins, and it ends once.
#[test]
fn a_cancel_at_any_point_begins_nothing_new() {
    let story = |shell: &mut Shell, stop_after: usize| {
        let mut steps = 0;
        let mut inputs: VecDeque<Input> = [text("I "), text("look")].into();
        inputs.extend(calls(&["a", "none", "b"]));
        inputs.push_back(Input::Answered {
            id: id("call-1-1"),
            granted: true,
        });
        inputs.push_back(Input::Answered {
            id: id("call-1-3"),
            granted: false,
        });
        inputs.push_back(tool_ended("call-1-1"));
        inputs.extend([text("so"), finished(1)]);
        loop {
            if steps == stop_after {
                return true;
            }
            steps += 1;
            if !shell.step() {
                let Some(input) = inputs.pop_front() else {
                    return false;
                };
                shell.input(input);
            }
        }
    };
    let mut stops = 0;
    loop {
        let mut settings = settings();
        settings.approvals.rule = Approval::Ask;
        let mut shell = Shell::new(settings);
        if !story(&mut shell, stops) {
            break;
        }
        let was_over = shell.run.is_over();
        shell.diary.clear();
        let diary = shell.after([Input::Stop]);
        let begun = diary
            .iter()
            .filter(|line| line.starts_with("model") || line.starts_with("start"));
        assert_eq!(begun.count(), 0, "after {stops} steps: {diary:?}");
        assert_eq!(shell.run.deadline(), None);
        assert!(
            was_over || diary == ["close cancelled", "end stopped"],
            "{diary:?}"
        );
        stops += 1;
    }
    assert!(stops > 30, "{stops}");
}

/// A model that always has to call something would never answer.
#[test]
fn only_the_first_call_of_the_model_has_to_call_a_tool_and_only_where_there_is_one() {
    use domain::ToolChoice;
    let named = || ToolChoice::Named("a".into());
    let tool = ToolSpec {
        name: "a".into(),
        description: String::new(),
        parameters: "{}".into(),
    };
    for (tools, chosen, first, second) in [
        (1, ToolChoice::Auto, ToolChoice::Auto, ToolChoice::Auto),
        (1, ToolChoice::None, ToolChoice::None, ToolChoice::None),
        (
            1,
            ToolChoice::Required,
            ToolChoice::Required,
            ToolChoice::Auto,
        ),
        (1, named(), named(), ToolChoice::Auto),
        (0, ToolChoice::Required, ToolChoice::Auto, ToolChoice::Auto),
        (0, named(), ToolChoice::Auto, ToolChoice::Auto),
    ] {
        let settings = TurnSettings {
            tool_choice: chosen.clone(),
            ..settings()
        };
        let mut beginning = beginning(settings.clone());
        beginning.tools = vec![tool.clone(); tools].into();
        let mut shell = Shell::new(settings);
        shell.run = AgentRun::new(beginning, shell.now);
        shell.after([]);
        let choice = |shell: &Shell| shell.last_call.as_ref().unwrap().choice.clone();
        assert_eq!(choice(&shell), first, "{chosen:?}");
        shell.after(calls(&["a"]));
        shell.after([tool_ended("call-1-1")]);
        assert_eq!(choice(&shell), second, "{chosen:?}");
    }
}
