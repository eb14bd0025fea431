//! What the gateway is told and given. Whether it may listen where it was told to is decided before a socket is opened:
//! off loopback somebody must have a token.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use connection::Connections;
use domain::{ModelName, Sampling};
use futures_util::future::BoxFuture;
use model_host::{HostConfig, ModelHost};
use supervision::Handle;

use crate::guard::access::Access;
use crate::serving::Serving;

/// Where to listen, for whom, and how much.
#[derive(Clone, Debug)]
pub struct GatewayConfig {
    /// Where to listen; port 0 takes a free one. Off loopback somebody must have a token.
    pub bind: SocketAddr,
    /// Who answers a request that names no model, and whose state is readiness.
    pub default_model: ModelName,
    /// Models the host has places for (`HostConfig::max_models`): readiness must know, and the host's status does not say.
    pub max_models: usize,
    /// How long a graceful stop waits for running answers; the root's own deadline may be shorter. 3 s: the parts behind
    /// the gateway stop after it and need time, too.
    pub drain: Duration,
    /// How much at once.
    pub limits: Limits,
    /// Who may ask, and how much each.
    pub access: Access,
}

impl GatewayConfig {
    /// Listens at `bind` for `default_model`, with default limits and 3 seconds to drain.
    pub fn new(bind: SocketAddr, default_model: ModelName) -> Self {
        Self {
            bind,
            default_model,
            max_models: HostConfig::default().max_models,
            drain: Duration::from_secs(3),
            limits: Limits::default(),
            access: Access::default(),
        }
    }

    /// Whether this may be served.
    ///
    /// # Errors
    /// `OpenToAll`, `NoToken`, `Origin`.
    pub fn check(&self) -> Result<(), GatewayError> {
        self.access.check(self.bind)
    }
}

/// The bounds of the edge. Each says why it exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Open connections: each costs a file descriptor and a task. Further ones are told to come back in a second. At most a
    /// quarter of them may be of one address and have asked for nothing yet. It holds from the start; later
    /// [`Serving::limit_connections`] changes it. 256.
    pub connections: usize,
    /// Answers at once; the model host queues fewer than this anyway. Further ones get 503. 64.
    pub answers: usize,
    /// The largest head of a request, in bytes, beyond which it is refused with 431, as it is beyond 100 headers.
    /// 64 KiB: the longest token and address are a hundredth of it.
    pub head_bytes: usize,
    /// The largest request body: far beyond any context window. 1 MiB.
    pub body_bytes: usize,
    /// A client that takes longer for its request's head, or says nothing between two requests, is hung up on. 30 s.
    pub head_time: Duration,
    /// The same for the body. 30 s.
    pub body_time: Duration,
    /// A client that takes fewer than `write_bytes` of its answer while bytes wait for so long is hung up on, and the
    /// answer stopped. 60 s.
    pub write_time: Duration,
    /// The least that is to be taken in `write_time`, in bytes: half a kilobyte a second; one who reads along takes four
    /// times as much. 32 KiB.
    pub write_bytes: usize,
    /// After so long without a byte a stream sends a comment, so that nobody between takes it for dead. 15 s.
    pub ping: Duration,
    /// So long before the end of the drain, answers that still run are ended with an error, so that their clients do not
    /// take half of one for a whole one. 500 ms: to write a last chunk to whoever reads.
    pub last_word: Duration,
    /// How long a probe waits for the model host. 2 s.
    pub probe_time: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 256,
            answers: 64,
            head_bytes: 64 << 10,
            body_bytes: 1 << 20,
            head_time: Duration::from_secs(30),
            body_time: Duration::from_secs(30),
            write_time: Duration::from_mins(1),
            write_bytes: 32 << 10,
            ping: Duration::from_secs(15),
            last_word: Duration::from_millis(500),
            probe_time: Duration::from_secs(2),
        }
    }
}

/// What the gateway speaks to. The functions answer from memory: they are called on the runtime's own threads.
#[derive(Clone)]
pub struct GatewayDeps {
    /// Who answers.
    pub host: Handle<ModelHost>,
    /// How tokens are chosen now where a request says nothing. The seed is not used: each request gets its own.
    pub sampling: Arc<dyn Fn() -> Sampling + Send + Sync>,
    /// What was recorded, as Prometheus text; what the tree's actors do is put behind it.
    pub metrics: Arc<dyn Fn() -> String + Send + Sync>,
    /// The models that answer and are here, by the names requests use.
    pub models: Arc<dyn Fn() -> Vec<ModelName> + Send + Sync>,
    /// Those that embed, by the names requests use; the first where a request names none.
    pub embedders: Arc<dyn Fn() -> Vec<ModelName> + Send + Sync>,
    /// The wall clock: `created` in answers, and what makes ids of two runs differ.
    pub clock: Arc<dyn Fn() -> SystemTime + Send + Sync>,
    /// Other parts that readiness asks about.
    pub checks: Vec<Check>,
    /// How whoever ends the process closes the edge first.
    pub serving: Serving,
    /// Connections in real time; without them neither `/ws` nor the page is served.
    pub live: Option<Connections>,
}

/// A part that must be well for this server to be ready.
#[derive(Clone)]
pub struct Check {
    /// What the part is called in `/readyz`.
    pub part: &'static str,
    /// Whether it is well, or why not. It may wait: the probe does not, beyond `Limits::probe_time`.
    pub ask: Arc<dyn Fn() -> BoxFuture<'static, Result<(), String>> + Send + Sync>,
}

/// Why the gateway does not serve.
#[derive(Debug, thiserror::Error)]
pub enum GatewayError {
    /// It would be reachable from other machines without a token.
    #[error(
        "bind = {bind} is not accepted while server.auth = off: other machines could use it without a token; leave \
         server.auth at auto, or bind 127.0.0.1 or [::1]"
    )]
    OpenToAll {
        /// What was asked for.
        bind: SocketAddr,
    },
    /// A token is needed, and nobody has one.
    #[error(
        "bind = {bind} is not accepted yet: a token is needed there, and there is none; make one with `paraphym token \
         new`, or bind 127.0.0.1 or [::1] with server.auth = auto"
    )]
    NoToken {
        /// What was asked for.
        bind: SocketAddr,
    },
    /// That is no origin, or any page could ask without a token.
    #[error(
        "cors_origins = {origin} is not accepted: use origins such as https://app.example, without a path; * needs \
         server.auth = required, or an address off loopback"
    )]
    Origin {
        /// What was given.
        origin: String,
    },
    /// The system refused the address.
    #[error("bind = {bind} could not be used: {source}; choose another port, or 0 for a free one")]
    Bind {
        /// What was asked for.
        bind: SocketAddr,
        /// The system's words.
        source: std::io::Error,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn running_answers_hear_of_the_end_in_time() {
        let config = GatewayConfig::new("127.0.0.1:0".parse().unwrap(), ModelName::new("m"));
        assert_eq!(config.drain, Duration::from_secs(3));
        assert!(config.limits.last_word < config.drain);
    }
}
