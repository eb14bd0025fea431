//! From a waiting question to one that can be admitted: its tokens, and a lease for the KV memory it may need.
//!
//! Runs as a task beside the lane; template and tokenizer compute on the blocking pool. One at a time per lane, so that
//! the queue's order is the order of admission.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use domain::{GenerationError, RequestId};
use engine::{ModelCard, TextCodec, TokenId};
use memory_governor::Lease;

use super::LaneParts;
use super::room::{self, NoLease, Wanted};
use super::trip::panic_text;
use crate::book::Ask;
use crate::{fitting, live};

/// What a question needs to become live.
pub(crate) struct Ready {
    pub(crate) tokens: Vec<TokenId>,
    pub(crate) kv: Lease,
}

/// Tokens, then memory.
pub(crate) async fn prepare(
    parts: LaneParts,
    card: ModelCard,
    text: Arc<dyn TextCodec>,
    ask: Arc<Ask>,
    id: RequestId,
) -> Result<Ready, NoLease> {
    let max_tokens = ask.sampling.max_tokens;
    let context = card.context_tokens;
    // A token's life, stop 5: words become tokens, and their memory is leased.
    let tokens = on_blocking_thread(move || {
        fitting::fit(&ask.prompt, ask.context, max_tokens, context, &*text)
    })
    .await
    .map_err(NoLease::Failed)?;
    let prompt_tokens = u32::try_from(tokens.len()).unwrap_or(u32::MAX);
    let wanted = Wanted {
        owner: parts.name(),
        purpose: format!("the conversation of request {id} with {}", parts.model),
        bytes: card.kv_bytes(live::capacity(prompt_tokens, max_tokens, context)),
    };
    let kv = room::reserve(&parts.governor, &parts.roster, wanted).await?;
    Ok(Ready { tokens, kv })
}

async fn on_blocking_thread<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, GenerationError> + Send + 'static,
) -> Result<T, GenerationError> {
    let crashed = |reason: String| GenerationError::EngineCrashed { crashes: 1, reason };
    match tokio::task::spawn_blocking(|| catch_unwind(AssertUnwindSafe(work))).await {
        Ok(Ok(done)) => done,
        Ok(Err(panic)) => Err(crashed(panic_text(&*panic))),
        Err(error) => Err(crashed(error.to_string())),
    }
}
