//! The limits in force, in one place: the host may change them at any time, and each lane looks when it decides.
//!
//! Nothing here waits, and nothing is taken back: a limit that falls below what is there holds for what comes next.

use std::sync::{Arc, Mutex, PoisonError};

use crate::config::HostConfig;

/// Shared by the host and its lanes; it lives in their seeds.
#[derive(Clone)]
pub(crate) struct Rules(Arc<Mutex<Arc<HostConfig>>>);

impl Rules {
    pub(crate) fn new(config: HostConfig) -> Self {
        Self(Arc::new(Mutex::new(Arc::new(config))))
    }

    /// Those of this moment.
    pub(crate) fn now(&self) -> Arc<HostConfig> {
        Arc::clone(&self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
