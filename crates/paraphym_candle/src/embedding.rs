//! What texts mean, for an embedding app: one model, brought when it is first wanted.
//!
//! Nothing here decides.

use domain::{GenerationError, ModelName};
use model_host::client::{EmbedRequest, Embeddings};
use model_store::{EMBEDDING_MODEL, Installed, PullError, PullEvent};

use crate::Paraphym;

impl Paraphym {
    /// A vector for each text, by the embedding model. It is loaded if need be, and must be here:
    /// [`Paraphym::ensure_embedding_model`] brings it. Dropping the future cancels what has not begun.
    ///
    /// # Errors
    /// Too many texts or too long ones, the model is not here or cannot be loaded, too many waiting, the tree is stopping.
    pub async fn embed(&self, texts: Vec<String>) -> Result<Embeddings, GenerationError> {
        let request = EmbedRequest {
            model: self.embedding_model(),
            texts,
            keep_alive: None,
        };
        self.embed_with(request).await
    }

    /// The same with every choice open.
    ///
    /// # Errors
    /// As [`Paraphym::embed`].
    pub async fn embed_with(&self, request: EmbedRequest) -> Result<Embeddings, GenerationError> {
        model_host::client::embed(self.models(), request).await
    }

    /// Brings the embedding model if it is not here: 83 to 91 MB.
    ///
    /// # Errors
    /// Every source and why it failed, or the disk.
    pub async fn ensure_embedding_model(
        &self,
        progress: &mut (dyn FnMut(PullEvent) + Send),
    ) -> Result<Installed, PullError> {
        self.store().pull(&self.embedding_model(), progress).await
    }

    /// The model that embeds when none is named.
    pub fn embedding_model(&self) -> ModelName {
        ModelName::new(EMBEDDING_MODEL)
    }
}
