//! Why a host does not start: each part says it in its own words.

use std::net::SocketAddr;

use bearer::TokenError;
use chat_config::Refusals;
use domain::FieldError;
use gateway::GatewayError;
use mcp_client::ServersError;
use model_store::StoreError;
use runtime::RunError;
use supervision::StartTreeError;
use toolbox::ToolboxError;

/// Why the host did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// There is no runtime to start on.
    #[error(transparent)]
    Runtime(#[from] RunError),
    /// The models' folder cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The file of conversations cannot be used.
    #[error(transparent)]
    Conversations(#[from] conversation_store::StoreError),
    /// Settings that are not accepted, or a file that cannot be read.
    #[error(transparent)]
    Settings(#[from] Refusals),
    /// The file of tokens cannot be used.
    #[error(transparent)]
    Tokens(#[from] TokenError),
    /// A setting of the HTTP edge is not accepted.
    #[error(transparent)]
    Gateway(#[from] GatewayError),
    /// A setting of what is live is not accepted.
    #[error(transparent)]
    Live(#[from] FieldError),
    /// This build cannot compute models where the settings say.
    #[error(transparent)]
    Device(FieldError),
    /// The system gives nothing to make names of that nobody can guess.
    #[error(transparent)]
    Chance(#[from] bearer::NoChance),
    /// A tool of the app's own is not accepted.
    #[error(transparent)]
    Tools(#[from] ToolboxError),
    /// An MCP server is not accepted.
    #[error(transparent)]
    Servers(#[from] ServersError),
    /// HTTP cannot be served there: the address is taken, or not of this machine.
    #[error("{reason}")]
    NotServed {
        /// The address asked for.
        bind: SocketAddr,
        /// What the HTTP edge said, naming the address.
        reason: String,
    },
    /// Control cannot listen there.
    #[error("{reason}")]
    NotControlled {
        /// What control said, naming the socket.
        reason: String,
    },
    /// A part of the tree did not start.
    #[error(transparent)]
    Tree(#[from] StartTreeError),
}
