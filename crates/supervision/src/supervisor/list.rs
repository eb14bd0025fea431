//! What a living supervisor shows of its children.

use tokio::time::Instant;

use super::Supervisor;
use crate::admin::{ChildCounts, ChildInfo, ChildSpecInfo};
use crate::cell::short_name;
use crate::names::ChildId;
use crate::policy::Kind;

impl Supervisor {
    pub(super) fn list(&self) -> Vec<ChildInfo> {
        let now = Instant::now();
        let mut list = Vec::new();
        for (key, member) in self.family.members() {
            let Some(kept) = self.kept.get(&key) else {
                continue;
            };
            let look = kept.record.child.look();
            list.push(ChildInfo {
                id: member.id.clone(),
                child: kept.path.clone(),
                state: member.shown(),
                kind: member.policy.kind,
                incarnation: member.incarnation,
                restarts: member.restarts,
                depth: look.depth,
                capacity: look.capacity,
                current: look.current.map(|(name, since)| {
                    let for_ = now.saturating_duration_since(since);
                    (short_name(name).to_owned(), for_)
                }),
                work: look.work,
                last_error: member.last_error.clone(),
                uptime: member.uptime(now),
            });
        }
        list
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
            policy: *kept.record.policy,
            depends_on: kept.record.needs.to_vec(),
            capacity: kept.record.child.look().capacity,
        })
    }
}
