//! One process, one runtime. Alone in its file, because the test harness gives each file a process.
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use paraphym_runtime::{Role, RunError, RuntimeOptions, run};

fn threads_now() -> usize {
    std::fs::read_dir("/proc/self/task").unwrap().count()
}

/// A joined thread is listed for some microseconds more, until the kernel has cleared it away.
fn threads_settle_at(expected: usize) -> bool {
    (0..10_000).any(|_| {
        std::thread::yield_now();
        threads_now() == expected
    })
}

#[test]
fn owned_never_nested_never_second_and_gone_afterwards() {
    let before = threads_now();
    let options = RuntimeOptions { workers: Some(2) };

    let census = run(&options, |runtime| async move {
        assert!(matches!(
            run(&RuntimeOptions::default(), |_| async {}),
            Err(RunError::Nested)
        ));
        assert!(runtime.is_owned());
        assert_eq!(runtime.workers(), 2);

        // rayon's work stays on the blocking thread that asked for it.
        let stayed = tokio::task::spawn_blocking(|| {
            let asker = std::thread::current().id();
            rayon::join(
                || std::thread::current().id() == asker,
                || std::thread::current().id() == asker,
            )
        });
        assert_eq!(stayed.await.unwrap(), (true, true));
        runtime.census()
    })
    .unwrap();

    assert_eq!(census.count(Role::Worker), 2);
    assert_eq!(census.count(Role::Blocking), 1);
    assert_eq!(census.count(Role::Foreign), 0, "{census:?}");
    let known = ["paraphym-worker", "paraphym-blocki"];
    for thread in census
        .threads
        .iter()
        .filter(|t| matches!(t.role, Role::Worker | Role::Blocking))
    {
        assert!(known.contains(&thread.name.as_str()), "{thread:?}");
    }
    assert!(
        threads_settle_at(before),
        "a thread of the runtime outlived it"
    );

    // Another one is fine once the first is gone; a second beside it is not.
    let second = run(&options, |_| async {
        tokio::task::spawn_blocking(|| {
            matches!(
                run(&RuntimeOptions::default(), |_| async {}),
                Err(RunError::Nested)
            )
        })
        .await
        .unwrap()
    });
    assert!(second.unwrap());
    assert!(matches!(
        run(&RuntimeOptions { workers: Some(0) }, |_| async {}),
        Err(RunError::Workers(0))
    ));
}
