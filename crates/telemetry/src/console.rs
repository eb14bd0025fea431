//! The tasks of this process, for tokio-console (docs/adr/0023).
//!
//! ```text
//!  tokio's own spans ──try_send──> bounded buffer ──TaskConsole::run──> whoever connects, on loopback
//!                         └─ full: dropped
//! ```
//!
//! Invariants: no thread is started: whoever holds [`TaskConsole`] runs its server, on the one runtime. It listens on loopback
//! alone, because it asks nobody who they are. tokio tells of its tasks only under `--cfg tokio_unstable`; a build without
//! says so, and goes on.

use std::fmt;
use std::future::{Future, pending};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use console_subscriber::{ConsoleLayer, Server, ServerParts};
use tonic::transport::server::TcpIncoming;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::{LevelFilter, Targets};

use crate::logging::Logging;

/// The variable that says where tokio-console finds this process. Source: `console_subscriber`'s documentation.
pub const CONSOLE_BIND: &str = "TOKIO_CONSOLE_BIND";
/// Where tokio-console looks by itself: 127.0.0.1:6669.
const USUAL: SocketAddr = SocketAddr::new(
    IpAddr::V4(Ipv4Addr::LOCALHOST),
    console_subscriber::Server::DEFAULT_PORT,
);
/// How long an ended task is shown. The library's hour would keep every task of a busy hour in memory.
const SHOWN: Duration = Duration::from_mins(1);

/// Why tokio-console does not see the tasks.
#[derive(Debug, thiserror::Error)]
pub enum ConsoleError {
    /// The address is none, or others than this machine would reach it.
    #[error("{CONSOLE_BIND} = {bind:?} {reason}: use for example {USUAL}")]
    Bind {
        /// As it was given.
        bind: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// tokio was compiled so that it tells of nothing.
    #[error(
        "tokio-console is not served: tokio tells nothing of its tasks in this build; build with \
         RUSTFLAGS=\"-Ctarget-cpu=native --cfg tokio_unstable\""
    )]
    Untold,
    /// Nobody can listen there, for example because somebody does.
    #[error(
        "tokio-console is not served at {address} ({reason}): free the port, or set {CONSOLE_BIND} to another"
    )]
    Taken {
        /// Where it would have listened.
        address: SocketAddr,
        /// The system's words.
        reason: std::io::Error,
    },
    /// The server gave up, or was run before.
    #[error("tokio-console is served no more: start the process again")]
    Ended,
}

/// The server, until it is run. Cloning gives another hold on the same.
#[derive(Clone)]
pub struct TaskConsole(Arc<Inner>);

struct Inner {
    address: SocketAddr,
    server: Mutex<Option<Server>>,
}

impl fmt::Debug for TaskConsole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TaskConsole")
            .field("address", &self.0.address)
            .finish_non_exhaustive()
    }
}

impl Logging<'_> {
    /// The tasks of this process are noted from now on, for tokio-console at `bind`, or where it looks by itself. Somebody has
    /// to [run](TaskConsole::run) the answer.
    ///
    /// # Errors
    /// `Bind`: no address, or not one of loopback.
    pub fn watch_tasks(&mut self, bind: Option<&str>) -> Result<TaskConsole, ConsoleError> {
        let address = bind.map_or(Ok(USUAL), address)?;
        // The library panics where it would see nothing.
        let server = is_told().then(|| {
            let (layer, server) = ConsoleLayer::builder().retention(SHOWN).build();
            // What tokio tells of its tasks, for this listener alone: the log has its own filter.
            let tasks = Targets::new()
                .with_target("tokio", LevelFilter::TRACE)
                .with_target("runtime", LevelFilter::TRACE);
            self.listeners.push(layer.with_filter(tasks).boxed());
            server
        });
        Ok(TaskConsole(Arc::new(Inner {
            address,
            server: Mutex::new(server),
        })))
    }
}

#[expect(unexpected_cfgs, reason = "it is tokio's, not cargo's")]
fn is_told() -> bool {
    cfg!(tokio_unstable)
}

fn address(bind: &str) -> Result<SocketAddr, ConsoleError> {
    let refused = |reason| ConsoleError::Bind {
        bind: bind.to_owned(),
        reason,
    };
    let address: SocketAddr = bind
        .parse()
        .map_err(|_| refused("is no IP address and port"))?;
    if address.ip().is_loopback() {
        Ok(address)
    } else {
        Err(refused(
            "is not on loopback, and it asks nobody who they are",
        ))
    }
}

impl TaskConsole {
    /// Serves until `stopping`, or until it is dropped; once. Then the port is free, and whoever looked on is hung up on.
    ///
    /// # Errors
    /// All but `Bind`.
    pub async fn run(&self, stopping: impl Future<Output = ()>) -> Result<(), ConsoleError> {
        if !is_told() {
            return Err(ConsoleError::Untold);
        }
        let address = self.0.address;
        let incoming =
            TcpIncoming::bind(address).map_err(|reason| ConsoleError::Taken { address, reason })?;
        let server = &self.0.server;
        let server = server.lock().unwrap_or_else(PoisonError::into_inner).take();
        // Its own `serve` would spawn both halves, and leave them behind.
        let ServerParts {
            instrument_server,
            aggregator,
            ..
        } = server.ok_or(ConsoleError::Ended)?.into_parts();
        let serve = tonic::transport::Server::builder()
            .add_service(instrument_server)
            // With a signal, though it never comes: its connections notice then that the server is gone.
            .serve_with_incoming_shutdown(incoming, pending());
        tokio::select! {
            () = stopping => Ok(()),
            () = aggregator.run() => Err(ConsoleError::Ended),
            _ = serve => Err(ConsoleError::Ended),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logging::LogFormat;

    #[test]
    fn only_this_machine_may_look() {
        let mut logging = Logging::new("error", LogFormat::Text);
        for bind in [
            "0.0.0.0:6669",
            "[::]:6669",
            "192.0.2.1:6669",
            "localhost",
            "",
        ] {
            let error = logging.watch_tasks(Some(bind)).unwrap_err();
            assert!(matches!(error, ConsoleError::Bind { .. }));
            let said = error.to_string();
            let expected = format!("TOKIO_CONSOLE_BIND = {bind:?}");
            assert!(said.contains(&expected), "{said}");
            assert!(said.contains("127.0.0.1:6669"), "{said}");
        }
        for bind in [None, Some("127.0.0.1:7000"), Some("[::1]:6669")] {
            logging.watch_tasks(bind).unwrap();
        }
    }
}
