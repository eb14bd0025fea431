//! A living supervisor: it carries out what the [`Family`] decides.
//!
//! Every child's life is a task of its `JoinSet`, so a life's end is seen after the last of its hooks has run, and no life
//! outlasts the supervisor's own.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{oneshot, watch};
use tokio::task::{AbortHandle, Id, JoinError, JoinSet};
use tokio::time::Instant;

use crate::admin::{ChildInfo, Command, Commands, Shared, StartChildError, TerminateChildError};
use crate::cell::short_name;
use crate::chance::Chance;
use crate::child::{Begin, Child, Doorbell, Ring, StopHow};
use crate::events::{Lifecycle, LifecycleEvent, count_restart};
use crate::exit::{DownReason, Escalation, Exit, StartFailure};
use crate::family::{Effect, End, Entry, Event, Family, Key, Refused, Token};
use crate::names::{ChildId, ChildPath};
use crate::spec::{Plan, Record, SpecError};
use crate::supervisor_child::Order;
use crate::tree::Tree;

/// Events of one kind taken in one round, so that no flood of one kind keeps the others waiting.
const ROUND: usize = 64;

struct Kept {
    record: Record,
    path: ChildPath,
    /// Bounded metric label: the path, or `<supervisor>/*` for children started at run time.
    label: String,
}

enum Pending {
    Start(oneshot::Sender<Result<(), StartChildError>>),
    Ensure(oneshot::Sender<Result<(ChildPath, Shared), StartChildError>>),
    Terminate(oneshot::Sender<Result<(), TerminateChildError>>),
}

type Joined = Result<(Id, Exit), JoinError>;

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
        } = begin;
        let seed = tree.events.seed().wrapping_add(incarnation);
        let chance = Chance::for_place(seed, path.as_str());
        let family = Family::new(plan.strategy, plan.intensity.clone(), chance);
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
            let label = path.to_string();
            entries.push(self.keep(record, path, label));
        }
        self.feed(Event::Boot(entries));
    }

    fn keep(&mut self, record: Record, path: ChildPath, label: String) -> Entry {
        let key = Key(self.next_key);
        self.next_key += 1;
        let entry = Entry {
            key,
            id: record.id.clone(),
            policy: record.policy,
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

    fn bury(&mut self, first: Option<Joined>) {
        let mut next = first;
        for _ in 0..ROUND {
            let Some(joined) = next.take().or_else(|| self.tasks.try_join_next_with_id()) else {
                return;
            };
            // A life says that it is ready before it ends, so that is heard first.
            self.hear();
            self.end_of(joined);
        }
    }

    fn end_of(&mut self, joined: Joined) {
        let id = match &joined {
            Ok((id, _)) => *id,
            Err(error) => error.id(),
        };
        let Some((key, incarnation)) = self.by_task.remove(&id) else {
            return;
        };
        self.aborts.remove(&key);
        let late = self.late.remove(&key);
        let exit = match (joined, late) {
            (_, Some(reason)) => {
                let child = self.path_of(key);
                Exit::StartFailed(StartFailure { child, reason })
            }
            (Ok((_, exit)), None) => exit,
            (Err(error), None) => read_join_error(error),
        };
        self.feed(Event::Ended {
            key,
            incarnation,
            exit,
        });
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

    fn read_end(&self, end: End) -> Exit {
        match end {
            End::Asked => Exit::Normal,
            End::StartFailed {
                exit: Exit::StartFailed(failure),
                ..
            } => Exit::StartFailed(failure),
            End::StartFailed { id, exit } => Exit::StartFailed(StartFailure {
                child: self.path.join(&id),
                reason: exit.to_string(),
            }),
            End::Escalated { id, reason } => Exit::Escalated(Escalation {
                supervisor: self.path.clone(),
                child: self.path.join(&id),
                reason,
                max_restarts: self.plan.intensity.max_restarts(),
                period: self.plan.intensity.period(),
            }),
        }
    }

    // ---- commands

    fn command(&mut self, command: Command) {
        match command {
            Command::Start { record, reply } => match self.adopt(record) {
                Err(error) => drop(reply.send(Err(error.into()))),
                Ok(entry) => {
                    let token = self.wait(Pending::Start(reply), entry.id.clone());
                    self.feed(Event::Add { token, entry });
                }
            },
            Command::Ensure { record, reply } => match self.adopt(record) {
                Err(error) => drop(reply.send(Err(error.into()))),
                Ok(entry) => {
                    let leaving = self.is_leaving(&entry.id);
                    let token = self.wait(Pending::Ensure(reply), entry.id.clone());
                    self.feed(Event::Ensure {
                        token,
                        entry,
                        leaving,
                    });
                }
            },
            Command::Terminate { id, reply } => {
                let token = self.wait(Pending::Terminate(reply), id.clone());
                self.feed(Event::Terminate { token, id });
            }
            Command::Which { reply } => drop(reply.send(self.list())),
        }
    }

    fn adopt(&mut self, record: Record) -> Result<Entry, SpecError> {
        record.check(self.plan.auto_shutdown)?;
        let path = self.path.join(&record.id);
        if !record.child.adopt(&path) {
            return Err(SpecError::UsedTwice { child: path });
        }
        let label = format!("{}/*", self.path);
        Ok(self.keep(record, path, label))
    }

    fn is_leaving(&self, id: &ChildId) -> bool {
        let kept = self.family.find(id).and_then(|key| self.kept.get(&key));
        kept.is_some_and(|kept| kept.record.child.is_leaving())
    }

    fn wait(&mut self, pending: Pending, id: ChildId) -> Token {
        let token = Token(self.next_token);
        self.next_token += 1;
        self.pending.insert(token, (pending, id));
        token
    }

    /// An error of `send` only means that nobody waits any more.
    fn reply(&mut self, token: Token, outcome: Result<Key, Refused>) {
        let Some((pending, id)) = self.pending.remove(&token) else {
            return;
        };
        match pending {
            Pending::Start(reply) => {
                let outcome = outcome.map(|_| ()).map_err(|why| self.refusal(&id, why));
                drop(reply.send(outcome));
            }
            Pending::Ensure(reply) => {
                let outcome = match outcome {
                    Ok(key) => self.share(key),
                    Err(why) => Err(self.refusal(&id, why)),
                };
                drop(reply.send(outcome));
            }
            Pending::Terminate(reply) => {
                let outcome = match outcome {
                    Ok(_) => Ok(()),
                    Err(Refused::NotFound) => Err(TerminateChildError::NotFound {
                        supervisor: self.path.clone(),
                        child: id,
                    }),
                    Err(_) => Err(TerminateChildError::Down {
                        supervisor: self.path.clone(),
                    }),
                };
                drop(reply.send(outcome));
            }
        }
    }

    fn share(&self, key: Key) -> Result<(ChildPath, Shared), StartChildError> {
        let kept = self.kept.get(&key).ok_or(StartChildError::Stopping {
            supervisor: self.path.clone(),
        })?;
        Ok((kept.path.clone(), kept.record.child.shared()))
    }

    fn refusal(&self, id: &ChildId, why: Refused) -> StartChildError {
        let child = self.path.join(id);
        match why {
            Refused::AlreadyStarted => StartChildError::AlreadyStarted { child },
            Refused::AlreadyPresent => StartChildError::AlreadyPresent { child },
            Refused::Stopping | Refused::NotFound => StartChildError::Stopping {
                supervisor: self.path.clone(),
            },
            Refused::Failed(Exit::StartFailed(failure)) => StartChildError::Failed(failure),
            Refused::Failed(exit) => StartChildError::Failed(StartFailure {
                child,
                reason: exit.to_string(),
            }),
        }
    }

    fn list(&self) -> Vec<ChildInfo> {
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

fn read_join_error(error: JoinError) -> Exit {
    match error.try_into_panic() {
        Ok(panic) => {
            let text = panic
                .downcast_ref::<&str>()
                .map(|text| (*text).to_owned())
                .or_else(|| panic.downcast_ref::<String>().cloned());
            Exit::Crashed(text.unwrap_or_else(|| "panicked without a message".to_owned()))
        }
        Err(_) => Exit::Aborted,
    }
}
