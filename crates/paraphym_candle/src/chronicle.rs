//! Why: whoever looks after a host asks "who changed this, and when?". Every revision of the settings that comes while the
//! tree runs is written into the store's control log, once.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use chat_config::Revision;
use conversation_store::messages::LogControl;
use conversation_store::{ConversationStore, StoreError, client, control_log, limits};
use runtime::clock::Stamp;
use supervision::Handle;

/// What it is called in the log.
const ACTION: &str = "settings";

/// Writes revisions down.
#[derive(Clone)]
pub(crate) struct Chronicle {
    settings: chat_config::Store,
    log: Handle<ConversationStore>,
    /// The last revision that was written, or held when the tree began. It outlives who counts it.
    written: Arc<AtomicU64>,
}

impl Chronicle {
    /// From what holds now on.
    pub(crate) fn new(settings: chat_config::Store, log: Handle<ConversationStore>) -> Self {
        let written = Arc::new(AtomicU64::new(settings.current().number));
        Self {
            settings,
            log,
            written,
        }
    }

    /// Writes down what is not yet, in order. Whether all is; what is not is tried again at the next call.
    pub(crate) async fn catch_up(&self) -> bool {
        for revision in self.settings.history() {
            if revision.number <= self.written.load(Ordering::Relaxed) {
                continue;
            }
            if let Err(error) = self.write(&revision).await {
                tracing::warn!(%error, "a change of settings is not in the control log yet");
                return false;
            }
            self.written.store(revision.number, Ordering::Relaxed);
        }
        true
    }

    async fn write(&self, revision: &Revision) -> Result<(), StoreError> {
        let act = LogControl {
            actor: shown(&revision.who),
            action: ACTION.to_owned(),
            detail: detail(revision),
            now_ms: Stamp::from(revision.at).0,
        };
        client::ask(&self.log, act).await
    }
}

/// A name as the log takes it.
fn shown(who: &str) -> String {
    let plain: String = who.chars().filter(|c| !c.is_control()).collect();
    match cut(&plain, limits::NAME) {
        "" => "(nobody)".to_owned(),
        name => name.to_owned(),
    }
}

fn detail(revision: &Revision) -> String {
    let changes = revision.changed.iter();
    let lines: Vec<String> = changes
        .map(|change| format!("{}: {} -> {}", change.field, change.from, change.to))
        .collect();
    let text = format!("revision {}\n{}", revision.number, lines.join("\n"));
    cut(&text, control_log::DETAIL).to_owned()
}

/// As much of the front as fits, in whole characters.
fn cut(text: &str, bytes: usize) -> &str {
    text.get(..text.floor_char_boundary(bytes))
        .unwrap_or_default()
}
