//! Shell: the door to what is remembered. It asks the store for words and the embedding model for meanings, and waits for
//! neither longer than it was told.
//!
//! Invariants: nothing here keeps a memory; no failure looks like an empty result; without a model everything still works,
//! by words, and says so.

use std::sync::Arc;
use std::time::Duration;

use conversation_store::memories::{
    Document, Forget, ListDocuments, ListMemories, ListUnembedded, Memory, MemoryId, MemoryKind,
    PutVectors, Recall, Remember, Remembered, Scope, Used, Vector,
};
use conversation_store::{ConversationStore, client};
use domain::ModelName;
use supervision::Handle;
use tokio::time::timeout;

use crate::content::content_hash;
use crate::embeds::{Embeds, HostedModel};
use crate::error::RetrievalError;
use crate::found::{Answer, Basis};
use crate::ranking::{Weighing, rank};

/// Texts embedded at a time: some seconds of a small model on one core, so that progress is seen and little is lost.
pub const BATCH: usize = 32;

/// How memory is used.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RetrievalConfig {
    /// How long a recall, or remembering one thing, may take.
    pub deadline: Duration,
    /// How long of that the embedding model may take for one text; past it, words alone are searched.
    pub embedding_deadline: Duration,
    /// How long it may take for a batch of texts nobody waits for, with loading or fetching the model.
    pub batch_deadline: Duration,
    /// How long each of the two lists is that become one.
    pub candidates: usize,
    /// How candidates are weighed.
    pub weighing: Weighing,
}

impl Default for RetrievalConfig {
    fn default() -> Self {
        Self {
            deadline: Duration::from_secs(5),
            embedding_deadline: Duration::from_secs(2),
            batch_deadline: Duration::from_mins(2),
            candidates: 64,
            weighing: Weighing::default(),
        }
    }
}

/// Memory, for whoever asks. Cheap to clone; all clones ask the same store.
#[derive(Clone)]
pub struct Retrieval {
    store: Handle<ConversationStore>,
    embeds: Option<Arc<dyn Embeds>>,
    config: RetrievalConfig,
}

/// What is to be remembered.
#[derive(Clone, Debug, PartialEq)]
pub struct Note {
    /// For which purpose, such as an agent's name; 1 to 200 bytes.
    pub space: String,
    /// Its words, up to 16 KiB.
    pub text: String,
    /// What sort of knowledge it is.
    pub kind: MemoryKind,
    /// From 0 to 1.
    pub importance: f32,
}

/// It is remembered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Noted {
    /// Its name.
    pub id: MemoryId,
    /// False if the same content was there: it is as young as a new one now.
    pub is_new: bool,
    /// Why it is found by its words alone for now; `None` if its meaning is known.
    pub without_meaning: Option<String>,
}

/// Why there is no vector, or the vectors.
pub(crate) type Meant = Result<Vec<Vector>, String>;

impl Retrieval {
    /// By words, and by meaning if somebody says what texts mean.
    pub fn new(
        store: Handle<ConversationStore>,
        embeds: Option<Arc<dyn Embeds>>,
        config: RetrievalConfig,
    ) -> Self {
        Self {
            store,
            embeds,
            config,
        }
    }

    /// With an embedding model of the model host.
    pub fn hosted(
        store: Handle<ConversationStore>,
        host: Handle<model_host::ModelHost>,
        model: ModelName,
        config: RetrievalConfig,
    ) -> Self {
        let embeds = HostedModel::new(host, model);
        Self::new(store, Some(Arc::new(embeds)), config)
    }

    /// The same for whoever waits no longer than this: the embedding model has two fifths of it, so that a search by words
    /// comes in time where the model does not.
    #[must_use]
    pub fn within(mut self, deadline: Duration) -> Self {
        self.config.deadline = deadline;
        self.config.embedding_deadline = deadline * 2 / 5;
        self
    }

    /// Remembers; the same content again makes the one that is there young. `now_ms` is the wall clock, in milliseconds
    /// since 1970. On the disk when this returns.
    ///
    /// # Errors
    /// A field out of range, a full memory, a store that failed, or the deadline.
    pub async fn remember(&self, note: Note, now_ms: i64) -> Result<Noted, RetrievalError> {
        self.in_time(self.remember_now(note, now_ms)).await
    }

    async fn remember_now(&self, note: Note, now_ms: i64) -> Result<Noted, RetrievalError> {
        let meant = self.meaning(&note.text).await;
        let (vector, without_meaning) = match meant {
            Ok(vector) => (Some(vector), None),
            Err(why) => (None, Some(why)),
        };
        let wish = Remember {
            hash: content_hash(&note.text),
            space: note.space,
            text: note.text,
            kind: note.kind,
            importance: note.importance,
            vector,
            now_ms,
        };
        let Remembered { id, is_new } = client::ask(&self.store, wish).await?;
        Ok(Noted {
            id,
            is_new,
            without_meaning,
        })
    }

    /// What is remembered of `query` in this scope, at most `limit`, the best first. Writes nothing: say [`Self::used`] of
    /// what was of use.
    ///
    /// # Errors
    /// A field out of range, a store that failed, or the deadline. A missing embedding model is none: see [`Basis`].
    pub async fn recall(
        &self,
        scope: Scope,
        query: &str,
        limit: usize,
        now_ms: i64,
    ) -> Result<Answer, RetrievalError> {
        self.in_time(self.recall_now(scope, query, limit, now_ms))
            .await
    }

    async fn recall_now(
        &self,
        scope: Scope,
        query: &str,
        limit: usize,
        now_ms: i64,
    ) -> Result<Answer, RetrievalError> {
        let meant = self.meaning(query).await;
        let (vector, no_model) = match meant {
            Ok(vector) => (Some(vector), None),
            Err(why) => (None, Some(why)),
        };
        let model = vector.as_ref().map(|vector| ModelName::new(&vector.model));
        let wish = Recall {
            scope,
            text: query.to_owned(),
            vector,
            candidates: self.config.candidates.max(limit),
        };
        let recalled = client::ask(&self.store, wish).await?;
        let basis = match model {
            Some(model) => Basis::Meaning {
                model,
                unseen: recalled.not_compared,
            },
            None => Basis::Words {
                why: no_model.unwrap_or_default(),
            },
        };
        let found = rank(recalled, &self.config.weighing, now_ms, limit);
        Ok(Answer { found, basis })
    }

    /// These were of use: their age counts from `now_ms`.
    ///
    /// # Errors
    /// More than 1000 at once; a store that failed.
    pub async fn used(&self, ids: Vec<MemoryId>, now_ms: i64) -> Result<(), RetrievalError> {
        if ids.is_empty() {
            return Ok(());
        }
        Ok(client::ask(&self.store, Used { ids, now_ms }).await?)
    }

    /// Lets the model see what it has not seen yet in this scope, at most `limit` memories, oldest first. Says how many it
    /// saw, and why it stopped if it did.
    ///
    /// # Errors
    /// A store that failed.
    pub async fn catch_up(&self, scope: &Scope, limit: usize) -> Result<CaughtUp, RetrievalError> {
        let mut seen = 0;
        while seen < limit {
            let (batch, stopped) = self.see_next(scope, BATCH.min(limit - seen)).await?;
            seen += batch;
            if stopped.is_some() || batch == 0 {
                return Ok(CaughtUp { seen, stopped });
            }
        }
        Ok(CaughtUp {
            seen,
            stopped: None,
        })
    }

    /// One batch of what the model has not seen.
    pub(crate) async fn see_next(
        &self,
        scope: &Scope,
        limit: usize,
    ) -> Result<(usize, Option<String>), RetrievalError> {
        let Some(embeds) = &self.embeds else {
            return Ok((0, Some(NO_MODEL.to_owned())));
        };
        let wish = ListUnembedded {
            scope: scope.clone(),
            model: embeds.model().as_str().to_owned(),
            limit,
        };
        let (ids, texts): (Vec<MemoryId>, Vec<String>) =
            client::ask(&self.store, wish).await?.into_iter().unzip();
        if ids.is_empty() {
            return Ok((0, None));
        }
        match self.meanings(texts, self.config.batch_deadline).await {
            Ok(vectors) => {
                let vectors = ids.into_iter().zip(vectors).collect();
                let kept = client::ask(&self.store, PutVectors { vectors }).await?;
                Ok((kept, None))
            }
            Err(why) => Ok((0, Some(why))),
        }
    }

    /// The memories of a space, newest first.
    ///
    /// # Errors
    /// A field out of range, or a store that failed.
    pub async fn list(&self, wish: ListMemories) -> Result<Vec<Memory>, RetrievalError> {
        Ok(client::ask(&self.store, wish).await?)
    }

    /// The documents, the last used first.
    ///
    /// # Errors
    /// A field out of range, or a store that failed.
    pub async fn documents(&self, limit: usize) -> Result<Vec<Document>, RetrievalError> {
        Ok(client::ask(&self.store, ListDocuments { limit }).await?)
    }

    /// Forgets; says how many memories or pieces went.
    ///
    /// # Errors
    /// A store that failed.
    pub async fn forget(&self, what: Forget) -> Result<usize, RetrievalError> {
        Ok(client::ask(&self.store, what).await?)
    }

    /// How a search will be done from here on, if the model stopped for this reason.
    pub(crate) fn basis(&self, stopped: Option<String>) -> Basis {
        match (&self.embeds, stopped) {
            (Some(embeds), None) => Basis::Meaning {
                model: embeds.model().clone(),
                unseen: 0,
            },
            (_, why) => Basis::Words {
                why: why.unwrap_or_else(|| NO_MODEL.to_owned()),
            },
        }
    }

    pub(crate) fn store(&self) -> &Handle<ConversationStore> {
        &self.store
    }

    async fn meaning(&self, text: &str) -> Result<Vector, String> {
        let within = self.config.embedding_deadline;
        let mut vectors = self.meanings(vec![text.to_owned()], within).await?;
        vectors
            .pop()
            .ok_or_else(|| "the embedding model gave no vector".to_owned())
    }

    async fn meanings(&self, texts: Vec<String>, within: Duration) -> Meant {
        let Some(embeds) = &self.embeds else {
            return Err(NO_MODEL.to_owned());
        };
        let model = embeds.model().as_str();
        let wanted = texts.len();
        let answer = timeout(within, embeds.embed(texts)).await;
        let vectors = answer.map_err(|_| {
            format!("the embedding model {model} did not answer within {within:?}")
        })??;
        if vectors.len() != wanted {
            return Err(format!(
                "the embedding model {model} gave {} vectors for {wanted} texts",
                vectors.len()
            ));
        }
        let vector = |values: &Arc<[f32]>| Vector {
            model: model.to_owned(),
            values: values.to_vec(),
        };
        Ok(vectors.iter().map(vector).collect())
    }

    async fn in_time<T>(
        &self,
        work: impl Future<Output = Result<T, RetrievalError>>,
    ) -> Result<T, RetrievalError> {
        let after = self.config.deadline;
        timeout(after, work)
            .await
            .unwrap_or(Err(RetrievalError::TimedOut { after }))
    }
}

const NO_MODEL: &str = "there is no embedding model";

/// How far the model came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CaughtUp {
    /// How many memories it saw.
    pub seen: usize,
    /// Why it stopped before the end.
    pub stopped: Option<String>,
}
