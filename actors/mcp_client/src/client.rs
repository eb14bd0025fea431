//! How everyone else sees the servers of one tree: their tools, as they are now, and how each server is.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use supervision::{
    Backoff, ChildId, ChildSpec, Handle, Shutdown, StartChildError, SupervisorHandle,
    SupervisorSpec, TerminateChildError,
};
use toolbox::{Tool, ToolSource};

use crate::actor::{McpServer, Seed};
use crate::board::{Board, ServerState};
use crate::config::{MAX_SERVERS, ServerConfig, ServersError};
use crate::messages::Reconnect;
use crate::server_tool::ServerTool;

/// The name in the tree.
pub const SUPERVISOR_ID: &str = "mcp_supervisor";
/// Messages to one server's actor that may wait: each is handled at once.
const INBOX: usize = 16;
/// Crashes of their actors within a minute before the supervisor gives up. They are bugs: a server's own end is none.
const CRASHES: u32 = 10;
/// How much longer than the servers' own graces a stop may take: the protocol's farewell, the kernel's end of what was
/// killed, and some for a busy machine.
const ENDING: Duration = Duration::from_secs(4);

/// One server, as it is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerStatus {
    /// What it is called.
    pub name: String,
    /// Where it is in its life.
    pub state: ServerState,
    /// The names of its tools, as the model sees them; the last ones known.
    pub tools: Vec<String>,
    /// Which of its tools cannot be used, and why.
    pub skipped: Vec<String>,
    /// How often it was started, the first start included.
    pub starts: u64,
    /// Its process, if it is one of ours and lives.
    pub pid: Option<u32>,
    /// Why it ended last, or could not start; nothing once it is up again.
    pub last_error: Option<String>,
}

/// Why a server was not added or removed.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    /// It is not accepted.
    #[error(transparent)]
    Config(#[from] ServersError),
    /// It could not be started.
    #[error(transparent)]
    Start(#[from] StartChildError),
    /// It could not be stopped.
    #[error(transparent)]
    Stop(#[from] TerminateChildError),
    /// There is none of that name.
    #[error("there is no MCP server {name:?}: look which there are")]
    Unknown {
        /// The name.
        name: String,
    },
}

#[derive(Clone)]
struct Entry {
    board: Arc<Board>,
    server: Handle<McpServer>,
}

/// The servers of one tree. Cloning gives another handle to the same ones.
#[derive(Clone)]
pub struct McpServers {
    supervisor: SupervisorHandle,
    entries: Arc<Mutex<Vec<Entry>>>,
}

/// The spec for the root, and the way to the servers. None of them holds up the start: each is connected to beside it.
///
/// # Errors
/// The first server that is not accepted.
pub fn children(configs: Vec<ServerConfig>) -> Result<(ChildSpec, McpServers), ServersError> {
    let mut spec = SupervisorSpec::new(SUPERVISOR_ID).intensity(CRASHES, Duration::from_mins(1));
    let mut entries = Vec::new();
    for config in configs {
        let (child, entry) = prepare(config, &entries)?;
        spec = spec.child(child);
        entries.push(entry);
    }
    let servers = McpServers {
        supervisor: spec.handle(),
        entries: Arc::new(Mutex::new(entries)),
    };
    Ok((ChildSpec::supervisor(spec), servers))
}

fn child_id(name: &str) -> ChildId {
    ChildId::from(format!("mcp_client-{name}"))
}

fn prepare(config: ServerConfig, present: &[Entry]) -> Result<(ChildSpec, Entry), ServersError> {
    let name = config.name.clone();
    if present.iter().any(|entry| entry.board.config.name == name) {
        return Err(ServersError::Duplicate { name });
    }
    if present.len() >= MAX_SERVERS {
        let count = present.len() + 1;
        return Err(ServersError::TooMany { count });
    }
    let shutdown = Shutdown::Timeout(config.stop_grace * 2 + ENDING);
    let board = Arc::new(Board::new(config)?);
    let (spec, server) = ChildSpec::actor(child_id(&name), INBOX, Seed(board.clone()));
    let spec = spec.shutdown(shutdown).backoff(Backoff::default());
    Ok((spec, Entry { board, server }))
}

impl McpServers {
    fn entries(&self) -> Vec<Entry> {
        let entries = self.entries.lock();
        entries.unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn change<T>(&self, change: impl FnOnce(&mut Vec<Entry>) -> T) -> T {
        change(&mut self.entries.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// All servers, in the order they came.
    pub fn status(&self) -> Vec<ServerStatus> {
        let status = |entry: Entry| {
            let link = entry.board.now();
            let tools = link.offer.tools.iter();
            ServerStatus {
                name: entry.board.config.name.clone(),
                state: link.state,
                tools: tools.map(|tool| tool.spec.name.clone()).collect(),
                skipped: link.offer.skipped,
                starts: link.starts,
                pid: link.pid,
                last_error: link.last_error,
            }
        };
        self.entries().into_iter().map(status).collect()
    }

    /// What each server was set up with, in the order they came.
    pub fn configs(&self) -> Vec<ServerConfig> {
        let entries = self.entries();
        let config = |entry: &Entry| entry.board.config.clone();
        entries.iter().map(config).collect()
    }

    /// Waits until no server is being started any more (each is up, rests or was stopped), for `patience` at most. Whether
    /// that came about.
    pub async fn settled(&self, patience: Duration) -> bool {
        let all = async {
            for entry in self.entries() {
                let is_settled = |link: &crate::board::Link| link.state != ServerState::Starting;
                // It fails only if the board is gone, and here it is.
                let _ = entry.board.watch().wait_for(is_settled).await;
            }
        };
        tokio::time::timeout(patience, all).await.is_ok()
    }

    /// One more server, from now on. Its tools are there once it is up.
    ///
    /// # Errors
    /// See [`ChangeError`]; then nothing has changed.
    pub async fn add(&self, config: ServerConfig) -> Result<(), ChangeError> {
        let name = config.name.clone();
        let child = self.change(|entries| {
            let (child, entry) = prepare(config, entries)?;
            entries.push(entry);
            Ok::<_, ServersError>(child)
        })?;
        let started = self.supervisor.start_child(child).await;
        if let Err(error) = started {
            self.forget(&name);
            return Err(error.into());
        }
        Ok(())
    }

    /// Ends a server and forgets it; back when nothing of it runs.
    ///
    /// # Errors
    /// See [`ChangeError`].
    pub async fn remove(&self, name: &str) -> Result<(), ChangeError> {
        let is_known = self
            .entries()
            .iter()
            .any(|entry| entry.board.config.name == name);
        if !is_known {
            let name = name.chars().take(80).collect();
            return Err(ChangeError::Unknown { name });
        }
        let id = child_id(name);
        match self.supervisor.terminate_child(&id).await {
            // A supervisor that was started again has those of its first start.
            Ok(()) | Err(TerminateChildError::NotFound { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        // Not there: another remove was first.
        let _ = self.supervisor.delete_child(&id).await;
        self.forget(name);
        Ok(())
    }

    /// Ends the connection of a server, if there is one, and makes a new one without a rest; for who has mended it.
    ///
    /// # Errors
    /// [`ChangeError::Unknown`].
    pub fn reconnect(&self, name: &str) -> Result<(), ChangeError> {
        let entries = self.entries();
        let entry = entries.iter().find(|entry| entry.board.config.name == name);
        let Some(entry) = entry else {
            let name = name.chars().take(80).collect();
            return Err(ChangeError::Unknown { name });
        };
        // Full or down: it is being done, or there is nobody to do it.
        let _ = entry.server.try_tell(Reconnect);
        Ok(())
    }

    #[cfg(test)]
    pub(crate) fn first(&self) -> Option<Handle<McpServer>> {
        self.entries().first().map(|entry| entry.server.clone())
    }

    fn forget(&self, name: &str) {
        self.change(|entries| entries.retain(|entry| entry.board.config.name != name));
    }
}

impl ToolSource for McpServers {
    /// The tools of all servers, as last listed: those of one that is being started again, too.
    fn tools(&self) -> Vec<Arc<dyn Tool>> {
        let mut tools: Vec<Arc<dyn Tool>> = Vec::new();
        for entry in self.entries() {
            let link = entry.board.now();
            if link.state == ServerState::Stopped {
                continue;
            }
            for offered in link.offer.tools.iter() {
                tools.push(Arc::new(ServerTool {
                    board: entry.board.clone(),
                    server: entry.server.clone(),
                    offered: offered.clone(),
                }));
            }
        }
        tools
    }
}
