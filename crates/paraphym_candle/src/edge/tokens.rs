//! Who may ask over HTTP, at this moment. A child of the tree hears from the kernel that the file of tokens was changed,
//! so that a token that was made or revoked is so within a second, and nothing polls.

use std::sync::Arc;
use std::time::Duration;

use bearer::{Grants, TokenError, TokenFile};
use chat_config::Changes;
use supervision::{ChildSpec, TaskContext, TaskError};
use tokio::sync::watch;

/// An editor's steps are milliseconds apart; the last one counts.
const MOMENT: Duration = Duration::from_millis(50);
/// How often the file is read where the kernel does not tell of changes.
const EVERY: Duration = Duration::from_secs(1);

/// The child that listens, and what it read last; at first, what is read now.
///
/// # Errors
/// The file is damaged or cannot be read: who would be let in is not guessed.
pub(crate) async fn follow(file: TokenFile) -> Result<(ChildSpec, gateway::Tokens), TokenError> {
    let first = Arc::new(read(&file).await?);
    let (seen, known) = watch::channel(first);
    let spec = ChildSpec::task("token_listing", move |context: TaskContext| {
        listen(file.clone(), seen.clone(), context)
    });
    Ok((spec, known.into()))
}

async fn listen(
    file: TokenFile,
    seen: watch::Sender<Arc<Grants>>,
    context: TaskContext,
) -> Result<(), TaskError> {
    let mut stopping = std::pin::pin!(context.stopping());
    let mut changes = watched(&file).await;
    let mut told = None;
    loop {
        match read(&file).await {
            Ok(grants) => {
                told = None;
                seen.send_if_modified(|known| {
                    let is_news = **known != grants;
                    if is_news {
                        *known = Arc::new(grants);
                    }
                    is_news
                });
            }
            Err(error) => {
                // Said once; who was let in before is let in until it can be read.
                let error = Some(error);
                if let (true, Some(error)) = (told != error, &error) {
                    tracing::error!(%error, "the tokens that were valid before stay so");
                }
                told = error;
            }
        }
        context.ready();
        tokio::select! {
            () = &mut stopping => return Ok(()),
            () = changed(&mut changes) => {}
        }
    }
}

/// Until there may be something new.
async fn changed(changes: &mut Option<Box<dyn Changes>>) {
    let Some(kernel) = changes else {
        return tokio::time::sleep(EVERY).await;
    };
    match kernel.next().await {
        Ok(()) => tokio::time::sleep(MOMENT).await,
        Err(error) => {
            tracing::warn!(%error, "changed tokens are looked for each second from now on");
            *changes = None;
        }
    }
}

async fn watched(file: &TokenFile) -> Option<Box<dyn Changes>> {
    let file = file.clone();
    let watched = tokio::task::spawn_blocking(move || file.watch()).await;
    match watched.unwrap_or_else(|error| Err(std::io::Error::other(error))) {
        Ok(changes) => changes,
        Err(error) => {
            tracing::warn!(%error, "changed tokens are looked for each second");
            None
        }
    }
}

async fn read(file: &TokenFile) -> Result<Grants, TokenError> {
    let (path, file) = (file.path().display().to_string(), file.clone());
    let read = tokio::task::spawn_blocking(move || file.read()).await;
    read.unwrap_or_else(|error| {
        let (verb, reason) = ("read", error.to_string());
        Err(TokenError::Disk { path, verb, reason })
    })
}

#[cfg(test)]
mod tests {
    use bearer::{Secret, Terms};
    use supervision::{Events, SupervisorSpec, start_root};

    use super::*;

    /// Far beyond what anything here takes, so that a failure is one and not a hang.
    const FOR_EVER: Duration = Duration::from_mins(1);

    async fn until(tokens: &gateway::Tokens, what: impl Fn(&Grants) -> bool) {
        let seen = async {
            while !what(&tokens.now()) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(FOR_EVER, seen).await.unwrap();
    }

    #[tokio::test]
    async fn what_others_do_to_the_file_is_heard_and_a_damaged_one_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let file = TokenFile::at(folder.path().join("tokens.json"));
        let (spec, tokens) = follow(file.clone()).await.unwrap();
        let root = start_root(
            SupervisorSpec::new("root").child(spec),
            Events::with_seed(1),
        );
        let root = root.await.unwrap();
        assert!(tokens.now().is_empty());
        let (one, other) = (Secret::of([1; 32]), Secret::of([2; 32]));
        file.add(&one, Some("one".to_owned()), Terms::default(), 0)
            .unwrap();
        until(&tokens, |grants| grants.find(one.reveal()).is_some()).await;

        let good = std::fs::read(file.path()).unwrap();
        std::fs::write(file.path(), "{").unwrap();
        std::fs::write(file.path(), &good).unwrap();
        file.add(&other, None, Terms::default(), 0).unwrap();
        until(&tokens, |grants| grants.len() == 2).await;
        file.revoke("one").unwrap();
        until(&tokens, |grants| grants.find(one.reveal()).is_none()).await;
        std::fs::remove_file(file.path()).unwrap();
        until(&tokens, Grants::is_empty).await;
        let report = root.stop(FOR_EVER).await;
        assert_eq!(report.abandoned, []);
    }

    #[tokio::test]
    async fn a_damaged_file_keeps_the_server_from_starting() {
        let folder = tempfile::tempdir().unwrap();
        let file = TokenFile::at(folder.path().join("tokens.json"));
        std::fs::write(file.path(), "{").unwrap();
        let refused = follow(file).await.err().unwrap();
        assert!(refused.to_string().contains("is damaged"), "{refused}");
    }
}
