//! What the edge takes over of the settings while it runs: how many connections there may be, and how long somebody types.

use std::time::Duration;

use chat_config::settings::Settings;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use gateway::Serving;
use supervision::Handle;
use tokio::sync::Mutex;
use typing::{SetExpiry, Typing};

use crate::follower::Follows;
use crate::settings::count;

/// Longer than a restart of the part that is told takes.
const DEADLINE: Duration = Duration::from_secs(10);

/// Tells the server for requests, and who types.
pub(crate) struct Follower {
    serving: Serving,
    typing: Handle<Typing>,
    told: Mutex<Told>,
}

#[derive(Default)]
struct Told {
    connections: Option<usize>,
    expiry: Option<Duration>,
}

impl Follower {
    pub(crate) fn new(serving: Serving, typing: Handle<Typing>) -> Self {
        Self {
            serving,
            typing,
            told: Mutex::default(),
        }
    }

    /// Whether it was taken over.
    async fn tell_typing(&self, told: &mut Told, expiry: Duration) -> bool {
        if told.expiry == Some(expiry) {
            return true;
        }
        match self.typing.ask(SetExpiry(expiry), DEADLINE).await {
            Ok(()) => told.expiry = Some(expiry),
            Err(error) => {
                tracing::warn!(%error, "realtime.typing was not taken over yet");
                return false;
            }
        }
        true
    }
}

impl Follows for Follower {
    fn follow<'a>(&'a self, settings: &'a Settings) -> BoxFuture<'a, bool> {
        async move {
            let mut told = self.told.lock().await;
            let connections = count(settings.limits.connections);
            if told.connections != Some(connections) {
                self.serving.limit_connections(connections);
                told.connections = Some(connections);
            }
            let expiry = settings.realtime.typing.duration();
            self.tell_typing(&mut told, expiry).await
        }
        .boxed()
    }
}
