//! An answer that begins and ends between two looks, one into its room and one at what is written down. On a paused clock.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test may stop at the first surprise"
)]

mod support;

use std::sync::{Arc, Mutex};

use domain::{ConversationId, RequestId};
use futures_util::future::BoxFuture;
use paraphym_connection::wire::room::ConversationLine;
use paraphym_connection::{History, Limits, Part, Said, Seats};
use room::{Entry, Speaker};
use support::{JOIN, Stage};
use testkit::scripted::Answer;
use tokio::sync::Semaphore;

const SAY: &str = r#"{"op":"say","conversation":"c","text":"hi","nonce":"n"}"#;

/// A disk that takes as long as the test wants.
struct Slow {
    written: Mutex<Vec<Entry>>,
    looks: Arc<Semaphore>,
}

struct Shared(Arc<Slow>);

impl History for Shared {
    fn messages(&self, _: ConversationId, part: Part) -> BoxFuture<'static, Result<Said, String>> {
        let me = Arc::clone(&self.0);
        Box::pin(async move {
            me.looks.acquire().await.unwrap().forget();
            let entries = me.written.lock().unwrap().clone();
            Ok(Said {
                last: entries.last().map_or(part.after, |one| one.number),
                entries,
                after: part.after,
            })
        })
    }

    fn conversations(&self) -> BoxFuture<'static, Result<Vec<ConversationLine>, String>> {
        Box::pin(async { Ok(Vec::new()) })
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_told_as_written_is_not_told_again_by_its_events() {
    let disk = Arc::new(Slow {
        written: Mutex::default(),
        looks: Arc::new(Semaphore::new(1)),
    });
    let answer = Answer::Text("Hello dear world".to_owned());
    let history = Arc::new(Shared(disk.clone()));
    let (limits, seats) = (Limits::default(), Seats::default());
    let stage = Stage::over(answer, limits, seats, history, None).await;
    let (mut ann, _) = stage.viewer("ann").await;
    let (mut bob, _) = stage.client("bob").await;
    bob.say(JOIN).await;
    // He sits, and waits for the disk.
    ann.expect("presence").await;
    ann.say(SAY).await;
    let (text, ended) = ann.answer("").await;
    let turn = ended["turn"].as_str().unwrap();
    disk.written.lock().unwrap().push(Entry {
        number: 1,
        speaker: Speaker::Agent,
        by: None,
        nonce: None,
        text: text.into(),
        html: None,
        at_ms: 1,
        turn: Some(RequestId::new(turn)),
    });
    disk.looks.add_permits(1);
    let room = bob.expect("room").await;
    assert_eq!(room["messages"][0]["text"], "Hello dear world");
    assert_eq!(room["turns"], serde_json::json!([]));
    bob.say(&SAY.replace("\"n\"", "\"m\"")).await;
    let next = loop {
        let frame = bob.next().await.unwrap().unwrap();
        match frame["op"].as_str().unwrap() {
            "said" | "typing" | "presence" => {}
            _ => break frame,
        }
    };
    assert_eq!(next["op"], "turn", "{next}");
    assert_ne!(next["turn"]["turn"], turn);
    assert_eq!(bob.answer("").await.0, "Hello dear world");
    drop((ann, bob));
    stage.end().await;
}
