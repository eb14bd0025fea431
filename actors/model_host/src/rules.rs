//! The limits in force, in one place: the host may change them at any time, and each lane looks when it decides.
//!
//! Nothing here waits, and nothing is taken back: a limit that falls below what is there holds for what comes next.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use domain::FieldError;

use crate::config::HostConfig;
use crate::messages::SetLimits;

/// Models with limits of their own: more than any machine has, and a map of them costs next to nothing.
const MODELS: usize = 1000;

/// Shared by the host and its lanes; it lives in their seeds.
#[derive(Clone)]
pub(crate) struct Rules(Arc<Mutex<Arc<HostConfig>>>);

impl Rules {
    pub(crate) fn new(config: HostConfig) -> Self {
        Self(Arc::new(Mutex::new(Arc::new(config))))
    }

    /// Those of this moment.
    pub(crate) fn now(&self) -> Arc<HostConfig> {
        Arc::clone(&self.lock())
    }

    fn lock(&self) -> MutexGuard<'_, Arc<HostConfig>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts new limits in force, all of them or none.
    pub(crate) fn set(&self, limits: SetLimits) -> Result<(), FieldError> {
        check(&limits)?;
        let mut config = self.lock();
        let SetLimits {
            max_batch,
            queue,
            prefill_chunk,
            keep_alive,
            crash_budget,
            max_models,
            models,
        } = limits;
        let old = Arc::clone(&config);
        *config = Arc::new(HostConfig {
            max_batch: max_batch.unwrap_or(old.max_batch),
            queue: queue.unwrap_or(old.queue),
            prefill_chunk: prefill_chunk.unwrap_or(old.prefill_chunk),
            keep_alive: keep_alive.unwrap_or(old.keep_alive),
            crash_budget: crash_budget.unwrap_or(old.crash_budget),
            max_models: max_models.unwrap_or(old.max_models),
            models: models.unwrap_or_else(|| old.models.clone()),
            ..HostConfig::clone(&old)
        });
        Ok(())
    }
}

/// At the start zero counts as one; who sets a limit while it runs is told.
fn check(limits: &SetLimits) -> Result<(), FieldError> {
    let at_least_one = "a number from 1";
    let SetLimits {
        max_batch,
        queue,
        prefill_chunk,
        max_models,
        ..
    } = limits;
    let mut numbers = vec![
        ("max_batch", *max_batch),
        ("queue", *queue),
        ("prefill_chunk", *prefill_chunk),
        ("max_models", *max_models),
    ];
    let own = limits.models.iter().flatten().map(|(_, own)| own);
    numbers.extend(own.flat_map(|own| {
        [
            ("models.max_batch", own.max_batch),
            ("models.queue", own.queue),
        ]
    }));
    if let Some((field, _)) = numbers.into_iter().find(|(_, number)| *number == Some(0)) {
        return Err(FieldError::new(field, 0, at_least_one));
    }
    let own = limits.models.as_ref().map_or(0, BTreeMap::len);
    if own > MODELS {
        return Err(FieldError::new(
            "models",
            own,
            "limits of their own for at most 1000 models",
        ));
    }
    Ok(())
}
