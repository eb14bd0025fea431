//! What a file is can be asked without a tree: `model show` needs an answer about a file, not a host.

use std::path::PathBuf;
use std::sync::Arc;

#[cfg(feature = "inference")]
use engine::EmbedderCard;
use engine::{LoadError, ModelCard, ModelLoader, ModelSource};
#[cfg(feature = "inference")]
use inference::GgufLoader;

/// What the GGUF file at `path` is and needs, from its header alone. Reads on a blocking thread; needs a tokio runtime.
///
/// # Errors
/// It cannot be read, is no usable model, or is of a kind that is not supported; the text names the file and why.
#[cfg(feature = "inference")]
pub async fn inspect(path: PathBuf) -> Result<ModelCard, LoadError> {
    inspect_with(Arc::new(GgufLoader::new()), path).await
}

/// What the embedding model whose weights are at `path` is and needs, from its headers alone. As [`inspect`].
///
/// # Errors
/// As [`inspect`].
#[cfg(feature = "inference")]
pub async fn inspect_embedder(path: PathBuf) -> Result<EmbedderCard, LoadError> {
    look(path, |source| GgufLoader::new().inspect_embedder(source)).await
}

/// The same with any engine's loader.
pub(crate) async fn inspect_with(
    loader: Arc<dyn ModelLoader>,
    path: PathBuf,
) -> Result<ModelCard, LoadError> {
    look(path, move |source| loader.inspect(source)).await
}

async fn look<T: Send + 'static>(
    path: PathBuf,
    inspect: impl FnOnce(&ModelSource) -> Result<T, LoadError> + Send + 'static,
) -> Result<T, LoadError> {
    let source = ModelSource { path: path.clone() };
    match tokio::task::spawn_blocking(move || inspect(&source)).await {
        Ok(inspected) => inspected,
        Err(crash) => Err(LoadError::Malformed {
            path,
            reason: format!("reading its header crashed: {crash}"),
        }),
    }
}
