//! Acts on actors: stopped, started, both; and the listeners together.

use supervision::{ChildState, RestartChildError, Started, TerminateChildError, TopologyNode};

use super::parts::{find, is_below};
use super::{Desk, done, would};
use crate::protocol::act::Acted;
use crate::protocol::rpc::{Code, RpcError};
use crate::server::CHILD_ID;

/// What is to become of an actor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wish {
    Restart,
    Stop,
    Start,
}

impl Desk {
    pub(super) async fn restart(&self, actor: &str, dry_run: bool) -> Result<Acted, RpcError> {
        let topology = self.topology().await;
        let node = find(&topology, actor)?;
        let path = self.reachable(node, Wish::Restart)?;
        let queued = node.info.depth;
        if dry_run {
            let below = match topology.nodes().filter(|n| is_below(n, &path)).count() {
                0 => String::new(),
                below => format!(" with the {below} below it"),
            };
            let what = format!(
                "would stop {path}{below}, where {queued} messages wait, and start it again"
            );
            return Ok(would(what));
        }
        self.terminate(node).await?;
        self.begin(node).await?;
        Ok(done(format!("{path} was stopped and started again")))
    }

    pub(super) async fn stop(&self, actor: &str, dry_run: bool) -> Result<Acted, RpcError> {
        let topology = self.topology().await;
        let node = find(&topology, actor)?;
        let path = self.reachable(node, Wish::Stop)?;
        if node.info.state == ChildState::Down {
            let what = format!("actor = {path} is down already");
            return Err(RpcError::new(Code::Refused, what));
        }
        if dry_run {
            return Ok(would(format!("would stop {path}, until it is started")));
        }
        self.terminate(node).await?;
        Ok(done(format!("{path} is stopped until it is started")))
    }

    pub(super) async fn start(&self, actor: &str, dry_run: bool) -> Result<Acted, RpcError> {
        let topology = self.topology().await;
        let node = find(&topology, actor)?;
        let path = self.reachable(node, Wish::Start)?;
        if node.info.state != ChildState::Down {
            let health = node.info.health;
            let what = format!("actor = {path} is {health}, not down: there is nothing to start");
            return Err(RpcError::new(Code::Refused, what));
        }
        if dry_run {
            return Ok(would(format!("would start {path}")));
        }
        let started = self.begin(node).await?;
        Ok(done(match started {
            Started::Running => format!("{path} is up"),
            Started::Ignored => format!("{path} decided that it is not wanted"),
        }))
    }

    pub(super) async fn drain(&self, dry_run: bool) -> Result<Acted, RpcError> {
        let children = self.deps.tree.which_children().await;
        let up = children.into_iter().filter(|child| {
            self.deps.listeners.contains(&child.id) && child.state != ChildState::Down
        });
        let up: Vec<_> = up.collect();
        let names: Vec<&str> = up.iter().map(|child| child.child.as_str()).collect();
        let names = names.join(", ");
        if up.is_empty() {
            let what = "no listener is up: nothing is taken already";
            return Err(RpcError::new(Code::Refused, what));
        }
        if dry_run {
            return Ok(would(format!("would stop {names}")));
        }
        for child in &up {
            let ended = self.deps.tree.terminate_child(&child.id).await;
            ended.map_err(|error| not_stopped(&error))?;
        }
        Ok(done(format!(
            "{names} is stopped: nothing new is taken; `start` takes that back"
        )))
    }

    /// The path, if this may be done to it.
    fn reachable(&self, node: &TopologyNode, wish: Wish) -> Result<String, RpcError> {
        let path = node.info.child.to_string();
        let refuse = |what: String| Err(RpcError::new(Code::Refused, what));
        let own = self.deps.tree.child();
        if node.info.child == *own {
            return refuse(format!("actor = {path} is the root: use shutdown"));
        }
        if node.info.child == own.join(&CHILD_ID.into()) && wish != Wish::Start {
            return refuse(format!(
                "actor = {path} is who answers you: it cannot end itself and tell; use shutdown"
            ));
        }
        if own.join(&node.info.id) != node.info.child {
            return refuse(format!(
                "actor = {path} is no child of the root: act on the supervisor that it belongs to"
            ));
        }
        Ok(path)
    }

    async fn terminate(&self, node: &TopologyNode) -> Result<(), RpcError> {
        let ended = self.deps.tree.terminate_child(&node.info.id).await;
        ended.map_err(|error| not_stopped(&error))
    }

    async fn begin(&self, node: &TopologyNode) -> Result<Started, RpcError> {
        let started = self.deps.tree.restart_child(&node.info.id).await;
        started.map_err(|error| {
            let code = match error {
                RestartChildError::NotFound { .. } => Code::NotFound,
                RestartChildError::Failed(_) | RestartChildError::Down { .. } => Code::Unavailable,
                _ => Code::Refused,
            };
            RpcError::new(code, error)
        })
    }
}

fn not_stopped(error: &TerminateChildError) -> RpcError {
    let code = match error {
        TerminateChildError::NotFound { .. } => Code::NotFound,
        TerminateChildError::Down { .. } => Code::Unavailable,
    };
    RpcError::new(code, error)
}
