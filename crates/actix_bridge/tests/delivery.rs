//! A stream as messages to an actix actor.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context as Task, Poll};

use actix::{
    Actor, ActorContext, AsyncContext, Context, Handler, Message, StreamHandler, WrapFuture,
};
use futures_util::Stream;
use paraphym_actix_bridge::{DeliveryError, DeliveryLimits, deliver, delivery, run};
use supervision::Lifecycle;
use testkit::scene::Scene;
use tokio::sync::Notify;

use crate::common::*;

/// One token.
struct Token(u64);

impl Message for Token {
    type Result = ();
}

/// Hears tokens, each when told to go on; stops or panics at one.
struct Hearer {
    log: Log,
    go_on: Arc<Notify>,
    stops_at: u64,
    panics_at: u64,
}

impl Actor for Hearer {
    type Context = Context<Self>;
}

impl Handler<Token> for Hearer {
    type Result = ();

    fn handle(&mut self, Token(n): Token, ctx: &mut Context<Self>) {
        self.log.note(format!("hears {n}"));
        assert_ne!(n, self.panics_at, "too loud");
        if n == self.stops_at {
            ctx.stop();
            return;
        }
        let go_on = self.go_on.clone();
        ctx.wait(async move { go_on.notified().await }.into_actor(self));
    }
}

impl StreamHandler<Token> for Hearer {
    fn handle(&mut self, token: Token, ctx: &mut Context<Self>) {
        Handler::handle(self, token, ctx);
    }

    fn finished(&mut self, _: &mut Context<Self>) {}
}

impl Hearer {
    fn new(log: &Log, go_on: &Arc<Notify>) -> Self {
        Self {
            log: log.clone(),
            go_on: go_on.clone(),
            stops_at: 0,
            panics_at: 0,
        }
    }
}

/// Counts from 1 to `last`, and how many were taken.
struct Counting {
    taken: Arc<AtomicU64>,
    last: u64,
    _held: Arc<()>,
}

impl Stream for Counting {
    type Item = Token;

    fn poll_next(self: Pin<&mut Self>, _: &mut Task<'_>) -> Poll<Option<Token>> {
        if self.taken.load(Ordering::SeqCst) == self.last {
            return Poll::Ready(None);
        }
        Poll::Ready(Some(Token(self.taken.fetch_add(1, Ordering::SeqCst) + 1)))
    }
}

/// A stream, how many were taken from it, and whether it lives.
fn counting(last: u64) -> (Counting, Arc<AtomicU64>, Arc<()>) {
    let (taken, held) = (Arc::new(AtomicU64::new(0)), Arc::new(()));
    let stream = Counting {
        taken: taken.clone(),
        last,
        _held: held.clone(),
    };
    (stream, taken, held)
}

fn window(window: usize) -> DeliveryLimits {
    DeliveryLimits {
        window,
        patience: SECOND,
    }
}

#[tokio::test(start_paused = true)]
async fn every_item_is_heard_in_order_and_a_slow_actor_holds_the_stream_back() {
    run(async |_| {
        let (log, go_on) = (Log::default(), Arc::new(Notify::new()));
        let hearer = Hearer::new(&log, &go_on).start();
        let (stream, taken, held) = counting(50);
        let told = deliver(stream, hearer.clone().recipient(), window(3));
        let beside = async {
            for heard in 1..=50_u64 {
                settle().await;
                // What it has heard, what it has in hand, and what waits: never more.
                let taken = taken.load(Ordering::SeqCst);
                assert!(taken <= heard + 3, "{taken} taken, {heard} heard");
                go_on.notify_one();
            }
        };
        let (told, ()) = tokio::join!(told, beside);
        assert_eq!(told, Ok(50));
        let all: Vec<String> = (1..=50).map(|n| format!("hears {n}")).collect();
        assert_eq!(log.take(), all);
        assert_eq!(Arc::strong_count(&held), 1);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_window_wider_than_the_mailbox_keeps_the_order() {
    run(async |_| {
        let (log, go_on) = (Log::default(), Arc::new(Notify::new()));
        let hearer = Hearer::new(&log, &go_on).start();
        let (stream, _, _) = counting(100);
        let told = deliver(stream, hearer.recipient(), window(64));
        let beside = async {
            for _ in 0..100 {
                settle().await;
                go_on.notify_one();
            }
        };
        assert_eq!(tokio::join!(told, beside).0, Ok(100));
        let all: Vec<String> = (1..=100).map(|n| format!("hears {n}")).collect();
        assert_eq!(log.take(), all);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_actor_that_stops_or_panics_cancels_the_stream() {
    run(async |_| {
        for panics in [false, true] {
            let (log, go_on) = (Log::default(), Arc::new(Notify::new()));
            let mut hearer = Hearer::new(&log, &go_on);
            if panics {
                hearer.panics_at = 3;
            } else {
                hearer.stops_at = 3;
            }
            let hearer = hearer.start();
            let (stream, taken, held) = counting(u64::MAX);
            let told = deliver(stream, hearer.recipient(), window(2));
            let beside = async {
                for _ in 0..2 {
                    settle().await;
                    go_on.notify_one();
                }
            };
            let (told, ()) = tokio::join!(told, beside);
            // The third was answered before the actor stopped, and was not when it panicked.
            let delivered = if panics { 2 } else { 3 };
            assert_eq!(told, Err(DeliveryError::Closed { delivered }));
            assert_eq!(Arc::strong_count(&held), 1, "the stream is dropped");
            assert!(taken.load(Ordering::SeqCst) <= 5);
            assert_eq!(log.take(), ["hears 1", "hears 2", "hears 3"]);
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_actor_that_does_not_go_on_is_waited_for_no_longer_than_said() {
    run(async |_| {
        let (log, go_on) = (Log::default(), Arc::new(Notify::new()));
        let hearer = Hearer::new(&log, &go_on).start();
        let (stream, _, held) = counting(u64::MAX);
        let told = deliver(stream, hearer.recipient(), window(2)).await;
        let error = DeliveryError::TimedOut {
            delivered: 1,
            patience: SECOND,
        };
        assert_eq!(told, Err(error));
        assert_eq!(Arc::strong_count(&held), 1);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn as_a_child_it_is_dropped_when_stopped_and_seen_when_it_fails() {
    run(async |_| {
        let mut scene = Scene::start(root()).await.unwrap();
        let (log, go_on) = (Log::default(), Arc::new(Notify::new()));
        let hearer = Hearer::new(&log, &go_on).start();
        let start = |id: &'static str, last| {
            let (stream, _, held) = counting(last);
            let limits = window(1);
            (
                delivery(id, stream, hearer.clone().recipient(), limits),
                held,
            )
        };
        let supervisor = scene.supervisor();
        let (spec, held) = start("short", 1);
        supervisor.start_child(spec).await.unwrap();
        go_on.notify_one();
        let ended = |what: &Lifecycle| matches!(what, Lifecycle::Stopped { .. });
        scene.expect_event("root/short", ended).await;
        assert_eq!(Arc::strong_count(&held), 1);

        let (spec, held) = start("stopped", u64::MAX);
        supervisor.start_child(spec).await.unwrap();
        supervisor.terminate_child(&"stopped".into()).await.unwrap();
        assert_eq!(Arc::strong_count(&held), 1);
        go_on.notify_one();

        let (spec, _held) = start("slow", u64::MAX);
        supervisor.start_child(spec).await.unwrap();
        let crashed = |what: &Lifecycle| matches!(what, Lifecycle::Crashed { .. });
        let event = scene.expect_event("root/slow", crashed).await;
        let said = "the actix actor did not handle a message within 1s, after 1 of the stream";
        assert!(
            matches!(&event.what, Lifecycle::Crashed { reason } if reason == said),
            "{event:?}"
        );
        scene.stop().await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_actor_may_have_the_stream_itself_and_holds_it_back_and_cancels_it() {
    run(async |_| {
        let (log, go_on) = (Log::default(), Arc::new(Notify::new()));
        let (stream, taken, held) = counting(u64::MAX);
        let (hears, waits) = (log.clone(), go_on.clone());
        let _hearer = Hearer::create(move |ctx| {
            ctx.add_stream(stream);
            Hearer {
                stops_at: 2,
                ..Hearer::new(&hears, &waits)
            }
        });
        settle().await;
        assert_eq!(taken.load(Ordering::SeqCst), 1, "the next when it goes on");
        go_on.notify_one();
        settle().await;
        assert_eq!(log.take(), ["hears 1", "hears 2"]);
        assert_eq!(taken.load(Ordering::SeqCst), 2);
        assert_eq!(
            Arc::strong_count(&held),
            1,
            "it stopped, and the stream with it"
        );
    })
    .await;
}
