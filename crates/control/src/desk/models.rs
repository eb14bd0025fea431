//! Acts on models: loaded, let go, pinned.

use domain::{GenerationEvent, ModelName, RequestId};
use model_host::{Inspect, Pin, PinError, Unload, UnloadError, Unpin, warm};
use supervision::AskError;

use super::{ACT, Desk, LOOK, done, silent, would};
use crate::convert;
use crate::protocol::act::Acted;
use crate::protocol::rpc::{Code, RpcError};

impl Desk {
    pub(super) async fn load(&self, model: &str, dry_run: bool) -> Result<Acted, RpcError> {
        if dry_run {
            let fits = self.footprint(model).await?;
            return Ok(would(format!("would load {model}: {fits}")));
        }
        let id = RequestId::new(format!("control-load-{}", self.number()));
        let name = ModelName::new(model);
        let mut stream = warm(&self.deps.models, id, name, None)
            .await
            .map_err(|error| convert::refusal(&error))?;
        loop {
            match stream.next().await {
                Some(GenerationEvent::Failed(error)) => return Err(convert::refusal(&error)),
                Some(GenerationEvent::Finished { .. }) | None => {
                    return Ok(done(format!("{model} is in memory")));
                }
                Some(_) => {}
            }
        }
    }

    pub(super) async fn unload(&self, model: &str, dry_run: bool) -> Result<Acted, RpcError> {
        let name = ModelName::new(model);
        if dry_run {
            let status = self.deps.models.ask(model_host::Status, LOOK).await;
            let status = status.map_err(|error| silent(&error))?;
            let found = status.models.iter().find(|one| one.name == name);
            let found = found.ok_or_else(|| {
                RpcError::new(Code::NotFound, UnloadError::NotLoaded { model: name })
            })?;
            let held = found.weights_bytes;
            return Ok(would(format!("would let {model} go: {held}")));
        }
        let unloaded = self.deps.models.ask(Unload { model: name }, ACT).await;
        unloaded.map_err(|error| match error {
            AskError::Handler(refused) => {
                let code = match &refused {
                    UnloadError::NotLoaded { .. } => Code::NotFound,
                    UnloadError::Unavailable { .. } => Code::Unavailable,
                    UnloadError::Pinned { .. } | UnloadError::Busy { .. } => Code::Refused,
                };
                RpcError::new(code, refused)
            }
            other => silent(&other),
        })?;
        Ok(done(format!("{model} is let go")))
    }

    pub(super) async fn pin(&self, model: &str, dry_run: bool) -> Result<Acted, RpcError> {
        if dry_run {
            let fits = self.footprint(model).await?;
            return Ok(would(format!("would load and keep {model}: {fits}")));
        }
        let name = ModelName::new(model);
        let pinned = self.deps.models.ask(Pin { model: name }, ACT).await;
        pinned.map_err(not_pinned)?;
        Ok(done(format!(
            "{model} stays in memory until it is unpinned"
        )))
    }

    pub(super) async fn unpin(&self, model: &str, dry_run: bool) -> Result<Acted, RpcError> {
        if dry_run {
            return Ok(would(format!("would take the pin of {model} back")));
        }
        let name = ModelName::new(model);
        let unpinned = self.deps.models.ask(Unpin { model: name }, ACT).await;
        unpinned.map_err(not_pinned)?;
        Ok(done(format!("{model} goes as others do")))
    }

    /// What a model takes, in words.
    async fn footprint(&self, model: &str) -> Result<String, RpcError> {
        let wish = Inspect {
            model: ModelName::new(model),
            context_tokens: None,
        };
        let looked = self.deps.models.ask(wish, ACT).await;
        let print = looked.map_err(|error| match error {
            AskError::Handler(refused) => convert::refusal(&refused),
            other => silent(&other),
        })?;
        let (weights, available) = (print.weights_bytes, print.available);
        Ok(if print.resident {
            format!("it is in memory already, {weights}")
        } else {
            format!("{weights} of {available} available")
        })
    }
}

fn not_pinned(error: AskError<PinError>) -> RpcError {
    match error {
        AskError::Handler(PinError::Refused(refused)) => convert::refusal(&refused),
        AskError::Handler(refused @ PinError::NotPinned { .. }) => {
            RpcError::new(Code::NotFound, refused)
        }
        AskError::Handler(refused @ PinError::TooMany { .. }) => {
            RpcError::new(Code::Refused, refused)
        }
        other => silent(&other),
    }
}
