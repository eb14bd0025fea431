//! Shell: what a connection needs of others. What waits for the disk is asked through a trait, so that nothing here knows
//! a store.

use std::sync::Arc;

use agent_worker::TurnSettings;
use domain::{ConversationId, FieldError};
use futures_util::future::BoxFuture;
use room::Rooms;
use supervision::Handle;
use tokio::sync::{Notify, watch};
use typing::Typing;

use crate::said::{Budget, Part, Said};
use crate::session::Limits;
use crate::wire::room::{ConversationLine, TreeNode};

/// What was said, wherever it is kept.
pub trait History: Send + Sync {
    /// The newest of a part of a conversation, without a gap; nothing of one that there is not. An error in words.
    fn messages(
        &self,
        conversation: ConversationId,
        part: Part,
    ) -> BoxFuture<'static, Result<Said, String>>;

    /// The conversations there are, newest first, at most 200; an error in words.
    fn conversations(&self) -> BoxFuture<'static, Result<Vec<ConversationLine>, String>>;
}

/// What a turn is run with, where its asker chose a model or a temperature, or did not.
pub type Settings =
    dyn Fn(Option<&str>, Option<f32>) -> Result<TurnSettings, FieldError> + Send + Sync;

/// The supervision tree as it was last looked at, for those who watch it. Cloning gives another hold on the same.
#[derive(Clone, Debug)]
pub struct TreeFeed {
    shown: watch::Sender<Arc<[TreeNode]>>,
    wanted: Arc<Notify>,
}

impl Default for TreeFeed {
    fn default() -> Self {
        Self {
            shown: watch::Sender::new(Arc::new([])),
            wanted: Arc::default(),
        }
    }
}

impl TreeFeed {
    /// Watches: what was shown last, and whatever is shown from now on.
    pub fn watch(&self) -> watch::Receiver<Arc<[TreeNode]>> {
        let watch = self.shown.subscribe();
        self.wanted.notify_one();
        watch
    }

    /// Waits until somebody watches.
    pub async fn wanted(&self) {
        while self.shown.receiver_count() == 0 {
            self.wanted.notified().await;
        }
    }

    /// Shows it to those who watch, if it is another one.
    pub fn show(&self, nodes: Vec<TreeNode>) {
        self.shown.send_if_modified(|shown| {
            let is_other = **shown != *nodes;
            if is_other {
                *shown = nodes.into();
            }
            is_other
        });
    }
}

/// What every connection of a tree shares.
#[derive(Clone)]
pub struct Deps {
    /// Where conversations are shown.
    pub rooms: Rooms,
    /// Who types.
    pub typing: Handle<Typing>,
    /// What was said. It waits with a deadline of its own.
    pub history: Arc<dyn History>,
    /// What turns are run with.
    pub settings: Arc<Settings>,
    /// The supervision tree as it was last looked at. Nobody looks while nobody watches.
    pub tree: TreeFeed,
    /// The wall clock, in milliseconds since 1970.
    pub clock: Arc<dyn Fn() -> i64 + Send + Sync>,
    /// The bounds of each session.
    pub limits: Limits,
    /// Conversations that one connection may show at once.
    pub joined: usize,
}

impl Deps {
    /// How much goes into one frame.
    pub(crate) fn budget(&self) -> Budget {
        Budget::of(self.limits.waiting_bytes, self.joined)
    }

    /// The newest of what lies between two numbers, as much as goes into one frame.
    pub(crate) fn part(&self, after: u64, before: Option<u64>) -> Part {
        let bytes = self.budget().page.max(1);
        Part {
            after,
            before,
            bytes,
        }
    }
}
