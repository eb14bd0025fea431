//! The decisions by themselves: exact effects for the plain cases, and invariants under random events.

use std::collections::{BTreeMap, HashSet};

use proptest::prelude::*;
use proptest::strategy::Strategy as Generator;

use super::member::Demand;
use super::*;
use crate::backoff::Backoff;
use crate::policy::{Restart, Shutdown, Strategy};

const MS: fn(u64) -> Duration = Duration::from_millis;

fn policy(restart: Restart) -> Policy {
    Policy {
        restart,
        backoff: Backoff::none(),
        ..Policy::worker()
    }
}

fn entry(key: u64, restart: Restart) -> Entry {
    Entry {
        key: Key(key),
        id: ChildId::new(format!("c{key}")),
        policy: Arc::new(policy(restart)),
    }
}

fn rules(strategy: Strategy, max_restarts: u32) -> Rules {
    Rules {
        strategy,
        auto_shutdown: AutoShutdown::Never,
        intensity: Intensity::new(max_restarts, MS(1000)),
        comes_back: false,
    }
}

fn family(strategy: Strategy, max_restarts: u32) -> Family {
    Family::new(rules(strategy, max_restarts), Chance::new(1))
}

/// What is done to the outside, without what is told.
fn acts(effects: Vec<Effect>) -> Vec<Effect> {
    let told = |effect: &Effect| matches!(effect, Effect::Emit(..) | Effect::Show(..));
    effects.into_iter().filter(|e| !told(e)).collect()
}

fn start(key: u64, incarnation: u64) -> Effect {
    Effect::Start {
        key: Key(key),
        incarnation,
    }
}

fn ready(key: u64, incarnation: u64) -> Event {
    Event::Ready {
        key: Key(key),
        incarnation,
    }
}

fn ended(key: u64, incarnation: u64, exit: Exit) -> Event {
    Event::Ended {
        key: Key(key),
        incarnation,
        exit,
    }
}

fn ask_stop(key: u64, how: StopHow) -> Effect {
    Effect::AskStop { key: Key(key), how }
}

fn crash() -> Exit {
    Exit::Crashed("boom".to_owned())
}

#[test]
fn a_tree_starts_one_child_at_a_time_and_says_when_it_is_whole() {
    let now = Instant::now();
    let mut family = family(Strategy::OneForOne, 3);
    let boot = Event::Boot(vec![
        entry(0, Restart::Permanent),
        entry(1, Restart::Permanent),
    ]);
    assert_eq!(acts(family.handle(boot, now)), [start(0, 1)]);
    assert_eq!(acts(family.handle(ready(0, 1), now)), [start(1, 1)]);
    assert_eq!(acts(family.handle(ready(1, 1), now)), [Effect::TreeReady]);
    assert_eq!(family.deadline(), None);
}

#[test]
fn an_empty_tree_is_ready_at_once_and_ends_at_once() {
    let now = Instant::now();
    let mut family = family(Strategy::OneForOne, 3);
    let boot = family.handle(Event::Boot(vec![]), now);
    assert_eq!(boot, [Effect::TreeReady]);
    let stop = family.handle(Event::Stop(StopHow::Drain), now);
    assert_eq!(stop, [Effect::End(End::Asked)]);
    assert_eq!(family.handle(Event::Stop(StopHow::Drain), now), []);
}

#[test]
fn a_stop_gets_harder_step_by_step() {
    let now = Instant::now();
    let mut family = family(Strategy::OneForOne, 3);
    family.handle(Event::Boot(vec![entry(0, Restart::Permanent)]), now);
    family.handle(ready(0, 1), now);
    let stop = family.handle(Event::Stop(StopHow::Drain), now);
    assert_eq!(acts(stop), [ask_stop(0, StopHow::Drain)]);
    let deadline = family.deadline().unwrap();
    assert_eq!(deadline, now + crate::policy::DEFAULT_SHUTDOWN);
    assert_eq!(family.handle(Event::Due, deadline - MS(1)), []);
    assert_eq!(
        acts(family.handle(Event::Due, deadline)),
        [Effect::Kill(Key(0))]
    );
    let abort = family.deadline().unwrap();
    assert_eq!(abort, deadline + crate::policy::KILL_GRACE);
    assert_eq!(
        acts(family.handle(Event::Due, abort)),
        [Effect::Abort(Key(0))]
    );
    assert_eq!(family.deadline(), None);
    let end = acts(family.handle(ended(0, 1, Exit::Aborted), abort));
    assert_eq!(end.last(), Some(&Effect::End(End::Asked)));
}

#[test]
fn a_child_that_is_still_starting_is_aborted_because_a_kill_cannot_reach_it() {
    let now = Instant::now();
    let mut family = family(Strategy::OneForOne, 3);
    family.handle(Event::Boot(vec![entry(0, Restart::Permanent)]), now);
    let stop = family.handle(Event::Stop(StopHow::Drain), now);
    assert_eq!(acts(stop), [ask_stop(0, StopHow::Drain)]);
    let deadline = family.deadline().unwrap();
    assert_eq!(
        acts(family.handle(Event::Due, deadline)),
        [Effect::Abort(Key(0))]
    );
}

#[test]
fn a_start_keeps_its_limit_in_a_patient_stop_unless_it_becomes_ready() {
    for is_ready in [false, true] {
        let now = Instant::now();
        let mut family = family(Strategy::OneForOne, 3);
        let mut patient = entry(0, Restart::Permanent);
        Arc::make_mut(&mut patient.policy).shutdown = Shutdown::Infinity;
        family.handle(Event::Boot(vec![patient]), now);
        let stop = family.handle(Event::Stop(StopHow::Drain), now);
        assert_eq!(acts(stop), [ask_stop(0, StopHow::Drain)]);
        let limit = now + crate::policy::DEFAULT_START_TIMEOUT;
        assert_eq!(family.deadline(), Some(limit));
        if is_ready {
            assert_eq!(acts(family.handle(ready(0, 1), now)), []);
            assert_eq!(family.deadline(), None);
        } else {
            let due = acts(family.handle(Event::Due, limit));
            assert_eq!(due, [Effect::Abort(Key(0))]);
        }
    }
}

#[test]
fn the_end_that_was_one_too_many_is_told_and_shown() {
    for (exit, told) in [(Exit::Normal, true), (crash(), false)] {
        let now = Instant::now();
        let mut family = family(Strategy::OneForOne, 0);
        family.handle(Event::Boot(vec![entry(0, Restart::Permanent)]), now);
        family.handle(ready(0, 1), now);
        let effects = family.handle(ended(0, 1, exit), now);
        let shown = Effect::Show(Key(0), ChildState::BackingOff);
        assert!(effects.contains(&shown), "{effects:?}");
        let stopped = effects.iter().any(|effect| {
            matches!(
                effect,
                Effect::Emit(
                    _,
                    1,
                    Lifecycle::Stopped {
                        reason: DownReason::Finished,
                        ..
                    }
                )
            )
        });
        assert_eq!(stopped, told, "a crash says so itself: {effects:?}");
    }
}

#[test]
fn word_of_a_former_life_changes_nothing() {
    let now = Instant::now();
    let mut family = family(Strategy::OneForOne, 3);
    family.handle(Event::Boot(vec![entry(0, Restart::Permanent)]), now);
    family.handle(ready(0, 1), now);
    family.handle(ended(0, 1, crash()), now);
    assert_eq!(acts(family.handle(Event::Due, now)), [start(0, 2)]);
    for stale in [ready(0, 1), ended(0, 1, crash()), ended(7, 1, crash())] {
        assert_eq!(family.handle(stale.clone(), now), [], "{stale:?}");
    }
}

#[test]
fn one_crash_too_many_stops_the_others_in_reverse_and_keeps_their_queues() {
    let now = Instant::now();
    let mut family = family(Strategy::OneForOne, 0);
    let entries = (0..3).map(|key| entry(key, Restart::Permanent)).collect();
    family.handle(Event::Boot(entries), now);
    for key in 0..3 {
        family.handle(ready(key, 1), now);
    }
    let first = acts(family.handle(ended(1, 1, crash()), now));
    let gives_up = Effect::GivesUp {
        restarts: 0,
        period: MS(1000),
        child: ChildId::new("c1"),
        reason: "boom".to_owned(),
    };
    assert_eq!(first, [gives_up, ask_stop(2, StopHow::Pause)]);
    let second = acts(family.handle(ended(2, 1, Exit::Normal), now));
    assert_eq!(second, [ask_stop(0, StopHow::Pause)]);
    let last = acts(family.handle(ended(0, 1, Exit::Normal), now));
    let end = End::Escalated {
        id: ChildId::new("c1"),
        reason: "boom".to_owned(),
    };
    assert_eq!(last, [Effect::End(end)]);
}

/// Something that may happen to a family, chosen by a number where there is a choice.
#[derive(Clone, Copy, Debug)]
enum Happening {
    Ready(usize),
    Crash(usize),
    Finish(usize),
    Ignore(usize),
    Pass(u64),
    Add(Restart),
    Ensure(u64, bool),
    Terminate(u64),
    Restart(u64),
    Delete(u64),
}

fn restart() -> impl Generator<Value = Restart> {
    prop_oneof![
        Just(Restart::Permanent),
        Just(Restart::Transient),
        Just(Restart::Temporary),
    ]
}

fn happening() -> impl Generator<Value = Happening> {
    prop_oneof![
        4 => any::<usize>().prop_map(Happening::Ready),
        2 => any::<usize>().prop_map(Happening::Crash),
        1 => any::<usize>().prop_map(Happening::Finish),
        1 => any::<usize>().prop_map(Happening::Ignore),
        3 => (0_u64..3000).prop_map(Happening::Pass),
        1 => restart().prop_map(Happening::Add),
        1 => ((0_u64..12), any::<bool>()).prop_map(|(n, leaving)| Happening::Ensure(n, leaving)),
        1 => (0_u64..12).prop_map(Happening::Terminate),
        1 => (0_u64..12).prop_map(Happening::Restart),
        1 => (0_u64..12).prop_map(Happening::Delete),
    ]
}

/// The outside as a family sees it, and what must always be true of it.
struct World {
    family: Family,
    ordered: bool,
    /// Keys below this are of the supervisor's own spec.
    fixed: u64,
    now: Instant,
    alive: BTreeMap<Key, u64>,
    asked: HashSet<Key>,
    forgotten: HashSet<Key>,
    waiting: HashSet<Token>,
    next: u64,
    ends: u32,
    ready: u32,
}

impl World {
    fn new(rules: Rules, children: Vec<Restart>) -> Self {
        let mut world = Self {
            ordered: rules.strategy.restarts_group(),
            family: Family::new(rules, Chance::new(1)),
            fixed: children.len() as u64,
            now: Instant::now(),
            alive: BTreeMap::new(),
            asked: HashSet::new(),
            forgotten: HashSet::new(),
            waiting: HashSet::new(),
            next: 0,
            ends: 0,
            ready: 0,
        };
        let entries = children.into_iter().map(|kind| world.entry(kind)).collect();
        world.feed(Event::Boot(entries));
        world
    }

    fn entry(&mut self, restart: Restart) -> Entry {
        self.next += 1;
        let mut entry = entry(self.next - 1, restart);
        Arc::make_mut(&mut entry.policy).significant =
            restart != Restart::Permanent && self.next.is_multiple_of(2);
        if self.next.is_multiple_of(3) {
            Arc::make_mut(&mut entry.policy).shutdown = Shutdown::BrutalKill;
        }
        entry
    }

    fn token(&mut self) -> Token {
        self.next += 1;
        let token = Token(self.next);
        self.waiting.insert(token);
        token
    }

    fn pick(&self, n: usize) -> Option<(Key, u64)> {
        let alive: Vec<_> = self.alive.iter().map(|(k, i)| (*k, *i)).collect();
        (!alive.is_empty()).then(|| alive[n % alive.len()])
    }

    fn feed(&mut self, event: Event) {
        for effect in self.family.handle(event, self.now) {
            self.check(&effect);
        }
    }

    fn check(&mut self, effect: &Effect) {
        assert_eq!(self.ends, 0, "{effect:?} after the end");
        match *effect {
            Effect::Start { key, incarnation } => {
                assert!(
                    !self.forgotten.contains(&key),
                    "{key:?} started when forgotten"
                );
                // The order is that of asking: a successor that had to wait may start for the first time after a
                // younger one that did not.
                // The same holds for one that was asked for by `restart_child`.
                let asked = self.family.members[&key].demand == Demand::Asked;
                if self.ordered && !asked && (incarnation > 1 || key.0 < self.fixed) {
                    let younger = self.alive.range(key..).next();
                    assert_eq!(younger, None, "started before {key:?}, which they rest on");
                }
                let before = self.alive.insert(key, incarnation);
                assert_eq!(before, None, "{key:?} lives twice");
                self.asked.remove(&key);
            }
            Effect::AskStop { key, .. } => {
                assert!(self.alive.contains_key(&key));
                self.asked.insert(key);
            }
            Effect::Kill(key) | Effect::Abort(key) | Effect::StartTimedOut { key, .. } => {
                assert!(self.alive.contains_key(&key));
            }
            Effect::Retire { key, .. } => assert!(!self.alive.contains_key(&key)),
            Effect::Forget(key) => {
                assert!(!self.alive.contains_key(&key), "{key:?} forgotten alive");
                self.forgotten.insert(key);
            }
            Effect::Reply(token, _) => assert!(self.waiting.remove(&token), "{token:?} twice"),
            Effect::TreeReady => self.ready += 1,
            Effect::End(_) => {
                assert!(self.alive.is_empty(), "ended before {:?}", self.alive);
                self.ends += 1;
            }
            Effect::Show(..) | Effect::Emit(..) | Effect::GivesUp { .. } | Effect::ShutsDown(_) => {
            }
        }
    }

    fn die(&mut self, key: Key, incarnation: u64, exit: Exit) {
        self.alive.remove(&key);
        self.feed(Event::Ended {
            key,
            incarnation,
            exit,
        });
    }

    fn happen(&mut self, happening: Happening) {
        if self.ends > 0 {
            return;
        }
        match happening {
            Happening::Ready(n) => {
                if let Some((key, incarnation)) = self.pick(n) {
                    self.feed(Event::Ready { key, incarnation });
                }
            }
            Happening::Crash(n) => {
                if let Some((key, incarnation)) = self.pick(n) {
                    self.die(key, incarnation, crash());
                }
            }
            Happening::Finish(n) => {
                if let Some((key, incarnation)) = self.pick(n) {
                    self.die(key, incarnation, Exit::Normal);
                }
            }
            Happening::Ignore(n) => {
                let starting = |key: &Key| {
                    let member = self.family.members.get(key);
                    member.is_some_and(|m| matches!(m.state, State::Starting { .. }))
                };
                // Once it is ready, a child can no longer say that it is not wanted.
                if let Some((key, incarnation)) = self.pick(n).filter(|(key, _)| starting(key)) {
                    self.die(key, incarnation, Exit::Ignored);
                }
            }
            Happening::Pass(ms) => {
                self.now += MS(ms);
                self.feed(Event::Due);
            }
            Happening::Add(restart) => {
                let entry = self.entry(restart);
                let token = self.token();
                self.feed(Event::Add { token, entry });
            }
            Happening::Ensure(n, leaving) => {
                let mut entry = self.entry(Restart::Transient);
                entry.id = ChildId::new(format!("c{n}"));
                let token = self.token();
                self.feed(Event::Ensure {
                    token,
                    entry,
                    leaving,
                });
            }
            Happening::Terminate(n) => {
                let token = self.token();
                let id = ChildId::new(format!("c{n}"));
                self.feed(Event::Terminate { token, id });
            }
            Happening::Restart(n) => {
                let token = self.token();
                let id = ChildId::new(format!("c{n}"));
                self.feed(Event::Restart { token, id });
            }
            Happening::Delete(n) => {
                let token = self.token();
                let id = ChildId::new(format!("c{n}"));
                self.feed(Event::Delete { token, id });
            }
        }
    }

    /// Whoever was asked to end does; the others are waited for. A family that hangs fails here.
    fn wind_down(&mut self, event: Event) {
        self.feed(event);
        for _ in 0..1000 {
            if self.ends > 0 {
                break;
            }
            let asked = self.alive.iter().find(|(key, _)| self.asked.contains(key));
            if let Some((key, incarnation)) = asked.map(|(k, i)| (*k, *i)) {
                self.die(key, incarnation, Exit::Normal);
            } else {
                self.now += MS(60_000);
                self.feed(Event::Due);
                // A start that took too long is aborted without being asked.
                if let Some((key, incarnation)) = self.pick(0) {
                    self.die(key, incarnation, Exit::Aborted);
                }
            }
        }
        assert_eq!(self.ends, 1, "it never ended; alive: {:?}", self.alive);
        assert_eq!(self.waiting.len(), 0, "never answered: {:?}", self.waiting);
        assert!(self.ready <= 1);
    }
}

fn strategy() -> impl Generator<Value = Strategy> {
    prop_oneof![
        Just(Strategy::OneForOne),
        Just(Strategy::OneForAll),
        Just(Strategy::RestForOne),
        Just(Strategy::SimpleOneForOne),
    ]
}

fn auto_shutdown() -> impl Generator<Value = AutoShutdown> {
    prop_oneof![
        2 => Just(AutoShutdown::Never),
        1 => Just(AutoShutdown::AnySignificant),
        1 => Just(AutoShutdown::AllSignificant),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn whatever_happens_it_ends_once_answers_everyone_and_never_runs_two_lives(
        strategy in strategy(),
        auto_shutdown in auto_shutdown(),
        comes_back in any::<bool>(),
        max_restarts in prop_oneof![Just(0_u32), Just(3), Just(1000)],
        children in prop::collection::vec(restart(), 0..6),
        story in prop::collection::vec(happening(), 0..60),
        last in 0..3,
    ) {
        let rules = Rules { auto_shutdown, comes_back, ..rules(strategy, max_restarts) };
        let children = if strategy == Strategy::SimpleOneForOne { vec![] } else { children };
        let mut world = World::new(rules, children);
        for happening in story {
            world.happen(happening);
        }
        let event = match last {
            0 => Event::Stop(StopHow::Drain),
            1 => Event::Stop(StopHow::Pause),
            _ => Event::Hurry,
        };
        if world.ends == 0 {
            world.wind_down(event);
        }
        prop_assert_eq!(world.ends, 1);
    }
}
