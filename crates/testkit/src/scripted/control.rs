//! The test's hand on the scripted model: which fault comes next, and what happened so far.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use engine::{StepError, TokenId};
use tokio::sync::{oneshot, watch};

/// What happened so far. A snapshot; `Control::wait_until` waits for one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Steps begun, crashed ones included.
    pub steps: u64,
    /// Tokens sampled.
    pub sampled: u64,
    /// Tokens appended by inputs of more than one token, or without sampling: prompt reading.
    pub prefilled: u64,
    /// Tokens that sequences began with instead: those of kept prefixes.
    pub reused: u64,
    /// Prefixes kept.
    pub kept: u64,
    /// Prefixes forgotten, by `forget`, by being replaced, or with their engine.
    pub forgotten: u64,
    /// Sequences opened.
    pub opened: u64,
    /// Sequences closed, by `close` or with their engine.
    pub closed: u64,
    /// The most sequences open at once.
    pub most_open: usize,
    /// The most tokens one step appended.
    pub longest_step: usize,
    /// Loads begun.
    pub loads: u64,
    /// Loads that ended because progress said so.
    pub loads_cancelled: u64,
    /// Engines alive now.
    pub engines: u64,
    /// Chats and texts encoded.
    pub encoded: u64,
    /// Pieces of chats encoded: those that were not known.
    pub pieces: u64,
    /// Texts given to an embedder, those of crashed steps included.
    pub embedded: u64,
}

impl Counts {
    /// Sequences open now.
    pub fn open_now(&self) -> u64 {
        self.opened.saturating_sub(self.closed)
    }

    /// Prefixes kept now.
    pub fn kept_now(&self) -> u64 {
        self.kept.saturating_sub(self.forgotten)
    }
}

#[derive(Default)]
pub(super) struct Faults {
    pub(super) panics: u32,
    pub(super) errors: u32,
    pub(super) silences: u32,
    pub(super) panic_at: Vec<u64>,
    pub(super) poison: Option<(TokenId, u64)>,
    pub(super) failing_loads: u32,
    pub(super) panicking_loads: u32,
    pub(super) refused_opens: u32,
    pub(super) step_gates: BTreeMap<u64, Waiting>,
    pub(super) load_gate: Option<(u32, Waiting)>,
}

pub(super) type Waiting = oneshot::Receiver<()>;

/// Holds a step or a load until it is released or dropped.
#[must_use = "a dropped gate is open"]
pub struct Gate(oneshot::Sender<()>);

impl Gate {
    /// Lets it go on.
    pub fn release(self) {
        // An error means that nobody had come to the gate yet; it is open now.
        let _ = self.0.send(());
    }
}

/// The test's hand on every engine of one loader.
#[derive(Clone)]
pub struct Control {
    faults: Arc<Mutex<Faults>>,
    counts: watch::Sender<Counts>,
}

impl Default for Control {
    fn default() -> Self {
        Self {
            faults: Arc::default(),
            counts: watch::Sender::new(Counts::default()),
        }
    }
}

impl Control {
    /// The next `times` steps panic.
    pub fn panic_next(&self, times: u32) {
        self.faults().panics = times;
    }

    /// The next `times` steps that sample answer without a token.
    pub fn silence_next(&self, times: u32) {
        self.faults().silences = times;
    }

    /// Step `step` (from 1, counted over all engines) panics.
    pub fn panic_at(&self, step: u64) {
        self.faults().panic_at.push(step);
    }

    /// The next `times` steps return an error.
    pub fn fail_next(&self, times: u32) {
        self.faults().errors = times;
    }

    /// Every step that samples for a sequence whose prompt begins with the byte `first` panics once that sequence holds
    /// `answered` tokens of its answer.
    pub fn poison(&self, first: u8, answered: u64) {
        self.faults().poison = Some((super::BYTE + u32::from(first), answered));
    }

    /// The next `times` sequences are not opened.
    pub fn refuse_opens(&self, times: u32) {
        self.faults().refused_opens = times;
    }

    /// The next `times` loads fail with `LoadError::Malformed`.
    pub fn fail_loads(&self, times: u32) {
        self.faults().failing_loads = times;
    }

    /// The next `times` loads panic.
    pub fn panic_loads(&self, times: u32) {
        self.faults().panicking_loads = times;
    }

    /// Step `step` waits for the gate. Its thread waits with it, and a paused clock stands still.
    pub fn gate_step(&self, step: u64) -> Gate {
        let (gate, waiting) = oneshot::channel();
        self.faults().step_gates.insert(step, waiting);
        Gate(gate)
    }

    /// The next load waits for the gate before it reads tensor `tensor` (from 0).
    pub fn gate_load(&self, tensor: u32) -> Gate {
        let (gate, waiting) = oneshot::channel();
        self.faults().load_gate = Some((tensor, waiting));
        Gate(gate)
    }

    /// What happened so far.
    pub fn counts(&self) -> Counts {
        self.counts.borrow().clone()
    }

    /// Waits until the counts are as wished.
    pub async fn wait_until(&self, wished: impl FnMut(&Counts) -> bool) -> Counts {
        let mut counts = self.counts.subscribe();
        // The sender lives in `self`, so there is always a value.
        counts
            .wait_for(wished)
            .await
            .map(|counts| counts.clone())
            .unwrap_or_default()
    }

    /// A step begins: it is counted, waits for its gate, and fails if it is to.
    #[allow(clippy::panic, reason = "the panic is the script's")]
    pub(super) fn begin_step(
        &self,
        is_poisoned: impl FnOnce((TokenId, u64)) -> bool,
    ) -> Result<(), StepError> {
        let mut step = 0;
        self.count(|counts| {
            counts.steps += 1;
            step = counts.steps;
        });
        let gate = self.faults().step_gates.remove(&step);
        if let Some(waiting) = gate {
            // An error means that the gate was dropped: open.
            drop(waiting.blocking_recv());
        }
        let mut faults = self.faults();
        let poisoned = faults.poison.is_some_and(is_poisoned);
        if poisoned || faults.panic_at.contains(&step) || faults.panics > 0 {
            faults.panics = faults.panics.saturating_sub(u32::from(!poisoned));
            drop(faults);
            panic!("scripted panic in step {step}");
        }
        if faults.errors > 0 {
            faults.errors -= 1;
            return Err(StepError::Compute(format!("scripted error in step {step}")));
        }
        Ok(())
    }

    pub(super) fn faults(&self) -> MutexGuard<'_, Faults> {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn count(&self, change: impl FnOnce(&mut Counts)) {
        self.counts.send_modify(change);
    }
}
