//! One actor for all behaviour tests: it notes what happens to it and does what the test says.

#![allow(
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a helper that fails fails its test"
)]

pub mod four;

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use supervision::kameo::actor::{Actor, ActorRef, WeakActorRef};
use supervision::kameo::error::ActorStopReason;
use supervision::kameo::message::{Context, Message};
use supervision::{
    AlarmDue, Backoff, Birth, ChildSpec, Events, Handle, Inbox, Lifecycle, LifecycleEvent,
    RootHandle, Shutdown, StartTreeError, SupervisorSpec, WorkGuard, start_root,
};
use tokio::time::{Instant, sleep};

pub const SECOND: Duration = Duration::from_secs(1);
pub const MINUTE: Duration = Duration::from_mins(1);

pub fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// What happened, in order, in words.
#[derive(Clone, Default)]
pub struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    pub fn note(&self, what: impl Into<String>) {
        self.0.lock().unwrap().push(what.into());
    }

    pub fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }

    pub fn seen(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

/// What every life of a [`Probe`] is told to do.
#[derive(Clone)]
pub struct Orders {
    pub name: &'static str,
    pub log: Log,
    pub start_takes: Duration,
    pub stop_takes: Duration,
    /// This many starts fail with an error before one succeeds.
    pub failing_starts: Arc<AtomicU32>,
    pub start_panics: bool,
}

impl Orders {
    pub fn new(name: &'static str, log: &Log) -> Self {
        Self {
            name,
            log: log.clone(),
            start_takes: Duration::ZERO,
            stop_takes: Duration::ZERO,
            failing_starts: Arc::default(),
            start_panics: false,
        }
    }

    pub fn start_takes(mut self, takes: Duration) -> Self {
        self.start_takes = takes;
        self
    }

    pub fn stop_takes(mut self, takes: Duration) -> Self {
        self.stop_takes = takes;
        self
    }

    pub fn failing_starts(self, starts: u32) -> Self {
        self.failing_starts.store(starts, Ordering::SeqCst);
        self
    }

    pub fn start_panics(mut self) -> Self {
        self.start_panics = true;
        self
    }

    /// A permanent child with room for 64 messages and no backoff.
    pub fn spec(self) -> (ChildSpec, Handle<Probe>) {
        let (spec, handle) = ChildSpec::actor(self.name, 64, self);
        (spec.backoff(Backoff::none()), handle)
    }
}

pub struct Probe {
    orders: Orders,
    inbox: Inbox<Probe>,
    work: Option<WorkGuard>,
}

impl Actor for Probe {
    type Args = Birth<Self, Orders>;
    type Error = String;

    async fn on_start(birth: Self::Args, _me: ActorRef<Self>) -> Result<Self, Self::Error> {
        let Birth { seed, inbox } = birth;
        seed.log.note(format!("{} starting", seed.name));
        sleep(seed.start_takes).await;
        assert!(!seed.start_panics, "cannot start");
        let left = seed.failing_starts.load(Ordering::SeqCst);
        if left > 0 {
            seed.failing_starts.store(left - 1, Ordering::SeqCst);
            seed.log.note(format!("{} failing", seed.name));
            return Err("no such luck".to_owned());
        }
        seed.log.note(format!("{} started", seed.name));
        Ok(Self {
            orders: seed,
            inbox,
            work: None,
        })
    }

    supervision::receive_from!(inbox, alarm);

    async fn on_stop(
        &mut self,
        _me: WeakActorRef<Self>,
        _why: ActorStopReason,
    ) -> Result<(), Self::Error> {
        sleep(self.orders.stop_takes).await;
        self.orders
            .log
            .note(format!("{} stopped", self.orders.name));
        Ok(())
    }
}

impl Probe {
    fn note(&self, what: &str) {
        self.orders.log.note(format!("{} {what}", self.orders.name));
    }
}

/// Notes the number and answers it.
pub struct Say(pub u32);
/// Panics with the text.
pub struct Crash(pub &'static str);
/// Handles for this long.
pub struct Linger(pub Duration);
/// Sets the alarm this far ahead.
pub struct Wake(pub Duration);
/// Ends by itself.
pub struct Finish;
/// Ends if nothing is queued; answers whether it will.
pub struct FinishIfIdle;
/// Begins work that ends with the next `Say`, `Hold` or alarm.
pub struct Hold(pub &'static str);

impl Message<Say> for Probe {
    type Reply = u32;
    async fn handle(&mut self, Say(n): Say, _: &mut Context<Self, u32>) -> u32 {
        self.work = None;
        self.note(&n.to_string());
        n
    }
}

impl Message<Crash> for Probe {
    type Reply = ();
    async fn handle(&mut self, Crash(why): Crash, _: &mut Context<Self, ()>) {
        self.note(why);
        panic!("{why}");
    }
}

impl Message<Linger> for Probe {
    type Reply = ();
    async fn handle(&mut self, Linger(takes): Linger, _: &mut Context<Self, ()>) {
        sleep(takes).await;
        self.note("lingered");
    }
}

impl Message<Hold> for Probe {
    type Reply = ();
    async fn handle(&mut self, Hold(label): Hold, _: &mut Context<Self, ()>) {
        self.work = Some(self.inbox.work(label));
    }
}

impl Message<Wake> for Probe {
    type Reply = ();
    async fn handle(&mut self, Wake(ahead): Wake, _: &mut Context<Self, ()>) {
        self.inbox.set_alarm(Some(Instant::now() + ahead));
    }
}

impl Message<AlarmDue> for Probe {
    type Reply = ();
    async fn handle(&mut self, _: AlarmDue, _: &mut Context<Self, ()>) {
        self.work = None;
        self.note("alarm");
    }
}

impl Message<Finish> for Probe {
    type Reply = ();
    async fn handle(&mut self, _: Finish, context: &mut Context<Self, ()>) {
        context.stop();
    }
}

impl Message<FinishIfIdle> for Probe {
    type Reply = bool;
    async fn handle(&mut self, _: FinishIfIdle, _: &mut Context<Self, bool>) -> bool {
        self.inbox.stop_if_idle()
    }
}

/// The deadline of a whole test: a paused clock that nobody holds any more runs to it at once, and a test that waits for
/// what never comes ends there instead of never.
#[allow(
    clippy::disallowed_methods,
    clippy::print_stderr,
    reason = "the runtime ends it with the test"
)]
fn hang_no_longer_than(deadline: Duration) {
    tokio::spawn(async move {
        sleep(deadline).await;
        eprintln!("this test waits for something that never comes: {deadline:?} have passed");
        std::process::abort();
    });
}

/// A tree called `root` with a fixed seed.
pub async fn start(spec: SupervisorSpec) -> Result<RootHandle, StartTreeError> {
    hang_no_longer_than(Duration::from_hours(30 * 24));
    start_root(spec, Events::with_seed(1)).await
}

pub async fn started(spec: SupervisorSpec) -> RootHandle {
    start(spec).await.expect("the tree starts")
}

/// A root that allows any number of restarts.
pub fn root() -> SupervisorSpec {
    SupervisorSpec::new("root").intensity(1_000_000, SECOND)
}

/// The next event of that child that `wanted` accepts, or a failed test after a minute of tokio time.
pub async fn event(
    events: &mut tokio::sync::broadcast::Receiver<LifecycleEvent>,
    child: &str,
    wanted: impl Fn(&Lifecycle) -> bool,
) -> LifecycleEvent {
    let found = async {
        loop {
            let event = events.recv().await.expect("the tree lives");
            if event.child.as_str() == child && wanted(&event.what) {
                return event;
            }
        }
    };
    tokio::time::timeout(MINUTE, found)
        .await
        .unwrap_or_else(|_| panic!("no such event of {child} within a minute"))
}

/// Lets everything that can happen now happen.
pub async fn settle() {
    sleep(ms(1)).await;
}

/// Runs a question beside the test, which goes on.
#[allow(clippy::disallowed_methods, reason = "the test awaits the handle")]
pub fn aside<F>(question: F) -> tokio::task::JoinHandle<F::Output>
where
    F: Future<Output: Send> + Send + 'static,
{
    tokio::spawn(question)
}

pub fn brief() -> Shutdown {
    Shutdown::Timeout(ms(200))
}
