//! A living supervisor: it carries out what the [`Family`] decides.
//!
//! Every child's life is a task of its `JoinSet`, so a life's end is seen after the last of its hooks has run, and no life
//! outlasts the supervisor's own.

mod commands;
mod ends;
mod list;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::{AbortHandle, Id, JoinSet};
use tokio::time::Instant;

use crate::admin::Commands;
use crate::chance::Chance;
use crate::child::{Begin, Child, Doorbell, Ring, StopHow};
use crate::events::{Lifecycle, LifecycleEvent, count_restart};
use crate::exit::{DownReason, Exit};
use crate::family::{Effect, Entry, Event, Family, Key, Rules, Token};
use crate::names::{ChildId, ChildPath};
use crate::policy::Restart;
use crate::spec::Record;
use crate::supervisor_child::Order;
use crate::supervisor_spec::Plan;
use crate::tree::Tree;

use commands::Pending;

/// Events of one kind taken in one round, so that no flood of one kind keeps the others waiting.
const ROUND: usize = 64;

struct Kept {
    record: Record,
    path: ChildPath,
    /// Bounded metric label: the path, or `<supervisor>/*` for children started at run time.
    label: Arc<str>,
}

/// One life of one supervisor.
pub(crate) struct Supervisor {
    plan: Arc<Plan>,
    path: ChildPath,
    incarnation: u64,
    tree: Arc<Tree>,
    ring: Option<Ring>,
    obeyed: Order,
    family: Family,
    kept: HashMap<Key, Kept>,
    tasks: JoinSet<Exit>,
    by_task: HashMap<Id, (Key, u64)>,
    aborts: HashMap<Key, AbortHandle>,
    late: HashMap<Key, String>,
    bell: Arc<Doorbell>,
    /// The metric label of every child that was started at run time.
    dynamic_label: Arc<str>,
    pending: HashMap<Token, (Pending, ChildId)>,
    next_key: u64,
    next_token: u64,
    exit: Option<Exit>,
}

impl Supervisor {
    pub(crate) fn new(plan: Arc<Plan>, begin: Begin) -> Self {
        let Begin {
            path,
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
        let dynamic_label = Arc::from(format!("{path}/*"));
        Self {
            plan,
            path,
            incarnation,
            tree,
            ring: Some(ring),
            obeyed: Order::Run,
            family,
            kept: HashMap::new(),
            tasks: JoinSet::new(),
            by_task: HashMap::new(),
            aborts: HashMap::new(),
            late: HashMap::new(),
            bell: Arc::default(),
            dynamic_label,
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
        self.boot();
        loop {
            if let Some(exit) = self.exit.take() {
                return exit;
            }
            let deadline = self.family.deadline();
            let mut joined = None;
            let mut command = None;
            tokio::select! {
                biased;
                Ok(()) = orders.changed() => {}
                () = self.bell.rings() => {}
                Some(end) = self.tasks.join_next_with_id() => joined = Some(end),
                Some(asked) = commands.next() => command = Some(asked),
                () = tokio::time::sleep_until(deadline.unwrap_or_else(Instant::now)), if deadline.is_some() => {}
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
        }
    }

    fn boot(&mut self) {
        let records = self.plan.children.clone();
        let mut entries = Vec::with_capacity(records.len());
        for record in records {
            let path = self.path.join(&record.id);
            let label = Arc::from(path.as_str());
            entries.push(self.keep(record, path, label));
        }
        self.feed(Event::Boot(entries));
    }

    fn keep(&mut self, record: Record, path: ChildPath, label: Arc<str>) -> Entry {
        let key = Key(self.next_key);
        self.next_key += 1;
        let entry = Entry {
            key,
            id: record.id.clone(),
            policy: record.policy.clone(),
        };
        self.kept.insert(
            key,
            Kept {
                record,
                path,
                label,
            },
        );
        entry
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
                if let Some(abort) = self.aborts.get(&key) {
                    abort.abort();
                }
            }
            Effect::StartTimedOut { key, after } => self.too_late(key, after),
            Effect::Show(key, state) => self.with(key, |child| child.show(state)),
            Effect::Emit(key, incarnation, what) => {
                self.announce(self.path_of(key), incarnation, what);
            }
            Effect::Retire {
                key,
                incarnation,
                reason,
            } => self.retire(key, incarnation, reason),
            Effect::Forget(key) => {
                self.kept.remove(&key);
            }
            Effect::Reply(token, outcome) => self.reply(token, outcome),
            Effect::TreeReady => {
                if let Some(ring) = self.ring.take() {
                    ring.ready();
                }
            }
            Effect::GivesUp { restarts, period } => {
                let what = Lifecycle::Escalated { restarts, period };
                self.announce(self.path.clone(), self.incarnation, what);
            }
            Effect::ShutsDown(significant) => {
                let what = Lifecycle::AutoShutdown { significant };
                self.announce(self.path.clone(), self.incarnation, what);
            }
            Effect::End(end) => self.exit = Some(self.read_end(end)),
        }
    }

    fn with(&self, key: Key, act: impl FnOnce(&dyn Child)) {
        if let Some(kept) = self.kept.get(&key) {
            act(&*kept.record.child);
        }
    }

    fn too_late(&mut self, key: Key, after: Duration) {
        if let Some(kept) = self.kept.get(&key) {
            let hint = kept.record.child.start_hint();
            let reason = format!("not ready within {after:?}: {hint}");
            self.late.insert(key, reason);
        }
    }

    fn announce(&self, child: ChildPath, incarnation: u64, what: Lifecycle) {
        self.tree.events.announce(LifecycleEvent {
            child,
            incarnation,
            at: Instant::now(),
            what,
        });
    }

    fn start(&mut self, key: Key, incarnation: u64) {
        let Some(kept) = self.kept.get(&key) else {
            return;
        };
        if incarnation > 1 {
            count_restart(&kept.label);
        }
        let ring = Ring {
            key,
            incarnation,
            bell: self.bell.clone(),
        };
        let life = kept.record.child.begin(Begin {
            path: kept.path.clone(),
            incarnation,
            ring,
            tree: self.tree.clone(),
            comes_back: kept.record.policy.restart == Restart::Permanent,
        });
        let abort = self.tasks.spawn(life);
        self.by_task.insert(abort.id(), (key, incarnation));
        self.aborts.insert(key, abort);
    }

    fn retire(&mut self, key: Key, incarnation: u64, reason: DownReason) {
        let Some(kept) = self.kept.get(&key) else {
            return;
        };
        let abandoned = kept.record.child.down(&reason);
        let path = kept.path.clone();
        self.tree.abandon(&path, &abandoned);
        self.announce(path, incarnation, Lifecycle::Stopped { reason, abandoned });
    }
}
