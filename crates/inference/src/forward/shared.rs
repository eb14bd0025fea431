//! What a pass works on: the job, the model, and what its members share or keep.

use std::ops::Range;
use std::sync::{Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use engine::{StepError, TokenId};

use crate::cpu::{Activations, Precision};
use crate::kv::KvCache;
use crate::model::Model;
use crate::rope::Angles;

/// One token on its way through the model.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row {
    /// Which cache is its sequence's.
    pub(crate) cache: usize,
    /// Its place in the sequence, from 0.
    pub(crate) position: usize,
    /// The token.
    pub(crate) token: TokenId,
}

/// Buffers of one member that are kept between steps, so that a step allocates almost nothing.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    pub(super) tokens: Vec<TokenId>,
    pub(super) residual: Vec<f32>,
    pub(super) normed: Activations,
    pub(super) queries: Vec<f32>,
    pub(super) keys: Vec<f32>,
    pub(super) values: Vec<f32>,
    pub(super) attended: Activations,
    pub(super) projected: Vec<f32>,
    pub(super) gate: Activations,
    pub(super) up: Vec<f32>,
    /// Rows that sample. They are always kept exactly: the last product decides between tokens, most of what bytes lose is lost
    /// there, and for the few rows that it has, it is the weights that are waited for.
    pub(super) last: Activations,
    /// What this member made of a product that is shared.
    pub(super) own: Vec<f32>,
    pub(super) scores: Vec<f32>,
    pub(super) angles: Angles,
}

impl Scratch {
    fn new(precision: Precision) -> Self {
        Self {
            normed: Activations::new(precision),
            attended: Activations::new(precision),
            gate: Activations::new(precision),
            last: Activations::new(Precision::Exact),
            ..Self::default()
        }
    }
}

/// What the members are to do.
#[derive(Debug, Default)]
pub(crate) struct Job {
    /// To be run through the layers; none if that was done.
    pub(crate) rows: Vec<Row>,
    /// Those of them that sample.
    pub(crate) wanted: Vec<usize>,
    /// Those of these whose logits are asked for.
    pub(crate) logits: Range<usize>,
}

/// What the members of a pass share.
pub(crate) struct Shared {
    /// The model.
    pub(crate) model: Model,
    /// What is to be done.
    pub(crate) job: RwLock<Job>,
    /// Keys and values of all sequences.
    caches: RwLock<Vec<KvCache>>,
    /// Rows that sample, as the last layer left them; written by the leader.
    pub(crate) wanted: RwLock<Vec<f32>>,
    /// Logits of some of those; written by the leader.
    pub(crate) logits: Mutex<Vec<f32>>,
    /// The first thing that went wrong.
    pub(crate) failed: Mutex<Option<StepError>>,
    /// A place for each member.
    pub(crate) scratches: Vec<Mutex<Scratch>>,
}

impl Shared {
    /// For so many members.
    pub(crate) fn new(model: Model, members: usize) -> Self {
        let scratch = || Mutex::new(Scratch::new(model.precision));
        Self {
            scratches: std::iter::repeat_with(scratch)
                .take(members.max(1))
                .collect(),
            model,
            job: RwLock::default(),
            caches: RwLock::default(),
            wanted: RwLock::default(),
            logits: Mutex::default(),
            failed: Mutex::default(),
        }
    }

    /// Keys and values of all sequences.
    pub(crate) fn caches(&self) -> RwLockReadGuard<'_, Vec<KvCache>> {
        self.caches.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The same, to be changed.
    pub(crate) fn caches_mut(&self) -> RwLockWriteGuard<'_, Vec<KvCache>> {
        self.caches.write().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn note(&self, error: StepError) {
        let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        failed.get_or_insert(error);
    }

    /// All members go on when something went wrong, for they wait for each other; what comes out is not used.
    pub(super) fn checked(&self, result: Result<(), StepError>) {
        if let Err(error) = result {
            self.note(error);
        }
    }
}
