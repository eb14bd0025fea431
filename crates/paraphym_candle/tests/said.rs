//! What was said, as it is read from where it is at rest: over a real archive. On a paused clock.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test stops at the first surprise"
)]

use std::path::Path;
use std::sync::Arc;

use connection::{History, Part};
use conversation_store::messages::{BeginTurn, EndTurn, TurnState};
use conversation_store::{Archive, ConversationStore, StoreConfig, client};
use domain::{ConversationId, Message, RequestId, ToolCall, ToolCallId, UserId};
use paraphym_candle::Said;
use room::record::AskedTurn;
use room::{Record, Speaker};
use runtime::CoarseClock;
use supervision::{Handle, SupervisorSpec};
use testkit::scene::Scene;
use tokio::time::Instant;

pub(crate) const ANSWER: &str = "Hello *dear* world";

pub(crate) async fn opened(file: Option<&Path>) -> Archive {
    let config = file.map_or_else(StoreConfig::in_memory, StoreConfig::at);
    client::open(config, 1).await.unwrap()
}

/// The store alone.
async fn store() -> (Scene, Handle<ConversationStore>, Said) {
    let archive = opened(None).await;
    let (spec, store) = conversation_store::child(archive, None, Arc::new(CoarseClock::default()));
    let scene = Scene::start(SupervisorSpec::new("root").child(spec)).await;
    (scene.unwrap(), store.clone(), Said::new(store))
}

pub(crate) async fn end(scene: Scene) {
    assert_eq!(scene.stop().await.abandoned, []);
}

/// Writes a turn down, as a worker does.
pub(crate) async fn turn(
    store: &Handle<ConversationStore>,
    of: &str,
    turn: &str,
    rest: Vec<Message>,
) {
    let (turn, user) = (RequestId::new(turn), Message::user("why?"));
    let begin = BeginTurn {
        conversation: ConversationId::new(of),
        turn: turn.clone(),
        user: user.clone(),
        now_ms: 7,
    };
    client::ask(store, begin).await.unwrap();
    let messages = [vec![user], rest].concat();
    let state = TurnState::Done;
    let now_ms = 8;
    let end = EndTurn {
        turn,
        state,
        messages,
        now_ms,
    };
    client::ask(store, end).await.unwrap();
}

pub(crate) fn asked(turn: &str) -> AskedTurn {
    AskedTurn {
        conversation: ConversationId::new("c"),
        turn: RequestId::new(turn),
        by: UserId::new("ann"),
        nonce: "n".into(),
    }
}

async fn ended(said: &Said, turn: &str) -> Result<room::Kept, String> {
    said.ended(ConversationId::new("c"), RequestId::new(turn))
        .await
}

fn part(after: u64, before: Option<u64>, bytes: usize) -> Part {
    Part {
        after,
        before,
        bytes,
    }
}

/// With a tool: four messages, of which two are to be shown.
fn with_a_tool() -> Vec<Message> {
    let mut calls = Message::assistant("");
    let call = ToolCallId::new("1");
    calls.tool_calls = vec![ToolCall {
        id: call.clone(),
        name: "clock".into(),
        arguments: "{}".into(),
    }];
    let mut result = Message::new(domain::Role::Tool, "noon");
    result.answers = Some(call);
    vec![calls, result, Message::assistant("It is **noon**.")]
}

#[tokio::test(start_paused = true)]
async fn a_turn_that_ended_is_read_back_with_who_asked_it_and_where_it_stands() {
    let (scene, store, said) = store().await;
    turn(&store, "c", "t1", vec![Message::assistant(ANSWER)]).await;
    turn(&store, "c", "t2", with_a_tool()).await;
    turn(&store, "c", "t3", vec![Message::assistant("no")]).await;
    for (name, before, last, numbers) in [
        ("t1", 0, 2, vec![1, 2]),
        ("t2", 2, 6, vec![3, 6]),
        ("t3", 6, 8, vec![7, 8]),
        ("nowhere", 0, 0, vec![]),
    ] {
        said.begun(asked(name)).await.unwrap();
        let kept = ended(&said, name).await.unwrap();
        let found: Vec<u64> = kept.entries.iter().map(|one| one.number).collect();
        assert_eq!(
            (kept.before, kept.last, found),
            (before, last, numbers),
            "{name}"
        );
        for one in &kept.entries {
            assert_eq!(one.turn, Some(RequestId::new(name)));
            let asks = one.speaker == Speaker::Person;
            assert_eq!(one.by.is_some() && one.nonce.is_some(), asks);
            assert_eq!(one.html.is_some(), !asks);
        }
    }
    let all = said.messages(ConversationId::new("c"), part(0, None, 1 << 20));
    let all = all.await.unwrap();
    assert_eq!((all.entries.len(), all.after, all.last), (6, 0, 8));
    assert_eq!(all.entries[0].by, Some(UserId::new("ann")), "it is at rest");
    assert_eq!(
        all.entries[3].html.as_deref(),
        Some("<p>It is <strong>noon</strong>.</p>\n")
    );
    end(scene).await;
}

#[tokio::test(start_paused = true)]
async fn pages_of_any_size_go_back_to_the_beginning_without_a_gap_or_a_message_twice() {
    let (scene, store, said) = store().await;
    for number in 0..20 {
        let rest = if number % 5 == 0 {
            with_a_tool()
        } else {
            vec![Message::assistant(ANSWER)]
        };
        turn(&store, "c", &format!("t{number}"), rest).await;
    }
    let whole = said.messages(ConversationId::new("c"), part(0, None, 1 << 20));
    let whole = whole.await.unwrap().entries;
    assert_eq!(whole.len(), 40);
    for bytes in [1, 10, 25, 100, 10_000] {
        let (mut found, mut before) = (Vec::new(), None);
        loop {
            let page = said.messages(ConversationId::new("c"), part(0, before, bytes));
            let page = page.await.unwrap();
            found.splice(0..0, page.entries);
            if page.after == 0 {
                break;
            }
            assert!(
                before.is_none_or(|before| page.after + 1 < before),
                "it goes on"
            );
            before = Some(page.after + 1);
        }
        assert_eq!(found, whole, "{bytes}");
    }
    let behind = said.messages(
        ConversationId::new("c"),
        part(whole[30].number, None, 1 << 20),
    );
    let behind = behind.await.unwrap();
    assert_eq!(behind.entries, whole[31..]);
    assert_eq!(behind.after, whole[30].number);
    assert_eq!(behind.last, whole[39].number);
    let nowhere = said.messages(ConversationId::new("nowhere"), part(3, None, 100));
    let nowhere = nowhere.await.unwrap();
    assert_eq!(
        (nowhere.entries.len(), nowhere.after, nowhere.last),
        (0, 3, 0)
    );
    end(scene).await;
}

#[tokio::test(start_paused = true)]
async fn a_long_text_is_rendered_once_and_a_very_long_one_is_shown_as_it_is() {
    let (scene, store, said) = store().await;
    let long = "**word** ".repeat(10_000);
    turn(&store, "c", "t1", vec![Message::assistant(&long)]).await;
    turn(
        &store,
        "c",
        "t2",
        vec![Message::assistant("x".repeat(300_000))],
    )
    .await;
    let read = || said.messages(ConversationId::new("c"), part(0, None, 1 << 20));
    let (first, second) = (read().await.unwrap(), read().await.unwrap());
    let html = |said: &connection::Said| said.entries[1].html.clone().unwrap();
    assert!(html(&first).contains("<strong>word</strong>"));
    assert!(Arc::ptr_eq(&html(&first), &html(&second)), "it is kept");
    assert_eq!(first.entries[3].html, None);
    assert_eq!(first.entries[3].text.len(), 300_000);
    end(scene).await;
}

#[tokio::test(start_paused = true)]
async fn the_list_has_what_was_written_before_it_was_asked_for_however_many_ask() {
    let (scene, store, said) = store().await;
    for number in 0..3 {
        let of = format!("c{number}");
        turn(&store, &of, &of, vec![Message::assistant(ANSWER)]).await;
        let asked = (0..100).map(|_| said.conversations());
        for list in futures_util::future::join_all(asked).await {
            let list = list.unwrap();
            assert_eq!(list.len(), number + 1);
            assert!(list.iter().any(|line| line.conversation == of));
            assert_eq!((list[0].title.as_str(), list[0].messages), ("why?", 2));
            assert_eq!(list[0].changed_ms, 8);
        }
    }
    end(scene).await;
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_gone_or_does_not_answer_is_an_error_in_words() {
    let (scene, _, said) = store().await;
    end(scene).await;
    let (spec, never_started) =
        conversation_store::child(opened(None).await, None, Arc::new(CoarseClock::default()));
    for (said, word, seconds) in [
        (said, "not available", 0),
        (Said::new(never_started), "within 10s", 10),
    ] {
        let begun = Instant::now();
        let error = said.conversations().await.unwrap_err();
        assert!(error.contains(word), "{error}");
        assert_eq!(begun.elapsed().as_secs(), seconds);
        let page = said.messages(ConversationId::new("c"), part(0, None, 100));
        assert!(page.await.unwrap_err().contains(word));
        assert!(ended(&said, "t").await.unwrap_err().contains(word));
        assert!(said.begun(asked("t")).await.unwrap_err().contains(word));
        assert_eq!(begun.elapsed().as_secs(), 4 * seconds);
    }
    drop(spec);
}
