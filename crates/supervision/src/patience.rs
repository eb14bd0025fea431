//! How long an asker waits. No ask is without a deadline, and almost none ever meets it, so the deadline must cost little:
//! the timer of an ask that was answered is kept on its tree's shelf, still armed, for another.
//!
//! A kept timer that is due earlier than the deadline only asks to be armed anew; one that is due later is armed anew at
//! once. So nobody is told "too late" early, and a timer is armed about once per deadline, not once per ask. Nobody waits
//! for the shelf: who finds it in use arms a timer of their own.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Mutex, MutexGuard, TryLockError};
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

/// Timers that one tree keeps: 32 askers at once are more than a machine has workers, and each kept timer holds on to the
/// memory of the task it last woke.
const KEPT: usize = 32;

#[derive(Default)]
pub(crate) struct Shelf(Mutex<Vec<Armed>>);

impl Shelf {
    fn look(&self) -> Option<MutexGuard<'_, Vec<Armed>>> {
        match self.0.try_lock() {
            Ok(kept) => Some(kept),
            Err(TryLockError::Poisoned(kept)) => Some(kept.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    fn take(&self, runtime: Option<runtime::Id>) -> Option<Armed> {
        let mut kept = self.look()?;
        let last = kept.last()?;
        if last.runtime == runtime {
            kept.pop()
        } else {
            None
        }
    }

    fn keep(&self, armed: Armed) {
        if let Some(mut kept) = self.look().filter(|kept| kept.len() < KEPT) {
            kept.push(armed);
        }
    }
}

impl fmt::Debug for Shelf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Shelf")
    }
}

/// One asker's.
pub(crate) struct Patience<'a> {
    shelf: Option<&'a Shelf>,
    allowed: Duration,
    by: Option<Instant>,
    armed: Option<Armed>,
}

impl<'a> Patience<'a> {
    /// Begins when it is first polled.
    pub(crate) fn new(shelf: Option<&'a Shelf>, allowed: Duration) -> Self {
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
        let armed = self.armed.get_or_insert_with(|| take_or_arm(kept_at, by));
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

fn take_or_arm(shelf: Option<&Shelf>, by: Instant) -> Armed {
    let runtime = runtime::Handle::try_current().ok().map(|here| here.id());
    let kept = shelf.and_then(|shelf| shelf.take(runtime));
    kept.unwrap_or_else(|| Armed {
        sleep: Box::pin(sleep_until(by)),
        runtime,
    })
}

impl Drop for Patience<'_> {
    fn drop(&mut self) {
        if let (Some(shelf), Some(armed)) = (self.shelf, self.armed.take()) {
            shelf.keep(armed);
        }
    }
}
