//! When two worlds are the same: nothing that has happened to one could not happen to the other from now on.
//!
//! Times count from now, and what decides nothing (texts, counters that are only shown) is left out.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::mem::discriminant;
use std::time::Duration;

use tokio::time::Instant;

use super::super::member::{Member, State, Then};
use super::super::{End, Entry, Family, Mode};
use super::world::World;

impl Hash for World {
    fn hash<H: Hasher>(&self, to: &mut H) {
        self.outside().hash(to);
        family(self.family(), self.now(), to);
    }
}

/// Two worlds of one model are the same if their prints are: what the checker believes anyway.
impl PartialEq for World {
    fn eq(&self, other: &Self) -> bool {
        let print = |world: &Self| {
            let mut hasher = DefaultHasher::new();
            world.hash(&mut hasher);
            hasher.finish()
        };
        print(self) == print(other)
    }
}

fn family<H: Hasher>(family: &Family, now: Instant, to: &mut H) {
    mode(&family.mode, to);
    (&family.walk, &family.wind).hash(to);
    family
        .rules
        .intensity
        .ages(now)
        .collect::<Vec<Duration>>()
        .hash(to);
    family.members.len().hash(to);
    for (key, found) in &family.members {
        key.hash(to);
        member(found, now, to);
    }
    // `ids` and `due` say again what the members say: `World::books` checks that they agree.
}

fn mode<H: Hasher>(mode: &Mode, to: &mut H) {
    discriminant(mode).hash(to);
    if let Mode::Ending { end, keep } = mode {
        keep.hash(to);
        discriminant(end).hash(to);
        if let End::StartFailed { id, .. } | End::Escalated { id, .. } | End::AutoShutdown { id } =
            end
        {
            id.hash(to);
        }
    }
}

fn member<H: Hasher>(member: &Member, now: Instant, to: &mut H) {
    member.id.hash(to);
    policy(member.policy.restart, member.policy.shutdown, to);
    (member.dynamic, member.demand, member.ever_up, member.streak).hash(to);
    member.incarnation.min(2).hash(to);
    member.due.map(|at| at - now).hash(to);
    let waiters = member.seen_waiters();
    (&waiters.start, &waiters.stop).hash(to);
    waiters.successors.len().hash(to);
    for (token, entry) in &waiters.successors {
        token.hash(to);
        heir(entry, to);
    }
    discriminant(&member.state).hash(to);
    if let State::Stopping {
        then,
        step,
        starting,
    } = &member.state
    {
        discriminant(then).hash(to);
        if let Then::Retire(reason) = then {
            discriminant(&**reason).hash(to);
        }
        (discriminant(step), starting).hash(to);
    }
}

fn heir<H: Hasher>(entry: &Entry, to: &mut H) {
    (entry.key, &entry.id).hash(to);
    policy(entry.policy.restart, entry.policy.shutdown, to);
}

fn policy<H: Hasher>(
    restart: crate::policy::Restart,
    shutdown: crate::policy::Shutdown,
    to: &mut H,
) {
    (discriminant(&restart), discriminant(&shutdown)).hash(to);
}
