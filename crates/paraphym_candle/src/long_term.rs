//! Long-term memory and documents, joined with the conversations that ask them.

use std::sync::Arc;

use agent_worker::long_term::LongTerm;
use chat_config::settings::Settings;
use domain::ModelName;
use retrieval::{Decay, Retrieval, RetrievalConfig, Weighing};
use root::Tree;

use crate::history::now_ms;

/// What the host holds of it.
pub(crate) type Held = Retrieval;

/// Gives the conversations of the tree what they remember by.
pub(crate) fn add_to(tree: &mut Tree, settings: &Settings) -> Retrieval {
    let model = ModelName::new(&settings.recall.model);
    let (store, models) = (tree.store.clone(), tree.models.clone());
    let retrieval = Retrieval::hosted(store, models, model, recall(settings));
    let recalls = LongTerm::new(retrieval.clone(), Arc::new(now_ms));
    tree.agents = tree.agents.clone().with_recalls(Arc::new(recalls));
    retrieval
}

/// How memories and documents are found. How long a turn waits for that is in its own settings.
pub(crate) fn recall(settings: &Settings) -> RetrievalConfig {
    let usual = RetrievalConfig::default();
    let decay = Decay {
        per_day: settings.recall.decay_per_day,
        ..usual.weighing.decay
    };
    let weighing = Weighing {
        decay,
        ..usual.weighing
    };
    RetrievalConfig { weighing, ..usual }
}
