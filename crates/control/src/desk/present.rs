//! The host at one moment: tree, memory and models are asked at once, and who does not answer is named.

use std::collections::BTreeMap;

use memory_governor::LedgerStatus;
use model_host::HostStatus;
use runtime::Role;
use supervision::{Topology, Vitals};

use super::{Desk, LOOK};

/// What was answered.
pub(super) struct Present {
    pub(super) topology: Topology,
    /// What its actors have done, those that are gone with them.
    pub(super) counted: Vitals,
    pub(super) memory: Option<LedgerStatus>,
    pub(super) models: Option<HostStatus>,
    /// How many there are, by their roles.
    pub(super) threads: BTreeMap<String, usize>,
    /// Who did not answer, and why.
    pub(super) silent: Vec<String>,
}

impl Desk {
    pub(super) async fn present(&self) -> Present {
        let administration = self.deps.tree.administration();
        let ((topology, counted), memory, models) = tokio::join!(
            administration.look(LOOK),
            self.deps.governor.ask(memory_governor::Status, LOOK),
            self.deps.models.ask(model_host::Status, LOOK),
        );
        let mut silent = Vec::new();
        let memory = memory.map_err(|error| silent.push(error.to_string())).ok();
        let models = models.map_err(|error| silent.push(error.to_string())).ok();
        let census = (self.deps.threads)();
        let threads = Role::ALL.map(|role| (role.as_str().to_owned(), census.count(role)));
        Present {
            topology,
            counted,
            memory,
            models,
            threads: BTreeMap::from(threads),
            silent,
        }
    }
}
