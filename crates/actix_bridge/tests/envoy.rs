//! Ours ask an actix actor that nobody supervises.

use std::sync::Arc;

use actix::Actor;
use paraphym_actix_bridge::{Envoy, EnvoyLimits, Undelivered, envoy, run};
use supervision::{
    AskError, ChildSpec, ChildState, DownReason, Handle, Lifecycle, Shutdown, TellError,
};
use tokio::sync::Notify;

use crate::common::*;

const NARROW: EnvoyLimits = EnvoyLimits {
    queue: 2,
    at_once: 1,
};

fn to<M>(counter: &actix::Addr<Counter>, limits: EnvoyLimits) -> (ChildSpec, Handle<Envoy<M>>)
where
    M: actix::Message + Send + 'static,
    M::Result: Send,
    Counter: actix::Handler<M>,
{
    envoy("envoy", limits, counter.clone().recipient())
}

#[tokio::test(start_paused = true)]
async fn tells_and_asks_reach_the_actix_actor_in_order() {
    run(async |_| {
        let log = Log::default();
        let counter = Counter::new(&log).start();
        let (spec, handle) = to::<Add>(&counter, EnvoyLimits::default());
        let scene = scene(spec).await;
        for n in 1..=40 {
            handle.tell(Add(n)).await.unwrap();
        }
        assert_eq!(handle.ask(Add(0), SECOND).await.unwrap(), 820);
        let sums: Vec<String> = (1..=40).map(|n| format!("add {n}")).collect();
        let seen = log.take();
        assert_eq!(seen.get(1..41), Some(&*sums), "{seen:?}");
        scene.stop().await;
    })
    .await;
}

/// On real threads, with more under way than the mailbox has places.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_finds_the_mailbox_full_stays_in_order() {
    run(async |_| {
        let log = Log::default();
        let counter = Counter::new(&log).start();
        let limits = EnvoyLimits {
            queue: 64,
            at_once: 64,
        };
        let (spec, handle) = to::<Add>(&counter, limits);
        let scene = scene(spec).await;
        for n in 1..=1000 {
            handle.tell(Add(n)).await.unwrap();
        }
        assert_eq!(handle.ask(Add(0), MINUTE).await.unwrap(), 500_500);
        let sums: Vec<String> = (1..=1000).map(|n| format!("add {n}")).collect();
        assert_eq!(log.take().get(1..1001), Some(&*sums));
        scene.stop().await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_busy_actor_fills_the_queue_and_a_given_up_ask_keeps_its_seat() {
    run(async |_| {
        let log = Log::default();
        let counter = Counter::new(&log).start();
        let (spec, handle) = to::<Later>(&counter, NARROW);
        let mut scene = scene(spec.handler_budget(SECOND)).await;
        let go_on = Arc::new(Notify::new());
        let late = handle.ask(Later(go_on.clone()), ms(10)).await;
        assert!(matches!(late, Err(AskError::Timeout { .. })), "{late:?}");
        // That message is still with the actor: the next one waits for its seat, two queue, and there is no more room.
        let waits = handle.ask(Later(go_on.clone()), MINUTE);
        let beside = async {
            settle().await;
            handle.try_tell(Later(go_on.clone())).unwrap();
            handle.try_tell(Later(go_on.clone())).unwrap();
            let full = handle.try_tell(Later(go_on.clone())).unwrap_err();
            assert!(matches!(full, TellError::Full(_)), "{full:?}");
            let no_room = handle.ask(Later(go_on.clone()), ms(10)).await;
            assert!(
                matches!(no_room, Err(AskError::Timeout { .. })),
                "{no_room:?}"
            );
            let is_stuck = |what: &Lifecycle| matches!(what, Lifecycle::Stuck { .. });
            scene.expect_event("root/envoy", is_stuck).await;
            for _ in 0..4 {
                go_on.notify_one();
                settle().await;
            }
        };
        let (waits, ()) = tokio::join!(waits, beside);
        assert_eq!(waits.unwrap(), 0);
        assert_eq!(scene.stop().await.abandoned, []);
        assert_eq!(log.take().len(), 5, "started, and four that are over");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_actor_that_panics_is_crashed_then_closed_then_down() {
    run(async |_| {
        let log = Log::default();
        let counter = Counter::new(&log).start();
        let (spec, handle) = to::<Boom>(&counter, EnvoyLimits::default());
        let scene = scene(spec).await;
        let crashed = handle.ask(Boom("unseen"), SECOND).await;
        assert!(
            matches!(crashed, Err(AskError::Handler(Undelivered::Crashed))),
            "{crashed:?}"
        );
        let closed = handle.ask(Boom("unheard"), SECOND).await;
        assert!(
            matches!(closed, Err(AskError::Handler(Undelivered::Closed))),
            "{closed:?}"
        );
        settle().await;
        let down = handle.ask(Boom("unheard"), SECOND).await;
        assert!(
            matches!(
                &down,
                Err(AskError::Down {
                    reason: DownReason::Finished,
                    ..
                })
            ),
            "{down:?}"
        );
        let told = handle.tell(Boom("unheard")).await.unwrap_err();
        assert!(matches!(told, TellError::Down { .. }), "{told:?}");
        let info = scene.supervisor().which_children().await.remove(0);
        assert_eq!((info.state, info.restarts), (ChildState::Down, 0));
        scene.stop().await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_dropped_is_crashed_though_the_actor_lives() {
    run(async |_| {
        let log = Log::default();
        let counter = Counter::new(&log).start();
        let (spec, handle) = to::<BoomLater>(&counter, EnvoyLimits::default());
        let scene = scene(spec).await;
        for _ in 0..2 {
            let dropped = handle.ask(BoomLater(), SECOND).await;
            assert!(
                matches!(dropped, Err(AskError::Handler(Undelivered::Crashed))),
                "{dropped:?}"
            );
        }
        assert_eq!(counter.send(Add(1)).await.unwrap(), 1);
        scene.stop().await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_stop_waits_for_answers_and_names_those_it_cannot_wait_for() {
    run(async |_| {
        let log = Log::default();
        let counter = Counter::new(&log).start();
        let (spec, handle) = to::<Later>(&counter, EnvoyLimits::default());
        let scene = scene(spec.shutdown(Shutdown::Timeout(ms(50)))).await;
        let (answered, never) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let first = handle.ask(Later(answered.clone()), MINUTE);
        let second = handle.ask(Later(never.clone()), MINUTE);
        let stopped = async {
            settle().await;
            let release = async {
                tokio::time::sleep(ms(20)).await;
                answered.notify_one();
            };
            tokio::join!(scene.stop(), release).0
        };
        let (first, second, report) = tokio::join!(first, second, stopped);
        assert_eq!(first.unwrap(), 0);
        assert!(
            matches!(second, Err(AskError::Crashed { .. })),
            "{second:?}"
        );
        let undone: Vec<&str> = report.abandoned.iter().map(|one| &*one.what).collect();
        assert_eq!(undone, ["answer to Later"]);
    })
    .await;
}
