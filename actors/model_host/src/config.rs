//! How much of everything: each limit with its reason.

use std::collections::BTreeMap;
use std::time::Duration;

use domain::{KeepAlive, ModelName};

/// One model's own limits; where it has none the host's hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ModelLimits {
    /// Sequences it answers at once.
    pub max_batch: Option<usize>,
    /// Requests that wait for it.
    pub queue: Option<usize>,
    /// How long it stays in memory with nothing to do.
    pub keep_alive: Option<KeepAlive>,
}

/// The limits of a model host. Zero where at least one is needed counts as one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostConfig {
    /// Sequences one model answers at once. Four: on a few CPU cores a fifth makes the others slower than reading.
    pub max_batch: usize,
    /// Requests that wait per model. Eight batches: who would wait longer is better told at once.
    pub queue: usize,
    /// Prompt tokens read per step, all sequences together. It bounds how long a cancel or a neighbour's next token
    /// waits for a prompt; beside sequences that speak it is a quarter of this, and at least four.
    pub prefill_chunk: usize,
    /// How long a model stays in memory with nothing to do, unless the last request for it wished otherwise. Five minutes:
    /// a person who reads the answer and asks again finds it there.
    pub keep_alive: KeepAlive,
    /// Engine crashes a request may survive; one more and it fails. Two: a crash that follows the request about will
    /// have happened three times, and one that was chance will not.
    pub crash_budget: u32,
    /// Engine crashes without a finished answer between them after which a model rests. Six: two requests given up one
    /// after the other are the model's fault and not theirs. A load that fails is enough by itself.
    pub breaker_crashes: u32,
    /// A step, or a load since its last tensor, is said to be stuck after this. Thirty seconds: the slowest step of a model
    /// that is any use takes a few.
    pub step_budget: Duration,
    /// After this nobody is left waiting for it. Five minutes: a machine that swaps, or a file that comes over a network,
    /// may come round until then, and nobody waits longer.
    pub step_limit: Duration,
    /// Models with a lane at once. Resident ones are bounded by memory; this bounds the small ones. One that failed to
    /// load gives way to the next.
    pub max_models: usize,
    /// Models that are pinned from the start, as `Pin` would. One that is not here is looked for again each half minute.
    pub pinned: Vec<ModelName>,
    /// Models with limits of their own, under any name of theirs.
    pub models: BTreeMap<ModelName, ModelLimits>,
    /// Beginnings of prompts that a model keeps in memory, so that they need not be read again; none if zero. Sixteen: each
    /// is compared with each new prompt, which takes microseconds, and more people than that do not talk to one CPU.
    pub prefixes: usize,
    /// How long one is kept after its last use. Ten minutes: who takes longer to read an answer and ask again waits for
    /// the prompt once more.
    pub prefix_ttl: Duration,
    /// How long a graceful stop waits for live answers. The root's own deadline may be shorter.
    pub drain: Duration,
}

impl Default for HostConfig {
    fn default() -> Self {
        Self {
            max_batch: 4,
            queue: 32,
            prefill_chunk: 32,
            keep_alive: KeepAlive::default(),
            crash_budget: 2,
            breaker_crashes: 6,
            step_budget: Duration::from_secs(30),
            step_limit: Duration::from_mins(5),
            max_models: 16,
            pinned: Vec::new(),
            models: BTreeMap::new(),
            prefixes: 16,
            prefix_ttl: Duration::from_mins(10),
            drain: Duration::from_secs(30),
        }
    }
}

/// The limits that hold for one model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limits {
    /// At least 1.
    pub(crate) max_batch: usize,
    /// At least 1.
    pub(crate) queue: usize,
    pub(crate) keep_alive: KeepAlive,
}

impl HostConfig {
    /// Those of a model known by these names: of the first that has its own.
    pub(crate) fn limits<'a>(&self, names: impl IntoIterator<Item = &'a ModelName>) -> Limits {
        let own = names.into_iter().find_map(|name| self.models.get(name));
        let own = own.copied().unwrap_or_default();
        Limits {
            max_batch: own.max_batch.unwrap_or(self.max_batch).max(1),
            queue: own.queue.unwrap_or(self.queue).max(1),
            keep_alive: own.keep_alive.unwrap_or(self.keep_alive),
        }
    }
}

/// A guess at when there is room: each batch ahead takes about as long as an answer took lately.
pub(crate) fn retry_after(waiting: usize, max_batch: usize, mean_answer: Duration) -> Duration {
    let batches = (waiting / max_batch.max(1)).saturating_add(1);
    mean_answer
        .saturating_mul(u32::try_from(batches).unwrap_or(u32::MAX))
        .clamp(Duration::from_millis(100), Duration::from_mins(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_guess_grows_with_the_queue_and_is_bounded() {
        let second = Duration::from_secs(1);
        assert_eq!(retry_after(0, 4, second), second);
        assert_eq!(retry_after(32, 4, second), 9 * second);
        assert_eq!(retry_after(3, 0, second), 4 * second);
        assert_eq!(retry_after(9, 4, Duration::ZERO), second / 10);
        assert_eq!(retry_after(usize::MAX, 1, second), 60 * second);
    }
}
