//! Children that are plain async functions.

use crate::common;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use common::*;
use supervision::{Backoff, ChildSpec, ChildState, EndReason, TaskContext};

#[tokio::test(start_paused = true)]
async fn a_task_is_ready_when_it_says_so_and_ends_when_asked() {
    let log = Log::default();
    let noted = log.clone();
    let task = ChildSpec::task("listener", move |context: TaskContext| {
        let log = noted.clone();
        async move {
            tokio::time::sleep(ms(50)).await;
            log.note(format!("{} bound", context.child()));
            context.ready();
            context.stopping().await;
            log.note("closed");
            Ok(())
        }
    });
    let (after, _) = Orders::new("after", &log).spec();
    let root = started(root().child(task).child(after)).await;
    let report = root.stop(MINUTE).await;
    assert_eq!(report.abandoned, []);
    let expected = [
        "root/listener bound",
        "after starting",
        "after started",
        "after stopped",
        "closed",
    ];
    assert_eq!(log.take(), expected);
}

#[tokio::test(start_paused = true)]
async fn a_task_that_fails_or_panics_is_restarted() {
    let lives = Arc::new(AtomicU32::new(0));
    let counted = lives.clone();
    let task = ChildSpec::task("pump", move |context| {
        let life = counted.fetch_add(1, Ordering::SeqCst);
        async move {
            context.ready();
            match life {
                0 => Err("no water".into()),
                1 => panic!("dry"),
                _ => {
                    context.stopping().await;
                    Ok(())
                }
            }
        }
    });
    let root = started(root().child(task.backoff(Backoff::none()))).await;
    settle().await;
    assert_eq!(lives.load(Ordering::SeqCst), 3);
    let info = root.supervisor().which_children().await.remove(0);
    assert_eq!((info.state, info.restarts), (ChildState::Up, 2));
    assert_eq!(info.last_error.as_deref(), Some("dry"));
    root.stop(MINUTE).await;
}

#[tokio::test(start_paused = true)]
async fn a_task_that_returns_without_ready_counts_as_started_and_ended() {
    let ran = Arc::new(AtomicU32::new(0));
    let counted = ran.clone();
    let job = ChildSpec::task("job", move |_context| {
        counted.fetch_add(1, Ordering::SeqCst);
        async { Ok(()) }
    });
    let root = started(root().child(job.transient())).await;
    assert_eq!(ran.load(Ordering::SeqCst), 1);
    assert_eq!(
        root.supervisor().which_children().await[0].state,
        ChildState::Down
    );
    root.stop(MINUTE).await;
}

#[tokio::test(start_paused = true)]
async fn a_task_that_fails_before_it_is_ready_is_a_failed_start() {
    let task = ChildSpec::task("listener", |_| async { Err("address in use".into()) });
    let error = start(root().child(task)).await.err().expect("must fail");
    assert_eq!(
        error.to_string(),
        "child root/listener did not start: address in use"
    );
}

#[tokio::test(start_paused = true)]
async fn a_task_that_never_says_ready_gets_the_telling_error() {
    let task = ChildSpec::task("listener", |context| async move {
        context.stopping().await;
        Ok(())
    });
    let error = start(root().child(task)).await.err().expect("must fail");
    assert!(
        error
            .to_string()
            .contains("it has not called `TaskContext::ready`"),
        "{error}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_stop_waits_for_the_work_of_a_task_and_drops_it_at_the_deadline() {
    for (work_takes, took, abandoned) in [(100, 10, 0), (1000, 20, 1)] {
        let task = ChildSpec::task("listener", move |context| async move {
            let guard = context.work("connection 1");
            tokio::task::yield_now().await;
            let mut connections = tokio::task::JoinSet::new();
            let stopping = context.stopping();
            connections.spawn(async move {
                stopping.await;
                tokio::time::sleep(ms(work_takes)).await;
                drop(guard);
            });
            context.ready();
            context.stopping().await;
            connections.detach_all();
            Ok(())
        });
        let root = started(root().child(task.shutdown(brief()))).await;
        let report = root.stop(MINUTE).await;
        assert_eq!(report.took.as_millis() / 10, took, "{:?}", report.took);
        let left: Vec<&str> = report.abandoned.iter().map(|a| a.what.as_str()).collect();
        assert_eq!(left, vec!["connection 1"; abandoned]);
        assert_eq!(root.ended().await, EndReason::Stopped);
    }
}

#[tokio::test(start_paused = true)]
async fn a_task_that_is_to_end_knows_whether_it_is_for_good() {
    let log = Log::default();
    let noted = log.clone();
    let task = ChildSpec::task("listener", move |context: TaskContext| {
        let log = noted.clone();
        async move {
            context.ready();
            log.note(format!("up: {}", context.stops_for_good()));
            context.stopping().await;
            log.note(format!("asked: {}", context.stops_for_good()));
            Ok(())
        }
    });
    let root = started(root().child(task)).await;
    settle().await;
    let admin = root.administration();
    admin.restart("listener", MINUTE).await.unwrap();
    settle().await;
    root.stop(MINUTE).await;
    let expected = ["up: false", "asked: false", "up: false", "asked: true"];
    assert_eq!(log.take(), expected);
}
