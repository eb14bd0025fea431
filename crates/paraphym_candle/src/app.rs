//! The app's own actors in the tree: a supervisor for them, so that what they do wrong counts against them first.

use supervision::{SupervisorHandle, SupervisorSpec};

use crate::Paraphym;

/// The supervisor's name.
const ID: &str = "app";

/// It bears what supervisors bear unless asked otherwise.
pub(crate) fn supervisor() -> SupervisorSpec {
    SupervisorSpec::new(ID)
}

impl Paraphym {
    /// The supervisor of the app's own children: lists, starts and ends them while the tree runs. `None` where the builder was told
    /// of none ([`crate::Builder::child`], [`crate::Builder::with_app_supervisor`]).
    pub fn app(&self) -> Option<&SupervisorHandle> {
        self.parts().app.as_ref()
    }
}
