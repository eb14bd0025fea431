//! What a living supervisor shows of its children.

use std::sync::Arc;

use tokio::time::Instant;

use super::{Kept, Supervisor};
use crate::admin::{ChildCounts, ChildInfo, ChildSpecInfo, Control, Survey};
use crate::cell::short_name;
use crate::child::Child;
use crate::exit::ChildState;
use crate::family::Member;
use crate::health::Health;
use crate::names::ChildId;
use crate::policy::{Kind, Policy};

impl Supervisor {
    pub(super) fn list(&self) -> Vec<ChildInfo> {
        let now = Instant::now();
        self.in_order()
            .map(|(member, kept)| info(member, kept, now))
            .collect()
    }

    pub(super) fn survey(&self) -> Survey {
        let now = Instant::now();
        let with_place = |(member, kept): (&Member, &Kept)| {
            (info(member, kept, now), place(&kept.policy, &*kept.child))
        };
        Survey {
            incarnation: self.incarnation,
            uptime: self.up_since.map(|up| now.saturating_duration_since(up)),
            children: self.in_order().map(with_place).collect(),
        }
    }

    pub(super) fn counts(&self) -> ChildCounts {
        let mut counts = ChildCounts::default();
        for (_, member) in self.family.members() {
            counts.specs += 1;
            counts.active += usize::from(member.lives());
            match member.policy.kind {
                Kind::Supervisor => counts.supervisors += 1,
                Kind::Worker => counts.workers += 1,
            }
        }
        counts
    }

    pub(super) fn spec_of(&self, id: &ChildId) -> Option<ChildSpecInfo> {
        let kept = self.kept.get(&self.family.find(id)?)?;
        Some(ChildSpecInfo {
            id: id.clone(),
            child: kept.path.clone(),
            policy: *kept.policy,
            depends_on: kept.needs.ids().to_vec(),
            capacity: kept.child.look().capacity,
        })
    }

    fn in_order(&self) -> impl Iterator<Item = (&Member, &Kept)> {
        let members = self.family.members();
        members.filter_map(|(key, member)| Some((member, &**self.kept.get(&key)?)))
    }
}

/// Where to ask a child that is a supervisor.
pub(super) fn place(policy: &Policy, child: &dyn Child) -> Option<Arc<Control>> {
    if policy.kind != Kind::Supervisor {
        return None;
    }
    child.shared().downcast().ok()
}

fn info(member: &Member, kept: &Kept, now: Instant) -> ChildInfo {
    let look = kept.child.look();
    let budget = member.policy.handler_budget;
    let current = look.current.map(|(name, since)| {
        let for_ = now.saturating_duration_since(since);
        (short_name(name).to_owned(), for_)
    });
    let overrun = |(_, for_): &(String, _)| budget.is_some_and(|budget| *for_ >= budget);
    let state = member.shown();
    let down = kept.down.as_deref();
    ChildInfo {
        id: member.id.clone(),
        child: kept.path.clone(),
        state,
        health: Health::of(state, current.as_ref().is_some_and(overrun)),
        kind: member.policy.kind,
        restart: member.policy.restart,
        dynamic: kept.dynamic,
        paused: look.paused,
        incarnation: member.incarnation,
        restarts: member.restarts,
        depth: look.depth,
        capacity: look.capacity,
        handled: look.handled,
        handling: look.handling,
        current,
        handler_budget: budget,
        work: look.work,
        last_error: member.last_error.as_deref().map(str::to_owned),
        down: down.filter(|_| state == ChildState::Down).cloned(),
        uptime: member.uptime(now),
    }
}
