//! What a living supervisor shows of its children.

use tokio::time::Instant;

use super::Supervisor;
use crate::admin::ChildInfo;
use crate::cell::short_name;

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
}
