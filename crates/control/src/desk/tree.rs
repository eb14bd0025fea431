//! Acts on actors, each an order to its supervisor.

use std::time::Duration;

use model_host::LANE_SUPERVISOR_ID;
use supervision::{
    Administration, Affected, ChildInfo, ChildState, Fate, Impact, Intervention, Started,
};

use super::parts::find;
use super::{Desk, LOOK, Who, done, would};
use crate::convert::{load, refused};
use crate::protocol::act::Acted;
use crate::protocol::events::is_under;
use crate::protocol::rpc::{Code, RpcError};
use crate::server::CHILD_ID;

/// How long an order may take: an actor may finish its message, stop and start for half a minute each.
const ORDER: Duration = Duration::from_secs(90);

/// Who takes requests, as the tree calls it.
const GATEWAY: &str = "gateway";

/// Who is meant by an order, and whom it would concern.
struct Target {
    path: String,
    info: ChildInfo,
    impact: Impact,
}

impl Target {
    fn refuse<T>(&self, what: &str) -> Result<T, RpcError> {
        let path = &self.path;
        Err(RpcError::new(
            Code::Refused,
            format!("actor = {path} {what}"),
        ))
    }

    /// ` with root/b, root/c`: who else is stopped and started, or stopped.
    fn company(&self) -> String {
        let others = self.impact.affected.iter();
        let others: Vec<&str> = others
            .filter(|one| one.child != self.info.child)
            .map(|one| one.child.as_str())
            .collect();
        match others.as_slice() {
            [] => String::new(),
            some => format!(", with {}", some.join(", ")),
        }
    }
}

impl Desk {
    pub(super) fn orders(&self, who: &Who) -> Administration {
        self.deps.tree.administration().on_behalf_of(&who.0)
    }

    pub(super) async fn restart(
        &self,
        actor: &str,
        dry_run: bool,
        who: &Who,
    ) -> Result<Acted, RpcError> {
        let target = self.target(actor, Intervention::Restart).await?;
        let (path, with) = (&target.path, target.company());
        let answers = self.answers_ended(path).await;
        if dry_run {
            let queued = target.info.depth;
            let ended = ended(&target.impact.affected);
            return Ok(would(format!(
                "would stop {path}{with}, and start it again; {queued} messages wait, and are kept{ended}{answers}"
            )));
        }
        let started = self.orders(who).restart(path, ORDER).await;
        Ok(match started.map_err(|error| refused(&error))? {
            Started::Running => done(format!(
                "{path}{with} was stopped and started again{answers}"
            )),
            Started::Ignored => done(format!("{path} decided that it is not wanted any more")),
        })
    }

    pub(super) async fn stop(
        &self,
        actor: &str,
        dry_run: bool,
        who: &Who,
    ) -> Result<Acted, RpcError> {
        let target = self.target(actor, Intervention::Stop).await?;
        let (path, with) = (&target.path, target.company());
        if target.info.state == ChildState::Down {
            return target.refuse("is down already");
        }
        let answers = self.answers_ended(path).await;
        if dry_run {
            let queued = target.info.depth;
            return Ok(would(format!(
                "would stop {path}{with}, until it is started; {queued} messages wait, and would be handled first{answers}"
            )));
        }
        let stopped = self.orders(who).stop(path, ORDER).await;
        stopped.map_err(|error| refused(&error))?;
        Ok(done(format!(
            "{path}{with} is stopped until it is started{answers}"
        )))
    }

    pub(super) async fn start(
        &self,
        actor: &str,
        dry_run: bool,
        who: &Who,
    ) -> Result<Acted, RpcError> {
        let target = self.target(actor, Intervention::Start).await?;
        let path = &target.path;
        if target.info.state != ChildState::Down {
            let health = target.info.health;
            return target.refuse(&format!("is {health}, not down: there is nothing to start"));
        }
        if dry_run {
            return Ok(would(format!("would start {path}")));
        }
        let started = self.orders(who).start(path, ORDER).await;
        Ok(done(match started.map_err(|error| refused(&error))? {
            Started::Running => format!("{path} is up"),
            Started::Ignored => format!("{path} decided that it is not wanted"),
        }))
    }

    pub(super) async fn kill(
        &self,
        actor: &str,
        dry_run: bool,
        who: &Who,
    ) -> Result<Acted, RpcError> {
        let target = self.target(actor, Intervention::Kill).await?;
        let (path, with) = (&target.path, target.company());
        let hand = match &target.info.current {
            Some((message, _)) => format!("{message} would be lost"),
            None => "no message is in hand".to_owned(),
        };
        if dry_run {
            return Ok(would(format!(
                "would kill {path} as a crash would{with}; {hand}"
            )));
        }
        let killed = self.orders(who).kill(path, ORDER).await;
        killed.map_err(|error| refused(&error))?;
        Ok(done(format!(
            "{path} was killed; `why` tells what followed"
        )))
    }

    /// Pauses, or resumes.
    pub(super) async fn hold(
        &self,
        actor: &str,
        paused: bool,
        dry_run: bool,
        who: &Who,
    ) -> Result<Acted, RpcError> {
        let what = if paused {
            Intervention::Pause
        } else {
            Intervention::Resume
        };
        let target = self.target(actor, what).await?;
        let (path, queued) = (&target.path, target.info.depth);
        if target.info.capacity == 0 {
            return target.refuse("has no queue, so there is nothing to pause: name an actor");
        }
        if target.info.paused == paused {
            let how = if paused {
                "paused already"
            } else {
                "not paused"
            };
            return target.refuse(&format!("is {how}"));
        }
        let orders = self.orders(who);
        let (order, what) = if paused {
            ("pause", format!("until it is resumed; {queued} wait now"))
        } else {
            ("resume", format!("{queued} messages have waited"))
        };
        if dry_run {
            return Ok(would(format!("would {order} {path}: {what}")));
        }
        let ordered = if paused {
            orders.pause(path, ORDER).await
        } else {
            orders.resume(path, ORDER).await
        };
        ordered.map_err(|error| refused(&error))?;
        Ok(done(format!("{path} {order}d: {what}")))
    }

    /// The answers under way that end with this actor, if any do: those that it carries itself. A crash of a lane, or an order to
    /// the model host, ends none.
    async fn answers_ended(&self, path: &str) -> String {
        let own = |id: &str| self.deps.tree.child().join(&id.into());
        let lanes = own(LANE_SUPERVISOR_ID);
        let under_way = if path == own(GATEWAY).as_str() {
            self.deps.edge.as_ref().map_or(0, |edge| edge.under_way())
        } else if is_under(path, lanes.as_str()) {
            let asked = self.deps.models.ask(model_host::Status, LOOK).await;
            asked.map_or(0, |status| load(&status).answering)
        } else {
            0
        };
        match under_way {
            0 => String::new(),
            1 => "; 1 answer under way may end with it".to_owned(),
            many => format!("; up to {many} answers under way end with it"),
        }
    }

    /// Who is meant, if this may be done to them.
    async fn target(&self, actor: &str, what: Intervention) -> Result<Target, RpcError> {
        let topology = self.topology().await;
        let info = find(&topology, actor)?.info.clone();
        let path = info.child.to_string();
        let own = self.deps.tree.child();
        if info.child == *own {
            let what = format!("actor = {path} is the root: use shutdown");
            return Err(RpcError::new(Code::Refused, what));
        }
        let orders = self.deps.tree.administration();
        let impact = orders.impact(&path, what.clone(), LOOK).await;
        let target = Target {
            path,
            info,
            impact: impact.map_err(|error| refused(&error))?,
        };
        let us = own.join(&CHILD_ID.into());
        let harmless = what == Intervention::Start;
        if !harmless && target.impact.affected.iter().any(|one| one.child == us) {
            return target.refuse(
                "is who answers you, or would take that with it: it cannot end itself and tell; use shutdown",
            );
        }
        Ok(target)
    }
}

/// `; root/a/1 ends`: children that are not started again.
fn ended(affected: &[Affected]) -> String {
    let ends = affected.iter().filter(|one| one.fate == Fate::Ended);
    let ends: Vec<&str> = ends.map(|one| one.child.as_str()).collect();
    match ends.as_slice() {
        [] => String::new(),
        some => format!("; not started again: {}", some.join(", ")),
    }
}
