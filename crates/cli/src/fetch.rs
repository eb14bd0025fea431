//! A model that is named is there before it is asked: pulled where it can be, with progress on standard error.

use domain::ModelName;
use model_store::{PullEvent, ResolveError, Store, Wanted};

use crate::failure::Failure;
use crate::progress::Progress;
use crate::stage::Stage;

/// Sees to it that the model is on this machine.
pub(crate) async fn ensure(
    stage: &mut Stage,
    store: &Store,
    model: &ModelName,
) -> Result<(), Failure> {
    let Err(missing) = store.resolve(model) else {
        return Ok(());
    };
    if !matches!(missing, ResolveError::NotHere { .. }) || !can_be_pulled(store, model) {
        return Err(missing.into());
    }
    pull(stage, store, model, &mut |_| {}).await
}

/// Pulls a model; `also` hears every event.
pub(crate) async fn pull(
    stage: &mut Stage,
    store: &Store,
    model: &ModelName,
    also: &mut (dyn FnMut(&PullEvent) + Send),
) -> Result<(), Failure> {
    let mut progress = Progress::new(stage.out.error_terminal);
    let mut hear = |event: PullEvent| {
        progress.pull(&event);
        also(&event);
    };
    stage
        .unless_signalled(store.pull(model, &mut hear))
        .await??;
    Ok(())
}

/// Whether a source is known for it.
fn can_be_pulled(store: &Store, model: &ModelName) -> bool {
    match Wanted::parse(model) {
        Ok(Wanted::HuggingFace(_)) => true,
        Ok(Wanted::Name(name)) => store.catalogue().iter().any(|entry| entry.is_called(&name)),
        Ok(Wanted::Path(_)) | Err(_) => false,
    }
}
