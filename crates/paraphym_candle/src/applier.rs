//! Why: a setting that was changed must be felt where it is used. A child of the tree hears of every revision and tells
//! the parts that can change while they run; the others read theirs at the start or with each turn.
//!
//! Invariants: nothing is decided here, and nothing is remembered that a crash could lose: a new life tells everything
//! that holds.

use std::time::Duration;

use chat_config::settings::Settings;
use chat_config::{ChatConfig, client};
use domain::Bytes;
use mcp_client::{McpServers, ServerConfig};
use memory_governor::{MemoryGovernor, SetLimit, SetPoll};
use model_host::ModelHost;
use model_host::messages::SetLimits;
use supervision::{ChildSpec, Handle, TaskContext, TaskError};
use telemetry::LogControl;

use crate::chronicle::Chronicle;
use crate::servers::Servers;
use crate::settings::{host_limits, memory_limit, memory_poll};

/// Longer than a read of the machine's memory takes, and a restart of the part that is told.
const DEADLINE: Duration = Duration::from_secs(10);
/// How soon a part that did not take over what holds is told again: it is being restarted, or busy.
const AGAIN: Duration = Duration::from_secs(5);

/// What is told, and whether the app chose it for good.
#[derive(Clone)]
pub(crate) struct Parts {
    pub(crate) settings: Handle<ChatConfig>,
    /// Where it is written down that they changed.
    pub(crate) chronicle: Chronicle,
    pub(crate) governor: Handle<MemoryGovernor>,
    pub(crate) models: Handle<ModelHost>,
    /// What the settings say of MCP servers, and those that run.
    pub(crate) servers: (Servers, McpServers),
    /// The app set the memory limit in words of its own.
    pub(crate) limit_is_fixed: bool,
    /// The same for the bounds of model access.
    pub(crate) models_are_fixed: bool,
    /// The log, and the filter where the settings name none.
    pub(crate) log: Option<(LogControl, String)>,
}

#[derive(Default, PartialEq)]
enum Limit {
    #[default]
    NotTold,
    Told(Option<Bytes>),
}

/// What was told last.
#[derive(Default)]
struct Told {
    limit: Limit,
    poll: Option<Duration>,
    models: Option<SetLimits>,
    servers: Option<Vec<ServerConfig>>,
    log: Option<String>,
}

/// The child `settings_applier`.
pub(crate) fn child(parts: Parts) -> ChildSpec {
    ChildSpec::task("settings_applier", move |context: TaskContext| {
        let parts = parts.clone();
        async move { apply_all(&parts, context).await }
    })
}

async fn apply_all(parts: &Parts, context: TaskContext) -> Result<(), TaskError> {
    let mut news = client::subscribe(&parts.settings).await?;
    let mut told = Told::default();
    let mut all = parts.tell(&mut told, &news.latest().settings).await;
    all &= parts.chronicle.catch_up().await;
    context.ready();
    let mut stopping = std::pin::pin!(context.stopping());
    loop {
        tokio::select! {
            biased;
            () = &mut stopping => return Ok(()),
            // Whether it was one or several that were missed: what holds now is what counts.
            heard = news.next() => if heard.is_none() { return Ok(()) },
            () = tokio::time::sleep(AGAIN), if !all => {}
        }
        all = parts.tell(&mut told, &news.latest().settings).await;
        all &= parts.chronicle.catch_up().await;
    }
}

impl Parts {
    /// Tells what is new. Whether all was taken over, or never will be.
    async fn tell(&self, told: &mut Told, settings: &Settings) -> bool {
        let mut all = true;
        let limit = memory_limit(settings);
        if !self.limit_is_fixed && told.limit != Limit::Told(limit) {
            match self.governor.ask(SetLimit { bytes: limit }, DEADLINE).await {
                Ok(_) => told.limit = Limit::Told(limit),
                Err(error) => {
                    all = false;
                    tracing::warn!(%error, "memory.limit was not taken over yet");
                }
            }
        }
        let poll = memory_poll(settings);
        if told.poll != Some(poll) {
            match self.governor.ask(SetPoll { poll }, DEADLINE).await {
                Ok(()) => told.poll = Some(poll),
                Err(error) => {
                    all = false;
                    tracing::warn!(%error, "memory.poll was not taken over yet");
                }
            }
        }
        let limits = host_limits(settings);
        if !self.models_are_fixed && told.models.as_ref() != Some(&limits) {
            match self.models.ask(limits.clone(), DEADLINE).await {
                Ok(()) => told.models = Some(limits),
                Err(error) => {
                    all = false;
                    tracing::warn!(%error, "the section model was not taken over yet");
                }
            }
        }
        let (of_settings, running) = &self.servers;
        let wanted = of_settings.wanted(settings);
        if told.servers.as_ref() != Some(&wanted) {
            if of_settings.follow(&wanted, running).await {
                told.servers = Some(wanted);
            } else {
                all = false;
            }
        }
        if let Some((control, usual)) = &self.log {
            let filter = settings.telemetry.log.as_ref().unwrap_or(usual);
            if told.log.as_ref() != Some(filter) {
                match control.set(filter) {
                    Ok(()) => told.log = Some(filter.clone()),
                    // The same filter is refused again: nothing to try.
                    Err(error) => tracing::warn!(%error, "telemetry.log was not taken over"),
                }
            }
        }
        all
    }
}
