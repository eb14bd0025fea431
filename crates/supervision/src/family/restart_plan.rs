//! In which order children are stopped and started, as a plan over their stages. No child, clock or effect is in here.
//!
//! A plan looks at each child once: what it has passed it does not look at again, so that a tree of n children takes n
//! looks to start and n to stop, not n².

use super::Key;
use crate::policy::Strategy;

/// Where a child is, as far as order goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// To be started when its turn comes.
    Idle,
    /// Rests after a crash; it will be idle.
    Resting,
    /// Being started.
    Coming,
    Living,
    /// Asked to end.
    Leaving,
    /// Not to be started.
    Gone,
}

/// What to do next about the children, top to bottom or bottom to top.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Something has to happen outside first.
    Wait,
    Stop(Key),
    Start(Key),
    Done,
}

/// The next thing to do, and the last child that the plan is through with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Look {
    pub(super) next: Next,
    pub(super) passed: Option<Key>,
}

impl Strategy {
    /// A crash restarts others too.
    pub(super) fn restarts_group(self) -> bool {
        matches!(self, Self::OneForAll | Self::RestForOne)
    }

    /// The first of those that a crash of `crashed` restarts, in start order; `None` if it restarts nobody else.
    pub(super) fn group_of(self, crashed: Key) -> Option<Key> {
        match self {
            Self::OneForOne | Self::SimpleOneForOne => None,
            Self::RestForOne => Some(crashed),
            Self::OneForAll => Some(Key(0)),
        }
    }
}

/// `youngest_first`: the children of the group that the plan has not passed, in reverse start order.
pub(super) fn next_to_stop(youngest_first: impl Iterator<Item = (Key, Stage)>) -> Look {
    let mut passed = None;
    for (key, stage) in youngest_first {
        let next = match stage {
            Stage::Coming | Stage::Living => Next::Stop(key),
            Stage::Leaving => Next::Wait,
            Stage::Idle | Stage::Resting | Stage::Gone => {
                passed = Some(key);
                continue;
            }
        };
        return Look { next, passed };
    }
    Look {
        next: Next::Done,
        passed,
    }
}

/// `oldest_first`: the children of the group that the plan has not passed, in start order. In a `group` restart those
/// after one that rests wait for it, because they rest on it.
pub(super) fn next_to_start(oldest_first: impl Iterator<Item = (Key, Stage)>, group: bool) -> Look {
    let mut passed = None;
    for (key, stage) in oldest_first {
        let next = match stage {
            Stage::Idle => Next::Start(key),
            Stage::Coming | Stage::Leaving => Next::Wait,
            Stage::Resting if group => Next::Wait,
            Stage::Resting | Stage::Living | Stage::Gone => {
                passed = Some(key);
                continue;
            }
        };
        return Look { next, passed };
    }
    Look {
        next: Next::Done,
        passed,
    }
}

#[cfg(test)]
mod tests {
    use super::Strategy;
    use super::*;
    use Stage::{Coming, Gone, Idle, Leaving, Living, Resting};
    use proptest::prelude::*;

    fn keyed(stages: &[Stage]) -> Vec<(Key, Stage)> {
        (0..).map(Key).zip(stages.iter().copied()).collect()
    }

    fn look(next: Next, passed: Option<u64>) -> Look {
        Look {
            next,
            passed: passed.map(Key),
        }
    }

    #[test]
    fn who_is_restarted_with_whom() {
        let table = [
            (Strategy::OneForOne, None),
            (Strategy::SimpleOneForOne, None),
            (Strategy::RestForOne, Some(Key(2))),
            (Strategy::OneForAll, Some(Key(0))),
        ];
        for (strategy, group) in table {
            assert_eq!(strategy.group_of(Key(2)), group, "{strategy:?}");
            assert_eq!(strategy.restarts_group(), group.is_some(), "{strategy:?}");
        }
    }

    #[test]
    fn the_youngest_that_lives_is_stopped_next() {
        let table: &[(&[Stage], Look)] = &[
            (&[], look(Next::Done, None)),
            (&[Living, Living], look(Next::Stop(Key(1)), None)),
            (&[Living, Coming], look(Next::Stop(Key(1)), None)),
            (&[Living, Leaving], look(Next::Wait, None)),
            (
                &[Living, Gone, Idle, Resting],
                look(Next::Stop(Key(0)), Some(1)),
            ),
            (&[Resting, Idle], look(Next::Done, Some(0))),
        ];
        for (stages, expected) in table {
            let youngest_first = keyed(stages).into_iter().rev();
            assert_eq!(next_to_stop(youngest_first), *expected, "{stages:?}");
        }
    }

    #[test]
    fn the_oldest_that_is_idle_is_started_next() {
        let table: &[(&[Stage], bool, Look)] = &[
            (&[], true, look(Next::Done, None)),
            (&[Idle, Idle], true, look(Next::Start(Key(0)), None)),
            (&[Living, Idle], true, look(Next::Start(Key(1)), Some(0))),
            (&[Coming, Idle], false, look(Next::Wait, None)),
            (&[Leaving, Idle], false, look(Next::Wait, None)),
            (&[Resting, Idle], true, look(Next::Wait, None)),
            (&[Resting, Idle], false, look(Next::Start(Key(1)), Some(0))),
            (&[Gone, Living], true, look(Next::Done, Some(1))),
        ];
        for (stages, group, expected) in table {
            let oldest_first = keyed(stages).into_iter();
            assert_eq!(next_to_start(oldest_first, *group), *expected, "{stages:?}");
        }
    }

    fn stage() -> impl proptest::strategy::Strategy<Value = Stage> {
        prop_oneof![
            Just(Idle),
            Just(Resting),
            Just(Coming),
            Just(Living),
            Just(Leaving),
            Just(Gone)
        ]
    }

    proptest! {
        #[test]
        fn nobody_older_is_stopped_while_someone_younger_lives(
            stages in prop::collection::vec(stage(), 0..12),
        ) {
            let all = keyed(&stages);
            let look = next_to_stop(all.iter().copied().rev());
            let lives = |stage: Stage| matches!(stage, Coming | Living | Leaving);
            let youngest = all.iter().rev().find(|(_, stage)| lives(*stage));
            match look.next {
                Next::Stop(key) => prop_assert_eq!(youngest.map(|(key, _)| *key), Some(key)),
                Next::Wait => prop_assert_eq!(youngest.map(|(_, stage)| *stage), Some(Leaving)),
                Next::Done => prop_assert_eq!(youngest, None),
                Next::Start(_) => prop_assert!(false, "a stop starts nobody"),
            }
        }

        #[test]
        fn in_a_group_nobody_is_started_before_all_older_ones_live_or_are_gone(
            stages in prop::collection::vec(stage(), 0..12),
        ) {
            let all = keyed(&stages);
            let look = next_to_start(all.iter().copied(), true);
            let settled = |stage: Stage| matches!(stage, Living | Gone);
            let first = all.iter().find(|(_, stage)| !settled(*stage));
            match look.next {
                Next::Start(key) => prop_assert_eq!(first, Some(&(key, Idle))),
                Next::Wait => prop_assert!(first.is_some_and(|(_, stage)| *stage != Idle)),
                Next::Done => prop_assert_eq!(first, None),
                Next::Stop(_) => prop_assert!(false, "a start stops nobody"),
            }
        }
    }
}
