//! A tree starts in order, each child awaited, and stops in reverse.

extern crate paraphym_supervision as supervision;

mod common;

use common::*;
use supervision::{ChildState, DownReason, TellError};

#[tokio::test(start_paused = true)]
async fn children_start_in_order_each_awaited_until_ready_and_stop_in_reverse() {
    let log = Log::default();
    let (a, _) = Orders::new("a", &log).start_takes(ms(50)).spec();
    let (b, _) = Orders::new("b", &log).start_takes(ms(30)).spec();
    let (c, handle) = Orders::new("c", &log).start_takes(ms(10)).spec();
    let root = started(root().child(a).child(b).child(c)).await;
    let expected = [
        "a starting",
        "a started",
        "b starting",
        "b started",
        "c starting",
        "c started",
    ];
    assert_eq!(log.take(), expected);
    assert_eq!(handle.ask(Say(7), SECOND).await.unwrap(), 7);
    assert_eq!(handle.child().as_str(), "root/c");
    log.take();
    let report = root.stop(MINUTE).await;
    assert_eq!(report.abandoned, []);
    assert_eq!(log.take(), ["c stopped", "b stopped", "a stopped"]);
}

#[tokio::test(start_paused = true)]
async fn a_crash_keeps_the_queue_and_the_handle() {
    let log = Log::default();
    let (a, handle) = Orders::new("a", &log).spec();
    let root = started(root().child(a)).await;
    handle.tell(Linger(ms(5))).await.unwrap();
    handle.tell(Crash("first")).await.unwrap();
    handle.tell(Say(1)).await.unwrap();
    handle.tell(Crash("second")).await.unwrap();
    handle.tell(Say(2)).await.unwrap();
    assert_eq!(handle.ask(Say(3), SECOND).await.unwrap(), 3);
    let said: Vec<String> = log
        .take()
        .into_iter()
        .filter(|line| !line.contains("start") && !line.contains("stop"))
        .collect();
    assert_eq!(
        said,
        ["a lingered", "a first", "a 1", "a second", "a 2", "a 3"]
    );
    assert_eq!(handle.state(), ChildState::Up);
    root.stop(MINUTE).await;
    assert!(matches!(
        handle.try_tell(Say(4)),
        Err(TellError::Down {
            reason: DownReason::Stopped,
            ..
        })
    ));
}
