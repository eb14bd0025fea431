//! Why: `/v1/models` answers from memory, and models come and go on disk. A child of the tree looks every few seconds.

use std::sync::Arc;
use std::time::Duration;

use domain::ModelName;
use model_store::{EMBEDDING_MODEL, Kind, Store};
use supervision::{ChildSpec, TaskContext, TaskError};
use tokio::sync::watch;

/// A model that was just pulled is listed after this at most.
const EVERY: Duration = Duration::from_secs(5);

/// The models that were here when the folder was last looked at. Cheap to clone; reading never waits.
#[derive(Clone)]
pub(crate) struct Listing {
    seen: watch::Receiver<Seen>,
}

/// Their names, by what they are for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Seen {
    /// Those that answer, as the store sorts them.
    chat: Vec<ModelName>,
    /// Those that embed; the one that embeds when none is named comes first.
    embedding: Vec<ModelName>,
}

/// As the gateway wants a list.
pub(crate) type Names = Arc<dyn Fn() -> Vec<ModelName> + Send + Sync>;

impl Seen {
    fn of(found: impl IntoIterator<Item = (Kind, ModelName)>) -> Self {
        let mut seen = Self::default();
        for (kind, name) in found {
            match kind {
                Kind::Chat => seen.chat.push(name),
                Kind::Embedding => seen.embedding.push(name),
            }
        }
        // Stable: the others stay as they are sorted.
        seen.embedding
            .sort_by_key(|name| name.as_str() != EMBEDDING_MODEL);
        seen
    }
}

impl Listing {
    /// The child that looks, and what it saw last.
    pub(crate) fn of(store: Store) -> (ChildSpec, Self) {
        let (seen, reader) = watch::channel(Seen::default());
        let spec = ChildSpec::task("model_listing", move |context: TaskContext| {
            look(store.clone(), seen.clone(), context)
        });
        (spec, Self { seen: reader })
    }

    /// Those that answer.
    pub(crate) fn chat(&self) -> Names {
        let seen = self.seen.clone();
        Arc::new(move || seen.borrow().chat.clone())
    }

    /// Those that embed, the first being the one where none is named.
    pub(crate) fn embedding(&self) -> Names {
        let seen = self.seen.clone();
        Arc::new(move || seen.borrow().embedding.clone())
    }
}

async fn look(
    store: Store,
    seen: watch::Sender<Seen>,
    context: TaskContext,
) -> Result<(), TaskError> {
    let mut stopping = std::pin::pin!(context.stopping());
    loop {
        match store.list().await {
            Ok(found) => {
                let found = found.into_iter().map(|model| (model.kind, model.name));
                seen.send_replace(Seen::of(found));
            }
            Err(error) => tracing::warn!(%error, "the models' folder cannot be read"),
        }
        context.ready();
        tokio::select! {
            () = &mut stopping => return Ok(()),
            () = tokio::time::sleep(EVERY) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn models_are_told_apart_and_the_usual_embedding_model_is_first() {
        let found = [
            (Kind::Embedding, "a-first"),
            (Kind::Embedding, EMBEDDING_MODEL),
            (Kind::Chat, "b"),
            (Kind::Embedding, "c"),
            (Kind::Chat, "d"),
        ];
        let seen = Seen::of(found.map(|(kind, name)| (kind, ModelName::new(name))));
        assert_eq!(seen.chat, ["b", "d"].map(ModelName::new));
        assert_eq!(
            seen.embedding,
            [EMBEDDING_MODEL, "a-first", "c"].map(ModelName::new)
        );
    }
}
