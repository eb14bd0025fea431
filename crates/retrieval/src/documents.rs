//! Shell: files become documents: read and cut on the blocking pool, kept whole, then shown to the embedding model batch by
//! batch. Cut off at any moment, what is kept is found by its words, and the next time goes on where this one ended.

use std::path::PathBuf;

use conversation_store::memories::{Document, DocumentId, FindDocument, PutDocument, Scope};
use conversation_store::{StoreError, client};

use crate::error::RetrievalError;
use crate::files::{self, Refused};
use crate::found::Basis;
use crate::pieces::{Form, cut};
use crate::retrieval::{BATCH, Retrieval};

/// What became of files.
#[derive(Clone, Debug, PartialEq)]
pub struct Added {
    /// Those that are documents now, in the order of their paths.
    pub documents: Vec<Document>,
    /// Those that are not, and why.
    pub refused: Vec<Refused>,
    /// Documents that had to make room, by path: they are added again when they are named again.
    pub dropped: Vec<String>,
    /// Pieces that the embedding model was shown now; those of unchanged files it knew.
    pub embedded: usize,
    /// How the documents will be searched.
    pub basis: Basis,
}

impl Added {
    /// A scope of these documents, and the memories of a space if one is named.
    pub fn scope(&self, space: Option<&str>) -> Scope {
        let documents: Vec<DocumentId> =
            self.documents.iter().map(|document| document.id).collect();
        let space = space.map(str::to_owned);
        Scope { space, documents }
    }
}

/// How far it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Files read and cut, of all.
    Read {
        /// So many.
        done: usize,
        /// Of so many.
        total: usize,
    },
    /// Pieces shown to the embedding model, of all.
    Embedded {
        /// So many.
        done: usize,
        /// Of so many at most: those it knows already are not shown again.
        total: usize,
    },
}

impl Retrieval {
    /// Makes documents of files, each named or meant by a pattern such as `docs/**/*.md`. A file that is no text, too large
    /// or not there is refused by name, and the others are taken. An unchanged one is not cut or embedded again.
    ///
    /// `progress` is called often, and should not wait. Dropping the future stops after the batch at hand.
    ///
    /// # Errors
    /// A store that failed.
    pub async fn add_documents(
        &self,
        wanted: Vec<String>,
        now_ms: i64,
        progress: impl Fn(Progress),
    ) -> Result<Added, RetrievalError> {
        let expanded = blocking(move || files::expand(&wanted)).await?;
        let (paths, refused) = expanded;
        let mut added = Added {
            documents: Vec::new(),
            refused,
            dropped: Vec::new(),
            embedded: 0,
            basis: Basis::Words { why: String::new() },
        };
        let total = paths.len();
        for (done, path) in (1..).zip(paths) {
            self.add(path, now_ms, &mut added).await?;
            progress(Progress::Read { done, total });
        }
        // What made room may have been added a moment before.
        let dropped = &added.dropped;
        let (gone, kept) = added
            .documents
            .into_iter()
            .partition(|one| dropped.contains(&one.path));
        added.documents = kept;
        let gone: Vec<Document> = gone;
        let why = "there is no room for so many documents at once: name fewer";
        added
            .refused
            .extend(gone.into_iter().map(|one| Refused::new(one.path, why)));
        self.show(&mut added, progress).await?;
        Ok(added)
    }

    async fn add(
        &self,
        path: PathBuf,
        now_ms: i64,
        added: &mut Added,
    ) -> Result<(), RetrievalError> {
        let name = path.to_string_lossy().into_owned();
        let content = match blocking(move || files::read(&path)).await? {
            Ok(content) => content,
            Err(why) => {
                added.refused.push(Refused::new(name, why));
                return Ok(());
            }
        };
        let known = client::ask(self.store(), FindDocument { path: name.clone() }).await?;
        let digest = content.digest;
        // An unchanged file is put without pieces: its stamp is all that changes.
        let is_known = known.is_some_and(|known| known.digest == digest);
        let pieces = if is_known {
            Vec::new()
        } else {
            let form = Form::of(&name);
            blocking(move || cut(&content.text, form)).await?
        };
        if let Some(why) = files::too_many(pieces.len()) {
            added.refused.push(Refused::new(name, why));
            return Ok(());
        }
        let wish = PutDocument {
            path: name,
            digest,
            pieces,
            now_ms,
        };
        let put = client::ask(self.store(), wish).await?;
        added.dropped.extend(put.dropped);
        added.documents.push(put.document);
        Ok(())
    }

    /// Shows the model what it has not seen of them.
    async fn show(
        &self,
        added: &mut Added,
        progress: impl Fn(Progress),
    ) -> Result<(), RetrievalError> {
        let total = added
            .documents
            .iter()
            .map(|document| document.pieces as usize)
            .sum();
        let mut stopped = None;
        // By document, as a scope names no more than a thousand.
        for document in &added.documents {
            let scope = Scope::default().with_documents([document.id]);
            loop {
                let (seen, why) = self.see_next(&scope, BATCH).await?;
                added.embedded += seen;
                stopped = why;
                if seen == 0 {
                    break;
                }
                let done = added.embedded;
                progress(Progress::Embedded { done, total });
            }
            if stopped.is_some() {
                break;
            }
        }
        added.basis = self.basis(stopped);
        Ok(())
    }
}

/// Works on the disk, or for long, where that is no harm.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, RetrievalError> {
    let turn = tracing::Span::current();
    let done = tokio::task::spawn_blocking(move || turn.in_scope(work)).await;
    done.map_err(|error| {
        RetrievalError::Store(StoreError::Fault {
            what: "reading documents".to_owned(),
            reason: error.to_string(),
        })
    })
}
