//! Conversations of this build remember nothing beyond what was said in them.

use chat_config::settings::Settings;
use root::Tree;

/// Nothing is held of what is not there.
pub(crate) struct Held;

/// There is nothing to remember by; whoever wishes it is told so.
pub(crate) fn add_to(_: &mut Tree, settings: &Settings) -> Held {
    let mut agents = settings.agents.values();
    if settings.recall.enabled && agents.any(|agent| agent.memory || !agent.documents.is_empty()) {
        tracing::warn!(
            "an agent of the settings has memory or documents, which this build has not got: build it with the feature `memory`"
        );
    }
    Held
}
