//! The janitor's shell: it hears of deadlines, sends orders, and listens for their answers beside its handlers.
//!
//! Invariants: no handler waits, every order ends within its deadline, and nothing is kept here that a crash could lose:
//! the registered caches live in the seed.

use std::sync::Arc;
use std::time::Duration;

use domain::Bytes;
use kameo::actor::{Actor, ActorRef, WeakActorRef};
use kameo::error::Infallible;
use kameo::message::{Context, Message};
use memory_governor::{Enlist, MemoryGovernor, Order, Stage};
use runtime::{Clock, CoarseClock};
use supervision::{AlarmDue, AskError, Birth, ChildSpec, Handle, Inbox};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use crate::deadlines::Deadlines;
use crate::messages::{JanitorStatus, Register, RegisterError, Status};
use crate::meters;
use crate::order::SweepOrder;
use crate::registration::Registration;
use crate::registry::Registry;
use crate::relief::Relief;
use crate::roster::{self, CacheId, Errand, Goal, OrderId, Swept};
use crate::sweeps::{Ending, Sweep};

/// The name in the tree.
pub const CHILD_ID: &str = "cache_janitor";
/// Asks waiting at once: caches register when their owner starts, and some people look.
const MAILBOX: usize = 64;
/// How long a cache may take for one sweep: its owner may be in the middle of something, but never for longer than this.
pub const ANSWER: Duration = Duration::from_secs(10);

/// How long before an order's deadline the governor is told what was freed up to then, so that it hears of it in time.
const MARGIN: Duration = Duration::from_millis(50);
/// How long the governor may take to take this janitor into its list: it never waits for anything there.
const ENLISTING: Duration = Duration::from_secs(10);

/// What outlives the janitor's crashes.
#[derive(Clone)]
pub struct JanitorSeed {
    registry: Registry,
    clock: Arc<dyn Clock>,
    governor: Handle<MemoryGovernor>,
}

/// The one janitor of a tree.
pub struct CacheJanitor {
    inbox: Inbox<Self>,
    me: WeakActorRef<Self>,
    registry: Registry,
    clock: Arc<dyn Clock>,
    /// What the governor asked for and has no answer to yet.
    relief: Option<(Order, Relief)>,
    /// The clock of deadlines, who hears the governor's orders, and who listens for the answer of each order under way.
    /// They end with this life.
    tasks: JoinSet<()>,
}

/// The janitor's place in the tree and its handle. When memory is short, `governor` says so.
pub fn child(governor: Handle<MemoryGovernor>) -> (ChildSpec, Handle<CacheJanitor>) {
    child_with(governor, Arc::new(CoarseClock::default()))
}

/// The same, and `clock` stamps the sweeps.
pub fn child_with(
    governor: Handle<MemoryGovernor>,
    clock: Arc<dyn Clock>,
) -> (ChildSpec, Handle<CacheJanitor>) {
    let seed = JanitorSeed {
        registry: Registry::default(),
        clock,
        governor,
    };
    ChildSpec::actor(CHILD_ID, MAILBOX, seed)
}

impl Actor for CacheJanitor {
    type Args = Birth<Self, JanitorSeed>;
    type Error = Infallible;

    async fn on_start(birth: Self::Args, me: ActorRef<Self>) -> Result<Self, Infallible> {
        let JanitorSeed {
            registry,
            clock,
            governor,
        } = birth.seed;
        registry.turn(|books| books.roster.reborn());
        let mut tasks = JoinSet::new();
        tasks.spawn(watch_deadlines(registry.clone(), me.downgrade()));
        tasks.spawn(hear_governor(governor, me.downgrade()));
        Ok(Self {
            inbox: birth.inbox,
            me: me.downgrade(),
            registry,
            clock,
            relief: None,
            tasks,
        })
    }

    supervision::receive_from!(inbox, alarm);
}

async fn watch_deadlines(registry: Registry, janitor: WeakActorRef<CacheJanitor>) {
    let mut deadlines = Deadlines::new(registry);
    loop {
        let cache = deadlines.next().await;
        let Some(janitor) = janitor.upgrade() else {
            return;
        };
        if janitor.tell(Due(cache)).send().await.is_err() {
            return;
        }
    }
}

async fn hear_governor(governor: Handle<MemoryGovernor>, janitor: WeakActorRef<CacheJanitor>) {
    let mut failures = 0;
    loop {
        let (orders, mut received) = mpsc::channel(1);
        let wish = Enlist {
            name: CHILD_ID.to_owned(),
            stage: Stage::Caches,
            orders,
        };
        match governor.ask(wish, ENLISTING).await {
            Ok(()) => failures = 0,
            Err(AskError::Down { .. }) => return,
            Err(error) => tracing::warn!(%error, "the memory governor does not know the caches"),
        }
        while let Some(order) = received.recv().await {
            let Some(janitor) = janitor.upgrade() else {
                return;
            };
            if janitor.tell(Relieve(order)).send().await.is_err() {
                return;
            }
        }
        failures += 1;
        tokio::time::sleep(roster::rest(failures)).await;
    }
}

impl CacheJanitor {
    /// Sends one order and has its answer listened for.
    fn send(&mut self, errand: Errand<mpsc::Sender<SweepOrder>>) {
        let Errand { id, goal, to } = errand;
        let (order, answer) = SweepOrder::new(goal, self.registry.place(id.cache));
        let sent = Instant::now();
        let ended = move |ending| Ended {
            id,
            goal,
            ending,
            sent,
        };
        match to.try_send(order) {
            Ok(()) => self.listen(answer, ended),
            Err(TrySendError::Full(_)) => self.write_down(&ended(Ending::Full)),
            Err(TrySendError::Closed(_)) => {
                self.registry.turn(|books| books.roster.remove(id.cache));
                if let Some((_, relief)) = &mut self.relief {
                    relief.ended(id, Bytes::ZERO);
                }
            }
        }
    }

    fn listen(
        &mut self,
        answer: oneshot::Receiver<Swept>,
        ended: impl FnOnce(Ending) -> Ended + Send + 'static,
    ) {
        // Those that ended; or they would be kept for ever.
        while self.tasks.try_join_next().is_some() {}
        let me = self.me.clone();
        self.tasks.spawn(async move {
            let ending = match timeout(ANSWER, answer).await {
                Ok(Ok(swept)) => Ending::Swept(swept),
                Ok(Err(_)) => Ending::Dropped,
                Err(_) => Ending::Silent,
            };
            if let Some(janitor) = me.upgrade() {
                // Fails only when this life ends, and the next one does not wait for it.
                let _ = janitor.tell(ended(ending)).send().await;
            }
        });
    }

    /// Asks the next caches for what the governor wants, and tells it when nothing more is to come.
    fn go_on(&mut self) {
        while let Some((_, relief)) = &mut self.relief {
            let errands = self.registry.turn(|books| relief.next(&mut books.roster));
            if errands.is_empty() {
                break;
            }
            for errand in errands {
                self.send(errand);
            }
        }
        let relief = self.relief.as_ref().map(|(_, relief)| relief);
        let done = self
            .registry
            .turn(|books| relief.is_some_and(|relief| relief.is_done(&books.roster)));
        if done {
            self.answer();
        }
    }

    /// Tells the governor what was freed up to now.
    fn answer(&mut self) {
        self.inbox.set_alarm(None);
        if let Some((order, relief)) = self.relief.take() {
            tracing::debug!(wanted = %order.wanted, freed = %relief.freed(), reason = order.reason, "caches were trimmed");
            order.done(relief.freed());
        }
    }

    fn write_down(&mut self, ended: &Ended) {
        // Of a cache that has left meanwhile, too: what it freed is freed.
        if let Some((_, relief)) = &mut self.relief {
            relief.ended(ended.id, ended.ending.freed());
        }
        let now = Instant::now();
        let (at, took) = (
            self.clock.stamp(),
            now.saturating_duration_since(ended.sent),
        );
        let noted = self.registry.turn(|books| {
            let cache = books.roster.ended(ended.id, ended.ending, now)?;
            let sweep = books.sweeps.note(Sweep {
                number: 0,
                cache,
                goal: ended.goal,
                ending: ended.ending,
                at,
                took,
            });
            if let Ending::Swept(_) = sweep.ending {
                books.roster.remember(ended.id.cache, &sweep);
            }
            Some(sweep)
        });
        let Some(sweep) = noted else {
            return;
        };
        meters::swept(&sweep);
        if let Ending::Swept(swept) = sweep.ending {
            tracing::debug!(cache = sweep.cache, ?swept, ?took, "swept");
        } else {
            tracing::warn!(cache = sweep.cache, ending = ?sweep.ending, "a cache was not swept: it is asked again later");
        }
    }
}

/// A cache's deadline has come.
struct Due(CacheId);

impl Message<Due> for CacheJanitor {
    type Reply = ();

    async fn handle(&mut self, Due(cache): Due, _: &mut Context<Self, ()>) {
        let now = Instant::now();
        if let Some(errand) = self.registry.turn(|books| books.roster.due(cache, now)) {
            self.send(errand);
        }
    }
}

/// An order has ended.
struct Ended {
    id: OrderId,
    goal: Goal,
    ending: Ending,
    sent: Instant,
}

impl Message<Ended> for CacheJanitor {
    type Reply = ();

    async fn handle(&mut self, ended: Ended, _: &mut Context<Self, ()>) {
        self.write_down(&ended);
        self.go_on();
    }
}

/// The governor wants bytes back.
pub(crate) struct Relieve(pub(crate) Order);

impl Message<Relieve> for CacheJanitor {
    type Reply = ();

    /// A second order means that the governor does not wait for the first any more.
    async fn handle(&mut self, Relieve(order): Relieve, _: &mut Context<Self, ()>) {
        self.answer();
        let relief = Relief::new(order.wanted);
        self.inbox.set_alarm(order.until().checked_sub(MARGIN));
        self.relief = Some((order, relief));
        self.go_on();
    }
}

impl Message<AlarmDue> for CacheJanitor {
    type Reply = ();

    async fn handle(&mut self, _: AlarmDue, _: &mut Context<Self, ()>) {
        self.answer();
    }
}

impl Message<Register> for CacheJanitor {
    type Reply = Result<Registration, RegisterError>;

    async fn handle(&mut self, wish: Register, _: &mut Context<Self, Self::Reply>) -> Self::Reply {
        let Register { name, orders } = wish;
        let registered = self.registry.turn(|books| {
            books.roster.retain(|to| !to.is_closed());
            books.roster.register(name, orders)
        });
        registered.map(|id| Registration::new(self.registry.place(id)))
    }
}

impl Message<Status> for CacheJanitor {
    type Reply = JanitorStatus;

    async fn handle(&mut self, _: Status, _: &mut Context<Self, JanitorStatus>) -> JanitorStatus {
        let wakes = self.registry.wakes();
        self.registry.turn(|books| {
            books.roster.retain(|to| !to.is_closed());
            JanitorStatus {
                caches: books.roster.status(),
                sweeps: books.sweeps.kept(),
                forgotten: books.sweeps.forgotten(),
                wakes,
            }
        })
    }
}
