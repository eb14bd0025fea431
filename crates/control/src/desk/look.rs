//! Looking: the host at a glance, the tree, one actor, the models, the conversations, the audit log.

use conversation_store::client;
use conversation_store::messages::{LISTED, ListConversations, ReadControlLog};
use supervision::{ChildInfo, DownReason, Topology};

use super::parts::{find, is_below};
use super::present::Present;
use super::{Desk, LOOK, silent};
use crate::convert;
use crate::protocol::events::{Events, Filter, Past};
use crate::protocol::look::{
    Audit, AuditAnswer, AuditedAct, Conversations, ConversationsAnswer, HostAnswer, InspectAnswer,
    Kept, Lease, Live, PsAnswer, TreeAnswer,
};
use crate::protocol::rpc::{Code, RpcError};
use crate::session::check;

/// Events that belong to the picture of one actor.
const LATELY: usize = 20;
/// Where the workers of conversations are.
const WORKERS: &str = "root/agent_supervisor/agent_worker-";

impl Desk {
    pub(super) async fn status(&self) -> HostAnswer {
        let Present {
            topology,
            memory,
            models,
            threads,
            silent,
            ..
        } = self.present().await;
        HostAnswer {
            version: self.version.clone(),
            pid: std::process::id(),
            uptime_ms: convert::ms(self.began.elapsed()),
            actors: topology.nodes().count(),
            unwell: topology.unhealthy().map(convert::actor).collect(),
            stopped: paths(&topology, |one| one.down == Some(DownReason::Stopped)),
            paused: paths(&topology, |one| one.paused),
            ending: self.deps.ending.borrow().as_ref().map(|at| at.phase),
            memory: memory.as_ref().map(convert::memory),
            models: models.as_ref().map(convert::load),
            threads,
            silent,
        }
    }

    pub(super) async fn tree(&self) -> TreeAnswer {
        TreeAnswer {
            actors: convert::actors(&self.topology().await),
        }
    }

    pub(super) async fn inspect(&self, actor: &str) -> Result<InspectAnswer, RpcError> {
        let topology = self.topology().await;
        let node = find(&topology, actor)?;
        let path = node.info.child.to_string();
        let mut spec = None;
        if path.matches('/').count() == 1 {
            let found = self.deps.tree.get_childspec(&node.info.id).await;
            spec = found.ok().as_ref().map(convert::spec);
        }
        let held = self.deps.governor.ask(memory_governor::Status, LOOK).await;
        let leases = held.map(|status| status.leases).unwrap_or_default();
        let name = node.info.id.as_str();
        let own = leases.into_iter().filter(|lease| {
            let rest = lease.owner.strip_prefix(name);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(':'))
        });
        let filter = Filter {
            actor: Some(path.clone()),
            ..Filter::default()
        };
        let events = self.recorder().past(&filter, LATELY, self.moment()).events;
        let below = topology.nodes().filter(|other| is_below(other, &path));
        Ok(InspectAnswer {
            actor: convert::actor(node),
            spec,
            below: below.count(),
            leases: own
                .map(|lease| Lease {
                    purpose: lease.purpose,
                    bytes: lease.bytes.0,
                })
                .collect(),
            events,
        })
    }

    pub(super) async fn ps(&self) -> Result<PsAnswer, RpcError> {
        let status = self.deps.models.ask(model_host::Status, LOOK).await;
        let status = status.map_err(|error| silent(&error))?;
        let held = self.deps.governor.ask(memory_governor::Status, LOOK).await;
        let leases = held.map(|status| status.leases).unwrap_or_default();
        let of = |name: &str| {
            let owner = format!("model_host: {name}");
            leases.iter().filter(|lease| lease.owner == owner).count()
        };
        let models = status.models.iter();
        Ok(PsAnswer {
            models: models
                .map(|one| convert::model(one, of(one.name.as_str())))
                .collect(),
        })
    }

    pub(super) fn events(&self, wish: &Events) -> Result<Past, RpcError> {
        check(&wish.filter)?;
        let limit = wish.limit.unwrap_or(100);
        Ok(self.recorder().past(&wish.filter, limit, self.moment()))
    }

    pub(super) async fn conversations(
        &self,
        wish: Conversations,
    ) -> Result<ConversationsAnswer, RpcError> {
        let list = ListConversations {
            limit: within("limit", wish.limit.unwrap_or(100), LISTED)?,
            before: None,
        };
        let kept = client::ask(&self.deps.conversations, list).await;
        let kept = kept.map_err(|error| RpcError::new(Code::Unavailable, error))?;
        let topology = self.topology().await;
        let live = topology.nodes().filter_map(|node| {
            let name = node.info.child.as_str().strip_prefix(WORKERS)?;
            Some(Live {
                conversation: name.to_owned(),
                actor: convert::actor(node),
            })
        });
        Ok(ConversationsAnswer {
            live: live.collect(),
            kept: kept
                .conversations
                .into_iter()
                .map(|one| Kept {
                    conversation: one.conversation.to_string(),
                    title: one.title,
                    messages: one.messages,
                    updated_ms: one.updated_ms,
                })
                .collect(),
        })
    }

    pub(super) async fn audit(&self, wish: Audit) -> Result<AuditAnswer, RpcError> {
        let read = ReadControlLog {
            limit: within("limit", wish.limit.unwrap_or(50), LISTED)?,
            before: None,
        };
        let acts = client::ask(&self.deps.conversations, read).await;
        let acts = acts.map_err(|error| RpcError::new(Code::Unavailable, error))?;
        Ok(AuditAnswer {
            acts: acts
                .into_iter()
                .map(|act| AuditedAct {
                    number: act.number,
                    at_ms: act.at_ms,
                    who: act.actor,
                    action: act.action,
                    detail: act.detail,
                })
                .collect(),
        })
    }
}

pub(super) fn within(field: &str, value: usize, most: usize) -> Result<usize, RpcError> {
    if (1..=most).contains(&value) {
        return Ok(value);
    }
    let what = format!("{field} = {value} is not accepted: use a whole number from 1 to {most}");
    Err(RpcError::new(Code::Params, what))
}

fn paths(topology: &Topology, which: impl Fn(&ChildInfo) -> bool) -> Vec<String> {
    let nodes = topology.nodes().map(|node| &node.info);
    let meant = nodes.filter(|info| which(info));
    meant.map(|info| info.child.to_string()).collect()
}
