//! Shell: what everyone may see of one server, while its actor lives, crashes and lives again. Only the actor writes here.

use std::sync::{Arc, OnceLock};

use rmcp::service::{Peer, RoleClient};
use tokio::sync::{Semaphore, watch};
use tokio::time::{Instant, timeout_at};
use toolbox::ToolFilter;

use crate::config::{ServerConfig, ServersError};
use crate::offer::Offer;

/// Calls to one server at once; who comes later waits. 16: a turn has some, and a server of one process does not get
/// faster by more.
const CALLS: usize = 16;

/// Where a server is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServerState {
    /// It is being started, or asked for its tools.
    Starting,
    /// It can be called.
    Up,
    /// It ended, and is started again then.
    Resting {
        /// When.
        until: Instant,
    },
    /// It is not to run any more.
    Stopped,
}

/// Why a connection ended, written once by whoever knows first.
#[derive(Clone, Debug, Default)]
pub(crate) struct Epitaph(Arc<OnceLock<String>>);

impl Epitaph {
    /// The first word counts.
    pub(crate) fn write(&self, why: impl Into<String>) {
        // Somebody knew before.
        let _ = self.0.set(why.into());
    }

    pub(crate) fn read(&self) -> Option<&str> {
        self.0.get().map(String::as_str)
    }
}

/// A connection that calls can be made over.
#[derive(Clone, Debug)]
pub(crate) struct Session {
    /// Which one of this server, from 1.
    pub(crate) number: u64,
    pub(crate) peer: Peer<RoleClient>,
    pub(crate) epitaph: Epitaph,
}

/// One server, as it is now.
#[derive(Clone, Debug)]
pub(crate) struct Link {
    pub(crate) state: ServerState,
    pub(crate) session: Option<Session>,
    /// The last list; it stays while the server is started again, so that the model's tools do not come and go.
    pub(crate) offer: Offer,
    pub(crate) starts: u64,
    pub(crate) pid: Option<u32>,
    pub(crate) last_error: Option<String>,
}

pub(crate) struct Board {
    pub(crate) config: ServerConfig,
    pub(crate) filter: ToolFilter,
    link: watch::Sender<Link>,
    pub(crate) calls: Semaphore,
}

impl Board {
    pub(crate) fn new(config: ServerConfig) -> Result<Self, ServersError> {
        config.check()?;
        let link = Link {
            state: ServerState::Starting,
            session: None,
            offer: Offer::default(),
            starts: 0,
            pid: None,
            last_error: None,
        };
        Ok(Self {
            filter: config.filter()?,
            config,
            link: watch::Sender::new(link),
            calls: Semaphore::new(CALLS),
        })
    }

    pub(crate) fn now(&self) -> Link {
        self.link.borrow().clone()
    }

    pub(crate) fn watch(&self) -> watch::Receiver<Link> {
        self.link.subscribe()
    }

    pub(crate) fn set(&self, change: impl FnOnce(&mut Link)) {
        self.link.send_modify(change);
    }

    /// The connection of now, or the next one if that comes before `deadline`; else why there is none.
    pub(crate) async fn session(&self, deadline: Instant) -> Result<Session, String> {
        let mut links = self.link.subscribe();
        loop {
            let link = links.borrow_and_update().clone();
            if let Some(session) = link.session {
                return Ok(session);
            }
            let name = &self.config.name;
            let why = link.last_error.unwrap_or_default();
            let because = if why.is_empty() { "" } else { ": " };
            let is_hopeless = match link.state {
                ServerState::Stopped => return Err(format!("the server `{name}` was stopped")),
                ServerState::Resting { until } => until >= deadline,
                ServerState::Starting | ServerState::Up => false,
            };
            if is_hopeless || timeout_at(deadline, links.changed()).await.is_err() {
                return Err(format!("the server `{name}` is not there{because}{why}"));
            }
        }
    }
}
