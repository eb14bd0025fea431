//! Who changed what is written down first: what becomes of calls that cannot be.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test may stop at the first surprise"
)]

use crate::support;

use paraphym_control::protocol::act::{
    Change, Chaos, ConfigSet, Fault, Pause, Restart, Resume, Shutdown, Start, Stop,
};
use paraphym_control::protocol::look::{Audit, AuditedAct, ConfigGet};
use paraphym_control::{Client, Code, Level};
use support::{FOR_EVER, Scene, ask, assert_refused};

const STORE: &str = "conversation_store";

fn hotter(dry_run: bool) -> ConfigSet {
    ConfigSet {
        changes: vec![Change {
            key: "model.temperature".to_owned(),
            value: "0.7".to_owned(),
        }],
        expected: None,
        dry_run,
    }
}

async fn revision(client: &mut Client) -> u64 {
    ask(client, &ConfigGet { key: None }).await.revision
}

/// What the log says of one action, the latest first.
async fn written(client: &mut Client, action: &str) -> Vec<AuditedAct> {
    let answer = ask(client, &Audit { limit: None }).await;
    let acts = answer.acts.into_iter();
    acts.filter(|act| act.action == action).collect()
}

/// The same, once there are so many.
async fn until(client: &mut Client, action: &str, least: usize) -> Vec<AuditedAct> {
    let all = async {
        loop {
            let all = written(client, action).await;
            if all.len() >= least {
                return all;
            }
        }
    };
    let all = tokio::time::timeout(FOR_EVER, all).await;
    all.unwrap_or_else(|_| panic!("no {least} entries of {action}"))
}

#[tokio::test]
async fn without_a_log_what_needs_admin_is_refused_and_the_rest_goes_on() {
    let scene = Scene::start().await;
    let client = &mut scene.client().await;
    let (actor, dry_run) = (STORE.to_owned(), false);
    let stop = Stop { actor, dry_run };
    let stopped = ask(client, &stop).await;
    // It was written down before, and what came of it could not be.
    assert!(stopped.done && !stopped.audited, "{stopped:?}");
    let before = revision(client).await;
    for dry_run in [false, true] {
        let refused = client.ask(&hotter(dry_run), FOR_EVER).await;
        let part = "config.set is not done, because it cannot be written into the audit log first";
        assert_refused(refused, Code::Unavailable, part);
    }
    let refused = client.ask(&hotter(false), FOR_EVER).await;
    assert_refused(refused, Code::Unavailable, "start conversation_store");
    assert_eq!(revision(client).await, before);
    let crash = Chaos {
        actor: "memory_governor".to_owned(),
        fault: Fault::Crash,
        delay_ms: None,
        for_ms: None,
        dry_run: false,
    };
    let refused = client.ask(&crash, FOR_EVER).await;
    assert_refused(refused, Code::Unavailable, "chaos is not done");
    let refused = client.ask(&Shutdown::default(), FOR_EVER).await;
    let process = format!("send SIGTERM to process {}", std::process::id());
    assert_refused(refused, Code::Unavailable, &process);
    assert_eq!(*scene.stop.borrow(), None);

    let (actor, dry_run) = ("memory_governor".to_owned(), false);
    let restarted = ask(client, &Restart { actor, dry_run }).await;
    assert!(restarted.done && !restarted.audited, "{restarted:?}");
    let (actor, dry_run) = (STORE.to_owned(), false);
    let started = ask(client, &Start { actor, dry_run }).await;
    assert!(started.done && !started.audited, "{started:?}");
    let set = ask(client, &hotter(false)).await;
    assert!(set.done && set.audited, "{set:?}");
    assert_eq!(revision(client).await, before + 1);
    // What was refused has left nothing; what was done has its word and its outcome.
    assert_eq!(written(client, "control.config.set").await.len(), 2);
    assert_eq!(written(client, "control.shutdown").await, []);
    scene.end().await;
}

#[tokio::test]
async fn a_log_that_is_late_counts_as_none_and_may_still_say_what_was_asked() {
    let scene = Scene::start().await;
    let client = &mut scene.client().await;
    let (actor, dry_run) = (STORE.to_owned(), false);
    let paused = ask(client, &Pause { actor, dry_run }).await;
    assert!(paused.done && !paused.audited, "{paused:?}");
    let before = revision(client).await;
    let refused = client.ask(&hotter(false), FOR_EVER).await;
    assert_refused(refused, Code::Unavailable, "did not answer within 2s");
    let (actor, dry_run) = (STORE.to_owned(), false);
    let resumed = ask(client, &Resume { actor, dry_run }).await;
    assert!(resumed.done && !resumed.audited, "{resumed:?}");
    assert_eq!(revision(client).await, before);
    let late = written(client, "control.config.set").await;
    assert_eq!(late.len(), 1, "{late:?}");
    assert!(late[0].detail.contains("model.temperature"), "{late:?}");
    scene.end().await;
}

#[tokio::test]
async fn who_is_refused_for_their_level_is_written_down_and_cannot_flood_the_log() {
    let scene = Scene::start().await;
    let mut raw = scene.raw().await;
    let hello = r#"{"protocol":1,"client":"a thief","level":"operate"}"#;
    raw.ask(1, "hello", hello).await;
    // Said and gone, without waiting for an answer.
    raw.say(b"{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"shutdown\"}\n")
        .await;
    drop(raw);
    let client = &mut scene.client().await;
    let refused = until(client, "control.shutdown", 1).await;
    assert_eq!(refused.len(), 1, "{refused:?}");
    assert!(refused[0].who.starts_with("a thief (uid "), "{refused:?}");
    let why = "needs the level admin, and this connection has operate";
    assert!(refused[0].detail.contains(why), "{refused:?}");

    let (actor, dry_run) = ("memory_governor".to_owned(), false);
    let restart = Restart { actor, dry_run };
    let observer = &mut scene.client_as(Level::Observe).await;
    for _ in 0..100 {
        let refused = observer.ask(&restart, FOR_EVER).await;
        assert_refused(refused, Code::Level, "needs the level operate");
    }
    // Ten of them all have an entry, the first included; nothing was done.
    let done = ask(client, &restart).await;
    assert!(done.audited, "{done:?}");
    let all = until(client, "control.restart", 9 + 2).await;
    assert_eq!(all.len(), 9 + 2, "{all:?}");
    let denied = all
        .iter()
        .filter(|act| act.detail.contains("needs the level"));
    assert_eq!(denied.count(), 9);
    assert_eq!(*scene.stop.borrow(), None);
    scene.end().await;
}
