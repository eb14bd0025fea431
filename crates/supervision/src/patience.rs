//! How long an asker waits. No ask is without a deadline, and almost none ever meets it, so the deadline must cost little:
//! the timer of the last ask is kept on its place's shelf, still armed, for the next.
//!
//! A kept timer that is due earlier than the deadline only asks to be armed anew; one that is due later is armed anew at
//! once. So nobody is told "too late" early, and a timer is armed about once per deadline, not once per ask.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::runtime;
use tokio::time::{Instant, Sleep, sleep_until};

/// What tokio, too, takes for "never": 30 years.
const NEVER: Duration = Duration::from_hours(24 * 365 * 30);

/// A timer of the runtime on which it was made; no other can drive it.
struct Armed {
    sleep: Pin<Box<Sleep>>,
    runtime: Option<runtime::Id>,
}

/// Room for one timer: with more, a place that was once asked by many would keep all of theirs.
#[derive(Default)]
pub(crate) struct Shelf(Mutex<Option<Armed>>);

impl Shelf {
    fn swap(&self, armed: Option<Armed>) -> Option<Armed> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut *kept, armed)
    }

    fn take_or_arm(&self, by: Instant) -> Armed {
        let runtime = runtime::Handle::try_current().ok().map(|here| here.id());
        match self.swap(None) {
            Some(kept) if kept.runtime == runtime => kept,
            _ => Armed {
                sleep: Box::pin(sleep_until(by)),
                runtime,
            },
        }
    }

    /// Drops the timer that is kept.
    pub(crate) fn clear(&self) {
        drop(self.swap(None));
    }
}

/// One asker's.
pub(crate) struct Patience<'a> {
    shelf: &'a Shelf,
    allowed: Duration,
    by: Option<Instant>,
    armed: Option<Armed>,
}

impl<'a> Patience<'a> {
    /// Begins when it is first polled.
    pub(crate) fn new(shelf: &'a Shelf, allowed: Duration) -> Self {
        Self {
            shelf,
            allowed,
            by: None,
            armed: None,
        }
    }

    /// Ready when the deadline is past: not before, and later by no more than a tick of tokio's timers (1 ms).
    pub(crate) fn poll_exhausted(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let by = *self.by.get_or_insert_with(|| {
            let now = Instant::now();
            now.checked_add(self.allowed).unwrap_or(now + NEVER)
        });
        let kept_at = self.shelf;
        let armed = self.armed.get_or_insert_with(|| kept_at.take_or_arm(by));
        if armed.sleep.deadline() > by {
            armed.sleep.as_mut().reset(by);
        }
        loop {
            ready!(armed.sleep.as_mut().poll(cx));
            if armed.sleep.deadline() >= by {
                return Poll::Ready(());
            }
            armed.sleep.as_mut().reset(by);
        }
    }
}

impl Drop for Patience<'_> {
    fn drop(&mut self) {
        if let Some(armed) = self.armed.take() {
            drop(self.shelf.swap(Some(armed)));
        }
    }
}
