//! An actix actor and one of ours for all behaviour tests, which do what the test says and note what happens to them.

#![allow(
    unreachable_pub,
    clippy::unwrap_used,
    clippy::panic,
    reason = "a helper that fails fails its test"
)]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use actix::{
    Actor, ActorContext, AsyncContext, Context, Handler, Message, ResponseFuture, Running,
    WrapFuture,
};
use domain::Bytes;
use paraphym_candle::{ModelName, Paraphym};
use supervision::kameo;
use supervision::kameo::actor::ActorRef;
use supervision::kameo::error::Infallible;
use supervision::{Backoff, Birth, ChildSpec, Inbox, SupervisorSpec};
use testkit::scene::Scene;
use testkit::scripted::{Answer, Control, ScriptedLoader};
use tokio::sync::Notify;

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
}

pub fn root() -> SupervisorSpec {
    SupervisorSpec::new("root").intensity(100, MINUTE)
}

/// A rest that has a length of its own, and may be drawn shorter.
pub fn rests(millis: u64) -> Backoff {
    Backoff {
        base: ms(millis),
        cap: ms(millis),
        ..Backoff::default()
    }
}

/// A scene with this one child, which is restarted without a rest.
pub async fn scene(spec: ChildSpec) -> Scene {
    Scene::start(root().child(spec.backoff(Backoff::none())))
        .await
        .unwrap()
}

/// Lets everybody do what they can do now.
pub async fn settle() {
    for _ in 0..200 {
        tokio::task::yield_now().await;
    }
}

/// An actix actor that counts.
pub struct Counter {
    pub log: Log,
    pub n: u64,
    pub refuses_to_stop: bool,
    pub panics_when_stopped: bool,
}

impl Counter {
    pub fn new(log: &Log) -> Self {
        Self {
            log: log.clone(),
            n: 0,
            refuses_to_stop: false,
            panics_when_stopped: false,
        }
    }

    pub fn that_refuses_to_stop(log: &Log) -> Self {
        let mut counter = Self::new(log);
        counter.refuses_to_stop = true;
        counter
    }

    pub fn that_panics_when_stopped(log: &Log) -> Self {
        let mut counter = Self::new(log);
        counter.panics_when_stopped = true;
        counter
    }
}

impl Actor for Counter {
    type Context = Context<Self>;

    fn started(&mut self, _: &mut Context<Self>) {
        self.log.note("started");
    }

    fn stopping(&mut self, _: &mut Context<Self>) -> Running {
        if self.refuses_to_stop {
            self.log.note("refuses to stop");
            return Running::Continue;
        }
        Running::Stop
    }

    fn stopped(&mut self, _: &mut Context<Self>) {
        self.log.note("stopped");
        assert!(!self.panics_when_stopped, "not even its end is quiet");
    }
}

impl Drop for Counter {
    fn drop(&mut self) {
        self.log.note("dropped");
    }
}

macro_rules! message {
    ($($name:ident($($field:ty)?) -> $result:ty;)*) => {
        $(
            pub struct $name($(pub $field)?);

            impl Message for $name {
                type Result = $result;
            }
        )*
    };
}

message! {
    Add(u64) -> u64;
    Boom(&'static str) -> u64;
    // Its answer comes later, from a task of tokio's.
    Later(Arc<Notify>) -> u64;
    // Its answer never comes: that task panics.
    BoomLater() -> u64;
    // A future of the actor's own panics.
    BoomInFuture() -> ();
    Leave() -> u64;
    // Its context waits.
    WaitFor(Arc<Notify>) -> ();
    Refuse() -> Result<u64, String>;
    Interval(Duration) -> ();
}

impl Handler<Add> for Counter {
    type Result = u64;

    fn handle(&mut self, Add(n): Add, _: &mut Context<Self>) -> u64 {
        self.n += n;
        self.log.note(format!("add {n}"));
        self.n
    }
}

impl Handler<Boom> for Counter {
    type Result = u64;

    fn handle(&mut self, Boom(text): Boom, _: &mut Context<Self>) -> u64 {
        panic!("{text}")
    }
}

impl Handler<Later> for Counter {
    type Result = ResponseFuture<u64>;

    fn handle(&mut self, Later(go_on): Later, _: &mut Context<Self>) -> ResponseFuture<u64> {
        let (n, log) = (self.n, self.log.clone());
        Box::pin(async move {
            let _noted = Noted(log);
            go_on.notified().await;
            n
        })
    }
}

struct Noted(Log);

impl Drop for Noted {
    fn drop(&mut self) {
        self.0.note("later is over");
    }
}

impl Handler<BoomLater> for Counter {
    type Result = ResponseFuture<u64>;

    fn handle(&mut self, _: BoomLater, _: &mut Context<Self>) -> ResponseFuture<u64> {
        Box::pin(async { panic!("later") })
    }
}

impl Handler<BoomInFuture> for Counter {
    type Result = ();

    fn handle(&mut self, _: BoomInFuture, ctx: &mut Context<Self>) {
        ctx.spawn(async { panic!("in its own future") }.into_actor(self));
    }
}

impl Handler<Leave> for Counter {
    type Result = u64;

    fn handle(&mut self, _: Leave, ctx: &mut Context<Self>) -> u64 {
        ctx.stop();
        self.n
    }
}

impl Handler<WaitFor> for Counter {
    type Result = ();

    fn handle(&mut self, WaitFor(go_on): WaitFor, ctx: &mut Context<Self>) {
        ctx.wait(async move { go_on.notified().await }.into_actor(self));
    }
}

impl Handler<Refuse> for Counter {
    type Result = Result<u64, String>;

    fn handle(&mut self, _: Refuse, _: &mut Context<Self>) -> Self::Result {
        Err("no".to_owned())
    }
}

impl Handler<Interval> for Counter {
    type Result = ();

    fn handle(&mut self, Interval(every): Interval, ctx: &mut Context<Self>) {
        ctx.run_interval(every, |counter, _| {
            counter.n += 1;
            assert!(counter.n < 3, "ticked too often");
        });
    }
}

/// One of ours, which doubles.
pub struct Doubler {
    pub inbox: Inbox<Self>,
}

impl kameo::Actor for Doubler {
    type Args = Birth<Self, ()>;
    type Error = Infallible;

    async fn on_start(birth: Self::Args, _: ActorRef<Self>) -> Result<Self, Infallible> {
        Ok(Self { inbox: birth.inbox })
    }

    supervision::receive_from!(inbox);
}

/// Twice this, after a while; a panic if it is zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Double(pub u64, pub Duration);

impl kameo::message::Message<Double> for Doubler {
    type Reply = u64;

    async fn handle(
        &mut self,
        Double(n, takes): Double,
        _: &mut kameo::message::Context<Self, u64>,
    ) -> u64 {
        assert!(n != 0, "nothing to double");
        tokio::time::sleep(takes).await;
        n * 2
    }
}

/// A host whose model says what it is told.
pub async fn host(dir: &std::path::Path, answer: Answer) -> (Arc<Paraphym>, Control) {
    let file = dir.join("tiny.gguf");
    std::fs::write(&file, b"GGUF").unwrap();
    let loader = ScriptedLoader::new(answer);
    let control = loader.control();
    let host = Paraphym::builder()
        .models_dir(dir)
        .model(ModelName::new(file.to_str().unwrap()))
        .memory_limit(Bytes::mib(64))
        .loader(Arc::new(loader))
        .start();
    (Arc::new(host.await.unwrap()), control)
}
