//! Turns that call tools, with real workers and a played model, on a paused clock.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "helpers of tests"
)]

use crate::support;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use domain::{Approval, Budget, GenerationError, ToolCallId, ToolOutcome, TurnError, TurnEvent};
use paraphym_agent_worker::TurnStream;
use support::acted::{Counts, Does, Line, Play, Played, Script, all, id, settings, text};
use tokio::time::{Instant, sleep, timeout};

const MOMENT: Duration = Duration::from_millis(50);
const SECOND: Duration = Duration::from_secs(1);

fn answers(text: &'static str) -> Does {
    Does::Answer(text, MOMENT)
}

fn outcomes(events: &[TurnEvent]) -> Vec<ToolOutcome> {
    let ended = |event: &TurnEvent| match event {
        TurnEvent::ToolEnded { outcome, .. } => Some(outcome.clone()),
        _ => None,
    };
    events.iter().filter_map(ended).collect()
}

async fn until(stream: &mut TurnStream, wanted: impl Fn(&TurnEvent) -> bool) -> TurnEvent {
    loop {
        let event = stream.next().await.unwrap();
        if wanted(&event) {
            return event;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn tools_run_side_by_side_and_the_model_reads_their_results_in_the_order_of_its_calls() {
    let script = Script::new([
        vec![
            Line::Text("I look. "),
            Line::Call("slow", "{}"),
            Line::Call("quick", "{}"),
        ],
        vec![Line::Text("Both are done.")],
    ]);
    let counts = Arc::new(Counts::default());
    let play = Play::start(
        &script,
        vec![
            Played::new("slow", Does::Answer("late", SECOND)).counted(&counts),
            Played::new("quick", answers("soon")).counted(&counts),
        ],
    )
    .await;
    let began = Instant::now();
    let events = all(play.ask("Look", settings()).await).await;
    assert!(began.elapsed() < 2 * SECOND, "side by side");
    assert_eq!(counts.most.load(Ordering::SeqCst), 2);
    assert_eq!(text(&events), "I look. Both are done.");
    let words: Vec<&str> = events
        .iter()
        .map(|event| match event {
            TurnEvent::ModelCalled { number: 1, of: 8 } => "first",
            TurnEvent::ModelCalled { number: 2, of: 8 } => "second",
            TurnEvent::Text(_) => "text",
            TurnEvent::ToolStarted { .. } => "started",
            TurnEvent::ToolEnded { .. } => "ended",
            TurnEvent::Finished { usage, .. } => {
                assert_eq!((usage.prompt_tokens, usage.completion_tokens), (20, 5));
                "finished"
            }
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(
        words,
        [
            "first", "text", "text", "started", "started", "ended", "ended", "second", "text",
            "text", "text", "finished"
        ]
    );
    let expected = [
        "user: Look",
        "assistant: I look. ",
        "tool: late",
        "tool: soon",
    ];
    assert_eq!(script.shown(1), expected);
    assert_eq!(play.history().await[..4], expected);
    assert_eq!(play.history().await[4], "assistant: Both are done.");
    play.end().await;
}

/// What a tool may do wrong is told to the model, in its time, and the turn goes on.
#[tokio::test(start_paused = true)]
async fn whatever_a_tool_does_the_turn_goes_on() {
    for (does, expected) in [
        (Does::Fail, "`t` failed: it does not want to"),
        (Does::Hang, "`t` did not answer within 5s"),
        (Does::Panic, "`t` failed: it has a bug"),
        (Does::Flood(100_000), "bytes more were left out]"),
    ] {
        let script = Script::new([vec![Line::Call("t", "{}")], vec![Line::Text("so")]]);
        let play = Play::start(&script, vec![Played::new("t", does.clone())]).await;
        let mut settings = settings();
        settings.limits.tool_time = 5 * SECOND;
        settings.limits.result_bytes = 1000;
        let events = all(play.ask("Go", settings).await).await;
        assert_eq!(text(&events), "so", "{does:?}");
        let outcomes = outcomes(&events);
        assert!(outcomes[0].text().contains(expected), "{outcomes:?}");
        assert!(outcomes[0].text().len() <= 1000);
        assert_eq!(script.shown(1)[2], format!("tool: {}", outcomes[0].text()));
        play.end().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_tool_that_is_not_there_or_not_for_this_turn_is_told_to_the_model() {
    let script = Script::new([
        vec![Line::Call("nothing", "{}"), Line::Call("t", "[]")],
        vec![Line::Text("so")],
    ]);
    let play = Play::start(&script, vec![Played::new("t", answers("x"))]).await;
    let events = all(play.ask("Go", settings()).await).await;
    let told = outcomes(&events);
    assert!(
        told[0]
            .text()
            .contains("there is no tool `nothing`: call one of t")
    );
    assert!(told[1].text().contains("not an object"), "{told:?}");
    let mut without = settings();
    without.tools = paraphym_agent_worker::ToolFilter::None;
    let events = all(play.ask("Go", without).await).await;
    assert!(outcomes(&events)[1].text().contains("there is no tool `t`"));
    play.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_tool_runs_when_it_is_allowed_and_unanswered_means_denied() {
    for answer in [Some(true), Some(false), None] {
        let script = Script::new([vec![Line::Call("t", "{}")], vec![Line::Text("so")]]);
        let counts = Arc::new(Counts::default());
        let tool = Played::new("t", answers("done")).counted(&counts);
        let play = Play::start(&script, vec![tool]).await;
        let mut settings = settings();
        settings.approvals.rule = Approval::Ask;
        let mut stream = play.ask("Go", settings).await;
        let asked = until(&mut stream, |e| {
            matches!(e, TurnEvent::ApprovalNeeded { .. })
        })
        .await;
        let TurnEvent::ApprovalNeeded { call, within_ms } = asked else {
            panic!("{asked:?}");
        };
        assert_eq!(within_ms, 120_000);
        assert_eq!(counts.begun.load(Ordering::SeqCst), 0);
        let turn = stream.id().clone();
        let began = Instant::now();
        if let Some(granted) = answer {
            let agents = &play.agents;
            let other = ToolCallId::new("other");
            assert_eq!(agents.approve(&id(), &turn, &other, true).await, Ok(false));
            assert_eq!(
                agents.approve(&id(), &turn, &call.id, granted).await,
                Ok(true)
            );
            assert_eq!(
                agents.approve(&id(), &turn, &call.id, true).await,
                Ok(false)
            );
        }
        let events = all(stream).await;
        assert_eq!(began.elapsed() >= Duration::from_mins(2), answer.is_none());
        let runs = counts.begun.load(Ordering::SeqCst);
        assert_eq!(runs, u64::from(answer == Some(true)));
        let outcome = &outcomes(&events)[0];
        assert_eq!(
            matches!(outcome, ToolOutcome::Denied(_)),
            answer != Some(true)
        );
        assert_eq!(text(&events), "so");
        play.end().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_wish_tightens_and_never_loosens() {
    let script = Script::new([vec![Line::Call("t", "{}")], vec![Line::Text("so")]]);
    let counts = Arc::new(Counts::default());
    let tool = Played::new("t", answers("done")).counted(&counts);
    let play = Play::start(&script, vec![tool]).await;
    for (rule, wish) in [
        (Approval::Deny, Approval::Auto),
        (Approval::Auto, Approval::Deny),
    ] {
        let mut settings = settings();
        (settings.approvals.rule, settings.approvals.wish) = (rule, wish);
        let events = all(play.ask("Go", settings).await).await;
        assert!(matches!(outcomes(&events)[0], ToolOutcome::Denied(_)));
    }
    assert_eq!(counts.begun.load(Ordering::SeqCst), 0);
    play.end().await;
}

/// A cancel, and a reader that goes, reach the model's answer and the tools at once.
#[tokio::test(start_paused = true)]
async fn a_cancel_reaches_the_model_and_the_tools() {
    for by_name in [true, false] {
        for in_tool in [true, false] {
            let first = if in_tool {
                Line::Call("t", "{}")
            } else {
                Line::Hang
            };
            let script = Script::new([vec![Line::Text("I "), first], vec![Line::Text("so")]]);
            let counts = Arc::new(Counts::default());
            let tool = Played::new("t", Does::Hang).counted(&counts);
            let play = Play::start(&script, vec![tool]).await;
            let mut stream = play.ask("Go", settings()).await;
            until(&mut stream, |event| {
                let wanted = matches!(event, TurnEvent::ToolStarted { .. });
                if in_tool {
                    wanted
                } else {
                    matches!(event, TurnEvent::Text(_))
                }
            })
            .await;
            sleep(MOMENT).await;
            let open = counts.open.load(Ordering::SeqCst);
            assert_eq!(open, i64::from(in_tool));
            let began = Instant::now();
            if by_name {
                assert!(play.agents.cancel(&id(), stream.id()).await.unwrap());
                let last = all(stream).await.pop().unwrap();
                let cancelled = TurnEvent::Failed(GenerationError::Cancelled.into());
                assert_eq!(last, cancelled);
            } else {
                drop(stream);
                // The conversation is free again.
                all(play
                    .ask(
                        "Next",
                        paraphym_agent_worker::TurnSettings {
                            limits: paraphym_agent_worker::TurnLimits {
                                time: SECOND,
                                ..settings().limits
                            },
                            ..settings()
                        },
                    )
                    .await)
                .await;
            }
            assert!(began.elapsed() < 3 * SECOND);
            assert_eq!(counts.open.load(Ordering::SeqCst), 0, "no call lives");
            assert_eq!(script.open(), 0, "no answer lives");
            assert_eq!(play.history().await[..2], ["user: Go", "assistant: I "]);
            play.end().await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn budgets_and_the_limit_of_calls_end_a_turn_by_their_names() {
    let again = || vec![Line::Text("a b c "), Line::Call("t", "{}")];
    let script = Script::new((0..20).map(|_| again()));
    let play = Play::start(&script, vec![Played::new("t", answers("x"))]).await;
    let ends = |events: Vec<TurnEvent>| match events.last() {
        Some(TurnEvent::Failed(error)) => error.clone(),
        other => panic!("{other:?}"),
    };
    let mut wish = settings();
    wish.limits.max_turns = 3;
    let before = script.asked().len();
    let error = ends(all(play.ask("Go", wish).await).await);
    assert_eq!(error, TurnError::MaxTurns { max_turns: 3 });
    assert_eq!(script.asked().len() - before, 3, "counted exactly");
    let mut wish = settings();
    wish.limits.tool_calls = 2;
    let error = ends(all(play.ask("Go", wish).await).await);
    let spent = |budget, limit| TurnError::BudgetSpent { budget, limit };
    assert_eq!(error, spent(Budget::ToolCalls, 2));
    let mut wish = settings();
    wish.limits.tokens = 5;
    let error = ends(all(play.ask("Go", wish).await).await);
    assert_eq!(error, spent(Budget::Tokens, 5));
    assert_eq!(script.asked().last().unwrap().sampling.max_tokens, 2);
    play.end().await;

    let script = Script::new([vec![Line::Text("I "), Line::Hang]]);
    let play = Play::start(&script, Vec::new()).await;
    let mut wish = settings();
    wish.limits.time = 90 * SECOND;
    let began = Instant::now();
    let events = timeout(100 * SECOND, all(play.ask("Go", wish).await))
        .await
        .unwrap();
    assert_eq!(began.elapsed().as_secs(), 90);
    assert_eq!(ends(events), spent(Budget::Time, 90));
    assert_eq!(script.open(), 0);
    play.end().await;
}

/// The worker crashes after every number of milliseconds of a turn with text and tools: the client hears the same text, no
/// tool that may run once runs twice, and the harmless one is repeated.
#[tokio::test(start_paused = true)]
async fn a_crash_of_the_worker_at_any_moment_changes_no_text_and_runs_no_tool_twice() {
    let mut crashed_in_tool = 0;
    for at in 0..130 {
        let script = Script::new([
            vec![
                Line::Text("I look at it now. "),
                Line::Call("once", "{}"),
                Line::Call("again", "{}"),
            ],
            vec![Line::Text("That is all there is to say.")],
        ]);
        let (once, again) = (Arc::new(Counts::default()), Arc::new(Counts::default()));
        let play = Play::start(
            &script,
            vec![
                Played::new("once", answers("1")).counted(&once),
                Played::new("again", answers("2"))
                    .counted(&again)
                    .idempotent(),
            ],
        )
        .await;
        let stream = play.ask("Go", settings()).await;
        let heard = async { all(stream).await };
        let crash = async {
            sleep(Duration::from_millis(at)).await;
            play.crash().await;
        };
        let (events, ()) = tokio::join!(heard, crash);
        assert_eq!(
            text(&events),
            "I look at it now. That is all there is to say.",
            "at {at} ms"
        );
        assert!(
            matches!(events.last(), Some(TurnEvent::Finished { .. })),
            "at {at} ms: {events:?}"
        );
        assert_eq!(once.begun.load(Ordering::SeqCst), 1, "at {at} ms");
        let (outcomes, twice) = (outcomes(&events), again.begun.load(Ordering::SeqCst));
        assert_eq!(outcomes.len(), 2);
        let unknown = matches!(outcomes[0], ToolOutcome::Unknown(_));
        assert_eq!(unknown, twice == 2, "at {at} ms: {outcomes:?}");
        crashed_in_tool += u32::from(unknown);
        let asked = script.asked();
        assert!((2..=3).contains(&asked.len()), "{}", asked.len());
        play.end().await;
    }
    assert!(crashed_in_tool > 40, "{crashed_in_tool}");
}

#[tokio::test(start_paused = true)]
async fn a_question_for_approval_outlives_a_crash() {
    let script = Script::new([vec![Line::Call("t", "{}")], vec![Line::Text("so")]]);
    let play = Play::start(&script, vec![Played::new("t", answers("done"))]).await;
    let mut settings = settings();
    settings.approvals.rule = Approval::Ask;
    let mut stream = play.ask("Go", settings).await;
    let asks = |event: &TurnEvent| matches!(event, TurnEvent::ApprovalNeeded { .. });
    until(&mut stream, asks).await;
    play.crash().await;
    let again = until(&mut stream, asks).await;
    let TurnEvent::ApprovalNeeded { call, .. } = again else {
        panic!("{again:?}");
    };
    let turn = stream.id().clone();
    assert_eq!(
        play.agents.approve(&id(), &turn, &call.id, true).await,
        Ok(true)
    );
    let events = all(stream).await;
    assert!(outcomes(&events)[0].is_ok());
    play.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_model_that_fails_ends_the_turn_with_its_error() {
    let failed = GenerationError::EngineCrashed {
        crashes: 3,
        reason: "bad".into(),
    };
    let script = Script::new([vec![Line::Text("I "), Line::Fail(failed.clone())]]);
    let play = Play::start(&script, Vec::new()).await;
    let events = all(play.ask("Go", settings()).await).await;
    assert_eq!(events.last(), Some(&TurnEvent::Failed(failed.into())));
    assert_eq!(text(&events), "I ");
    assert_eq!(play.history().await, ["user: Go", "assistant: I "]);
    play.end().await;
}
