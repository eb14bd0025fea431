//! The audit log: who asked for what is written down before it is done, and what came of it after.
//!
//! Invariant: nothing of the level admin is done that is not written down. Below that a broken store keeps nobody from mending
//! the host; the answer says that it is not in the log.

use std::sync::PoisonError;
use std::time::Duration;

use conversation_store::StoreError;
use conversation_store::messages::LogControl;
use serde_json::json;
use supervision::AskError;
use tokio::time::Instant;

use super::{Desk, Who};
use crate::convert::unix_ms;
use crate::protocol::rpc::{Code, RpcError};
use crate::protocol::table::Call;
use crate::session::Denied;

/// How long the store is waited for.
const PATIENCE: Duration = Duration::from_secs(2);
/// The longest detail of an entry, in bytes: more than a person reads, far less than the store takes.
const DETAIL: usize = 4096;

/// Why an entry is not known to be in the log.
pub(crate) type Unwritten = AskError<StoreError>;

impl Desk {
    /// Back when it is on the disk.
    pub(crate) async fn write_down(
        &self,
        who: &Who,
        action: &str,
        detail: String,
    ) -> Result<(), Unwritten> {
        let cut = detail.floor_char_boundary(DETAIL);
        let entry = LogControl {
            actor: who.0.clone(),
            action: action.to_owned(),
            detail: detail.get(..cut).unwrap_or_default().to_owned(),
            now_ms: unix_ms((self.deps.clock)()),
        };
        let written = self.deps.conversations.ask(entry, PATIENCE).await;
        if let Err(error) = &written {
            let error = words(error);
            tracing::warn!(error, who = who.0, action, detail, "not in the audit log");
        }
        written
    }

    /// What is to be written down of a call that was refused for its level: action and detail. None where there were too many
    /// of late.
    pub(crate) fn denied(&self, denied: &Denied) -> Option<(String, String)> {
        let denials = self.denials.lock();
        let mut denials = denials.unwrap_or_else(PoisonError::into_inner);
        let silent = denials.one(Instant::now())?;
        let mut detail = json!({"refused": denied.why});
        if let (Some(detail), 1..) = (detail.as_object_mut(), silent) {
            detail.insert("refused_since_the_last_entry".to_owned(), silent.into());
        }
        Some((format!("control.{}", denied.method), detail.to_string()))
    }
}

/// A call of the level admin is refused, because it cannot be written down.
pub(super) fn unwritten(call: &Call, error: &Unwritten) -> RpcError {
    // What the store says itself has its way out.
    let way_out = match error {
        AskError::Handler(_) => "",
        AskError::Down { .. } => ": start conversation_store, which is done without the log",
        AskError::Crashed { .. } | AskError::Timeout { .. } => {
            ": ask again, and look at conversation_store if it stays"
        }
    };
    let mut what = format!(
        "{} is not done, because it cannot be written into the audit log first ({}){way_out}",
        call.name(),
        words(error)
    );
    if matches!(call, Call::Shutdown(_)) {
        let process = std::process::id();
        what = format!("{what}; to end the server all the same, send SIGTERM to process {process}");
    }
    RpcError::new(Code::Unavailable, what)
}

/// What happened, for people.
fn words(error: &Unwritten) -> String {
    match error {
        AskError::Handler(error) => error.to_string(),
        other => other.to_string(),
    }
}
