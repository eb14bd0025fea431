//! Idle conversations are a cache: kept for a while, forgotten at their deadline, and never while they are live.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

use crate::support;

use std::time::Duration;

use cache_janitor::{CacheStatus, Ending, JanitorStatus, Status};
use domain::ConversationId;
use paraphym_agent_worker::shelf::CACHE;
use paraphym_agent_worker::{Config, ReadHistory};
use support::{Scene, hear, settings};
use testkit::scripted::Answer;
use tokio::time::{Instant, sleep, sleep_until};

const DAY: Duration = Duration::from_hours(24);
const IDLE: Duration = Duration::from_mins(10);
const MOMENT: Duration = Duration::from_millis(5);

fn hello() -> Answer {
    Answer::Text("Hello dear world".to_owned())
}

async fn status(scene: &Scene) -> JanitorStatus {
    scene
        .janitor
        .ask(Status, Duration::from_secs(5))
        .await
        .unwrap()
}

async fn shelf(scene: &Scene) -> CacheStatus {
    let all = status(scene).await.caches;
    all.into_iter().find(|cache| cache.name == CACHE).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_conversation_is_forgotten_a_day_after_its_worker_went() {
    let scene = Scene::start(hello(), Config::default()).await;
    hear(scene.ask("Hi", settings(0, 50)).await).await;
    let said = Instant::now();
    assert_eq!(shelf(&scene).await.held.entries, 0, "it is live");
    sleep_until(said + IDLE + MOMENT).await;
    let kept = shelf(&scene).await;
    assert_eq!(kept.held.entries, 1);
    let due = kept.held.next_due.unwrap();
    assert!(due >= said + IDLE + DAY && due <= said + IDLE + DAY + MOMENT);
    sleep_until(due - MOMENT).await;
    assert_eq!(shelf(&scene).await.held.entries, 1);
    sleep_until(due + MOMENT).await;
    assert_eq!(shelf(&scene).await.held.entries, 0);
    let sweeps = status(&scene).await.sweeps;
    assert_eq!(sweeps.len(), 1);
    assert!(matches!(sweeps[0].ending, Ending::Swept(swept) if swept.swept == 1));
    assert_eq!(scene.history().await, Vec::<String>::new());
    scene.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_live_conversation_is_not_forgotten_however_old_it_is() {
    let config = Config {
        idle: 10 * DAY,
        kept_conversations: 1,
        ..Config::default()
    };
    let scene = Scene::start(hello(), config).await;
    hear(scene.ask("Hi", settings(0, 50)).await).await;
    let other = ConversationId::new("c2");
    let asked = scene.agents.ask(&other, "Hi", settings(0, 50)).await;
    hear(asked.unwrap()).await;
    sleep(5 * DAY).await;
    assert_eq!(scene.history().await.len(), 2);
    assert_eq!(scene.agents.history(&other).await.unwrap().len(), 2);
    assert_eq!(status(&scene).await.sweeps, []);
    scene.end().await;
}

#[tokio::test(start_paused = true)]
async fn whoever_comes_back_in_time_finds_what_was_said_and_the_day_begins_anew() {
    let scene = Scene::start(hello(), Config::default()).await;
    hear(scene.ask("Hi", settings(0, 50)).await).await;
    for _ in 0..5 {
        sleep(DAY).await;
        assert!(scene.worker().await.is_none());
        assert_eq!(scene.history().await.len(), 2);
        assert!(scene.worker().await.is_some());
    }
    assert_eq!(status(&scene).await.sweeps, []);
    scene.end().await;
}

/// The worker that crashes is as live as it was.
#[tokio::test(start_paused = true)]
async fn a_crash_makes_no_conversation_idle() {
    let scene = Scene::start(hello(), Config::default()).await;
    hear(scene.ask("Hi", settings(0, 50)).await).await;
    let handle = scene.handle().await;
    assert!(handle.ask(support::Boom, MOMENT).await.is_err());
    assert_eq!(shelf(&scene).await.held.entries, 0);
    let history = handle.ask(ReadHistory, Duration::from_mins(1)).await;
    assert_eq!(history.unwrap().len(), 2);
    scene.end().await;
}

/// The shelf's own keeper is idle with its conversations: an hour of nothing is no wake-up.
#[tokio::test(start_paused = true)]
async fn idle_conversations_wake_nothing() {
    let scene = Scene::start(hello(), Config::default()).await;
    for n in 0..20 {
        let one = ConversationId::new(format!("c{n}"));
        let asked = scene.agents.ask(&one, "Hi", settings(0, 50)).await;
        hear(asked.unwrap()).await;
    }
    sleep(IDLE + MOMENT).await;
    let before = status(&scene).await;
    assert_eq!(shelf(&scene).await.held.entries, 20);
    // The first deadline is a day away.
    sleep(Duration::from_hours(1)).await;
    assert_eq!(status(&scene).await, before);
    sleep(DAY).await;
    let after = status(&scene).await;
    assert_eq!(shelf(&scene).await.held.entries, 0);
    assert_eq!(after.sweeps.len(), 1, "what expires together goes together");
    assert!(after.wakes - before.wakes <= 10, "{}", after.wakes);
    scene.end().await;
}
