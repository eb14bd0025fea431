//! An actix actor in our tree: what it is asked, and what its panics lead to.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use paraphym_actix_bridge::run;
use supervision::{
    AskError, Chaos, ChildState, DownReason, Health, Lifecycle, RestartCause, TapLimits, TellError,
};
use testkit::scene::Scene;
use tokio::sync::Notify;

use crate::common::*;

#[tokio::test(start_paused = true)]
async fn it_answers_through_its_handle_in_order() {
    run(async |bridge| {
        let log = Log::default();
        let noted = log.clone();
        let (spec, counter) = bridge.actor("counter", 16, move |_| Counter::new(&noted));
        let scene = scene(spec).await;
        counter.tell(Add(1)).await.unwrap();
        counter.try_tell(Add(2)).unwrap();
        assert_eq!(counter.ask(Add(3), SECOND).await.unwrap(), 6);
        // An error is an answer, as it is in actix.
        assert_eq!(
            counter.ask(Refuse(), SECOND).await.unwrap(),
            Err("no".to_owned())
        );
        assert_eq!(scene.stop().await.abandoned, []);
        assert_eq!(
            log.take(),
            ["started", "add 1", "add 2", "add 3", "stopped", "dropped"]
        );
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_panic_is_a_crash_a_rest_and_a_new_actor_with_the_queue_kept() {
    run(async |bridge| {
        let (log, lives) = (Log::default(), Arc::new(AtomicU32::new(0)));
        let (noted, begun) = (log.clone(), lives.clone());
        let (spec, counter) = bridge.actor("counter", 16, move |_| {
            begun.fetch_add(1, Ordering::SeqCst);
            Counter::new(&noted)
        });
        let rest = rests(500);
        let mut scene = Scene::start(root().child(spec.backoff(rest))).await.unwrap();
        assert_eq!(counter.ask(Add(5), SECOND).await.unwrap(), 5);
        let crash = counter.ask(Boom("broken"), SECOND);
        let queued = async {
            tokio::task::yield_now().await;
            counter.tell(Add(1)).await.unwrap();
            // Within its deadline it waits for the next life.
            counter.ask(Add(2), SECOND).await
        };
        let (crash, queued) = tokio::join!(crash, queued);
        assert!(
            matches!(&crash, Err(AskError::Crashed { child }) if child.as_str() == "root/counter"),
            "{crash:?}"
        );
        assert_eq!(queued.unwrap(), 3, "a new actor has counted nothing before");
        assert_eq!(lives.load(Ordering::SeqCst), 2);

        let is_crash = |what: &Lifecycle| matches!(what, Lifecycle::Crashed { .. });
        let crashed = scene.expect_event("root/counter", is_crash).await.what;
        assert_eq!(
            crashed,
            Lifecycle::Crashed {
                reason: "broken".to_owned()
            }
        );
        let resting = |what: &Lifecycle| matches!(what, Lifecycle::BackingOff { .. });
        let rested = scene.expect_event("root/counter", resting).await;
        let comes_back = |what: &Lifecycle| matches!(what, Lifecycle::Restarted { .. });
        let back = scene.expect_event("root/counter", comes_back).await;
        assert!(
            matches!(&back.what, Lifecycle::Restarted { restarts: 1, cause } if *cause == RestartCause::Crashed),
            "{back:?}"
        );
        assert!(back.at > rested.at);
        assert_eq!(back.incarnation, 2);
        let info = scene.supervisor().which_children().await.remove(0);
        assert_eq!((info.state, info.restarts), (ChildState::Up, 1));
        assert_eq!(info.last_error.as_deref(), Some("broken"));
        scene.stop().await;
        assert_eq!(
            log.take(),
            [
                "started", "add 5", "stopped", "dropped", "started", "add 1", "add 2", "stopped",
                "dropped"
            ]
        );
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_panic_of_its_own_futures_is_a_crash_too() {
    run(async |bridge| {
        let log = Log::default();
        let (spec, counter) = bridge.actor("counter", 16, move |_| Counter::new(&log));
        let mut scene = scene(spec).await;
        for (message, text) in [
            ("future", "in its own future"),
            ("interval", "ticked too often"),
        ] {
            match message {
                "future" => counter.ask(BoomInFuture(), SECOND).await.unwrap(),
                _ => counter.ask(Interval(ms(10)), SECOND).await.unwrap(),
            }
            let is_crash = |what: &Lifecycle| matches!(what, Lifecycle::Crashed { .. });
            let event = scene.expect_event("root/counter", is_crash).await;
            let Lifecycle::Crashed { reason } = event.what else {
                unreachable!()
            };
            assert_eq!(reason, text);
            assert_eq!(counter.ask(Add(1), SECOND).await.unwrap(), 1);
        }
        scene.stop().await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_panic_of_a_response_future_fails_its_asker_alone() {
    run(async |bridge| {
        let log = Log::default();
        let (spec, counter) = bridge.actor("counter", 16, move |_| Counter::new(&log));
        let scene = scene(spec).await;
        counter.tell(Add(1)).await.unwrap();
        let asked = counter.ask(BoomLater(), SECOND).await;
        assert!(matches!(asked, Err(AskError::Crashed { .. })), "{asked:?}");
        assert_eq!(counter.ask(Add(1), SECOND).await.unwrap(), 2);
        let info = scene.supervisor().which_children().await.remove(0);
        assert_eq!((info.restarts, info.incarnation), (0, 1));
        scene.stop().await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn answers_that_come_later_hold_up_no_other_and_are_bounded() {
    run(async |bridge| {
        let log = Log::default();
        let (spec, counter) = bridge.actor("counter", 2, move |_| Counter::new(&log));
        let scene = scene(spec).await;
        let go_on = Arc::new(Notify::new());
        let (first, second) = (
            counter.ask(Later(go_on.clone()), MINUTE),
            counter.ask(Later(go_on.clone()), MINUTE),
        );
        let beside = async {
            settle().await;
            // Both are outstanding, and that is as many as may be: this one waits, and what queues behind it.
            let waits = counter.ask(Add(1), SECOND).await;
            assert!(matches!(waits, Err(AskError::Timeout { .. })), "{waits:?}");
            counter.try_tell(Add(1)).unwrap();
            counter.try_tell(Add(1)).unwrap();
            let full = counter.try_tell(Add(1)).unwrap_err();
            assert!(matches!(full, TellError::Full(Add(1))), "{full:?}");
            go_on.notify_one();
            settle().await;
            let sum = counter.ask(Add(0), SECOND).await.unwrap();
            go_on.notify_one();
            sum
        };
        let (first, second, sum) = tokio::join!(first, second, beside);
        assert_eq!((first.unwrap(), second.unwrap(), sum), (0, 0, 3));
        scene.stop().await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_actor_that_waits_takes_nothing_and_is_seen_to_be_stuck() {
    run(async |bridge| {
        let log = Log::default();
        let (spec, counter) = bridge.actor("counter", 16, move |_| Counter::new(&log));
        let mut scene = Scene::start(root().child(spec.handler_budget(SECOND)))
            .await
            .unwrap();
        let go_on = Arc::new(Notify::new());
        counter.ask(WaitFor(go_on.clone()), SECOND).await.unwrap();
        let asked = counter.ask(Add(1), MINUTE);
        let beside = async {
            let is_stuck = |what: &Lifecycle| matches!(what, Lifecycle::Stuck { .. });
            scene.expect_event("root/counter", is_stuck).await;
            let info = scene.supervisor().which_children().await.remove(0);
            go_on.notify_one();
            info.health
        };
        let (sum, health) = tokio::join!(asked, beside);
        assert_eq!((sum.unwrap(), health), (1, Health::Stuck));
        scene.stop().await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_start_that_panics_or_stops_itself_has_failed() {
    use actix::{Actor, ActorContext, Context};
    struct Shy;
    struct Loud;
    impl Actor for Loud {
        type Context = Context<Self>;
        fn started(&mut self, _: &mut Context<Self>) {
            panic!("loud from the first")
        }
    }
    impl Actor for Shy {
        type Context = Context<Self>;
        fn started(&mut self, ctx: &mut Context<Self>) {
            ctx.stop();
        }
    }
    run(async |bridge| {
        let (spec, _) = bridge.actor("counter", 16, |_| -> Counter { panic!("no paper") });
        let error = Scene::start(root().child(spec)).await.err().unwrap();
        assert_eq!(
            error.to_string(),
            "child root/counter did not start: no paper"
        );
        let (spec, shy) = bridge.actor("shy", 16, |_| Shy);
        let error = Scene::start(root().child(spec)).await.err().unwrap();
        let said =
            "child root/shy did not start: the actix actor stopped itself before it was ready";
        assert_eq!(error.to_string(), said);
        assert_eq!(shy.state(), ChildState::Down);
        let (spec, _) = bridge.actor("loud", 16, |_| Loud);
        let error = Scene::start(root().child(spec)).await.err().unwrap();
        assert_eq!(
            error.to_string(),
            "child root/loud did not start: loud from the first"
        );
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_actor_that_stops_itself_has_ended_normally() {
    run(async |bridge| {
        let log = Log::default();
        let noted = log.clone();
        let (spec, counter) = bridge.actor("counter", 16, move |_| Counter::new(&noted));
        let scene = scene(spec.transient()).await;
        assert_eq!(counter.ask(Leave(), SECOND).await.unwrap(), 0);
        settle().await;
        let asked = counter.ask(Add(1), SECOND).await;
        assert!(
            matches!(
                &asked,
                Err(AskError::Down {
                    reason: DownReason::Finished,
                    ..
                })
            ),
            "{asked:?}"
        );
        assert_eq!(log.take(), ["started", "stopped", "dropped"]);
        scene.stop().await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn it_is_paused_tapped_and_crashed_on_purpose_as_any_actor_of_ours() {
    run(async |bridge| {
        let log = Log::default();
        let (spec, counter) = bridge.actor("counter", 16, move |_| Counter::new(&log));
        let scene = Scene::start(root().allow_chaos().child(spec))
            .await
            .unwrap();
        let admin = scene.root().administration();
        admin.pause("counter", SECOND).await.unwrap();
        let waits = counter.ask(Add(1), SECOND).await;
        assert!(matches!(waits, Err(AskError::Timeout { .. })), "{waits:?}");
        let limits = TapLimits::default();
        let mut tap = admin.tap("counter", limits, SECOND).await.unwrap();
        admin.resume("counter", SECOND).await.unwrap();
        assert_eq!(counter.ask(Add(1), SECOND).await.unwrap(), 2);
        let seen = tap.next().await.unwrap();
        assert!(seen.message.ends_with("Add"), "{seen:?}");
        admin.chaos("counter", Chaos::Crash, SECOND).await.unwrap();
        let crashed = counter.ask(Add(1), SECOND).await;
        assert!(
            matches!(crashed, Err(AskError::Crashed { .. })),
            "{crashed:?}"
        );
        assert_eq!(counter.ask(Add(1), SECOND).await.unwrap(), 1);
        scene.stop().await;
    })
    .await;
}
