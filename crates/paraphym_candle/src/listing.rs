//! Why: `/v1/models` answers from memory, and models come and go on disk. A child of the tree looks every few seconds.

use std::sync::Arc;
use std::time::Duration;

use domain::ModelName;
use model_store::{Kind, Store};
use supervision::{ChildSpec, TaskContext, TaskError};
use tokio::sync::watch;

/// A model that was just pulled is listed after this at most.
const EVERY: Duration = Duration::from_secs(5);

/// The models that answer and were here when the folder was last looked at. Cheap to clone; reading never waits.
#[derive(Clone)]
pub(crate) struct Listing {
    names: watch::Receiver<Vec<ModelName>>,
}

impl Listing {
    /// The child that looks, and what it saw last.
    pub(crate) fn of(store: Store) -> (ChildSpec, Self) {
        let (seen, names) = watch::channel(Vec::new());
        let spec = ChildSpec::task("model_listing", move |context: TaskContext| {
            look(store.clone(), seen.clone(), context)
        });
        (spec, Self { names })
    }

    /// The names, sorted as the store sorts them.
    pub(crate) fn names(&self) -> Vec<ModelName> {
        self.names.borrow().clone()
    }

    /// As the gateway wants it.
    pub(crate) fn reader(self) -> Arc<dyn Fn() -> Vec<ModelName> + Send + Sync> {
        Arc::new(move || self.names())
    }
}

async fn look(
    store: Store,
    seen: watch::Sender<Vec<ModelName>>,
    context: TaskContext,
) -> Result<(), TaskError> {
    let mut stopping = std::pin::pin!(context.stopping());
    loop {
        match store.list().await {
            Ok(found) => {
                let answering = found.into_iter().filter(|model| model.kind == Kind::Chat);
                seen.send_replace(answering.map(|model| model.name).collect());
            }
            Err(error) => tracing::warn!(%error, "the models' folder cannot be read"),
        }
        context.ready();
        tokio::select! {
            () = &mut stopping => return Ok(()),
            () = tokio::time::sleep(EVERY) => {}
        }
    }
}
