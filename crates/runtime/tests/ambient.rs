//! Inside somebody else's runtime. Alone in its file, because the test harness gives each file a process.
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]
#![allow(
    clippy::disallowed_methods,
    reason = "the app's own runtime is what is tested here"
)]

use std::sync::mpsc::sync_channel;

use paraphym_runtime::{Role, RunError, Runtime};

#[test]
fn an_ambient_runtimes_threads_are_the_hosts_and_its_pool_may_grow() {
    let app = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    app.block_on(async {
        let runtime = Runtime::ambient().await.unwrap();
        assert!(!runtime.is_owned());
        let before = runtime.census();
        assert_eq!(before.count(Role::Foreign), 0, "{before:?}");
        assert!(before.count(Role::Host) >= 3, "{before:?}");

        // Three at once, so that the pool has to grow.
        let (arrive, arrived) = sync_channel(3);
        let mut leave = Vec::new();
        let mut busy = Vec::new();
        for _ in 0..3 {
            let (go, gone) = sync_channel::<()>(1);
            let arrive = arrive.clone();
            leave.push(go);
            busy.push(tokio::task::spawn_blocking(move || {
                arrive.send(()).unwrap();
                gone.recv().unwrap();
            }));
        }
        for _ in 0..3 {
            arrived.recv().unwrap();
        }
        let grown = runtime.census();
        assert_eq!(grown.count(Role::Foreign), 0, "{grown:?}");
        assert!(grown.count(Role::Blocking) >= 2, "{grown:?}");
        for go in leave {
            go.send(()).unwrap();
        }
        for task in busy {
            task.await.unwrap();
        }
    });
    let nowhere = std::pin::pin!(Runtime::ambient());
    let polled = nowhere.poll(&mut std::task::Context::from_waker(std::task::Waker::noop()));
    assert!(matches!(
        polled,
        std::task::Poll::Ready(Err(RunError::Outside))
    ));
}
