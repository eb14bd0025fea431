//! The asker's side: one function a question, each with a deadline and one kind of error.

use std::sync::Arc;
use std::time::Duration;

use supervision::{AskError, Handle};

use crate::actor::ChatConfig;
use crate::messages::{
    ConfigError, Diff, Differences, Get, History, Rehearse, Reload, Rollback, Status, Subscribe,
    Update,
};
use crate::news::Subscription;
use crate::revisions::Revision;
use crate::status::StatusReader;
use crate::store::Outlook;

/// A question takes microseconds; this also covers a restart.
const QUESTION: Duration = Duration::from_secs(5);
/// A change waits for the disk, and for those before it.
const CHANGE: Duration = Duration::from_secs(30);

/// The revision that holds.
///
/// # Errors
/// `Unavailable`.
pub async fn get(config: &Handle<ChatConfig>) -> Result<Arc<Revision>, ConfigError> {
    let current = config
        .ask(Get, QUESTION)
        .await
        .map_err(|error| gone(&error))?;
    Ok(current.0)
}

/// Makes changes, all or none; back when they are on the disk.
///
/// # Errors
/// See [`ConfigError`]. After `Unavailable` look at what holds: the changes may have been written.
pub async fn update(
    config: &Handle<ChatConfig>,
    wish: Update,
) -> Result<Arc<Revision>, ConfigError> {
    let current = config.ask(wish, CHANGE).await.map_err(refused)?;
    Ok(current.0)
}

/// What the changes would come to; nothing is changed.
///
/// # Errors
/// As [`update`].
pub async fn rehearse(config: &Handle<ChatConfig>, wish: Update) -> Result<Outlook, ConfigError> {
    config.ask(Rehearse(wish), CHANGE).await.map_err(refused)
}

/// Goes back to an earlier revision, by making a new one.
///
/// # Errors
/// As [`update`].
pub async fn roll_back(
    config: &Handle<ChatConfig>,
    wish: Rollback,
) -> Result<Arc<Revision>, ConfigError> {
    let current = config.ask(wish, CHANGE).await.map_err(refused)?;
    Ok(current.0)
}

/// Reads the file again. `who` is shown in the history, such as `SIGHUP`.
///
/// # Errors
/// All that is wrong with the file, by field; the running settings stay then.
pub async fn reload(
    config: &Handle<ChatConfig>,
    who: impl Into<String>,
) -> Result<Arc<Revision>, ConfigError> {
    let wish = Reload { who: who.into() };
    let current = config.ask(wish, CHANGE).await.map_err(refused)?;
    Ok(current.0)
}

/// All revisions that are kept, oldest first.
///
/// # Errors
/// `Unavailable`.
pub async fn history(config: &Handle<ChatConfig>) -> Result<Vec<Arc<Revision>>, ConfigError> {
    let revised = config
        .ask(History, QUESTION)
        .await
        .map_err(|error| gone(&error))?;
    Ok(revised.0)
}

/// What is different between two revisions that are kept.
///
/// # Errors
/// `Plan` with `NoRevision`; `Unavailable`.
pub async fn diff(
    config: &Handle<ChatConfig>,
    from: u64,
    to: u64,
) -> Result<Differences, ConfigError> {
    let answer = config.ask(Diff { from, to }, QUESTION).await;
    answer.map_err(|error| match error {
        AskError::Handler(error) => ConfigError::Plan(error),
        other => gone(&other),
    })
}

/// Hears of every revision from now on.
///
/// # Errors
/// `Unavailable`.
pub async fn subscribe(config: &Handle<ChatConfig>) -> Result<Subscription, ConfigError> {
    config
        .ask(Subscribe, QUESTION)
        .await
        .map_err(|error| gone(&error))
}

/// Whether changes of the file are noticed, and what was wrong with it last.
///
/// # Errors
/// `Unavailable`.
pub async fn status(config: &Handle<ChatConfig>) -> Result<StatusReader, ConfigError> {
    config
        .ask(Status, QUESTION)
        .await
        .map_err(|error| gone(&error))
}

fn refused(error: AskError<ConfigError>) -> ConfigError {
    match error {
        AskError::Handler(error) => error,
        other => gone(&other),
    }
}

fn gone<E: std::fmt::Display + std::fmt::Debug>(error: &AskError<E>) -> ConfigError {
    ConfigError::Unavailable {
        reason: error.to_string(),
    }
}
