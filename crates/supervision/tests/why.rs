//! Why a child was restarted or is down, long after.

#![allow(clippy::expect_used, reason = "a helper that fails fails its test")]

use crate::common;

use common::four::Four;
use common::*;
use supervision::{
    AdminError, Administration, Backoff, ChildSpec, DownReason, Intervention, Lifecycle,
    RestartCause, Strategy, SupervisorSpec,
};

fn told(admin: &Administration, path: &str) -> Vec<Lifecycle> {
    let flight = admin.why(path).expect("the tree is there");
    flight.own().map(|record| record.what.clone()).collect()
}

#[tokio::test(start_paused = true)]
async fn a_crash_is_told_with_its_reason_and_what_was_decided_on_it() {
    let log = Log::default();
    let (a, handle) = Orders::new("a", &log).spec();
    let root = started(root().child(a)).await;
    let admin = root.administration();
    assert_eq!(
        told(&admin, "a"),
        [],
        "a start that went well explains nothing"
    );
    for reason in ["boom", "bang"] {
        handle.tell(Crash(reason)).await.unwrap();
        settle().await;
    }
    let story = |n: u32, reason: &str| {
        let (restarts, cause) = (u64::from(n), RestartCause::Crashed);
        [
            Lifecycle::Crashed {
                reason: reason.to_owned(),
            },
            Lifecycle::BackingOff {
                delay: std::time::Duration::ZERO,
                // With `Backoff::none` every life was healthy.
                in_a_row: 1,
                restarts: n,
                allowed: 1_000_000,
            },
            Lifecycle::Restarted { restarts, cause },
        ]
    };
    let expected = [story(1, "boom"), story(2, "bang")].concat();
    assert_eq!(told(&admin, "a"), expected);
    root.stop(MINUTE).await;
}

#[tokio::test(start_paused = true)]
async fn who_asked_for_a_restart_and_who_fell_with_whom_is_told() {
    let four = Four::under(Strategy::RestForOne, |orders| orders).await;
    let admin = four.root.administration().on_behalf_of("ada");
    admin.restart("c", MINUTE).await.unwrap();
    let ordered = Lifecycle::Ordered {
        what: Intervention::Restart,
        by: "ada".to_owned(),
    };
    let stopped = Lifecycle::Stopped {
        reason: DownReason::Stopped,
        abandoned: vec![],
    };
    let again = |cause| Lifecycle::Restarted { restarts: 1, cause };
    let own = [ordered, stopped.clone(), again(RestartCause::Asked)];
    assert_eq!(told(&admin, "c"), own);
    settle().await;
    let with = supervision::ChildId::new("c");
    let fell = [stopped, again(RestartCause::Group { with })];
    assert_eq!(told(&admin, "d"), fell);
    assert_eq!(told(&admin, "b"), []);
    four.root.stop(MINUTE).await;
}

#[tokio::test(start_paused = true)]
async fn the_story_outlives_the_supervisor_and_names_what_happened_above() {
    let log = Log::default();
    let (a, handle) = Orders::new("a", &log).spec();
    let team = SupervisorSpec::new("team").intensity(0, SECOND).child(a);
    let team = ChildSpec::supervisor(team).backoff(Backoff::none());
    let root = started(root().child(team)).await;
    let admin = root.administration();
    handle.tell(Crash("boom")).await.unwrap();
    settle().await;
    assert_eq!(handle.ask(Say(1), SECOND).await.unwrap(), 1);
    let flight = admin.why("team/a").unwrap();
    assert_eq!(flight.child, "root/team/a");
    let steps: Vec<(&str, bool)> = flight
        .records
        .iter()
        .map(|record| {
            let escalated = matches!(&record.what, Lifecycle::Escalated { child, reason, .. }
                if child.as_str() == "a" && reason == "boom");
            (record.child.as_str(), escalated)
        })
        .collect();
    let expected = [
        ("root/team/a", false),
        ("root/team", true),
        ("root/team", false),
        ("root/team", false),
        ("root/team", false),
    ];
    assert_eq!(steps, expected, "{:?}", flight.records);
    root.stop(MINUTE).await;
}

#[tokio::test(start_paused = true)]
async fn one_that_is_gone_is_still_explained() {
    let log = Log::default();
    let (guest, handle) = Orders::new("guest", &log).spec();
    let root = started(root()).await;
    root.supervisor()
        .start_child(guest.temporary())
        .await
        .unwrap();
    handle.tell(Crash("boom")).await.unwrap();
    settle().await;
    let admin = root.administration();
    let crashed = Lifecycle::Crashed {
        reason: "boom".to_owned(),
    };
    let steps = told(&admin, "guest");
    assert_eq!(steps[0], crashed);
    assert!(
        matches!(&steps[1], Lifecycle::Stopped { reason: DownReason::Crashed(why), .. }
        if why == "boom")
    );
    assert_eq!(told(&admin, "never-was"), []);
    let error = admin.why("a//b").unwrap_err();
    assert!(matches!(error, AdminError::Path { .. }));
    root.stop(MINUTE).await;
    assert_eq!(told(&admin, "guest").len(), 2, "after the stop, too");
    drop(root);
    settle().await;
    let error = admin.why("guest").unwrap_err();
    assert!(matches!(error, AdminError::Down { .. }));
}

#[tokio::test(start_paused = true)]
async fn before_its_start_a_tree_has_nothing_to_explain() {
    let spec = root();
    let admin = spec.handle().administration();
    let error = admin.why("a").unwrap_err();
    assert!(matches!(error, AdminError::Down { .. }));
    let root = started(spec).await;
    assert_eq!(told(&admin, "a"), []);
    root.stop(MINUTE).await;
}
