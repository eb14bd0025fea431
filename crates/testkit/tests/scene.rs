//! A scene notices what a test forgets.

use std::time::Duration;

use paraphym_testkit::scene::Scene;
use supervision::{ChildSpec, Lifecycle, SupervisorSpec};

fn listener() -> SupervisorSpec {
    let task = ChildSpec::task("listener", |context| async move {
        context.ready();
        context.stopping().await;
        Ok(())
    });
    SupervisorSpec::new("root").child(task)
}

fn ticker() -> SupervisorSpec {
    let task = ChildSpec::task("ticker", |context| async move {
        context.ready();
        tokio::time::sleep(Duration::from_secs(1)).await;
        Err("tick".into())
    });
    SupervisorSpec::new("root")
        .intensity(1000, Duration::from_secs(1))
        .child(task)
}

#[tokio::test(start_paused = true)]
async fn events_are_recorded_from_the_first_start_on() {
    let mut scene = Scene::start(listener()).await.unwrap();
    let ready = |what: &Lifecycle| matches!(what, Lifecycle::Ready { .. });
    let event = scene.expect_event("root/listener", ready).await;
    assert_eq!(event.incarnation, 1);
    scene.expect_silence(Duration::from_hours(1)).await;
    assert_eq!(scene.stop().await.abandoned, []);
}

#[tokio::test(start_paused = true)]
#[should_panic(expected = "the scene was not stopped")]
async fn a_scene_that_is_not_stopped_fails() {
    drop(Scene::start(listener()).await.unwrap());
}

#[tokio::test(start_paused = true)]
#[should_panic(expected = "expected silence")]
async fn noise_is_heard() {
    let mut scene = Scene::start(ticker()).await.unwrap();
    scene.expect_silence(Duration::from_secs(2)).await;
}

#[tokio::test(start_paused = true)]
#[should_panic(expected = "no such event of root/listener")]
async fn what_does_not_happen_is_not_waited_for_for_ever() {
    let mut scene = Scene::start(listener()).await.unwrap();
    scene
        .expect_event("root/listener", |what| *what == Lifecycle::Killed)
        .await;
}
