//! A child that is an async function and is not `Send`.

use std::future::Future;
use std::sync::Arc;

use supervision::{ChildId, ChildSpec, TaskContext, TaskError};

use crate::bridge::Bridge;
use crate::stay::{Seat, Stay};

impl Bridge {
    /// [`ChildSpec::task`] on the local set: what `start` makes need not be `Send`, may start actix actors and may spawn
    /// locally. What it spawned is dropped with it, and a new life begins only when the former one is gone.
    ///
    /// A panic of the function itself is the child's crash; a panic of what it spawned is not seen here.
    pub fn task<F, Fut>(&self, id: impl Into<ChildId>, start: F) -> ChildSpec
    where
        F: Fn(TaskContext) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), TaskError>> + 'static,
    {
        let (bridge, seat, start) = (self.clone(), Seat::default(), Arc::new(start));
        ChildSpec::task(id, move |context| {
            let (bridge, seat, start) = (bridge.clone(), seat.clone(), start.clone());
            async move {
                let mut stay = Stay::begin(&bridge, &seat, move || start(context)).await?;
                stay.ended().await.or_unwind()?
            }
        })
    }
}
