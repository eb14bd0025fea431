//! How many children are in each state, kept as they change: counting a hundred thousand at every step would be a step
//! too slow.

use super::{Family, Key, Member, RestartCause};
use crate::exit::ChildState;
use crate::health::Health;
use crate::tally::Counts;

/// How often each word applies; no child counts as stuck here, because only who looks can know.
#[derive(Default)]
#[cfg_attr(test, derive(Clone))]
pub(super) struct Count(Counts);

impl Count {
    fn of(&mut self, state: ChildState) -> Option<&mut usize> {
        let health = Health::of(state, false);
        let at = Health::ALL.iter().position(|word| *word == health)?;
        self.0.get_mut(at)
    }

    pub(super) fn enter(&mut self, state: ChildState) {
        if let Some(count) = self.of(state) {
            *count += 1;
        }
    }

    pub(super) fn leave(&mut self, state: ChildState) {
        if let Some(count) = self.of(state) {
            *count = count.saturating_sub(1);
        }
    }
}

impl Family {
    /// How many children are how, in the order of `Health::ALL`.
    pub(crate) fn counts(&self) -> Counts {
        self.count.0
    }

    /// Which life the child is in; 0 for one that is not known.
    pub(crate) fn incarnation(&self, key: Key) -> u64 {
        self.members
            .get(&key)
            .map_or(0, |member| member.incarnation)
    }

    /// Why the child is started again.
    pub(crate) fn cause(&self, key: Key) -> RestartCause {
        let member = self.members.get(&key);
        member.map_or_else(RestartCause::default, |member| member.cause.clone())
    }

    /// The child has changed its state.
    pub(super) fn recount(&mut self, key: Key) {
        if let Some(member) = self.members.get_mut(&key) {
            self.count.leave(member.counted);
            member.counted = member.shown();
            self.count.enter(member.counted);
        }
    }

    /// The child is new.
    pub(super) fn count_in(&mut self, key: Key) {
        if let Some(member) = self.members.get_mut(&key) {
            member.counted = member.shown();
            self.count.enter(member.counted);
        }
    }

    /// The child is gone.
    pub(super) fn count_out(&mut self, member: &Member) {
        self.count.leave(member.counted);
    }
}
