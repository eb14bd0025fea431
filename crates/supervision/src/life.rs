//! One life in a place, for as long as its task exists: however it ends, its traces end with it.

use std::sync::Arc;

use kameo::actor::{Actor, ActorId};

use crate::cell::Cell;
use crate::names::ChildPath;

/// Ends the traces of a life however it ends, by return, panic or abort.
pub(crate) struct LifeGuard<A: Actor> {
    cell: Arc<Cell<A>>,
    id: ActorId,
}

impl<A: Actor> LifeGuard<A> {
    pub(crate) fn new(cell: Arc<Cell<A>>, id: ActorId) -> Self {
        Self { cell, id }
    }

    /// Whose life it is.
    pub(crate) fn child(&self) -> &ChildPath {
        self.cell.path()
    }

    /// The life's own start found it unwanted.
    pub(crate) fn is_ignored(&self) -> bool {
        self.cell.is_ignored()
    }
}

impl<A: Actor> Drop for LifeGuard<A> {
    fn drop(&mut self) {
        self.cell.end_life(self.id);
    }
}
