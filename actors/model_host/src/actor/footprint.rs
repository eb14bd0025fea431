//! What a model would take, from its header alone: nothing is loaded, leased or made room for.
//!
//! Runs as a task beside the host. The figures of the budget are those of the moment of the answer; who wants the bytes
//! asks for them.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use domain::{Bytes, FieldError, GenerationError, ModelName};
use engine::{ModelCard, ModelSource};
use kameo::message::{Context, Message};
use kameo::reply::DelegatedReply;
use memory_governor::Status;

use super::{HostSeed, ModelHost};
use crate::lane::room::DEADLINE;
use crate::lookup::{look_up, unavailable};
use crate::messages::{Footprint, Inspect};

impl Message<Inspect> for ModelHost {
    type Reply = DelegatedReply<Result<Footprint, GenerationError>>;

    async fn handle(&mut self, wish: Inspect, ctx: &mut Context<Self, Self::Reply>) -> Self::Reply {
        let (delegated, asker) = ctx.reply_sender();
        while self.tasks.try_join_next().is_some() {}
        let seed = self.seed.clone();
        self.tasks.spawn(async move {
            let answer = inspect(&seed, wish).await;
            if let Some(asker) = asker {
                asker.send(answer);
            }
        });
        delegated
    }
}

async fn inspect(seed: &HostSeed, wish: Inspect) -> Result<Footprint, GenerationError> {
    let Inspect {
        model,
        context_tokens,
    } = wish;
    let permit = seed.looks.begin()?;
    let found = look_up(Arc::clone(&seed.deps.resolve), model.clone(), permit).await?;
    let seat = seed.roster.find_file(&found.key, &model);
    let (known, resident) = seat.map_or((None, false), |seat| {
        let pages = seat.book.pages();
        (pages.card.clone(), pages.weights.is_some())
    });
    let card = match known {
        Some(card) => card,
        None => read_header(seed, model, found.source).await?,
    };
    let budget = seed.deps.governor.ask(Status, DEADLINE).await;
    let budget = budget.map_err(|error| unavailable(memory_governor::CHILD_ID, &error))?;
    measure(
        card,
        context_tokens,
        resident,
        (budget.available, budget.limit),
    )
}

/// On the blocking pool, among as many as may look for files at once.
async fn read_header(
    seed: &HostSeed,
    model: ModelName,
    source: ModelSource,
) -> Result<ModelCard, GenerationError> {
    let permit = seed.looks.begin()?;
    let loader = Arc::clone(&seed.deps.loader);
    let read = tokio::task::spawn_blocking(move || {
        let _permit = permit;
        catch_unwind(AssertUnwindSafe(|| loader.inspect(&source)))
    });
    let failed = |reason: String| GenerationError::LoadFailed { model, reason };
    match tokio::time::timeout(DEADLINE, read).await {
        Ok(Ok(Ok(Ok(card)))) => Ok(card),
        Ok(Ok(Ok(Err(error)))) => Err(failed(error.to_string())),
        Ok(Ok(Err(_))) => Err(failed("its reader crashed at the header".to_owned())),
        Ok(Err(error)) => Err(failed(error.to_string())),
        Err(late) => Err(failed(format!("its header could not be read: {late}"))),
    }
}

fn measure(
    card: ModelCard,
    context_tokens: Option<u32>,
    resident: bool,
    (available, limit): (Bytes, Bytes),
) -> Result<Footprint, GenerationError> {
    let context_tokens = context_tokens.unwrap_or(card.context_tokens);
    if context_tokens == 0 || context_tokens > card.context_tokens {
        let allowed = "a number from 1 to the model's window";
        return Err(FieldError::new("context_tokens", context_tokens, allowed).into());
    }
    let kv_bytes = card.kv_bytes(context_tokens);
    // While it loads more is taken for a moment than stays; the conversation comes after.
    let load_bytes = card.most_bytes();
    let in_all = load_bytes.max(card.resident_bytes().saturating_add(kv_bytes));
    let missing = if resident { kv_bytes } else { in_all };
    Ok(Footprint {
        weights_bytes: card.resident_bytes(),
        load_bytes,
        kv_bytes_per_token: card.kv_bytes_per_token,
        context_tokens,
        kv_bytes,
        resident,
        available,
        limit,
        fits_now: missing <= available,
        fits_ever: in_all <= limit,
        card,
    })
}

#[cfg(test)]
mod tests {
    use testkit::scripted::{Answer, ScriptedLoader};

    use super::*;

    /// Weights of 1 MiB, and 1 KiB a token in pages of 16.
    #[test]
    fn what_fits_now_and_what_ever_does() {
        let loader = ScriptedLoader::new(Answer::Counting);
        let mib = Bytes::mib(1).0;
        for (tokens, resident, available, limit, now, ever) in [
            (16, false, mib + 16_384, 2 * mib, true, true),
            (16, false, mib + 16_383, 2 * mib, false, true),
            (17, false, mib + 16_384, 2 * mib, false, true),
            (17, true, 32_768, 2 * mib, true, true),
            (17, true, 32_767, 2 * mib, false, true),
            (17, false, 0, mib + 32_767, false, false),
        ] {
            let budget = (Bytes(available), Bytes(limit));
            let card = loader.card().clone();
            let footprint = measure(card, Some(tokens), resident, budget).unwrap();
            let fits = (footprint.fits_now, footprint.fits_ever);
            assert_eq!(fits, (now, ever), "{footprint:?}");
            assert_eq!(footprint.weights_bytes, Bytes(mib));
            assert_eq!(
                footprint.kv_bytes,
                Bytes(u64::from(tokens.div_ceil(16)) * 16_384)
            );
        }
    }

    #[test]
    fn a_window_the_model_does_not_have_is_refused_by_field() {
        let loader = ScriptedLoader::new(Answer::Counting);
        let budget = (Bytes::ZERO, Bytes::ZERO);
        for tokens in [0, 257] {
            let refused = measure(loader.card().clone(), Some(tokens), false, budget);
            assert!(
                matches!(&refused, Err(GenerationError::Invalid(e)) if e.field == "context_tokens"),
                "{refused:?}"
            );
        }
        let whole = measure(loader.card().clone(), None, false, budget).unwrap();
        assert_eq!(whole.context_tokens, 256);
    }
}
