//! A small tree around the store, for behaviour tests.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test may stop at the first surprise, and each test file uses a part"
)]

use std::sync::Arc;

use domain::{ConversationId, Message, RequestId};
use paraphym_conversation_store as conversation_store;

use conversation_store::messages::{Appended, BeginTurn, EndTurn, TurnState};
use conversation_store::{Archive, ConversationStore, StoreConfig, StoreError, client};
use runtime::CoarseClock;
use supervision::{Handle, SupervisorSpec};
use testkit::scene::Scene;

pub(crate) const NOW: i64 = 1_700_000_000_000;

pub(crate) struct Stage {
    pub(crate) scene: Scene,
    pub(crate) store: Handle<ConversationStore>,
}

pub(crate) async fn start(config: &StoreConfig) -> Stage {
    start_with(Archive::open(config, NOW).unwrap()).await
}

pub(crate) async fn start_with(archive: Archive) -> Stage {
    let (spec, store) = conversation_store::child(archive, None, Arc::new(CoarseClock::default()));
    let tree = SupervisorSpec::new("root").child(spec);
    let scene = Scene::start(tree).await.unwrap();
    Stage { scene, store }
}

pub(crate) fn conversation(name: &str) -> ConversationId {
    ConversationId::new(name)
}

pub(crate) fn begin(name: &str, turn: &str, said: &str) -> BeginTurn {
    BeginTurn {
        conversation: conversation(name),
        turn: RequestId::new(turn),
        user: Message::user(said),
        now_ms: NOW,
    }
}

pub(crate) fn end(turn: &str, messages: Vec<Message>) -> EndTurn {
    EndTurn {
        turn: RequestId::new(turn),
        state: TurnState::Done,
        messages,
        now_ms: NOW + 1,
    }
}

impl Stage {
    /// A whole turn: what was said, and the answer.
    pub(crate) async fn say(
        &self,
        name: &str,
        turn: &str,
        said: &str,
        answer: &str,
    ) -> Result<Appended, StoreError> {
        client::ask(&self.store, begin(name, turn, said)).await?;
        let messages = vec![Message::user(said), Message::assistant(answer)];
        client::ask(&self.store, end(turn, messages)).await
    }
}
