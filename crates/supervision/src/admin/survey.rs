//! What a supervisor says when it is asked for the tree: of itself, of its children, and where to ask on.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;

use super::{ChildInfo, Command, Control};
use crate::policy::{Restart, Strategy};

/// One supervisor's part of the tree.
pub(crate) struct Survey {
    /// Which of its lives answers.
    pub(crate) incarnation: u64,
    /// How long all children of its spec have been started.
    pub(crate) uptime: Option<Duration>,
    /// In start order, with the place of each that is a supervisor itself.
    pub(crate) children: Vec<(ChildInfo, Option<Arc<Control>>)>,
}

impl Control {
    pub(crate) fn id(&self) -> &str {
        self.id.as_str()
    }

    /// True while a life of the supervisor takes commands.
    pub(crate) fn lives(&self) -> bool {
        let inner = self.lock();
        inner.sender.is_some() && inner.receiver.is_none()
    }

    /// Asks for the tree without waiting for room: a full queue is an answer, too.
    pub(crate) fn survey(&self, reply: oneshot::Sender<Survey>) -> bool {
        let sender = self.lock().sender.clone();
        sender.is_some_and(|sender| sender.try_send(Command::Survey { reply }).is_ok())
    }

    /// The strategy, once it is settled.
    pub(crate) fn runs(&self, strategy: Strategy) {
        self.strategy.get_or_init(|| strategy);
    }

    pub(crate) fn strategy(&self) -> Option<Strategy> {
        self.strategy.get().copied()
    }

    /// How the supervisor above restarts this one.
    pub(crate) fn restarted(&self, restart: Restart) {
        self.restart.get_or_init(|| restart);
    }

    /// Nobody starts the top of a tree again.
    pub(crate) fn restart(&self) -> Restart {
        self.restart.get().copied().unwrap_or(Restart::Temporary)
    }
}
