//! How the model host finds a file: it asks the store. A type of its own, so that neither needs to know the other.

use domain::ModelName;
use engine::ModelSource;
use model_host::ResolveModel;
use model_store::Store;

/// The store, as the model host sees it.
pub(crate) struct FromStore(pub(crate) Store);

impl ResolveModel for FromStore {
    fn resolve(&self, model: &ModelName) -> Result<ModelSource, String> {
        match self.0.resolve(model) {
            Ok(path) => Ok(ModelSource { path }),
            Err(error) => Err(error.hint()),
        }
    }
}
