//! How much of everything: a full run, a short one, and one that only shows that all of it works.

/// Counts of one run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sizes {
    /// Alternations of what takes less than a second.
    pub(crate) rounds: usize,
    /// Alternations of what takes seconds.
    pub(crate) slow_rounds: usize,
    /// Messages of one tell run.
    pub(crate) tells: u64,
    pub(crate) asks: usize,
    pub(crate) spawned: usize,
    /// Idle actors, two sizes: a cost that grows shows.
    pub(crate) idle: [usize; 2],
    pub(crate) restarts: usize,
    pub(crate) crashes: u64,
    /// Children of the tree that stops.
    pub(crate) tree: usize,
    /// Children that come and go, all together.
    pub(crate) passing: usize,
}

impl Sizes {
    /// Everything the issue names.
    pub(crate) const FULL: Self = Self {
        rounds: 11,
        slow_rounds: 3,
        tells: 300_000,
        asks: 50_000,
        spawned: 10_000,
        idle: [10_000, 100_000],
        restarts: 5_000,
        crashes: 10_000,
        tree: 100_000,
        passing: 100_000,
    };

    /// For a look while working.
    pub(crate) const QUICK: Self = Self {
        rounds: 5,
        slow_rounds: 1,
        tells: 100_000,
        asks: 10_000,
        spawned: 2_000,
        idle: [2_000, 10_000],
        restarts: 1_000,
        crashes: 1_000,
        tree: 10_000,
        passing: 10_000,
    };
}
