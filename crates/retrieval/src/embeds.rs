//! Who says what texts mean. A trait, because memories are found without anybody who does, and because tests should not
//! need a model of ninety megabytes.

use std::sync::Arc;

use domain::ModelName;
use futures_util::future::BoxFuture;
use model_host::ModelHost;
use model_host::client::{EmbedRequest, embed};
use supervision::Handle;

/// A vector for each text, or why there is none.
pub type Meanings = Result<Vec<Arc<[f32]>>, String>;

/// Turns texts into vectors.
pub trait Embeds: Send + Sync {
    /// Which model does. Its name goes with every vector that is kept.
    fn model(&self) -> &ModelName;

    /// One vector for each text, in order; all of one length. Dropping the future gives up.
    fn embed(&self, texts: Vec<String>) -> BoxFuture<'_, Meanings>;
}

/// An embedding model of the model host.
#[derive(Clone)]
pub struct HostedModel {
    host: Handle<ModelHost>,
    model: ModelName,
}

impl HostedModel {
    /// Loaded when it is first needed, and kept as long as the host keeps idle models.
    pub fn new(host: Handle<ModelHost>, model: ModelName) -> Self {
        Self { host, model }
    }
}

impl Embeds for HostedModel {
    fn model(&self) -> &ModelName {
        &self.model
    }

    fn embed(&self, texts: Vec<String>) -> BoxFuture<'_, Meanings> {
        Box::pin(async move {
            let request = EmbedRequest {
                model: self.model.clone(),
                texts,
                keep_alive: None,
            };
            let embeddings = embed(&self.host, request).await;
            embeddings
                .map(|embeddings| embeddings.vectors)
                .map_err(|error| error.to_string())
        })
    }
}
