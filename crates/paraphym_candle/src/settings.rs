//! Settings in the words of the parts that use them: the one place that knows both. Each part keeps its own bounds and
//! defaults for those who use it alone; a test here says that they are the same.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use agent_worker::settings::{TurnSettings, Window};
use chat_config::file::RealDisk;
use chat_config::settings::{self, Overflow, Settings};
use chat_config::{Author, Catalogue, Layers, Refusals, Store};
use domain::{Bytes, KeepAlive, ModelName, Sampling};
use engine::{Device, ModelLoader};
use gateway::{Access, Auth, GatewayConfig, Limits};
use inference::{DeviceLoader, GgufLoader};
use model_host::HostConfig;
use model_host::messages::SetLimits;
use retrieval::{Decay, RetrievalConfig, Weighing};
use runtime::{BlockingHelpers, Runtime};

use crate::StartError;

/// Where the settings come from.
pub(crate) enum Source {
    /// The defaults.
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

/// The same, by the settings that hold whenever it is called.
pub(crate) fn sampling_now(settings: &Store) -> Arc<dyn Fn() -> Sampling + Send + Sync> {
    let settings = settings.clone();
    Arc::new(move || sampling(&settings.current().settings))
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

/// Who loads models: who is `chosen`; or our kernels, helped by threads of this runtime; or candle on the device of the
/// settings.
///
/// # Errors
/// `Device`: this build has none such.
pub(crate) fn loader(
    chosen: Option<Arc<dyn ModelLoader>>,
    settings: &Settings,
    runtime: &Runtime,
) -> Result<Arc<dyn ModelLoader>, StartError> {
    if let Some(chosen) = chosen {
        return Ok(chosen);
    }
    let (device, threads, precision) = computing(settings);
    if device != Device::Cpu {
        let loader = DeviceLoader::new(device).map_err(StartError::Device)?;
        return Ok(Arc::new(loader));
    }
    let loader = GgufLoader::new()
        .with_precision(precision)
        .with_helpers(Arc::new(BlockingHelpers::of(runtime, threads)));
    Ok(Arc::new(loader))
}

/// Where, with how many threads, and how faithfully.
fn computing(settings: &Settings) -> (Device, Option<usize>, inference::Precision) {
    let model = &settings.model;
    let device = match model.device {
        settings::Device::Cpu => Device::Cpu,
        settings::Device::Cuda => Device::Cuda,
        settings::Device::Metal => Device::Metal,
    };
    let precision = match model.precision {
        settings::Precision::Fast => inference::Precision::Fast,
        settings::Precision::Exact => inference::Precision::Exact,
    };
    (device, model.compute_threads.map(count), precision)
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

/// Where to listen, and how many models there are places for, is said by whoever starts the server.
pub(crate) fn edge(settings: &Settings, max_models: usize, config: &mut GatewayConfig) {
    let (limits, realtime) = (&settings.limits, &settings.realtime);
    config.max_models = max_models;
    config.drain = realtime.drain.duration();
    config.limits = Limits {
        connections: count(limits.connections),
        answers: count(limits.answers),
        head_bytes: usize::try_from(limits.head_bytes.as_bytes()).unwrap_or(usize::MAX),
        body_bytes: usize::try_from(limits.body_bytes.as_bytes()).unwrap_or(usize::MAX),
        head_time: limits.head_time.duration(),
        body_time: limits.body_time.duration(),
        write_time: realtime.write_time.duration(),
        write_bytes: Limits::default().write_bytes,
        ping: realtime.ping.duration(),
        last_word: realtime.last_word.duration(),
        probe_time: limits.probe_time.duration(),
    };
    let server = &settings.server;
    config.access = Access {
        auth: match server.auth {
            settings::Auth::Auto => Auth::Auto,
            settings::Auth::Required => Auth::Required,
            settings::Auth::Off => Auth::Off,
        },
        cors_origins: server.cors_origins.clone(),
        requests_per_minute: server.requests_per_minute,
        concurrent: server.concurrent,
        // No setting.
        tokens: config.access.tokens.clone(),
    };
}

/// The bounds of what is live.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LiveBounds {
    pub(crate) typing: Duration,
    pub(crate) limits: connection::Limits,
    pub(crate) seats: connection::Seats,
    pub(crate) frame_bytes: usize,
}

pub(crate) fn live(settings: &Settings) -> LiveBounds {
    let (limits, realtime) = (&settings.limits, &settings.realtime);
    let mut session = connection::Limits {
        identify: realtime.identify.duration(),
        ..connection::Limits::default()
    };
    session.replay.time = realtime.resume.duration();
    session.pace.per_second = limits.frames_per_second;
    session.pace.at_once = limits.frames_per_second.saturating_mul(3);
    LiveBounds {
        typing: realtime.typing.duration(),
        limits: session,
        seats: connection::Seats {
            in_all: count(limits.sessions),
            of_one: count(limits.sessions_of_one),
        },
        frame_bytes: usize::try_from(limits.frame_bytes.as_bytes()).unwrap_or(usize::MAX),
    }
}

pub(crate) fn count(n: u32) -> usize {
    usize::try_from(n).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use memory_governor::GovernorConfig;

    use super::*;

    #[test]
    fn every_part_has_the_same_defaults_as_the_settings() {
        let settings = Settings::default();
        assert_eq!(sampling(&settings), Sampling::default());
        let bounds = live(&settings);
        assert_eq!(bounds.typing, typing::EXPIRY);
        assert_eq!(bounds.limits, connection::Limits::default());
        assert_eq!(bounds.seats, connection::Seats::default());
        let model = ModelName::new("m");
        assert_eq!(
            turn(&settings, model.clone()),
            TurnSettings::new(model.clone())
        );
        assert_eq!(host(&settings), HostConfig::default());
        assert_eq!(agents(&settings), agent_worker::settings::Config::default());
        assert_eq!(recall(&settings), RetrievalConfig::default());
        let governor = GovernorConfig::default();
        assert_eq!(memory_limit(&settings), governor.limit);
        assert_eq!(memory_poll(&settings), governor.poll);
        let plain = GatewayConfig::new(settings.realtime.bind, model);
        let mut config = plain.clone();
        edge(&settings, config.max_models, &mut config);
        assert_eq!(format!("{config:?}"), format!("{plain:?}"));
    }

    /// Each setting of these sections reaches the part it is for: a changed one changes something.
    #[test]
    fn no_setting_is_lost_on_its_way() {
        let catalogue = Catalogue::new();
        let shape = |settings: &Settings| {
            let model = ModelName::new("m");
            let mut config = GatewayConfig::new(settings.realtime.bind, model.clone());
            edge(settings, config.max_models, &mut config);
            format!(
                "{:?}{:?}{:?}{:?}{config:?}{:?}{:?}{:?}",
                computing(settings),
                live(settings),
                turn(settings, model),
                host(settings),
                agents(settings),
                memory_limit(settings),
                memory_poll(settings),
            )
        };
        let usual = shape(&Settings::default());
        // Taken by whoever starts the process, before there is a tree.
        let elsewhere = ["model.name", "model.models_dir", "telemetry.log"];
        let sections = [
            "chat",
            "personality",
            "behaviour",
            "model",
            "memory",
            "limits",
            "realtime",
            "server",
        ];
        let paths = sections
            .iter()
            .flat_map(|section| catalogue.in_section(section));
        for path in paths.filter(|path| !elsewhere.contains(path)) {
            let entry = catalogue.get(path).unwrap();
            let other = other(&entry.default, &entry.allowed);
            let flag = format!("{path}={other}");
            let layers = Layers::new(&catalogue, "x".into(), [], &[flag]).unwrap();
            let author = Author {
                who: "test".to_owned(),
                at: SystemTime::UNIX_EPOCH,
            };
            let revisions =
                chat_config::Revisions::start(Arc::new(Catalogue::new()), layers, "", author);
            let changed = shape(&revisions.unwrap().current().settings);
            assert_ne!(changed, usual, "{path} = {other} changes nothing");
        }
    }

    /// Another value than the default that is accepted.
    fn other(default: &serde_json::Value, allowed: &str) -> String {
        if let Some(words) = allowed.strip_prefix("one of ") {
            let default = default.as_str().unwrap();
            return words
                .split(", ")
                .find(|word| *word != default)
                .unwrap()
                .to_owned();
        }
        if allowed.contains("address") {
            return "127.0.0.1:9".to_owned();
        }
        if allowed.contains("origins") {
            return "[\"https://app.example\"]".to_owned();
        }
        if allowed.starts_with("a time") || allowed.starts_with("a size") {
            let low = allowed.split_whitespace().nth(3).unwrap();
            return low.to_owned();
        }
        if allowed.starts_with("a list") {
            return "[\"word\"]".to_owned();
        }
        if allowed.starts_with("text") {
            return "Say du.".to_owned();
        }
        if default.is_f64() {
            return "1.0".to_owned();
        }
        default.as_u64().map_or(7, |n| n + 1).to_string()
    }
}
