//! Settings in the words of the edge: of the server for requests, and of what is live.

use std::sync::Arc;
use std::time::Duration;

use chat_config::Store;
use chat_config::settings::{self, Settings};
use domain::Sampling;
use gateway::{Access, Auth, GatewayConfig, Limits};

use crate::settings::{count, sampling};

/// How tokens are chosen by the settings that hold whenever it is called.
pub(crate) fn sampling_now(settings: &Store) -> Arc<dyn Fn() -> Sampling + Send + Sync> {
    let settings = settings.clone();
    Arc::new(move || sampling(&settings.current().settings))
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
