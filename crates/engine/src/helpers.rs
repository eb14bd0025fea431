//! Who helps to compute a step: other threads, of which an engine knows nothing but that they may come.

use std::fmt;
use std::sync::Arc;

/// What each helper runs, once.
pub type Share = Arc<dyn Fn() + Send + Sync>;

/// Threads that may help. An engine makes none of its own, and waits for nobody who has not come.
pub trait Helpers: fmt::Debug + Send + Sync {
    /// Threads that may take part in a step, the one that runs it included: from 1.
    fn threads(&self) -> usize;

    /// Has all others run `share`, each as soon as it is free. Returns at once.
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
