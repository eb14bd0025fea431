//! The store's shell: what waits goes to the disk in one batch, and what comes meanwhile in the next.
//!
//! Invariants: no handler waits for the disk; nobody is answered before the commit; nothing is kept here that a crash
//! could lose but requests that were not answered yet, whose askers hear of it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use cache_janitor::{CacheJanitor, Held, Register, Registration, SweepOrder, Swept};
use domain::Bytes;
use kameo::actor::{Actor, ActorRef, WeakActorRef};
use kameo::error::Infallible;
use kameo::message::{Context, Message};
use kameo::reply::{DelegatedReply, ReplySender};
use runtime::Clock;
use runtime::clock::Stamp;
use supervision::{Birth, ChildSpec, Handle, Inbox, Shutdown, WorkGuard};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tracing::Span;

use crate::archive::{Archive, Failure};
use crate::batch::{self, Errand};
use crate::berth::Berth;
use crate::control_log::{DropOld, Holding};
use crate::error::StoreError;
use crate::work::Work;

/// The name in the tree.
pub const CHILD_ID: &str = "conversation_store";
/// The control log's name with the janitor.
pub const CACHE: &str = "control log";
/// Requests that wait for the disk: as many as a few hundred conversations have at once. All of them go together.
pub const WAITING: usize = 256;
/// The bytes that wait for the disk, all requests together: one of the largest, and as much again.
pub const WAITING_BYTES: usize = 2 * crate::limits::REQUEST;
/// Asks in the queue; each is checked and put into the line above within microseconds.
const MAILBOX: usize = 256;
/// What waits is written before a stop ends: longer than a busy disk takes for a full line.
const STOPPING: Duration = Duration::from_secs(30);
/// How long the janitor may take to register the log; it waits for nothing there.
const REGISTERING: Duration = Duration::from_secs(10);

/// What outlives the actor's crashes.
#[derive(Clone)]
pub struct StoreSeed {
    berth: Berth,
    janitor: Option<Handle<CacheJanitor>>,
    clock: Arc<dyn Clock>,
}

impl StoreSeed {
    fn now(&self) -> Stamp {
        self.clock.stamp()
    }
}

/// The one writer of the file in a tree.
pub struct ConversationStore {
    inbox: Inbox<Self>,
    seed: StoreSeed,
    me: WeakActorRef<Self>,
    waiting: VecDeque<Box<dyn Job>>,
    waiting_bytes: usize,
    /// The file is on a trip, which ends with a `Home`.
    away: bool,
    /// The control log's place with the janitor, and what the log held when it was looked at last.
    registration: Option<Registration>,
    log: Holding,
    /// Trips, and the one who hears the janitor. What is on the blocking pool ends by itself, with the file whole.
    tasks: JoinSet<()>,
}

/// The place in the tree and the handle. `archive` is the file, opened by [`crate::client::open`] before the tree starts,
/// so that a file that is refused is told to whoever starts it. The clock tells what in the control log is old; without a
/// janitor nothing there is dropped for its age.
pub fn child(
    archive: Archive,
    janitor: Option<Handle<CacheJanitor>>,
    clock: Arc<dyn Clock>,
) -> (ChildSpec, Handle<ConversationStore>) {
    let seed = StoreSeed {
        berth: Berth::new(archive),
        janitor,
        clock,
    };
    let (spec, handle) = ChildSpec::actor(CHILD_ID, MAILBOX, seed);
    (spec.shutdown(Shutdown::Timeout(STOPPING)), handle)
}

/// An errand that knows whom to answer.
trait Job: Errand {
    fn answer(self: Box<Self>);
}

type Reply<W> = Result<<W as Work>::Answer, StoreError>;

struct Asked<W: Work> {
    work: W,
    answer: Option<Reply<W>>,
    to: Answering<W>,
    /// Whose turn it is.
    turn: Span,
    /// A graceful stop waits for it.
    _guard: WorkGuard,
}

/// Who hears an answer.
enum Answering<W: Work> {
    Asker(Option<ReplySender<Reply<W>>>),
    Janitor(Box<dyn FnOnce(Reply<W>) + Send>),
}

impl<W: Work> Errand for Asked<W> {
    fn name(&self) -> &'static str {
        std::any::type_name::<W>()
    }

    fn writes(&self) -> bool {
        W::WRITES
    }

    fn turn(&self) -> Span {
        self.turn.clone()
    }

    fn carry_out(&mut self, archive: &Archive) -> Result<(), Failure> {
        self.answer = Some(Ok(self.work.carry_out(archive)?));
        Ok(())
    }

    fn refuse(&mut self, error: StoreError) {
        self.answer = Some(Err(error));
    }
}

impl<W: Work> Job for Asked<W> {
    fn answer(self: Box<Self>) {
        let unknown = || {
            Err(StoreError::Unknown {
                reason: "its trip to the disk did not end".to_owned(),
            })
        };
        let answer = self.answer.unwrap_or_else(unknown);
        match self.to {
            Answering::Asker(asker) => {
                if let Some(asker) = asker {
                    asker.send(answer);
                }
            }
            Answering::Janitor(hear) => hear(answer),
        }
    }
}

/// A trip has ended.
struct Home {
    /// What the control log holds now; nothing if that has not changed, or could not be told.
    log: Option<Holding>,
}

/// The log has its place with the janitor.
struct Registered(Registration);

/// The janitor wants what is too old to go.
struct Sweep(SweepOrder);

/// Tells this life of the actor; it may have ended.
async fn tell<M: Send + 'static>(me: &WeakActorRef<ConversationStore>, message: M)
where
    ConversationStore: Message<M, Reply = ()>,
{
    if let Some(me) = me.upgrade()
        && let Err(error) = me.tell(message).send().await
    {
        tracing::debug!(%error, "the conversation store ended first");
    }
}

impl Actor for ConversationStore {
    type Args = Birth<Self, StoreSeed>;
    type Error = Infallible;

    async fn on_start(birth: Self::Args, me: ActorRef<Self>) -> Result<Self, Infallible> {
        let mut store = Self {
            inbox: birth.inbox,
            seed: birth.seed,
            me: me.downgrade(),
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            away: false,
            registration: None,
            log: Holding::default(),
            tasks: JoinSet::new(),
        };
        store.register();
        Ok(store)
    }

    supervision::receive_from!(inbox);
}

impl ConversationStore {
    /// Puts the control log under the janitor's care, in a task that ends with this life, and looks at it for the first
    /// time by dropping what is too old.
    fn register(&mut self) {
        let Some(janitor) = self.seed.janitor.clone() else {
            return;
        };
        let me = self.me.clone();
        self.tasks.spawn(async move {
            let name = CACHE.to_owned();
            // One order at a time comes.
            let (orders, mut received) = mpsc::channel(1);
            match janitor.ask(Register { name, orders }, REGISTERING).await {
                Ok(registration) => tell(&me, Registered(registration)).await,
                Err(error) => {
                    return tracing::warn!(%error, "old control logs will not be dropped");
                }
            }
            while let Some(order) = received.recv().await {
                tell(&me, Sweep(order)).await;
            }
        });
        self.drop_old(None);
    }

    fn drop_old(&mut self, order: Option<SweepOrder>) {
        let now_ms = self.seed.now().0;
        let seed = self.seed.clone();
        let hear = move |answer: Reply<DropOld>| {
            // Not done, it is dropped, and the janitor asks again.
            if let (Some(order), Ok((swept, left))) = (order, answer) {
                let held = held(left, seed.now());
                order.done(Swept {
                    swept,
                    kept: held.entries,
                    next_due: held.next_due,
                    ..Swept::default()
                });
            }
        };
        self.accept(DropOld { now_ms }, Answering::Janitor(Box::new(hear)));
    }

    fn accept<W: Work>(&mut self, work: W, to: Answering<W>) {
        let bytes = work.bytes();
        let waiting = self.waiting.len();
        let refused = if waiting >= WAITING || self.waiting_bytes + bytes > WAITING_BYTES {
            Some(StoreError::Busy { waiting })
        } else {
            work.check().err()
        };
        let job = Box::new(Asked {
            work,
            answer: refused.clone().map(Err),
            to,
            turn: self.inbox.turn(),
            _guard: self.inbox.work("writing to the conversation file"),
        });
        if refused.is_some() {
            return job.answer();
        }
        self.waiting_bytes += bytes;
        self.waiting.push_back(job);
        self.set_out();
    }

    /// Takes everything that waits to the disk, if the file is home.
    fn set_out(&mut self) {
        if self.away || self.waiting.is_empty() {
            return;
        }
        self.away = true;
        self.waiting_bytes = 0;
        let mut jobs: Vec<Box<dyn Job>> = self.waiting.drain(..).collect();
        let (me, berth) = (self.me.clone(), self.seed.berth.clone());
        while self.tasks.try_join_next().is_some() {}
        self.tasks.spawn(async move {
            let trip = berth.take().await;
            let travel = tokio::task::spawn_blocking(move || {
                let log = trip.archive().and_then(|archive| {
                    batch::carry_out(archive, &mut jobs);
                    archive.changed_log()
                });
                drop(trip);
                (jobs, log)
            });
            // It has no way to panic but one nobody thought of: then the askers hear that it is not known.
            let (jobs, log) = travel.await.unwrap_or_default();
            for job in jobs {
                job.answer();
            }
            tell(&me, Home { log }).await;
        });
    }

    fn held(&self) -> Held {
        held(self.log, self.seed.now())
    }
}

/// What the janitor is told of the log. It lies on the disk, so none of its bytes could be had back in memory.
fn held(log: Holding, now: Stamp) -> Held {
    let due = log.due_ms.map(|due_ms| {
        let wait = due_ms.saturating_sub(now.0);
        Duration::from_millis(u64::try_from(wait).unwrap_or_default())
    });
    Held {
        entries: log.records,
        bytes: Bytes::ZERO,
        next_due: due.and_then(|wait| Instant::now().checked_add(wait)),
    }
}

impl<W: Work> Message<W> for ConversationStore {
    type Reply = DelegatedReply<Reply<W>>;

    async fn handle(&mut self, work: W, ctx: &mut Context<Self, Self::Reply>) -> Self::Reply {
        let (delegated, asker) = ctx.reply_sender();
        self.accept(work, Answering::Asker(asker));
        delegated
    }
}

impl Message<Home> for ConversationStore {
    type Reply = ();

    async fn handle(&mut self, home: Home, _: &mut Context<Self, ()>) {
        self.away = false;
        if let Some(log) = home.log.filter(|log| *log != self.log) {
            self.log = log;
            if let Some(registration) = &self.registration {
                registration.holds(self.held());
            }
        }
        self.set_out();
    }
}

impl Message<Registered> for ConversationStore {
    type Reply = ();

    async fn handle(&mut self, Registered(place): Registered, _: &mut Context<Self, ()>) {
        place.holds(self.held());
        self.registration = Some(place);
    }
}

impl Message<Sweep> for ConversationStore {
    type Reply = ();

    async fn handle(&mut self, Sweep(order): Sweep, _: &mut Context<Self, ()>) {
        self.drop_old(Some(order));
    }
}
