//! Every story a small family can live through, tried one after the other: an explicit-state model check of the real
//! [`Family`], not of a copy of it.
//!
//! The proptest beside it draws long stories of large families; this one leaves out none of the short ones. Nothing here
//! is drawn.

mod judge;
mod print;
mod world;

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use stateright::{Checker, Model, Property};
use tokio::time::Instant;

use crate::policy::{Restart, Strategy};
use world::{Action, Budget, Fault, Seen, World};

/// The families of one strategy, and what may befall them.
struct Families {
    strategy: Strategy,
    max_restarts: u32,
    /// The restart types of the children of the spec, one family each.
    casts: Vec<Vec<Restart>>,
    budget: Budget,
    epoch: Instant,
    /// What happened in some story: a model that explores nothing finds no fault either.
    seen: Mutex<BTreeSet<Seen>>,
}

impl Model for Families {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        let born = |cast: &Vec<Restart>| {
            World::born(
                self.strategy,
                self.max_restarts,
                cast,
                self.budget,
                self.epoch,
            )
        };
        self.casts.iter().map(born).collect()
    }

    fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        world.possible(actions);
    }

    fn next_state(&self, world: &World, action: Action) -> Option<World> {
        let mut next = world.clone();
        let seen = next.take(action);
        self.seen
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .extend(seen);
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("no child lives twice at once", |_, w: &World| {
                !w.has(Fault::TwoLives)
            }),
            Property::always(
                "nothing is started once the end has begun",
                |_, w: &World| !w.has(Fault::StartAtTheEnd),
            ),
            Property::always(
                "the end comes once, with its true reason, when nothing lives",
                |_, w: &World| !w.has(Fault::BadEnd),
            ),
            Property::always(
                "every command is answered once, and truthfully",
                |_, w: &World| !w.has(Fault::BadReply),
            ),
            Property::always("children start in order", |_, w: &World| {
                !w.has(Fault::StartOrder)
            }),
            Property::always("children stop in reverse order", |_, w: &World| {
                !w.has(Fault::StopOrder)
            }),
            Property::always("what is down stays down until asked for", |_, w: &World| {
                !w.has(Fault::Risen)
            }),
            Property::always(
                "force comes step by step, to the living only",
                |_, w: &World| !w.has(Fault::BadForce),
            ),
            Property::always("restarts keep within the intensity", |_, w: &World| {
                !w.has(Fault::Intensity)
            }),
            Property::always("a child is restarted as its type says", |_, w: &World| {
                !w.has(Fault::RestartType)
            }),
            Property::always(
                "the family knows who lives, and keeps no one else",
                |_, w: &World| !w.has(Fault::BadBooks),
            ),
            Property::always(
                "as long as it has not ended, something can happen",
                |_, w: &World| w.has_ended() || w.can_go_on(),
            ),
            Property::eventually("it ends", |_, w: &World| w.has_ended()),
        ]
    }
}

/// Checks every story of these families. `at_least` is a little less than the states there are, so that a model which
/// shrinks unseen fails.
fn check(families: Families, at_least: usize, must_see: &[Seen]) {
    let strategy = families.strategy;
    let checker = families.checker().threads(2).spawn_bfs().join();
    let (states, depth) = (checker.unique_state_count(), checker.max_depth());
    println!("{strategy:?}: {states} states, {depth} steps at most");
    checker.assert_properties();
    assert!(states >= at_least, "only {states} states were seen");
    let seen = checker.model().seen.lock().unwrap();
    for wanted in must_see {
        assert!(seen.contains(wanted), "{wanted:?} was never seen");
    }
}

fn families(strategy: Strategy, casts: &[&[Restart]], mishaps: u8, commands: u8) -> Families {
    Families {
        strategy,
        max_restarts: 1,
        casts: casts.iter().map(|cast| cast.to_vec()).collect(),
        budget: Budget { mishaps, commands },
        epoch: Instant::now(),
        seen: Mutex::default(),
    }
}

use Restart::{Permanent, Temporary, Transient};

const PAIRS: [&[Restart]; 2] = [&[Permanent, Transient], &[Permanent, Temporary]];
const TRIO: [&[Restart]; 1] = [&[Permanent, Permanent, Transient]];

/// What every strategy lives through.
const EVERYWHERE: [Seen; 10] = [
    Seen::Ready,
    Seen::Restarted,
    Seen::Escalated,
    Seen::StartFailed,
    Seen::StartTimedOut,
    Seen::Killed,
    Seen::Aborted,
    Seen::Refused,
    Seen::Ensured,
    Seen::Succeeded,
];

#[test]
fn every_short_story_of_one_for_one_keeps_the_promises() {
    let families = families(Strategy::OneForOne, &PAIRS, 2, 1);
    check(families, 35_000, &EVERYWHERE);
}

#[test]
fn every_short_story_of_rest_for_one_keeps_the_promises() {
    let families = families(Strategy::RestForOne, &PAIRS, 2, 1);
    check(families, 50_000, &EVERYWHERE);
}

#[test]
fn every_short_group_restart_of_three_keeps_the_promises() {
    let mut families = families(Strategy::RestForOne, &TRIO, 2, 0);
    families.max_restarts = 2;
    let must_see = [Seen::GroupStartFailedAndRetried, Seen::GroupWidened];
    check(families, 30_000, &must_see);
}

#[test]
#[ignore = "minutes: run it with `--run-ignored all` after a change to what a family decides"]
fn every_longer_story_keeps_the_promises() {
    for strategy in [Strategy::OneForOne, Strategy::RestForOne] {
        check(families(strategy, &PAIRS, 2, 2), 200_000, &EVERYWHERE);
        check(families(strategy, &TRIO, 3, 0), 20_000, &[]);
        check(families(strategy, &TRIO, 1, 1), 20_000, &[]);
    }
}
