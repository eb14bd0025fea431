//! The store as its askers see it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test may stop at the first surprise"
)]

mod common;

use common::{NOW, conversation, start};
use domain::{FinishReason, Message, RequestId, ToolCall, ToolCallId, Usage};
use paraphym_conversation_store as conversation_store;

use conversation_store::messages::{
    Appended, OpenTurns, ReadHistory, ReadTurn, RecordStep, Search, StepRecord, TurnState,
};
use conversation_store::{StoreConfig, client};

#[tokio::test(start_paused = true)]
async fn what_was_said_is_read_again_by_another_life_of_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let config = StoreConfig::at(folder.path().join("new/paraphym.db"));
    let stage = start(&config).await;
    let first = stage.say("a", "t1", "hello", "hi").await.unwrap();
    assert_eq!(first, Appended { first: 1, count: 2 });
    let second = stage.say("a", "t2", "and now?", "nothing").await.unwrap();
    assert_eq!(second, Appended { first: 3, count: 2 });
    stage.scene.stop().await;

    let stage = start(&config).await;
    let wish = ReadHistory {
        conversation: conversation("a"),
        last: 3,
    };
    let read = client::ask(&stage.store, wish).await.unwrap();
    let said: Vec<(u64, &str)> = read
        .iter()
        .map(|one| (one.number, one.message.content.as_str()))
        .collect();
    assert_eq!(said, [(2, "hi"), (3, "and now?"), (4, "nothing")]);
    assert_eq!(read[2].turn, Some(RequestId::new("t2")));
    let wish = Search {
        text: "noth".to_owned(),
        limit: 10,
    };
    let hits = client::ask(&stage.store, wish).await.unwrap();
    assert_eq!((hits.len(), hits[0].number), (1, 4));
    assert_eq!(hits[0].snippet.text, "nothing");
    assert_eq!(hits[0].snippet.words, vec![0..7_usize; 1]);
    stage.scene.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_turn_is_read_again_with_its_steps() {
    let stage = start(&StoreConfig::in_memory()).await;
    let begin = common::begin("a", "t1", "what time is it?");
    client::ask(&stage.store, begin.clone()).await.unwrap();
    let call = ToolCall {
        id: ToolCallId::new("c1"),
        name: "current_time".to_owned(),
        arguments: "{}".to_owned(),
    };
    let steps = [
        StepRecord::ModelCalled {
            number: 1,
            steered: 0,
            text: "let me see".to_owned(),
            tool_calls: vec![call],
            usage: Usage {
                prompt_tokens: 3,
                cached_tokens: 2,
                completion_tokens: 1,
            },
            reason: FinishReason::ToolCalls,
        },
        StepRecord::Approved {
            call_id: ToolCallId::new("c1"),
            granted: true,
        },
        StepRecord::ToolStarted {
            call_id: ToolCallId::new("c1"),
            idempotent: true,
        },
        StepRecord::ToolEnded {
            call_id: ToolCallId::new("c1"),
            outcome_json: "\"noon\"".to_owned(),
        },
        StepRecord::Steered {
            number: 1,
            text: "and in Rome?".to_owned(),
        },
        StepRecord::ModelCalled {
            number: 2,
            steered: 1,
            text: "noon, too".to_owned(),
            tool_calls: Vec::new(),
            usage: Usage::default(),
            reason: FinishReason::Stop,
        },
    ];
    for step in steps.clone() {
        let wish = RecordStep {
            turn: RequestId::new("t1"),
            step,
            now_ms: NOW,
        };
        // Asked again as it was, it changes nothing.
        client::ask(&stage.store, wish.clone()).await.unwrap();
        client::ask(&stage.store, wish).await.unwrap();
    }
    let wish = OpenTurns {
        conversation: conversation("a"),
    };
    let open = client::ask(&stage.store, wish).await.unwrap();
    let wish = ReadTurn {
        turn: RequestId::new("t1"),
    };
    let record = client::ask(&stage.store, wish).await.unwrap();
    assert_eq!(open, vec![record.clone()]);
    assert_eq!(record.state, TurnState::Running);
    assert_eq!(record.user, Message::user("what time is it?"));
    let found: Vec<StepRecord> = record.steps.into_iter().map(|step| step.record).collect();
    assert_eq!(found, steps);
    stage.scene.stop().await;
}
