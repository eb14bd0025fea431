//! Why: a server is ready where a request would be answered. What an answer needs beside the model host: the store is open,
//! leases are given, lanes can be started.
//!
//! Invariant: supervisors are asked first, so that nothing is put in the queue of a part that takes nothing out.

use std::sync::Arc;
use std::time::Duration;

use conversation_store::ConversationStore;
use conversation_store::messages::ReadControlLog;
use futures_util::FutureExt;
use gateway::Check;
use memory_governor::{MemoryGovernor, Status};
use model_host::LANE_SUPERVISOR_ID;
use supervision::{ChildInfo, Handle, Health, SupervisorHandle};

/// How long a part may take to answer. The probe itself waits for less.
const ANSWER: Duration = Duration::from_secs(5);

/// All that readiness asks about; `root` is the supervisor of the parts.
pub(crate) fn all(
    root: &SupervisorHandle,
    store: &Handle<ConversationStore>,
    governor: &Handle<MemoryGovernor>,
) -> Vec<Check> {
    vec![
        store_is_open(store.clone()),
        governor_answers(root.clone(), governor.clone()),
        lanes_can_start(root.clone()),
    ]
}

/// The smallest question that goes all the way to the file and back.
fn store_is_open(store: Handle<ConversationStore>) -> Check {
    let ask = move || {
        let store = store.clone();
        async move {
            let (limit, before) = (1, None);
            let asked = store.ask(ReadControlLog { limit, before }, ANSWER).await;
            asked.map(drop).map_err(|error| error.to_string())
        }
        .boxed()
    };
    Check {
        part: "store",
        ask: Arc::new(ask),
    }
}

/// Without it no answer gets the memory it needs.
fn governor_answers(root: SupervisorHandle, governor: Handle<MemoryGovernor>) -> Check {
    let ask = move || {
        let (root, governor) = (root.clone(), governor.clone());
        async move {
            is_up(&root, memory_governor::CHILD_ID).await?;
            let asked = governor.ask(Status, ANSWER).await;
            asked.map(drop).map_err(|error| error.to_string())
        }
        .boxed()
    };
    Check {
        part: memory_governor::CHILD_ID,
        ask: Arc::new(ask),
    }
}

/// Without it no model is loaded, and those that were are gone.
fn lanes_can_start(root: SupervisorHandle) -> Check {
    let ask = move || {
        let root = root.clone();
        async move { is_up(&root, LANE_SUPERVISOR_ID).await }.boxed()
    };
    Check {
        part: LANE_SUPERVISOR_ID,
        ask: Arc::new(ask),
    }
}

/// Whether that child handles what it is sent, or why not and what to do.
async fn is_up(root: &SupervisorHandle, id: &str) -> Result<(), String> {
    let children = root.which_children().await;
    match children.iter().find(|one| one.id.as_str() == id) {
        Some(child) => hindrance(child).map_or(Ok(()), Err),
        None => Err("it is not in the tree".to_owned()),
    }
}

fn hindrance(child: &ChildInfo) -> Option<String> {
    let id = &child.id;
    match child.health {
        Health::Down => Some(format!("it is down: `paraphym ctl start {id}`")),
        _ if child.paused => Some(format!("it is paused: `paraphym ctl resume {id}`")),
        Health::Up => None,
        Health::Stuck => Some(format!(
            "it is stuck in one message: `paraphym ctl kill {id}`"
        )),
        Health::BackingOff | Health::Starting => {
            Some("it is being started again: try again in a second".to_owned())
        }
        Health::Draining => Some("it is being stopped".to_owned()),
    }
}
