//! What a turn's log takes, and what it refuses.

use domain::{ConversationId, FinishReason, Message, RequestId, ToolCallId, Usage};

use crate::archive::Archive;
use crate::error::StoreError;
use crate::messages::{
    BeginTurn, EndTurn, OpenTurns, ReadHistory, ReadTurn, RecordStep, RemoveConversation,
    ResumeTurn, StepRecord, TurnState,
};
use crate::proving::{NOW, ask, in_memory};

fn turn() -> RequestId {
    RequestId::new("t")
}

fn begin() -> BeginTurn {
    BeginTurn {
        conversation: ConversationId::new("a"),
        turn: turn(),
        user: Message::user("hello"),
        now_ms: NOW,
    }
}

fn record(step: StepRecord) -> RecordStep {
    RecordStep {
        turn: turn(),
        step,
        now_ms: NOW,
    }
}

fn end(state: TurnState) -> EndTurn {
    EndTurn {
        turn: turn(),
        state,
        messages: vec![Message::user("hello"), Message::assistant("hi")],
        now_ms: NOW,
    }
}

fn call(text: &str) -> StepRecord {
    StepRecord::ModelCalled {
        number: 1,
        steered: 0,
        text: text.to_owned(),
        tool_calls: Vec::new(),
        usage: Usage::default(),
        reason: FinishReason::Stop,
    }
}

fn started(id: &str) -> StepRecord {
    StepRecord::ToolStarted {
        call_id: ToolCallId::new(id),
        idempotent: false,
    }
}

fn ended(id: &str) -> StepRecord {
    StepRecord::ToolEnded {
        call_id: ToolCallId::new(id),
        outcome_json: "{}".to_owned(),
    }
}

fn running() -> Archive {
    let archive = in_memory();
    ask(&archive, begin()).unwrap();
    archive
}

#[test]
fn a_log_is_only_added_to() {
    let archive = running();
    ask(&archive, record(call("a"))).unwrap();
    let refused = ask(&archive, record(call("b"))).unwrap_err();
    assert!(
        matches!(refused, StoreError::StepExists { .. }),
        "{refused}"
    );
    let refused = ask(&archive, record(ended("c"))).unwrap_err();
    assert!(
        matches!(refused, StoreError::ToolNotStarted { .. }),
        "{refused}"
    );
    ask(&archive, record(started("c"))).unwrap();
    ask(&archive, record(ended("c"))).unwrap();
    let found = ask(&archive, ReadTurn { turn: turn() }).unwrap().steps;
    let steps: Vec<StepRecord> = found.into_iter().map(|step| step.record).collect();
    assert_eq!(steps, [call("a"), started("c"), ended("c")]);
}

#[test]
fn what_a_turn_is_told_is_written_down_once_and_has_the_size_of_a_message() {
    let steered = |number, text: &str| StepRecord::Steered {
        number,
        text: text.to_owned(),
    };
    let archive = running();
    for _ in 0..2 {
        ask(&archive, record(steered(1, "more"))).unwrap();
    }
    ask(&archive, record(steered(2, "and more"))).unwrap();
    let refused = ask(&archive, record(steered(1, "other"))).unwrap_err();
    assert!(
        matches!(refused, StoreError::StepExists { .. }),
        "{refused}"
    );
    let long = "x".repeat((16 << 20) + 1);
    let refused = ask(&archive, record(steered(3, &long))).unwrap_err();
    assert!(matches!(refused, StoreError::Invalid(_)), "{refused}");
    let found = ask(&archive, ReadTurn { turn: turn() }).unwrap().steps;
    let steps: Vec<StepRecord> = found.into_iter().map(|step| step.record).collect();
    assert_eq!(steps, [steered(1, "more"), steered(2, "and more")]);
}

#[test]
fn a_turn_is_begun_once() {
    let archive = running();
    ask(&archive, begin()).unwrap();
    let other = BeginTurn {
        user: Message::user("something else"),
        ..begin()
    };
    let exists = Err(StoreError::TurnExists(turn()));
    assert_eq!(ask(&archive, other), exists);
    ask(&archive, end(TurnState::Done)).unwrap();
    assert_eq!(ask(&archive, begin()), exists);
}

#[test]
fn a_turn_is_ended_once_and_its_messages_added_with_it() {
    for state in [TurnState::Done, TurnState::Failed, TurnState::Cancelled] {
        let archive = running();
        let appended = ask(&archive, end(state)).unwrap();
        assert_eq!((appended.first, appended.count), (1, 2));
        // Asked again because nobody heard the answer.
        assert_eq!(ask(&archive, end(state)).unwrap(), appended);
        let refused = Err(StoreError::TurnNotRunning {
            turn: turn(),
            state,
        });
        let another = EndTurn {
            messages: Vec::new(),
            ..end(state)
        };
        assert_eq!(ask(&archive, another), refused);
        let step = record(call("late"));
        let refused_step = ask(&archive, step).unwrap_err();
        assert_eq!(Err(refused_step), refused.map(|_| ()));
        let wish = ResumeTurn {
            turn: turn(),
            now_ms: NOW,
        };
        assert!(ask(&archive, wish).is_err());
        let wish = OpenTurns {
            conversation: ConversationId::new("a"),
        };
        assert_eq!(ask(&archive, wish).unwrap(), []);
        let wish = ReadHistory {
            conversation: ConversationId::new("a"),
            last: 10,
        };
        let history = ask(&archive, wish).unwrap();
        let said: Vec<&str> = history
            .iter()
            .map(|one| one.message.content.as_str())
            .collect();
        assert_eq!(said, ["hello", "hi"]);
        assert!(history.iter().all(|one| one.turn == Some(turn())));
    }
}

#[test]
fn an_interrupted_turn_goes_on_with_its_steps() {
    let archive = running();
    ask(&archive, record(call("a"))).unwrap();
    let interrupted = EndTurn {
        messages: Vec::new(),
        ..end(TurnState::Interrupted)
    };
    ask(&archive, interrupted).unwrap();
    assert!(ask(&archive, record(started("c"))).is_err());
    let wish = ResumeTurn {
        turn: turn(),
        now_ms: NOW,
    };
    let resumed = ask(&archive, wish.clone()).unwrap();
    assert_eq!(resumed.state, TurnState::Running);
    assert_eq!(resumed.ended_ms, None);
    assert_eq!(ask(&archive, wish).unwrap(), resumed);
    ask(&archive, record(started("c"))).unwrap();
    ask(&archive, end(TurnState::Done)).unwrap();
    let found = ask(&archive, ReadTurn { turn: turn() }).unwrap();
    assert_eq!((found.state, found.steps.len()), (TurnState::Done, 2));
}

#[test]
fn what_is_not_there_or_out_of_range_is_refused_by_name() {
    let archive = in_memory();
    let none = StoreError::NoTurn(turn());
    assert_eq!(ask(&archive, ReadTurn { turn: turn() }), Err(none.clone()));
    assert_eq!(ask(&archive, record(started("c"))), Err(none.clone()));
    assert_eq!(ask(&archive, end(TurnState::Done)), Err(none));
    for (wish, field) in [
        (
            BeginTurn {
                conversation: ConversationId::new(""),
                ..begin()
            },
            "conversation",
        ),
        (
            BeginTurn {
                turn: RequestId::new("x".repeat(201)),
                ..begin()
            },
            "turn",
        ),
        (
            BeginTurn {
                turn: RequestId::new("two\nlines"),
                ..begin()
            },
            "turn",
        ),
        (
            BeginTurn {
                user: Message::user("x".repeat((16 << 20) + 1)),
                ..begin()
            },
            "message",
        ),
    ] {
        let Err(StoreError::Invalid(error)) = ask(&archive, wish) else {
            panic!("{field} was taken");
        };
        assert_eq!(error.field, field);
    }
    let Err(StoreError::Invalid(error)) = ask(&archive, end(TurnState::Running)) else {
        panic!("a turn cannot end running");
    };
    assert_eq!(error.field, "state");
}

#[test]
fn a_turn_goes_with_its_conversation() {
    let archive = running();
    ask(&archive, record(call("a"))).unwrap();
    let wish = RemoveConversation {
        conversation: ConversationId::new("a"),
    };
    ask(&archive, wish).unwrap();
    let none = Err(StoreError::NoTurn(turn()));
    assert_eq!(ask(&archive, ReadTurn { turn: turn() }), none);
    let left: i64 = archive
        .connection
        .query_row("SELECT count(*) FROM steps", [], |row| row.get(0))
        .unwrap();
    assert_eq!(left, 0);
}
