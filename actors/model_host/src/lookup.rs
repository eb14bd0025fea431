//! Shell: finding the file behind a model's name, beside the host. A file system that hangs delays those who ask for that
//! model, and nobody else.
//!
//! A file has many names (a catalogue name, paths of every spelling, links); its canonical path is the one that tells
//! files apart. While a name is being looked up, all who ask for it wait together, in the order they came.
//!
//! Nothing here decides about lanes, and nothing here waits but the look-up itself, on the blocking pool.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use domain::{GenerationError, ModelName, RequestId};
use engine::ModelSource;
use kameo::reply::ReplySender;
use supervision::WorkGuard;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::actor::ResolveModel;
use crate::book::Job;
use crate::meters;

/// Finding a model's file: a look into a folder, unless the file system hangs.
const LOOK: Duration = Duration::from_secs(5);
/// Look-ups at once, those of threads that hang included. A runtime of ours has seven blocking threads beside those
/// that help to compute; even if every look-up hangs, two are left for steps and for text.
const LOOKS: usize = 5;
/// Who looks.
const STORE: &str = "the model store";

/// Where an acceptance or a refusal goes.
pub(crate) type Asker = Option<ReplySender<Result<(), GenerationError>>>;

/// Answers it, and counts refusals.
pub(crate) fn answer(asker: Asker, result: Result<(), GenerationError>) {
    if let Err(error) = &result {
        meters::refused(error);
    }
    if let Some(asker) = asker {
        asker.send(result);
    }
}

/// What a name leads to.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    /// The canonical path: one per file, however it is spelt.
    pub(crate) key: PathBuf,
    pub(crate) source: ModelSource,
}

/// How many may look at once. Outlives the host's crashes, as the threads do.
#[derive(Clone)]
pub(crate) struct Looks(Arc<Semaphore>);

impl Default for Looks {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(LOOKS)))
    }
}

impl Looks {
    /// Leave to look.
    pub(crate) fn begin(&self) -> Result<OwnedSemaphorePermit, GenerationError> {
        let permit = Arc::clone(&self.0).try_acquire_owned();
        permit.map_err(|_| {
            unavailable(
                STORE,
                &format!("{LOOKS} models are being looked for; try again"),
            )
        })
    }
}

/// Looks a name up. The permit comes back when the thread does, even if nobody waits for it any more.
pub(crate) async fn look_up(
    resolve: Arc<dyn ResolveModel>,
    name: ModelName,
    permit: OwnedSemaphorePermit,
) -> Result<Found, GenerationError> {
    let (asked, turn) = (name.clone(), tracing::Span::current());
    let found = tokio::task::spawn_blocking(move || {
        let (_permit, _turn) = (permit, turn.entered());
        let source = resolve.resolve(&asked)?;
        // A source that is no file of this machine is told apart by its own words.
        let key = std::fs::canonicalize(&source.path).unwrap_or_else(|_| source.path.clone());
        Ok(Found { key, source })
    });
    match tokio::time::timeout(LOOK, found).await {
        Ok(Ok(Ok(found))) => Ok(found),
        Ok(Ok(Err(hint))) => Err(GenerationError::ModelNotFound { model: name, hint }),
        Ok(Err(error)) => Err(unavailable(STORE, &error)),
        Err(late) => Err(unavailable(STORE, &late)),
    }
}

/// Those who wait for one name.
struct Crowd {
    jobs: Vec<(Job, Asker)>,
    /// A graceful stop waits for the look-up: they were not refused.
    _guard: WorkGuard,
}

/// The names being looked up, and who waits for each.
#[derive(Default)]
pub(crate) struct Crowds(BTreeMap<ModelName, Crowd>);

impl Crowds {
    /// Joins those who wait for that name, `most` at most; gives everything back if nobody does.
    pub(crate) fn join(
        &mut self,
        name: &ModelName,
        most: usize,
        job: Job,
        asker: Asker,
    ) -> Option<(Job, Asker)> {
        let Some(crowd) = self.0.get_mut(name) else {
            return Some((job, asker));
        };
        crowd.jobs.retain(|(job, _)| !job.outlet.is_gone());
        let waiting = crowd.jobs.len();
        if waiting >= most.max(1) {
            let retry_after_ms = 1000;
            let error = GenerationError::Overloaded {
                waiting,
                retry_after_ms,
            };
            answer(asker, Err(error));
        } else {
            crowd.jobs.push((job, asker));
        }
        None
    }

    /// The first who waits for that name.
    pub(crate) fn begin(&mut self, name: ModelName, guard: WorkGuard, job: Job, asker: Asker) {
        let jobs = vec![(job, asker)];
        let crowd = Crowd {
            jobs,
            _guard: guard,
        };
        self.0.insert(name, crowd);
    }

    /// Whether anyone still waits for that name.
    pub(crate) fn is_awaited(&self, name: &ModelName) -> bool {
        let crowd = self.0.get(name);
        crowd.is_some_and(|crowd| crowd.jobs.iter().any(|(job, _)| !job.outlet.is_gone()))
    }

    /// The look-up is over: those who waited and still do.
    pub(crate) fn take(&mut self, name: &ModelName) -> Vec<(Job, Asker)> {
        let mut jobs = self.0.remove(name).map(|c| c.jobs).unwrap_or_default();
        jobs.retain(|(job, _)| !job.outlet.is_gone());
        jobs
    }

    /// Refuses those of that id. Whether there was one.
    pub(crate) fn cancel(&mut self, id: &RequestId) -> bool {
        let mut found = false;
        for crowd in self.0.values_mut() {
            for (_, asker) in crowd.jobs.extract_if(.., |(job, _)| job.id == *id) {
                answer(asker, Err(GenerationError::Cancelled));
                found = true;
            }
        }
        found
    }
}

pub(crate) fn unavailable(part: &str, reason: &dyn std::fmt::Display) -> GenerationError {
    GenerationError::Unavailable {
        part: part.to_owned(),
        reason: reason.to_string(),
    }
}
