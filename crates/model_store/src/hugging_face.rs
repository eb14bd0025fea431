//! A file from Hugging Face, streamed into the store's own folder.
//!
//! `hf-hub` knows the addresses, the token and TLS. Its own download is not used: it spawns tasks that go on after
//! the future that wanted them is dropped, writes into a cache of its own, and has no time limits
//! (`docs/adr/0005-model-sources.md`).

use std::path::{Path, PathBuf};
use std::time::Duration;

use domain::Bytes;
use hf_hub::Cache;
use hf_hub::api::tokio::{Api, ApiBuilder, ApiError};
use tokio::time::timeout;

use crate::intake::{Arrived, Expected, Intake};
use crate::pull::{PullEvent, blocking};
use crate::{HubFile, SourceError};

/// From the first look-up of its name to the head of its answer, redirects included. Long enough for a slow line,
/// short enough that someone offline is not kept waiting.
const ANSWER: Duration = Duration::from_secs(5);

/// Without a single byte for this long, the line is dead.
const STALL: Duration = Duration::from_secs(30);

/// Bytes gathered before one trip to a blocking thread: a trip costs some microseconds, a mebibyte some hundred.
const BATCH: usize = 1 << 20;

/// Brings `file` to `target`.
pub(crate) async fn bring(
    endpoint: Option<&str>,
    file: &HubFile,
    expected: Expected,
    target: PathBuf,
    progress: &mut (dyn FnMut(PullEvent) + Send),
) -> Result<Arrived, SourceError> {
    let folder = target.parent().unwrap_or(Path::new(".")).to_owned();
    let api = api(endpoint, &folder).map_err(|e| SourceError::Unreachable(words(&e)))?;
    let url = api.model(file.repo.clone()).url(&file.file);
    let mut response = timeout(ANSWER, api.client().get(url).send())
        .await
        .map_err(|_| SourceError::Timeout {
            seconds: ANSWER.as_secs(),
        })?
        .map_err(|e| SourceError::Unreachable(words(&e)))?;
    let status = response.status();
    if !status.is_success() {
        return Err(SourceError::Status {
            status: status.as_u16(),
            meaning: meaning(status.as_u16()),
        });
    }
    let total = response.content_length();
    if let Some(total) = total {
        expected.allows(total)?;
    }
    let mut intake = blocking(move || Intake::create(target, expected)).await??;
    let (mut batch, mut received) = (Vec::with_capacity(BATCH), 0_u64);
    loop {
        let chunk = timeout(STALL, response.chunk())
            .await
            .map_err(|_| SourceError::Stalled {
                seconds: STALL.as_secs(),
                received: Bytes(received),
            })?
            .map_err(|e| SourceError::Unreachable(words(&e)))?;
        let ended = chunk.is_none();
        if let Some(chunk) = chunk {
            received = received.saturating_add(chunk.len() as u64);
            batch.extend_from_slice(&chunk);
        }
        if batch.len() >= BATCH || (ended && !batch.is_empty()) {
            (intake, batch) = write(intake, batch).await?;
            progress(PullEvent::Downloading {
                done: Bytes(received),
                total: total.map(Bytes),
            });
        }
        if ended {
            progress(PullEvent::Checking);
            return blocking(move || intake.finish()).await?;
        }
    }
}

/// The file travels to a blocking thread with what it is to take, and comes home.
async fn write(mut intake: Intake, mut batch: Vec<u8>) -> Result<(Intake, Vec<u8>), SourceError> {
    blocking(move || {
        intake.push(&batch)?;
        batch.clear();
        Ok((intake, batch))
    })
    .await?
}

/// A client with the user's own token, as the Python client finds it: `HF_TOKEN`, else the token file.
fn api(endpoint: Option<&str>, folder: &Path) -> Result<Api, ApiError> {
    // Without a home, hf-hub's default cache would panic; its cache is not used for files anyway.
    let home = ["HF_HOME", "HOME"]
        .iter()
        .any(|name| std::env::var_os(name).is_some_and(|value| !value.is_empty()));
    let mut builder = if home {
        ApiBuilder::from_env()
    } else {
        ApiBuilder::from_cache(Cache::new(folder.to_owned()))
    };
    if let Some(endpoint) = endpoint {
        builder = builder.with_endpoint(endpoint.to_owned());
    }
    if let Some(token) = std::env::var("HF_TOKEN").ok().filter(|t| !t.is_empty()) {
        builder = builder.with_token(Some(token));
    }
    builder
        .with_progress(false)
        .with_user_agent("paraphym", env!("CARGO_PKG_VERSION"))
        .build()
}

fn meaning(status: u16) -> &'static str {
    match status {
        401 | 403 => "the repository is private or gated (set HF_TOKEN), or does not exist",
        404 => "no such repository or file",
        407 => "the proxy wants a login",
        429 => "too many requests, try again later",
        500.. => "the server has trouble, try again later",
        _ => "that is not the file",
    }
}

/// An error's deepest cause, which is where the reason is.
fn words(error: &dyn std::error::Error) -> String {
    let mut deepest = error;
    while let Some(source) = deepest.source() {
        deepest = source;
    }
    let text: String = deepest.to_string().chars().take(200).collect();
    text.replace(['\n', '\r'], " ")
}
