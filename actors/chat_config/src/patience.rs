//! Shell: work on the settings file that may have to wait for another process. It is asked for again in a timer's rhythm,
//! so that no thread waits.

use std::sync::Arc;
use std::time::Duration;

use crate::file::FileError;
use crate::messages::ConfigError;
use crate::revisions::{Author, Revision};
use crate::store::{Outlook, Store, Wish};

/// A write takes milliseconds; on a slow disk, with the backups, less than this.
const PAUSE: Duration = Duration::from_millis(5);
/// Who holds the file for longer is stopped or broken.
const PATIENCE: Duration = Duration::from_secs(5);

/// Does what is wished for on the blocking pool, waiting up to 5 s for other processes that write.
///
/// # Errors
/// As [`Store::perform`].
pub async fn perform(
    store: &Store,
    author: Author,
    wish: Wish,
) -> Result<Arc<Revision>, ConfigError> {
    patiently(store, author, wish, Store::perform).await
}

/// Looks what would come of a wish, in the same way.
///
/// # Errors
/// As [`Store::rehearse`].
pub async fn rehearse(store: &Store, author: Author, wish: Wish) -> Result<Outlook, ConfigError> {
    patiently(store, author, wish, Store::rehearse).await
}

async fn patiently<T: Send + 'static>(
    store: &Store,
    author: Author,
    wish: Wish,
    work: fn(&Store, &Author, &Wish) -> Result<T, ConfigError>,
) -> Result<T, ConfigError> {
    let wish = Arc::new(wish);
    let begun = tokio::time::Instant::now();
    loop {
        let (store, author, wish) = (store.clone(), author.clone(), Arc::clone(&wish));
        let path = store.path();
        let turn = tracing::Span::current();
        let work = move || turn.in_scope(|| work(&store, &author, &wish));
        let done = tokio::task::spawn_blocking(work).await;
        let done = done.unwrap_or_else(|error| {
            Err(ConfigError::File(FileError::Disk {
                path,
                verb: "written",
                reason: error.to_string(),
            }))
        });
        match done {
            Err(ConfigError::File(FileError::Locked { .. })) if begun.elapsed() < PATIENCE => {
                tokio::time::sleep(PAUSE).await;
            }
            done => return done,
        }
    }
}
