//! How an actix actor in our tree is stopped, killed and cut off, and that nothing of it is left.

use std::sync::Arc;

use paraphym_actix_bridge::run;
use supervision::{AskError, Lifecycle, Shutdown};
use testkit::scene::Scene;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::common::*;

#[tokio::test(start_paused = true)]
async fn a_stop_handles_what_is_queued_and_waits_for_answers() {
    run(async |bridge| {
        let log = Log::default();
        let noted = log.clone();
        let (spec, counter) = bridge.actor("counter", 16, move |_| Counter::new(&noted));
        let scene = scene(spec.shutdown(Shutdown::Timeout(MINUTE))).await;
        let go_on = Arc::new(Notify::new());
        let later = counter.ask(Later(go_on.clone()), MINUTE);
        let stopped = async {
            settle().await;
            counter.tell(Add(7)).await.unwrap();
            let release = async {
                tokio::time::sleep(SECOND).await;
                go_on.notify_one();
            };
            let (report, ()) = tokio::join!(scene.stop(), release);
            report
        };
        let (later, report) = tokio::join!(later, stopped);
        assert_eq!(later.unwrap(), 0);
        assert_eq!(report.abandoned, []);
        let seen = log.take();
        assert_eq!(
            seen,
            ["started", "add 7", "later is over", "stopped", "dropped"]
        );
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn past_its_deadline_it_is_cut_off_and_what_is_undone_is_named() {
    run(async |bridge| {
        let log = Log::default();
        let noted = log.clone();
        let (spec, counter) = bridge.actor("counter", 16, move |_| Counter::new(&noted));
        let scene = scene(spec.shutdown(Shutdown::Timeout(ms(20)))).await;
        let never = Arc::new(Notify::new());
        let later = counter.ask(Later(never.clone()), MINUTE);
        let stopped = async {
            settle().await;
            scene.stop().await
        };
        let (later, report) = tokio::join!(later, stopped);
        assert!(matches!(later, Err(AskError::Crashed { .. })), "{later:?}");
        let undone: Vec<&str> = report.abandoned.iter().map(|one| &*one.what).collect();
        assert_eq!(undone, ["answer to Later"]);
        assert!(report.took < SECOND, "{:?}", report.took);
        settle().await;
        assert_eq!(
            log.take(),
            ["started", "stopped", "dropped", "later is over"]
        );
        assert_eq!(Arc::strong_count(&never), 1, "nothing of it is left");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn one_that_refuses_to_stop_is_cut_off_at_its_deadline() {
    run(async |bridge| {
        let log = Log::default();
        let noted = log.clone();
        let (spec, _counter) = bridge.actor("counter", 16, move |_| {
            Counter::that_refuses_to_stop(&noted)
        });
        let scene = scene(spec.shutdown(Shutdown::Timeout(ms(20)))).await;
        let begun = Instant::now();
        scene.stop().await;
        assert!(begun.elapsed() < 4 * SECOND, "{:?}", begun.elapsed());
        settle().await;
        let seen = log.take();
        assert_eq!(seen.first().map(String::as_str), Some("started"));
        assert_eq!(seen.last().map(String::as_str), Some("dropped"), "{seen:?}");
        assert!(seen.contains(&"refuses to stop".to_owned()));
        assert!(!seen.contains(&"stopped".to_owned()));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_second_panic_in_its_last_hook_harms_nobody() {
    run(async |bridge| {
        let log = Log::default();
        let noted = log.clone();
        let (spec, counter) = bridge.actor("counter", 16, move |_| {
            Counter::that_panics_when_stopped(&noted)
        });
        let mut scene = scene(spec).await;
        let crash = counter.ask(Boom("first"), SECOND).await;
        assert!(matches!(crash, Err(AskError::Crashed { .. })), "{crash:?}");
        let is_crash = |what: &Lifecycle| matches!(what, Lifecycle::Crashed { .. });
        let event = scene.expect_event("root/counter", is_crash).await;
        assert_eq!(
            event.what,
            Lifecycle::Crashed {
                reason: "first".to_owned()
            }
        );
        assert_eq!(counter.ask(Add(1), SECOND).await.unwrap(), 1);
        scene.stop().await;
        let seen = log.take();
        assert_eq!(
            seen,
            [
                "started", "stopped", "dropped", "started", "add 1", "stopped", "dropped"
            ]
        );
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_kill_drops_the_message_in_hand_and_keeps_the_queue() {
    run(async |bridge| {
        let log = Log::default();
        let noted = log.clone();
        let (spec, counter) = bridge.actor("counter", 16, move |_| Counter::new(&noted));
        let scene = scene(spec).await;
        let never = Arc::new(Notify::new());
        counter.ask(WaitFor(never), SECOND).await.unwrap();
        let in_hand = counter.ask(Add(1), MINUTE);
        let beside = async {
            settle().await;
            let queued = counter.ask(Add(2), MINUTE);
            let kill = async {
                let admin = scene.root().administration();
                admin.kill("counter", SECOND).await.unwrap();
            };
            tokio::join!(queued, kill).0
        };
        let (in_hand, queued) = tokio::join!(in_hand, beside);
        assert!(
            matches!(in_hand, Err(AskError::Crashed { .. })),
            "{in_hand:?}"
        );
        assert_eq!(queued.unwrap(), 2);
        scene.stop().await;
        let seen = log.take();
        assert_eq!(
            seen,
            [
                "started", "stopped", "dropped", "started", "add 2", "stopped", "dropped"
            ]
        );
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_a_life_spawned_ends_with_it() {
    run(async |bridge| {
        let log = Log::default();
        let noted = log.clone();
        let (spec, counter) = bridge.actor("counter", 16, move |_| Counter::new(&noted));
        let scene = scene(spec).await;
        let never = Arc::new(Notify::new());
        let later = counter.ask(Later(never.clone()), MINUTE);
        let crash = async {
            settle().await;
            counter.ask(Boom("broken"), SECOND).await
        };
        let (later, _) = tokio::join!(later, crash);
        assert!(matches!(later, Err(AskError::Crashed { .. })), "{later:?}");
        assert_eq!(counter.ask(Add(1), SECOND).await.unwrap(), 1);
        let seen = log.take();
        // The former life is gone before the next one begins.
        assert_eq!(
            seen,
            [
                "started",
                "stopped",
                "dropped",
                "later is over",
                "started",
                "add 1"
            ]
        );
        assert_eq!(Arc::strong_count(&never), 1);
        scene.stop().await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn without_its_local_set_it_crashes_and_cannot_start() {
    let log = Log::default();
    let noted = log.clone();
    let (root, counter, bridge) = run(async |bridge| {
        let (spec, counter) = bridge.actor("counter", 16, move |_| Counter::new(&noted));
        let tree = supervision::start_root(
            root().child(spec.temporary()),
            supervision::Events::with_seed(1),
        );
        (tree.await.unwrap(), counter, bridge)
    })
    .await;
    assert_eq!(log.take(), ["started", "stopped", "dropped"]);
    let asked = counter.ask(Add(1), SECOND).await;
    let said = "the local set has ended: stop the tree before `actix_bridge::run` is over";
    let down = matches!(
        &asked,
        Err(AskError::Down { reason, .. }) if reason.to_string().contains(said)
    );
    assert!(
        down || matches!(asked, Err(AskError::Crashed { .. })),
        "{asked:?}"
    );
    root.stop(SECOND).await;
    let (spec, _) = bridge.actor("late", 16, |_| Counter::new(&Log::default()));
    let error = Scene::start(crate::common::root().child(spec))
        .await
        .err()
        .unwrap();
    assert_eq!(
        error.to_string(),
        format!("child root/late did not start: {said}")
    );
}

#[tokio::test(start_paused = true)]
async fn a_kill_asks_nobody_whether_it_may() {
    run(async |bridge| {
        let log = Log::default();
        let noted = log.clone();
        let (spec, counter) = bridge.actor("counter", 16, move |_| {
            Counter::that_refuses_to_stop(&noted)
        });
        let scene = scene(spec.shutdown(Shutdown::Timeout(ms(20)))).await;
        let begun = Instant::now();
        let admin = scene.root().administration();
        admin.kill("counter", MINUTE).await.unwrap();
        assert_eq!(counter.ask(Add(1), MINUTE).await.unwrap(), 1);
        assert_eq!(begun.elapsed(), ms(0), "no deadline was waited for");
        let seen = log.take();
        let gone = seen.iter().position(|line| line == "dropped").unwrap();
        let again = seen.iter().rposition(|line| line == "started").unwrap();
        assert!(gone < again, "{seen:?}");
        scene.stop().await;
    })
    .await;
}
