//! However many call, so many help and no more; nobody who calls is forgotten while a helper is there, and no call is kept.
#![allow(clippy::unwrap_used, reason = "tests may fail loudly")]

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tokio::task::yield_now;

use super::*;

/// A share that is held until all are let go.
#[derive(Clone, Default)]
struct Held {
    begun: Arc<AtomicUsize>,
    at_once: Arc<AtomicUsize>,
    most_at_once: Arc<AtomicUsize>,
    let_go: Arc<AtomicBool>,
}

impl Held {
    fn share(&self) -> Share {
        let held = self.clone();
        Arc::new(move || {
            held.begun.fetch_add(1, Ordering::SeqCst);
            let at_once = held.at_once.fetch_add(1, Ordering::SeqCst) + 1;
            held.most_at_once.fetch_max(at_once, Ordering::SeqCst);
            while !held.let_go.load(Ordering::SeqCst) {
                std::thread::yield_now();
            }
            held.at_once.fetch_sub(1, Ordering::SeqCst);
        })
    }

    async fn until_begun(&self, count: usize) {
        while self.begun.load(Ordering::SeqCst) < count {
            yield_now().await;
        }
    }

    fn let_go(&self) {
        self.let_go.store(true, Ordering::SeqCst);
    }
}

/// However a test ends, nobody is held.
struct End<'a>(&'a Held);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.let_go();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn all_who_call_on_one_runtime_share_its_helpers() {
    let runtime = Runtime::ambient().await.unwrap();
    let [one, another] = [None, Some(2)].map(|threads| BlockingHelpers::of(&runtime, threads));
    assert_eq!((one.threads(), another.threads()), (3, 2));
    let held = Held::default();
    let _end = End(&held);
    one.call(held.share());
    held.until_begun(2).await;
    for _ in 0..3 {
        one.call(held.share());
        another.call(held.share());
    }
    // Other work of the blocking pool goes past them.
    for _ in 0..100 {
        runtime.handle().spawn_blocking(|| ()).await.unwrap();
    }
    assert_eq!(held.begun.load(Ordering::SeqCst), 2);
    held.let_go();
    // Those that were there take what was called since: two for each call of the one, one for each of the other.
    held.until_begun(2 + 3 * 2 + 3).await;
    assert_eq!(held.most_at_once.load(Ordering::SeqCst), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_helper_that_panicked_can_be_lent_again() {
    let two = NonZeroUsize::new(2).unwrap();
    let helpers = BlockingHelpers::new(Handle::current(), two);
    for _ in 0..20 {
        let held = Held::default();
        held.let_go();
        helpers.call(Arc::new(|| {
            std::panic::resume_unwind(Box::new("on purpose"))
        }));
        helpers.call(held.share());
        held.until_begun(1).await;
    }
    while helpers.lender.state().lent > 0 {
        yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_that_nobody_takes_are_not_kept() {
    let two = NonZeroUsize::new(2).unwrap();
    let helpers = BlockingHelpers::new(Handle::current(), two);
    let held = Held::default();
    let _end = End(&held);
    helpers.call(held.share());
    held.until_begun(1).await;
    let runs = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&runs);
    let share: Share = Arc::new(move || {
        counted.fetch_add(1, Ordering::SeqCst);
    });
    for _ in 0..100 {
        helpers.call(Share::clone(&share));
    }
    assert_eq!(Arc::strong_count(&share), 1 + MOST_CALLS);
    held.let_go();
    while helpers.lender.state().lent > 0 {
        yield_now().await;
    }
    assert_eq!(runs.load(Ordering::SeqCst), MOST_CALLS);
    assert_eq!(Arc::strong_count(&share), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_whose_caller_still_waits_is_not_forgotten_for_steps_that_are_over() {
    let two = NonZeroUsize::new(2).unwrap();
    let helpers = BlockingHelpers::new(Handle::current(), two);
    let held = Held::default();
    let _end = End(&held);
    helpers.call(held.share());
    held.until_begun(1).await;
    let runs = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&runs);
    let load: Share = Arc::new(move || {
        counted.fetch_add(1, Ordering::SeqCst);
    });
    helpers.call(Arc::new(|| {}));
    helpers.call(Share::clone(&load));
    for _ in 0..3 * MOST_CALLS {
        helpers.call(Arc::new(|| {}));
    }
    held.let_go();
    while helpers.lender.state().lent > 0 {
        yield_now().await;
    }
    assert_eq!(runs.load(Ordering::SeqCst), 1);
}

/// Nobody else is there to help, and nothing waits for them.
#[tokio::test]
async fn who_is_one_calls_nobody() {
    let runtime = Runtime::ambient().await.unwrap();
    let held = Held::default();
    for helpers in [
        BlockingHelpers::of(&runtime, None),
        BlockingHelpers::new(Handle::current(), NonZeroUsize::MIN),
    ] {
        assert_eq!(helpers.threads(), 1);
        helpers.call(held.share());
        assert!(helpers.lender.state().calls.is_empty());
    }
}
