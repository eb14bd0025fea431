//! Who helps to compute a step: other threads, of which an engine knows nothing but that they may come.

use std::fmt;
use std::sync::Arc;

/// What each helper runs, once.
pub type Share = Arc<dyn Fn() + Send + Sync>;

/// Threads that may help. An engine makes none of its own, and waits for nobody who has not come.
pub trait Helpers: fmt::Debug + Send + Sync {
    /// Threads that may take part in a step, the one that runs it included: from 1, and the same each time it is asked.
    fn threads(&self) -> usize;

    /// Has others run `share`, each as soon as it is free, one less than [`Helpers::threads`] at most. Who is not free need not
    /// come, and who comes late finds nothing to do; nobody is waited for who has not come.
    ///
    /// It must return at once: a share ends only after the call, with the step, so who waits for one here waits for ever. It
    /// must not run the share on the thread that calls: that one has its own part, and is no help to itself. And it should
    /// not panic. An engine survives the last two: a share that is run by who called does little or nothing, and of a call that
    /// panics the panic goes on once those who came have left.
    ///
    /// A share that is run keeps what it works on alive, so it must not be kept once it was run, or nobody will. Who called holds
    /// the share as long as help is of use: one that nobody else holds may be forgotten.
    fn call(&self, share: Share);
}

/// Nobody helps.
#[derive(Clone, Copy, Debug, Default)]
pub struct Alone;

impl Helpers for Alone {
    fn threads(&self) -> usize {
        1
    }

    fn call(&self, _: Share) {}
}
