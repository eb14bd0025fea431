//! From a waiting question to one that can be admitted: its tokens, what is kept of their beginning, and a lease for the KV
//! memory it may need beyond what it takes over.
//!
//! Runs as a task beside the lane; template and tokenizer compute on the blocking pool. One at a time per lane, so that
//! the queue's order is the order of admission.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Weak};

use domain::{Bytes, GenerationError, RequestId};
use engine::{ModelCard, Pieces, TextCodec, TokenId};
use memory_governor::Lease;
use tokio::time::Instant;

use super::LaneParts;
use super::room::{self, NoLease, Wanted};
use super::trip::panic_text;
use crate::book::{Ask, Book};
use crate::form::Form;
use crate::prefixes::Found;
use crate::tokenised::{Learned, Sheet, Tokenised};
use crate::{fitting, form, live};

/// What a question needs to become live.
pub(crate) struct Ready {
    pub(crate) tokens: Vec<TokenId>,
    pub(crate) form: Form,
    /// What the engine has kept of them.
    pub(crate) found: Option<Found>,
    /// For what it does not take over; absent if that is nothing.
    pub(crate) kv: Option<Lease>,
}

/// Tokens, then memory; and what was encoded for it, which is kept if it gets that far.
pub(crate) async fn prepare(
    // Weak: who prepares must not keep the book of a dead lane.
    (parts, book): (LaneParts, Weak<Book>),
    (card, text): (ModelCard, Arc<dyn TextCodec>),
    tokenised: Tokenised,
    (ask, id): (Arc<Ask>, RequestId),
) -> Result<(Ready, Learned), NoLease> {
    let max_tokens = ask.sampling.max_tokens;
    let context = card.context_tokens;
    // A token's life, stop 5: words become tokens, and their memory is leased.
    let mut sheet = Sheet::new(tokenised, Instant::now());
    let (form, tokens, learned) = on_blocking_thread(move || {
        let form = form::form(ask.sampling.constraint.as_ref(), &ask.tools, &*text)?;
        let asked = (&ask.prompt, &ask.tools);
        let text = (&*text, &mut sheet as &mut dyn Pieces);
        let tokens = fitting::fit(asked, ask.context, max_tokens, context, text)?;
        Ok((form, tokens, sheet.finish()))
    })
    .await
    .map_err(NoLease::Failed)?;
    let prompt_tokens = u32::try_from(tokens.len()).unwrap_or(u32::MAX);
    let found = book.upgrade().and_then(|book| book.pages().claim(&tokens));
    let whole = card.kv_bytes(live::capacity(prompt_tokens, max_tokens, context));
    let there = found.filter(|found| found.takes_over);
    // What it leaves out of the prefix is there until the sequence is open, beside all of the sequence.
    let taken = there.map_or(Bytes::ZERO, |found| card.kv_bytes(found.from.tokens));
    let bytes = whole.saturating_sub(taken);
    let wanted = Wanted {
        owner: parts.name(),
        purpose: format!("the conversation of request {id} with {}", parts.model),
        bytes,
        patience: room::CONVERSATION,
    };
    let is_wanted = || book.upgrade().is_some_and(|book| book.pages().waits(&id));
    let kv = if bytes == Bytes::ZERO {
        None
    } else {
        // Its own place among those who wait for this model is what it hears.
        Some(room::reserve(&parts.governor, wanted, |_| {}, is_wanted).await?)
    };
    let ready = Ready {
        tokens,
        form,
        found,
        kv,
    };
    Ok((ready, learned))
}

async fn on_blocking_thread<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, GenerationError> + Send + 'static,
) -> Result<T, GenerationError> {
    let crashed = |reason: String| GenerationError::EngineCrashed { crashes: 1, reason };
    let turn = tracing::Span::current();
    let work = move || turn.in_scope(|| catch_unwind(AssertUnwindSafe(work)));
    match tokio::task::spawn_blocking(work).await {
        Ok(Ok(done)) => done,
        Ok(Err(panic)) => Err(crashed(panic_text(&*panic))),
        Err(error) => Err(crashed(error.to_string())),
    }
}
