//! Who asks models and conversations without holding the tree: what an actor of the app's own keeps. Cloning gives another
//! to the same.
//!
//! Invariant: it keeps no tree alive. Once the host has stopped, everything it asks is refused.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use agent_worker::client::Agents;
use agent_worker::settings::TurnSettings;
use agent_worker::stream::TurnStream;
use chat_config::settings::DEFAULT_AGENT;
use domain::{
    ContextPolicy, ConversationId, GenerationError, Message, ModelName, Prompt, RequestId,
};
use model_host::ModelHost;
use model_host::client::{GenerationStream, Request};
use supervision::{Handle, TURN};
use tracing::{Instrument, Span};

use crate::agents;
use crate::settings::{sampling, turn};

/// Asks a host.
#[derive(Clone)]
pub struct Asker {
    pub(crate) models: Handle<ModelHost>,
    pub(crate) agents: Agents,
    pub(crate) settings: chat_config::Store,
    pub(crate) model: ModelName,
    pub(crate) asked: Arc<AtomicU64>,
}

impl Asker {
    /// As [`crate::Paraphym::prompt`].
    ///
    /// # Errors
    /// As there.
    pub async fn prompt(
        &self,
        text: impl Into<String>,
    ) -> Result<GenerationStream, GenerationError> {
        let request = Request {
            id: self.next_id("prompt"),
            model: self.model.clone(),
            prompt: Prompt::Chat(vec![Message::user(text)]),
            sampling: sampling(&self.settings.current().settings),
            context: ContextPolicy::Refuse,
            keep_alive: None,
            tools: domain::Tools::default(),
        };
        self.generate(request).await
    }

    /// As [`crate::Paraphym::generate`].
    ///
    /// # Errors
    /// As there.
    pub async fn generate(&self, request: Request) -> Result<GenerationStream, GenerationError> {
        let turn = turn_of(&request.id);
        let asked = model_host::client::generate(&self.models, request);
        asked.instrument(turn).await
    }

    /// As [`crate::Paraphym::ask`].
    ///
    /// # Errors
    /// As there.
    pub async fn ask(
        &self,
        conversation: &ConversationId,
        text: &str,
        settings: TurnSettings,
    ) -> Result<TurnStream, GenerationError> {
        self.agents.ask(conversation, text, settings).await
    }

    /// What a turn of the default agent is run with, by the settings that hold now.
    pub fn turn_settings(&self) -> TurnSettings {
        let settings = &self.settings.current().settings;
        let usual = agents::turn_of(settings, DEFAULT_AGENT, &self.model);
        usual.unwrap_or_else(|_| turn(settings, self.model.clone()))
    }

    /// A name for a request that nobody named: `prompt-1`, `prompt-2` …
    pub(crate) fn next_id(&self, kind: &str) -> RequestId {
        let number = self.asked.fetch_add(1, Ordering::Relaxed) + 1;
        RequestId::new(format!("{kind}-{number}"))
    }
}

/// All that is done for one request without a conversation is within it.
pub(crate) fn turn_of(id: &RequestId) -> Span {
    tracing::error_span!(target: TURN, "turn", request_id = %id)
}
