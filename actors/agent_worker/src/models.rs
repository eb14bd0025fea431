//! Shell: who answers: the model host, or whoever a test puts in its place.

use domain::{GenerationError, GenerationEvent};
use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use model_host::{ModelHost, Request};
use supervision::Handle;

/// An answer, event by event, with exactly one terminal event at its end. Dropping it stops the computing.
pub type Answer = BoxStream<'static, GenerationEvent>;

/// Whoever can be asked for an answer.
pub trait Models: Send + Sync {
    /// Asks for one. The same request is answered with the same text, and may be asked again after a crash.
    fn generate(&self, request: Request) -> BoxFuture<'static, Result<Answer, GenerationError>>;
}

impl Models for Handle<ModelHost> {
    fn generate(&self, request: Request) -> BoxFuture<'static, Result<Answer, GenerationError>> {
        let host = self.clone();
        Box::pin(async move {
            let answer = model_host::generate(&host, request).await?;
            Ok(answer.boxed())
        })
    }
}
