//! Every story a small family can live through, tried one after the other: an explicit-state model check of the real
//! [`Family`], not of a copy of it.
//!
//! The proptest beside it draws long stories of large families; this one leaves out none of the short ones. Nothing here
//! is drawn.

mod happening;
mod judge;
mod print;
mod world;

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use stateright::{Checker, Model, Property};
use tokio::time::Instant;

use super::Rules;
use crate::intensity::Intensity;
use crate::policy::{AutoShutdown, Restart, Strategy};
use happening::Action;
use world::{Budget, Fault, PERIOD, Seen, World};

/// The families of one strategy, and what may befall them.
struct Families {
    rules: Rules,
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
        let born =
            |cast: &Vec<Restart>| World::born(self.rules.clone(), cast, self.budget, self.epoch);
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
            Property::always("a group restart leaves nobody out", |_, w: &World| {
                !w.has(Fault::Owed)
            }),
            Property::always(
                "significant children end the family as its rule says",
                |_, w: &World| !w.has(Fault::Significance),
            ),
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

/// Checks every story of these families and returns how many states there were and what was seen.
fn check(families: Families) -> (usize, BTreeSet<Seen>) {
    let strategy = families.rules.strategy;
    let checker = families.checker().threads(2).spawn_bfs().join();
    let (states, depth) = (checker.unique_state_count(), checker.max_depth());
    println!("{strategy:?}: {states} states, {depth} steps at most");
    checker.assert_properties();
    let seen = checker.model().seen.lock().unwrap().clone();
    (states, seen)
}

/// `at_least` is a little less than the states there are, so that a model which shrinks unseen fails.
fn check_all(
    families: impl IntoIterator<Item = Families>,
    at_least: usize,
    must_see: impl IntoIterator<Item = Seen>,
) {
    let mut states = 0;
    let mut seen = BTreeSet::new();
    for families in families {
        let (more, also) = check(families);
        states += more;
        seen.extend(also);
    }
    assert!(states >= at_least, "only {states} states were seen");
    for wanted in must_see {
        assert!(seen.contains(&wanted), "{wanted:?} was never seen");
    }
}

fn families(strategy: Strategy, casts: &[&[Restart]], mishaps: u8, commands: u8) -> Families {
    Families {
        rules: Rules {
            strategy,
            auto_shutdown: AutoShutdown::Never,
            intensity: Intensity::new(1, PERIOD),
            comes_back: true,
        },
        casts: casts.iter().map(|cast| cast.to_vec()).collect(),
        budget: Budget { mishaps, commands },
        epoch: Instant::now(),
        seen: Mutex::default(),
    }
}

/// With one restart more allowed.
fn patient(mut families: Families) -> Families {
    families.rules.intensity = Intensity::new(2, PERIOD);
    families
}

use Restart::{Permanent, Temporary, Transient};

const PAIRS: [&[Restart]; 2] = [&[Permanent, Transient], &[Permanent, Temporary]];
const TRIO: [&[Restart]; 1] = [&[Permanent, Permanent, Transient]];

/// Stories of two children: one mishap and one command, and two mishaps by themselves.
fn short(strategy: Strategy) -> [Families; 3] {
    [
        families(strategy, &PAIRS, 1, 1),
        families(strategy, &PAIRS, 2, 0),
        patient(families(strategy, &PAIRS, 2, 0)),
    ]
}

/// What every strategy lives through.
const EVERYWHERE: [Seen; 14] = [
    Seen::Ready,
    Seen::Restarted,
    Seen::Escalated,
    Seen::StartFailed,
    Seen::StartTimedOut,
    Seen::Ignored,
    Seen::Killed,
    Seen::Aborted,
    Seen::Refused,
    Seen::Ensured,
    Seen::Succeeded,
    Seen::Revived,
    Seen::Renewed,
    Seen::Slain,
];

const IN_A_GROUP: [Seen; 2] = [Seen::GroupStartFailedAndRetried, Seen::GroupWidened];

#[test]
fn every_short_story_of_one_for_one_keeps_the_promises() {
    check_all(short(Strategy::OneForOne), 20_000, EVERYWHERE);
}

#[test]
fn every_short_story_of_rest_for_one_keeps_the_promises() {
    let must_see = EVERYWHERE.into_iter().chain(IN_A_GROUP);
    check_all(short(Strategy::RestForOne), 30_000, must_see);
}

#[test]
fn every_short_story_of_one_for_all_keeps_the_promises() {
    let must_see = EVERYWHERE.into_iter().chain(IN_A_GROUP);
    check_all(short(Strategy::OneForAll), 30_000, must_see);
}

#[test]
fn every_short_story_of_a_template_keeps_the_promises() {
    let families = families(Strategy::SimpleOneForOne, &[&[]], 2, 3);
    let must_see = [
        Seen::Ready,
        Seen::Restarted,
        Seen::Escalated,
        Seen::Succeeded,
    ];
    check_all([families], 1_000, must_see);
}

#[test]
fn every_short_story_of_significant_children_keeps_the_promises() {
    let rules = [AutoShutdown::AnySignificant, AutoShutdown::AllSignificant];
    let each = rules.into_iter().flat_map(|auto_shutdown| {
        [true, false].map(|comes_back| {
            let mut families = families(Strategy::OneForOne, &[&[Transient, Temporary]], 2, 0);
            families.rules.auto_shutdown = auto_shutdown;
            families.rules.comes_back = comes_back;
            families
        })
    });
    let must_see = [Seen::ShutDown, Seen::OutlivedASignificantChild];
    check_all(each, 6_000, must_see);
}

/// Every longer story of one strategy.
fn longer(strategy: Strategy) {
    let longer = [
        families(strategy, &PAIRS, 2, 1),
        families(strategy, &PAIRS, 1, 2),
        families(strategy, &TRIO, 1, 1),
        patient(families(strategy, &TRIO, 3, 0)),
    ];
    check_all(longer, 100_000, EVERYWHERE);
}

#[test]
#[ignore = "minutes: run it with `--run-ignored all` after a change to what a family decides"]
fn every_longer_story_of_one_for_one_keeps_the_promises() {
    longer(Strategy::OneForOne);
}

#[test]
#[ignore = "minutes: run it with `--run-ignored all` after a change to what a family decides"]
fn every_longer_story_of_rest_for_one_keeps_the_promises() {
    longer(Strategy::RestForOne);
}

#[test]
#[ignore = "minutes: run it with `--run-ignored all` after a change to what a family decides"]
fn every_longer_story_of_one_for_all_keeps_the_promises() {
    longer(Strategy::OneForAll);
}
