//! A living supervisor: it carries out what the [`Family`] decides.
//!
//! Every child's life is a task of its `JoinSet`, so a life's end is seen after the last of its hooks has run, and no life
//! outlasts the supervisor's own.

mod commands;
mod ends;
mod list;
mod operating;
mod telling;
mod watching;

use std::collections::HashMap;
use std::hash::Hash;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::{AbortHandle, Id, JoinSet};
use tokio::time::Instant;

use crate::admin::Commands;
use crate::chance::Chance;
use crate::child::{Begin, Child, Doorbell, Ring, StopHow};
use crate::events::{Lifecycle, count_restart};
use crate::exit::{DownReason, Exit};
use crate::family::{Effect, Entry, Event, Family, Key, Rules, Token};
use crate::names::{ChildId, ChildPath};
use crate::policy::{Policy, Restart};
use crate::spec::{Needs, Record};
use crate::supervisor_child::Order;
use crate::supervisor_spec::Plan;
use crate::tally::Tally;
use crate::tree::Tree;
use crate::watch::Watch;

use commands::Pending;

/// Events of one kind taken in one round, so that no flood of one kind keeps the others waiting.
const ROUND: usize = 64;

/// A map of this size is not worth shrinking: a few kilobytes.
const SMALL: usize = 256;

struct Kept {
    child: Arc<dyn Child>,
    policy: Arc<Policy>,
    needs: Needs,
    path: ChildPath,
    dynamic: bool,
    down: Option<Box<DownReason>>,
    /// While a task of it exists.
    abort: Option<AbortHandle>,
}

/// One life of one supervisor.
pub(crate) struct Supervisor {
    plan: Arc<Plan>,
    path: ChildPath,
    label: ChildPath,
    /// The label of all children started at run time.
    dynamic_label: ChildPath,
    incarnation: u64,
    tree: Arc<Tree>,
    ring: Option<Ring>,
    up_since: Option<Instant>,
    obeyed: Order,
    family: Family,
    watch: Watch,
    tally: Tally,
    /// Boxed, because a map has room for up to twice as many as it holds.
    kept: HashMap<Key, Box<Kept>>,
    tasks: JoinSet<Exit>,
    by_task: HashMap<Id, Key>,
    late: HashMap<Key, String>,
    bell: Arc<Doorbell>,
    pending: HashMap<Token, (Pending, ChildId)>,
    next_key: u64,
    next_token: u64,
    exit: Option<Exit>,
}

impl Supervisor {
    pub(crate) fn new(plan: Arc<Plan>, begin: Begin) -> Self {
        let Begin {
            path,
            label,
            incarnation,
            ring,
            tree,
            comes_back,
        } = begin;
        let seed = tree.events.seed().wrapping_add(incarnation);
        let chance = Chance::for_place(seed, path.as_str());
        let rules = Rules {
            strategy: plan.strategy,
            auto_shutdown: plan.auto_shutdown,
            intensity: plan.intensity.clone(),
            comes_back,
        };
        let family = Family::new(rules, chance);
        let dynamic_label = label.join(&ChildId::new("*"));
        let tally = Tally::new(label.as_str());
        Self {
            plan,
            path,
            label,
            dynamic_label,
            incarnation,
            tree,
            ring: Some(ring),
            up_since: None,
            obeyed: Order::Run,
            family,
            watch: Watch::default(),
            tally,
            kept: HashMap::new(),
            tasks: JoinSet::new(),
            by_task: HashMap::new(),
            late: HashMap::new(),
            bell: Arc::default(),
            pending: HashMap::new(),
            next_key: 0,
            next_token: 0,
            exit: None,
        }
    }

    /// Lives until nothing of it lives any more.
    pub(crate) async fn run(
        mut self,
        mut commands: Commands,
        mut orders: watch::Receiver<Order>,
    ) -> Exit {
        // Who was asked to end before its first breath starts nobody.
        let early = *orders.borrow_and_update();
        self.obey(early);
        if self.exit.is_none() {
            self.boot();
        }
        // One timer for the whole life: it is set anew only when the deadline moves.
        let mut alarm = pin!(tokio::time::sleep_until(Instant::now()));
        loop {
            if let Some(exit) = self.exit.take() {
                return exit;
            }
            self.tell_metrics();
            let deadline = self.deadline();
            if let Some(at) = deadline
                && at != alarm.deadline()
            {
                alarm.as_mut().reset(at);
            }
            let mut joined = None;
            let mut command = None;
            tokio::select! {
                biased;
                Ok(()) = orders.changed() => {}
                () = self.bell.rings() => {}
                Some(end) = self.tasks.join_next_with_id() => joined = Some(end),
                Some(asked) = commands.next() => command = Some(asked),
                () = &mut alarm, if deadline.is_some() => {}
            }
            let order = *orders.borrow_and_update();
            self.obey(order);
            self.hear();
            self.bury(joined);
            for asked in command
                .into_iter()
                .chain(std::iter::from_fn(|| commands.try_next()).take(ROUND))
            {
                self.command(asked);
            }
            let now = Instant::now();
            if self.family.deadline().is_some_and(|at| at <= now) {
                self.feed(Event::Due);
            }
            self.look_after(now);
        }
    }

    fn boot(&mut self) {
        let plan = self.plan.clone();
        let mut entries = Vec::with_capacity(plan.children.len());
        for record in &plan.children {
            let path = self.path.join(&record.id);
            entries.push(self.keep(record.clone(), path, false));
        }
        self.feed(Event::Boot(entries));
    }

    fn keep(&mut self, record: Record, path: ChildPath, dynamic: bool) -> Entry {
        if let Some(place) = list::place(&record.policy, &*record.child) {
            place.restarted(record.policy.restart);
        }
        let key = Key(self.next_key);
        self.next_key += 1;
        let Record {
            id,
            policy,
            needs,
            child,
        } = record;
        let kept = Kept {
            child,
            policy: policy.clone(),
            needs,
            path,
            dynamic,
            down: None,
            abort: None,
        };
        self.kept.insert(key, Box::new(kept));
        Entry { key, id, policy }
    }

    /// The path for metrics: see [`Begin`]. Not kept, because hardly any child is ever restarted.
    fn label_of(&self, key: Key) -> ChildPath {
        match self.kept.get(&key) {
            Some(kept) if kept.dynamic => self.dynamic_label.clone(),
            Some(kept) if self.label == self.path => kept.path.clone(),
            _ => self
                .family
                .id(key)
                .map_or_else(|| self.label.clone(), |id| self.label.join(id)),
        }
    }

    fn obey(&mut self, order: Order) {
        if order <= self.obeyed {
            return;
        }
        self.obeyed = order;
        match order {
            Order::Run => {}
            Order::Pause => self.feed(Event::Stop(StopHow::Pause)),
            Order::Drain => self.feed(Event::Stop(StopHow::Drain)),
            Order::Hurry => self.feed(Event::Hurry),
        }
    }

    fn hear(&mut self) {
        for (key, incarnation) in self.bell.take() {
            self.feed(Event::Ready { key, incarnation });
        }
    }

    fn path_of(&self, key: Key) -> ChildPath {
        self.kept
            .get(&key)
            .map_or_else(|| self.path.clone(), |kept| kept.path.clone())
    }

    fn feed(&mut self, event: Event) {
        for effect in self.family.handle(event, Instant::now()) {
            self.carry_out(effect);
        }
    }

    fn carry_out(&mut self, effect: Effect) {
        match effect {
            Effect::Start { key, incarnation } => self.start(key, incarnation),
            Effect::AskStop { key, how } => self.with(key, |child| child.ask_stop(how)),
            Effect::Kill(key) => self.with(key, Child::kill),
            Effect::Abort(key) => {
                if let Some(abort) = self.kept.get(&key).and_then(|kept| kept.abort.as_ref()) {
                    abort.abort();
                }
            }
            Effect::StartTimedOut { key, after } => self.too_late(key, after),
            Effect::Show(key, state) => {
                self.with(key, |child| child.show(state));
                self.watch_while_up(key, state);
            }
            Effect::Emit(key, incarnation, mut what) => {
                let path = self.path_of(key);
                if let Lifecycle::Stopped { abandoned, .. } = &mut what {
                    self.with(key, |child| *abandoned = child.take_left());
                    self.tree.abandon(&path, abandoned);
                }
                self.tell(key, incarnation, what);
            }
            Effect::Retire {
                key,
                incarnation,
                reason,
            } => self.retire(key, incarnation, reason),
            Effect::Forget(key) => {
                self.unwatch(key);
                if let Some(kept) = self.kept.remove(&key) {
                    self.depart(&kept);
                }
                give_back(&mut self.kept);
            }
            Effect::Reply(token, outcome) => self.reply(token, outcome),
            Effect::TreeReady => {
                if let Some(ring) = self.ring.take() {
                    self.up_since = Some(Instant::now());
                    ring.ready();
                }
            }
            Effect::GivesUp {
                restarts,
                period,
                child,
                reason,
            } => {
                let what = Lifecycle::Escalated {
                    restarts,
                    period,
                    child,
                    reason,
                };
                self.tell_of_itself(what);
            }
            Effect::ShutsDown(significant) => {
                self.tell_of_itself(Lifecycle::AutoShutdown { significant });
            }
            Effect::End(end) => self.exit = Some(self.read_end(end)),
        }
    }

    fn with(&self, key: Key, act: impl FnOnce(&dyn Child)) {
        if let Some(kept) = self.kept.get(&key) {
            act(&*kept.child);
        }
    }

    fn too_late(&mut self, key: Key, after: Duration) {
        if let Some(kept) = self.kept.get(&key) {
            let hint = kept.child.start_hint();
            let reason = format!("not ready within {after:?}: {hint}");
            self.late.insert(key, reason);
        }
    }

    fn start(&mut self, key: Key, incarnation: u64) {
        let label = self.label_of(key);
        let Some(kept) = self.kept.get_mut(&key) else {
            return;
        };
        if incarnation > 1 {
            count_restart(label.as_str(), &self.family.cause(key));
        }
        let ring = Ring {
            key,
            incarnation,
            bell: self.bell.clone(),
        };
        let begin = Begin {
            path: kept.path.clone(),
            label,
            incarnation,
            ring,
            tree: self.tree.clone(),
            comes_back: kept.policy.restart == Restart::Permanent,
        };
        let abort = kept.child.spawn(begin, &mut self.tasks);
        self.by_task.insert(abort.id(), key);
        kept.abort = Some(abort);
    }

    fn retire(&mut self, key: Key, incarnation: u64, reason: DownReason) {
        self.unwatch(key);
        let Some(kept) = self.kept.get_mut(&key) else {
            return;
        };
        kept.down = Some(Box::new(reason.clone()));
        let abandoned = kept.child.down(&reason);
        self.tree.abandon(&kept.path, &abandoned);
        self.tell(key, incarnation, Lifecycle::Stopped { reason, abandoned });
    }
}

/// A crowd of children that has gone takes the room it needed with it.
fn give_back<K: Eq + Hash, V>(map: &mut HashMap<K, V>) {
    if map.capacity() > SMALL && map.len() < map.capacity() / 8 {
        map.shrink_to(map.len() * 2);
    }
}
