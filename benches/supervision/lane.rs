//! What is measured, as data: groups of lanes that run in turn, and the columns each lane fills.

use std::future::Future;
use std::pin::Pin;

use crate::peer::Failure;

/// One run of one lane: a value for each column of its group.
pub(crate) type Sample = Vec<f64>;
type Trial = Pin<Box<dyn Future<Output = Result<Sample, Failure>>>>;

/// One kind of figure.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Column {
    /// With its unit.
    pub(crate) name: &'static str,
    /// Whether a ratio to the base says something.
    pub(crate) ratio: bool,
    pub(crate) digits: usize,
}

impl Column {
    pub(crate) const fn ratio(name: &'static str) -> Self {
        Self {
            name,
            ratio: true,
            digits: 0,
        }
    }

    pub(crate) const fn plain(name: &'static str, digits: usize) -> Self {
        Self {
            name,
            ratio: false,
            digits,
        }
    }
}

/// One contender in one group.
pub(crate) struct Lane {
    pub(crate) name: &'static str,
    /// Runs in one round only: what takes half a minute is not worth a second look.
    pub(crate) once: bool,
    run: Box<dyn Fn() -> Trial>,
}

impl Lane {
    pub(crate) fn new<F, Fut>(name: &'static str, run: F) -> Self
    where
        F: Fn() -> Fut + 'static,
        Fut: Future<Output = Result<Sample, Failure>> + 'static,
    {
        Self {
            name,
            once: false,
            run: Box::new(move || Box::pin(run())),
        }
    }

    pub(crate) fn once(mut self) -> Self {
        self.once = true;
        self
    }

    pub(crate) async fn run(&self) -> Result<Sample, Failure> {
        (self.run)().await
    }
}

/// Lanes that are compared with each other.
pub(crate) struct Group {
    /// Without spaces, unique.
    pub(crate) key: String,
    pub(crate) title: String,
    pub(crate) columns: &'static [Column],
    /// The lane that ratios are relative to.
    pub(crate) base: &'static str,
    /// Times every lane runs.
    pub(crate) rounds: usize,
    /// Every run in a fresh process: freed memory of an earlier run would hide what this one takes.
    pub(crate) alone: bool,
    pub(crate) lanes: Vec<Lane>,
}

pub(crate) const RAW: &str = "raw tokio";
pub(crate) const KAMEO: &str = "kameo bare";
pub(crate) const KAMEO_TIMED: &str = "kameo bare, both timeouts";
pub(crate) const KAMEO_SUPERVISE: &str = "kameo supervise";
pub(crate) const KAMEO_SUPERVISE_ONCE: &str = "kameo supervise, once";
pub(crate) const OURS: &str = "paraphym";
pub(crate) const OURS_DEEP: &str = "paraphym, two levels";
pub(crate) const OURS_DYNAMIC: &str = "paraphym, simple_one_for_one";
pub(crate) const ACTIX: &str = "actix";
pub(crate) const ACTIX_SAME: &str = "actix, asker beside it";
pub(crate) const ACTIX_CATCH: &str = "actix, own catch_unwind";
pub(crate) const RACTOR: &str = "ractor";
pub(crate) const RACTOR_OWN: &str = "ractor, own respawn";
