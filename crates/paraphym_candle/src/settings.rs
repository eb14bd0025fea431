//! Settings in the words of the parts that use them: the one place that knows both. Each part keeps its own bounds and
//! defaults for those who use it alone; a test here says that they are the same.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use agent_worker::settings::{TurnSettings, Window};
use chat_config::file::RealDisk;
use chat_config::settings::{Overflow, Settings};
use chat_config::{Author, Catalogue, Layers, Refusals, Store};
use domain::{Bytes, KeepAlive, ModelName, Sampling};
use model_host::HostConfig;
use model_host::messages::SetLimits;

/// Where the settings come from.
#[derive(Default)]
pub(crate) enum Source {
    /// The defaults.
    #[default]
    Nowhere,
    /// A file, and the environment above it.
    File(PathBuf),
    /// Opened already.
    Opened(Store),
}

/// Who opens the settings; shown in their history.
const OPENER: &str = "the start";

impl Source {
    /// The settings, read and checked.
    pub(crate) async fn open(self) -> Result<Store, Refusals> {
        let author = Author {
            who: OPENER.to_owned(),
            at: SystemTime::now(),
        };
        match self {
            Self::Nowhere => Store::without_file([], &[], author),
            Self::Opened(store) => Ok(store),
            Self::File(file) => {
                let shown = file.clone();
                let opened = tokio::task::spawn_blocking(move || {
                    let catalogue = Arc::new(Catalogue::new());
                    let layers = Layers::new(&catalogue, file, environment(), &[])?;
                    Store::open(catalogue, layers, Arc::new(RealDisk), author)
                });
                let opened = opened.await;
                opened.unwrap_or_else(|error| Err(Refusals::unreadable(shown, error.to_string())))
            }
        }
    }
}

/// The environment as text; what is no text is no setting of ours.
fn environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
}

pub(crate) fn sampling(settings: &Settings) -> Sampling {
    let model = &settings.model;
    Sampling {
        temperature: model.temperature as f32,
        top_k: model.top_k,
        top_p: model.top_p as f32,
        min_p: model.min_p as f32,
        repetition_penalty: model.repetition_penalty as f32,
        repetition_window: model.repetition_window,
        seed: model.seed,
        max_tokens: model.max_tokens,
        stop: model.stop.clone(),
        // Requests alone have these.
        ..Sampling::default()
    }
}

/// What a turn is run with where its asker says nothing.
pub(crate) fn turn(settings: &Settings, model: ModelName) -> TurnSettings {
    TurnSettings {
        system: chat_config::instructions(settings),
        sampling: sampling(settings),
        context: match settings.chat.context {
            Overflow::DropOldest => Window::DropOldest,
            Overflow::Compact => Window::Compact,
            Overflow::Refuse => Window::Refuse,
        },
        ..TurnSettings::new(model)
    }
}

pub(crate) fn host(settings: &Settings) -> HostConfig {
    let model = &settings.model;
    HostConfig {
        max_batch: count(model.max_batch),
        queue: count(model.queue),
        prefill_chunk: count(model.prefill_chunk),
        keep_alive: KeepAlive::For(model.keep_alive.duration()),
        crash_budget: model.crash_budget,
        max_models: count(model.max_models),
        pinned: model.pinned.iter().map(ModelName::new).collect(),
        drain: model.drain.duration(),
        // Bounds that are no settings.
        ..HostConfig::default()
    }
}

/// What of this can change while models run. How many there may be is told at the start alone: readiness over HTTP counts
/// on it.
pub(crate) fn host_limits(settings: &Settings) -> SetLimits {
    let config = host(settings);
    SetLimits {
        max_batch: Some(config.max_batch),
        queue: Some(config.queue),
        prefill_chunk: Some(config.prefill_chunk),
        keep_alive: Some(config.keep_alive),
        crash_budget: Some(config.crash_budget),
        ..SetLimits::default()
    }
}

pub(crate) fn agents(settings: &Settings) -> agent_worker::settings::Config {
    let chat = &settings.chat;
    agent_worker::settings::Config {
        waiting_turns: count(chat.waiting_turns),
        text_chars: count(chat.text_chars),
        history_chars: count(chat.history_chars),
        idle: chat.idle.duration(),
        drain: chat.drain.duration(),
        crashes_per_minute: chat.crashes_per_minute,
        live_conversations: count(chat.live_conversations),
        kept_conversations: count(chat.kept_conversations),
        kept_bytes: Bytes(chat.kept_bytes.as_bytes()),
        kept_for: chat.kept_for.duration(),
        ..agent_worker::settings::Config::default()
    }
}

pub(crate) fn memory_limit(settings: &Settings) -> Option<Bytes> {
    settings.memory.limit.map(|limit| Bytes(limit.as_bytes()))
}

pub(crate) fn memory_poll(settings: &Settings) -> Duration {
    settings.memory.poll.duration()
}

pub(crate) fn count(n: u32) -> usize {
    usize::try_from(n).unwrap_or(usize::MAX)
}

#[cfg(all(test, feature = "inference", feature = "gateway", feature = "memory"))]
#[path = "settings_tests.rs"]
mod tests;
