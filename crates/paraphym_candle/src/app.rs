//! The app's own actors in the tree: a supervisor for them, so that what they do wrong counts against them first.

use root::Tree;
use supervision::{ChildSpec, SupervisorHandle, SupervisorSpec};

use crate::asker::Asker;
use crate::{Builder, Paraphym};

/// The supervisor's name.
const ID: &str = "app";

/// How a child is made, once there is somebody to ask.
type Make = Box<dyn FnOnce(&Asker) -> ChildSpec + Send>;

/// What was chosen of it before the start.
#[derive(Default)]
pub(crate) struct Choice {
    /// Whether there is such a supervisor, be it without children.
    is_wanted: bool,
    children: Vec<Make>,
}

impl Choice {
    /// Adds the supervisor behind all others, where it is wanted.
    pub(crate) fn add_to(self, tree: &mut Tree, asker: &Asker) -> Option<SupervisorHandle> {
        if !self.is_wanted {
            return None;
        }
        // It bears what supervisors bear unless asked otherwise.
        let children = self.children.into_iter().map(|make| make(asker));
        let spec = children.fold(SupervisorSpec::new(ID), SupervisorSpec::child);
        let handle = spec.handle();
        tree.add(ChildSpec::supervisor(spec));
        Some(handle)
    }
}

impl Builder {
    /// An actor, a task or a supervisor of the app's own, in the same tree: under the supervisor `app`, which starts behind all
    /// that answers and before what is served. They are started in the order in which they are named here, and stopped in the
    /// reverse, each as its spec says; [`Paraphym::app`] adds and removes more.
    ///
    /// As in OTP, children that crash more often than `app` bears take `app` with them, and if that happens often, the tree.
    pub fn child(self, spec: ChildSpec) -> Self {
        self.child_with(|_| spec)
    }

    /// The same for one that asks the host's models or conversations. It keeps a clone of the [`Asker`], and not the host: a host
    /// that its own tree holds is never dropped.
    pub fn child_with(mut self, make: impl FnOnce(&Asker) -> ChildSpec + Send + 'static) -> Self {
        self.app.is_wanted = true;
        self.app.children.push(Box::new(make));
        self
    }

    /// The supervisor `app` without children, for those that come while it runs.
    pub fn with_app_supervisor(mut self) -> Self {
        self.app.is_wanted = true;
        self
    }
}

impl Paraphym {
    /// The supervisor of the app's own children: lists, starts and ends them while the tree runs. `None` where the builder was told
    /// of none ([`Builder::child`], [`Builder::with_app_supervisor`]).
    pub fn app(&self) -> Option<&SupervisorHandle> {
        self.parts().app.as_ref()
    }
}
