//! Errands that do not need each other, run by as many threads as come: whoever is free takes the next one.
//!
//! ```text
//!  the one that loads:  errand 0 ── errand 2 ── tells ── errand 5 ── waits for 4 ── tells ──> back
//!  a helper:              errand 1 ──── errand 3 ── errand 4 ──┘
//! ```
//!
//! A crew (`crew`) calls its roll once, for its members meet in every step. Here nobody meets, so who comes late, as a thread
//! does that must first be made, takes part as well.
//!
//! Invariants: each errand is run once, or not at all after a stop; once [`run`] is back none is running, and a helper that
//! comes later does nothing; if one panics, [`run`] does. What comes of an errand does not depend on who ran it.

use std::fmt;
use std::ops::ControlFlow;
use std::panic::resume_unwind;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use engine::helpers::{Helpers, Share};

/// That a helper is done with an errand.
#[allow(
    clippy::disallowed_types,
    reason = "who loads holds a blocking thread for as long as it takes, and has nothing to do while others read the last"
)]
type News = std::sync::Condvar;

/// What several threads know of the errands.
struct Board<T> {
    count: usize,
    state: Mutex<State<T>>,
    news: News,
}

struct State<T> {
    /// The errand that nobody has taken yet.
    next: usize,
    /// Helpers that run one.
    busy: usize,
    /// What they made, not yet handed over.
    made: Vec<(usize, T)>,
    /// One of them panicked.
    broken: bool,
}

impl<T> fmt::Debug for Board<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Board").finish_non_exhaustive()
    }
}

/// Runs the errands 0 to `count`, taken in this order, and hands what came of each to `take` on this thread, which may stop
/// all that have not begun. Each thread has a `Bench` of its own.
///
/// # Panics
/// If an errand does.
pub(crate) fn run<T, Bench>(
    helpers: &dyn Helpers,
    count: usize,
    errand: impl Fn(&mut Bench, usize) -> T + Send + Sync + 'static,
    mut take: impl FnMut(usize, T) -> ControlFlow<()>,
) -> ControlFlow<()>
where
    T: Send + 'static,
    Bench: Default,
{
    let board = Arc::new(Board::new(count));
    let errand = Arc::new(errand);
    // However this ends, nobody is left; also if the call panics when some have come.
    let _end = End(&board);
    let shared = (helpers.threads() > 1 && count > 1).then(|| {
        // A call that still waits somewhere keeps nothing of what is read in memory.
        let (board, errand) = (Arc::clone(&board), Arc::downgrade(&errand));
        let share: Share = Arc::new(move || {
            let mut bench = Bench::default();
            while let Some(mut taken) = board.take_as_helper() {
                // Who called waits for all that are taken, so it is there.
                let made = errand
                    .upgrade()
                    .map(|errand| errand(&mut bench, taken.index));
                taken.made = made;
            }
        });
        helpers.call(Arc::clone(&share));
        share
    });
    let mut bench = Bench::default();
    while let Some(index) = board.take() {
        take(index, errand(&mut bench, index))?;
        board.hand_over(&mut take)?;
    }
    // Nothing is left to take.
    drop(shared);
    while board.hears_more() {
        board.hand_over(&mut take)?;
    }
    ControlFlow::Continue(())
}

impl<T> Board<T> {
    fn new(count: usize) -> Self {
        Self {
            count,
            state: Mutex::new(State {
                next: 0,
                busy: 0,
                made: Vec::new(),
                broken: false,
            }),
            news: News::new(),
        }
    }

    /// No code of others runs under it, so it is sound whoever panicked.
    fn state(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self) -> Option<usize> {
        let mut state = self.state();
        let index = state.next;
        state.next = (index + 1).min(self.count);
        (index < self.count).then_some(index)
    }

    fn take_as_helper(&self) -> Option<Taken<'_, T>> {
        let mut state = self.state();
        let index = state.next;
        if index >= self.count {
            return None;
        }
        state.next += 1;
        state.busy += 1;
        Some(Taken {
            board: self,
            index,
            made: None,
        })
    }

    /// Waits while this holds of what all know.
    fn wait_while(&self, holds: impl Fn(&State<T>) -> bool) -> MutexGuard<'_, State<T>> {
        let waited = self.news.wait_while(self.state(), |state| holds(state));
        waited.unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for what helpers still make; whether there is something to be handed over.
    fn hears_more(&self) -> bool {
        let state = self.wait_while(|s| s.busy > 0 && s.made.is_empty() && !s.broken);
        !state.made.is_empty() || state.broken
    }

    /// Hands over what helpers made.
    fn hand_over(&self, take: &mut impl FnMut(usize, T) -> ControlFlow<()>) -> ControlFlow<()> {
        let (made, broken) = {
            let mut state = self.state();
            (std::mem::take(&mut state.made), state.broken)
        };
        if broken {
            // Without a message: the one that panicked had one.
            resume_unwind(Box::new("another thread panicked while it helped"));
        }
        made.into_iter()
            .try_for_each(|(index, made)| take(index, made))
    }
}

/// An errand of a helper. However it ends, the others know.
struct Taken<'a, T> {
    board: &'a Board<T>,
    index: usize,
    made: Option<T>,
}

impl<T> Drop for Taken<'_, T> {
    fn drop(&mut self) {
        let mut state = self.board.state();
        state.busy -= 1;
        if let Some(made) = self.made.take() {
            state.made.push((self.index, made));
        } else {
            state.broken = true;
            state.next = self.board.count;
        }
        drop(state);
        self.board.news.notify_one();
    }
}

/// Takes what is left off the board, and waits for those that run.
struct End<'a, T>(&'a Board<T>);

impl<T> Drop for End<'_, T> {
    fn drop(&mut self) {
        let board = self.0;
        board.state().next = board.count;
        let made = std::mem::take(&mut board.wait_while(|state| state.busy > 0).made);
        drop(made);
    }
}

#[cfg(test)]
#[path = "errands_tests.rs"]
mod tests;
