//! Answers that are ended by name: those of the server for requests, by their request's name or their own; those that only
//! the model host knows; and turns of conversations.
//!
//! Invariant: a name that several bear means all of them, whoever's they are: who may operate the host may end anything.

use domain::{ConversationId, GenerationError, RequestId};
use futures_util::future::join_all;

use super::{ACT, Desk, LOOK, done, silent, would};
use crate::convert;
use crate::edge::Called;
use crate::protocol::act::Acted;
use crate::protocol::rpc::{Code, RpcError};

/// Answers that a sentence lists: a client may give one name to all of its requests.
const LISTED: usize = 8;

impl Desk {
    pub(super) async fn cancel(&self, id: &str, dry_run: bool) -> Result<Acted, RpcError> {
        if dry_run {
            return self.would_cancel(id).await;
        }
        let edge = self.deps.edge.as_ref();
        let ended = edge.map(|edge| edge.cancel(id)).unwrap_or_default();
        let request = RequestId::new(id);
        if ended.is_empty() {
            let found = self.end(request.clone(), ACT).await?;
            if found || self.cancel_turn(&request).await? {
                return Ok(done(format!("{id} is ended")));
            }
            return Err(unknown(id));
        }
        // Their streams end by themselves once they are polled; a client that reads nothing polls nothing, and the model
        // must stop. Beside them, somebody in this process may have taken the same name.
        let mut told: Vec<RequestId> = ended.iter().map(|one| one.answer.clone()).collect();
        if !told.contains(&request) {
            told.push(request);
        }
        let told = told.into_iter().map(|id| self.end(id, LOOK));
        for error in join_all(told).await.into_iter().filter_map(Result::err) {
            tracing::debug!(%error, "the model host did not hear of a cancelled answer");
        }
        Ok(done(format!("ended: {}", listed(&ended))))
    }

    /// Whether the model host had it.
    async fn end(&self, id: RequestId, within: std::time::Duration) -> Result<bool, RpcError> {
        let found = self.deps.models.ask(model_host::Cancel { id }, within);
        found.await.map_err(|error| silent(&error))
    }

    async fn would_cancel(&self, id: &str) -> Result<Acted, RpcError> {
        let edge = self.deps.edge.as_ref();
        let called = edge.map(|edge| edge.called(id)).unwrap_or_default();
        if !called.is_empty() {
            return Ok(would(format!("would end {}", listed(&called))));
        }
        let status = self.deps.models.ask(model_host::Status, LOOK).await;
        let status = status.map_err(|error| silent(&error))?;
        let mut requests = status.models.iter().flat_map(|model| &model.requests);
        if requests.any(|one| one.id.as_str() == id) {
            return Ok(would(format!("would end {id}")));
        }
        if let Some(conversation) = self.with_worker(id).await {
            let what = format!("would end {id}, if that is a turn of {conversation} under way");
            return Ok(would(what));
        }
        Err(unknown(id))
    }

    /// A turn's name begins with its conversation's. One without an actor has no turn.
    async fn with_worker(&self, turn: &str) -> Option<ConversationId> {
        let (conversation, _) = turn.split_once("/turn-")?;
        let worker = format!("/agent_worker-{conversation}");
        let topology = self.topology().await;
        let mut nodes = topology.nodes();
        let has_one = nodes.any(|node| node.info.child.as_str().ends_with(&worker));
        has_one.then(|| ConversationId::new(conversation))
    }

    async fn cancel_turn(&self, id: &RequestId) -> Result<bool, RpcError> {
        let Some(conversation) = self.with_worker(id.as_str()).await else {
            return Ok(false);
        };
        let cancelled = self.deps.agents.cancel(&conversation, id).await;
        cancelled.map_err(|error: GenerationError| convert::refusal(&error))
    }
}

fn listed(all: &[Called]) -> String {
    let first: Vec<String> = all.iter().take(LISTED).map(Called::to_string).collect();
    let first = first.join(", ");
    match all.len().saturating_sub(LISTED) {
        0 => first,
        more => format!("{first}, and {more} more"),
    }
}

fn unknown(id: &str) -> RpcError {
    let what = format!(
        "id = {id} is nothing that waits or runs: it may have ended. An answer is called as its response's x-request-id or its \
         own id says: `paraphym top` and `paraphym ctl connections` list them"
    );
    RpcError::new(Code::NotFound, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sentence_lists_a_few_and_counts_the_others() {
        let called = |n: usize| Called {
            answer: RequestId::new(format!("chatcmpl-{n}")),
            request: RequestId::new("r"),
            owner: (n == 0).then(|| "ann".to_owned()),
        };
        let all: Vec<Called> = (0..10).map(called).collect();
        assert_eq!(
            listed(&all[..2]),
            "chatcmpl-0 (request r, token ann), chatcmpl-1 (request r)"
        );
        let some = listed(&all);
        assert!(
            some.ends_with("chatcmpl-7 (request r), and 2 more"),
            "{some}"
        );
    }
}
