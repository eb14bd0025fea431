//! Errands run by nobody's help, by some, and by those who come late; stopped, and broken off.

use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};

use engine::helpers::{Alone, Share};
use runtime::BlockingHelpers;

use super::*;

fn helpers(threads: usize) -> BlockingHelpers {
    let handle = tokio::runtime::Handle::current();
    BlockingHelpers::new(handle, NonZeroUsize::new(threads).unwrap())
}

/// Says that one more may come, who comes when told.
#[derive(Default)]
struct Late(Mutex<Vec<Share>>);

impl fmt::Debug for Late {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("late")
    }
}

impl Helpers for Late {
    fn threads(&self) -> usize {
        2
    }

    fn call(&self, share: Share) {
        self.0.lock().unwrap().push(share);
    }
}

fn squares(helpers: &dyn Helpers, count: usize) -> Vec<Option<usize>> {
    let mut all = vec![None; count];
    let ended = run(
        helpers,
        count,
        |(): &mut (), index| index * index,
        |index, square| {
            assert_eq!(all[index].replace(square), None, "twice");
            ControlFlow::Continue(())
        },
    );
    assert_eq!(ended, ControlFlow::Continue(()));
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_is_run_once_by_whoever_is_free() {
    for count in [0, 1, 2, 7, 300] {
        let expected: Vec<_> = (0..count).map(|index| Some(index * index)).collect();
        assert_eq!(squares(&Alone, count), expected);
        for threads in [1, 2, 3, 6] {
            let all = squares(&helpers(threads), count);
            assert_eq!(all, expected, "{threads} threads");
        }
    }
}

#[test]
fn who_comes_late_takes_part_and_who_comes_too_late_does_nothing() {
    let late = Late::default();
    let runs = Arc::new(AtomicUsize::new(0));
    let told = Arc::clone(&runs);
    let mut by_index = Vec::new();
    let _ = run(
        &late,
        5,
        move |(): &mut (), _| told.fetch_add(1, Ordering::Relaxed),
        |index, _| {
            by_index.push(index);
            if index == 1 {
                // Now it comes, and finds three.
                let shares = std::mem::take(&mut *late.0.lock().unwrap());
                assert_eq!(shares.len(), 1);
                for share in shares {
                    share();
                    share();
                }
            }
            ControlFlow::Continue(())
        },
    );
    assert_eq!(by_index, [0, 1, 2, 3, 4]);
    assert_eq!(runs.load(Ordering::Relaxed), 5);
    // A call that still waits keeps nothing of what was done.
    let big = Arc::new(());
    let kept = Arc::downgrade(&big);
    let late = Late::default();
    let _ = run(
        &late,
        2,
        move |(): &mut (), _| Arc::strong_count(&big),
        |_, _| ControlFlow::Continue(()),
    );
    assert_eq!(late.0.lock().unwrap().len(), 1);
    assert!(kept.upgrade().is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_leaves_nobody_at_work() {
    for _ in 0..50 {
        let running = Arc::new(AtomicUsize::new(0));
        let inside = Arc::clone(&running);
        let mut taken = 0;
        let ended = run(
            &helpers(3),
            1000,
            move |(): &mut (), index| {
                inside.fetch_add(1, Ordering::SeqCst);
                std::thread::yield_now();
                inside.fetch_sub(1, Ordering::SeqCst);
                index
            },
            |_, _| {
                taken += 1;
                if taken == 3 {
                    ControlFlow::Break(())
                } else {
                    ControlFlow::Continue(())
                }
            },
        );
        assert_eq!((ended, taken), (ControlFlow::Break(()), 3));
        assert_eq!(running.load(Ordering::SeqCst), 0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_panic_of_any_of_them_ends_all() {
    for panics in 0..40 {
        let ended = catch_unwind(AssertUnwindSafe(|| {
            run(
                &helpers(3),
                40,
                move |(): &mut (), index| {
                    if index == panics {
                        resume_unwind(Box::new("on purpose"));
                    }
                },
                |_, ()| ControlFlow::Continue(()),
            )
        }));
        assert!(ended.is_err(), "{panics}");
    }
}

/// Runs the share itself.
#[derive(Debug)]
struct Inline;

impl Helpers for Inline {
    fn threads(&self) -> usize {
        3
    }

    fn call(&self, share: Share) {
        share();
        share();
    }
}

#[test]
fn who_calls_may_be_the_one_that_comes() {
    let expected: Vec<_> = (0..20).map(|index| Some(index * index)).collect();
    assert_eq!(squares(&Inline, 20), expected);
}

/// Calls one, and panics once it is at work.
#[derive(Debug, Default)]
struct HalfWay {
    begun: Arc<AtomicUsize>,
}

impl Helpers for HalfWay {
    fn threads(&self) -> usize {
        3
    }

    fn call(&self, share: Share) {
        drop(tokio::task::spawn_blocking(move || share()));
        while self.begun.load(Ordering::SeqCst) == 0 {
            std::thread::yield_now();
        }
        resume_unwind(Box::new("on purpose"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_panics_half_way_leaves_nobody_at_work() {
    for _ in 0..50 {
        let helpers = HalfWay::default();
        let (begun, running) = (Arc::clone(&helpers.begun), Arc::new(AtomicUsize::new(0)));
        let inside = Arc::clone(&running);
        let ended = catch_unwind(AssertUnwindSafe(|| {
            run(
                &helpers,
                1000,
                move |(): &mut (), _| {
                    begun.fetch_add(1, Ordering::SeqCst);
                    inside.fetch_add(1, Ordering::SeqCst);
                    (0..100).for_each(|_| std::thread::yield_now());
                    inside.fetch_sub(1, Ordering::SeqCst);
                },
                |_, ()| ControlFlow::Continue(()),
            )
        }));
        assert!(ended.is_err());
        assert_eq!(running.load(Ordering::SeqCst), 0);
    }
}
