//! The real model calls a tool through a whole turn: it asks, the tool runs, it reads the result and answers. Its first
//! answer has to be a call: whether a model of this size would call by itself is not what is shown here.
//!
//! The model is the one that `PARAPHYM_TEST_MODEL` names, or the default model in the XDG data folder.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test stops at the first surprise"
)]

use std::time::SystemTime;

use futures_util::StreamExt;
use paraphym_candle::chat_config::{Author, Store};
use paraphym_candle::{
    Bytes, ConversationId, DEFAULT_MODEL, ModelName, Paraphym, Role, ToolOutcome, TurnEvent,
};

fn model() -> ModelName {
    let named = std::env::var("PARAPHYM_TEST_MODEL");
    ModelName::new(named.unwrap_or_else(|_| DEFAULT_MODEL.to_owned()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn real_model_calls_a_tool_and_reads_its_result() {
    let flags = [
        "agents.counter.tools=[\"calculate\"]",
        "agents.counter.tool_choice=required",
        "agents.counter.temperature=0",
        "agents.counter.repetition_penalty=1",
        "agents.counter.max_tokens=200",
    ];
    let author = Author {
        who: "a test".to_owned(),
        at: SystemTime::UNIX_EPOCH,
    };
    let settings = Store::without_file([], &flags.map(str::to_owned), author).unwrap();
    let builder = Paraphym::builder().settings(settings).model(model());
    let builder = builder.copies_dir(env!("CARGO_TARGET_TMPDIR"));
    let host = builder.start().await.unwrap();
    let conversation = ConversationId::new("sums");
    let turn = host.agent_settings("counter").unwrap();
    let asked = host.ask(&conversation, "What is 12 times 12?", turn).await;
    let events: Vec<TurnEvent> = StreamExt::collect(asked.unwrap()).await;

    let called: Vec<_> = events
        .iter()
        .filter_map(|event| match event {
            TurnEvent::ToolStarted { call } => Some(call.clone()),
            _ => None,
        })
        .collect();
    assert!(!called.is_empty(), "{events:?}");
    assert!(called.iter().all(|call| call.name == "calculate"));
    let ended = events.iter().filter_map(|event| match event {
        TurnEvent::ToolEnded { outcome, .. } => Some(outcome.clone()),
        _ => None,
    });
    let ended: Vec<ToolOutcome> = ended.collect();
    assert_eq!(ended.len(), called.len());
    assert!(ended.iter().any(ToolOutcome::is_ok), "{called:?} {ended:?}");
    let TurnEvent::Finished { usage, .. } = events.last().unwrap() else {
        panic!("{:?}", events.last());
    };
    // The second prompt is the first, the call and the result: more than twice the first.
    assert!(usage.prompt_tokens > 2 * 200, "{usage:?}");
    let calls = events
        .iter()
        .filter(|event| matches!(event, TurnEvent::ModelCalled { .. }));
    assert!(calls.count() >= 2, "it reads what the tool said");

    // What is remembered is the whole round, in order.
    let history = host.agents().history(&conversation).await.unwrap();
    let roles: Vec<Role> = history.iter().map(|message| message.role).collect();
    assert_eq!(roles[..2], [Role::User, Role::Assistant]);
    assert_eq!(history[1].tool_calls, called);
    assert_eq!(roles[2], Role::Tool);
    assert_eq!(history[2].content, ended[0].text());
    assert_eq!(roles.last(), Some(&Role::Assistant));

    let status = host.status().await.unwrap();
    let resident = status.models.models.first().unwrap();
    assert_eq!(resident.kv_leased, Bytes::ZERO);
    assert!(host.shutdown().await.abandoned.is_empty());
}
