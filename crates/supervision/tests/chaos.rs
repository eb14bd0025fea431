//! Faults on purpose: they look like real ones to everybody else.

use crate::common;

use common::*;
use supervision::{
    AdminError, AskError, Chaos, ChildSpec, Handle, Health, Lifecycle, RootHandle, SupervisorSpec,
};
use tokio::time::Instant;

async fn probe(spec: SupervisorSpec, log: &Log) -> (RootHandle, Handle<Probe>) {
    let (a, handle) = Orders::new("a", log).spec();
    (started(spec.child(a)).await, handle)
}

#[tokio::test(start_paused = true)]
async fn chaos_is_refused_unless_the_root_allows_it() {
    let log = Log::default();
    let (b, _) = Orders::new("b", &log).spec();
    let team = SupervisorSpec::new("team").allow_chaos().child(b);
    let spec = root().child(ChildSpec::supervisor(team));
    let (root, handle) = probe(spec, &log).await;
    let admin = root.administration();
    for path in ["a", "team/b"] {
        let error = admin.chaos(path, Chaos::Crash, SECOND).await.unwrap_err();
        assert_eq!(error, AdminError::ChaosOff);
        assert!(error.to_string().contains("allow_chaos"));
    }
    assert_eq!(handle.ask(Say(1), SECOND).await.unwrap(), 1);
    root.stop(MINUTE).await;
}

#[tokio::test(start_paused = true)]
async fn a_crash_on_purpose_loses_one_message_and_keeps_the_others() {
    let log = Log::default();
    let (root, handle) = probe(root().allow_chaos(), &log).await;
    let mut events = root.events();
    let admin = root.administration();
    admin.chaos("a", Chaos::Crash, SECOND).await.unwrap();
    tokio::time::sleep(SECOND).await;
    assert_eq!(handle.depth(), 0, "it waits for a message");
    let asker = handle.clone();
    let lost = aside(async move { asker.ask(Say(1), SECOND).await });
    settle().await;
    assert_eq!(handle.ask(Say(2), SECOND).await.unwrap(), 2);
    let lost = lost.await.unwrap();
    assert!(matches!(lost, Err(AskError::Crashed { .. })), "{lost:?}");
    let crashed = event(&mut events, "root/a", |what| {
        matches!(what, Lifecycle::Crashed { .. })
    });
    let reason = "chaos: crashed on purpose at Say".to_owned();
    assert_eq!(crashed.await.what, Lifecycle::Crashed { reason });
    let expected = [
        "a starting",
        "a started",
        "a stopped",
        "a starting",
        "a started",
        "a 2",
    ];
    assert_eq!(log.take(), expected);
    root.stop(MINUTE).await;
}

#[tokio::test(start_paused = true)]
async fn one_that_stalls_is_found_stuck_and_goes_on_where_it_was() {
    let log = Log::default();
    let (a, handle) = Orders::new("a", &log).spec();
    let spec = root().allow_chaos().child(a.handler_budget(SECOND));
    let root = started(spec).await;
    let mut events = root.events();
    let admin = root.administration();
    let begun = Instant::now();
    let lasts = SECOND * 5;
    admin
        .chaos("a", Chaos::Stall { lasts }, SECOND)
        .await
        .unwrap();
    settle().await;
    handle.tell(Say(1)).await.unwrap();
    let stuck = event(&mut events, "root/a", |what| {
        matches!(what, Lifecycle::Stuck { .. })
    })
    .await;
    assert_eq!(stuck.at - begun, SECOND);
    assert!(matches!(&stuck.what, Lifecycle::Stuck { message, .. } if message == "chaos stall"));
    let list = root.supervisor().which_children().await;
    assert_eq!(list[0].health, Health::Stuck);
    assert_eq!(handle.depth(), 1);
    assert_eq!(handle.ask(Say(2), MINUTE).await.unwrap(), 2);
    assert_eq!(begun.elapsed(), lasts);
    event(&mut events, "root/a", |what| {
        matches!(what, Lifecycle::Unstuck { .. })
    })
    .await;
    assert_eq!(log.take(), ["a starting", "a started", "a 1", "a 2"]);
    root.stop(MINUTE).await;
}

#[tokio::test(start_paused = true)]
async fn one_that_stalls_can_be_killed_and_its_next_life_does_not_stall() {
    let log = Log::default();
    let (root, handle) = probe(root().allow_chaos(), &log).await;
    let admin = root.administration();
    let lasts = MINUTE * 10;
    admin
        .chaos("a", Chaos::Stall { lasts }, SECOND)
        .await
        .unwrap();
    handle.tell(Wake(ms(10))).await.unwrap();
    settle().await;
    let begun = Instant::now();
    admin.kill("a", SECOND).await.unwrap();
    assert_eq!(handle.ask(Say(1), SECOND).await.unwrap(), 1);
    assert!(begun.elapsed() < SECOND);
    root.stop(MINUTE).await;
}

#[tokio::test(start_paused = true)]
async fn one_that_is_slow_takes_longer_for_each_message_for_a_while_and_keeps_their_order() {
    let log = Log::default();
    let (root, handle) = probe(root().allow_chaos(), &log).await;
    let admin = root.administration();
    let slow = Chaos::Slow {
        delay: SECOND,
        lasts: ms(2500),
    };
    admin.chaos("a", slow, SECOND).await.unwrap();
    handle.tell(Wake(ms(100))).await.unwrap();
    let begun = Instant::now();
    for n in 1..=4 {
        handle.tell(Say(n)).await.unwrap();
    }
    handle.ask(Say(5), MINUTE).await.unwrap();
    // At 0, 1 and 2 s messages are slowed down, from 3 s on none is.
    assert_eq!(begun.elapsed(), SECOND * 3);
    let said = ["1", "2", "3", "4", "5"].map(|n| format!("a {n}"));
    let seen: Vec<String> = log
        .take()
        .into_iter()
        .filter(|line| line.len() == 3)
        .collect();
    assert_eq!(seen, said);
    admin.chaos("a", slow, SECOND).await.unwrap();
    let off = Chaos::Slow {
        delay: SECOND,
        lasts: ms(0),
    };
    admin.chaos("a", off, SECOND).await.unwrap();
    let begun = Instant::now();
    handle.ask(Say(6), MINUTE).await.unwrap();
    assert_eq!(begun.elapsed(), ms(0));
    root.stop(MINUTE).await;
}

#[tokio::test(start_paused = true)]
async fn faults_out_of_range_or_without_a_queue_are_refused() {
    let log = Log::default();
    let (root, _handle) = probe(root().allow_chaos(), &log).await;
    let admin = root.administration();
    let too_long = MINUTE * 11;
    let table = [
        ("lasts", Chaos::Stall { lasts: too_long }),
        (
            "lasts",
            Chaos::Slow {
                delay: ms(1),
                lasts: too_long,
            },
        ),
        (
            "delay",
            Chaos::Slow {
                delay: SECOND * 11,
                lasts: SECOND,
            },
        ),
    ];
    for (wrong, chaos) in table {
        let error = admin.chaos("a", chaos, SECOND).await.unwrap_err();
        assert!(
            matches!(error, AdminError::Limit { field, .. } if field == wrong),
            "{error}"
        );
    }
    let error = admin.chaos("root", Chaos::Crash, SECOND).await.unwrap_err();
    assert!(matches!(error, AdminError::Top { .. }), "{error}");
    root.stop(MINUTE).await;
}
