//! Why a host does not start: each part says it in its own words.

use chat_config::Refusals;
#[cfg(any(feature = "gateway", feature = "inference"))]
use domain::FieldError;
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
    #[cfg(feature = "gateway")]
    #[error(transparent)]
    Tokens(#[from] bearer::TokenError),
    /// A setting of the HTTP edge is not accepted.
    #[cfg(feature = "gateway")]
    #[error(transparent)]
    Gateway(#[from] gateway::GatewayError),
    /// A setting of what is live is not accepted.
    #[cfg(feature = "gateway")]
    #[error(transparent)]
    Live(#[from] FieldError),
    /// This build cannot compute models where the settings say.
    #[cfg(feature = "inference")]
    #[error(transparent)]
    Device(FieldError),
    /// No engine is built in, and none was given.
    #[cfg(not(feature = "inference"))]
    #[error(
        "there is nothing that loads models: build with the feature `inference`, or give `Builder::loader` one"
    )]
    NoLoader,
    /// The system gives nothing to make names of that nobody can guess.
    #[cfg(feature = "gateway")]
    #[error(transparent)]
    Chance(#[from] bearer::NoChance),
    /// A tool of the app's own is not accepted.
    #[error(transparent)]
    Tools(#[from] ToolboxError),
    /// An MCP server is not accepted.
    #[cfg(feature = "mcp")]
    #[error(transparent)]
    Servers(#[from] mcp_client::ServersError),
    /// HTTP cannot be served there: the address is taken, or not of this machine.
    #[cfg(feature = "gateway")]
    #[error("{reason}")]
    NotServed {
        /// The address asked for.
        bind: std::net::SocketAddr,
        /// What the HTTP edge said, naming the address.
        reason: String,
    },
    /// Control cannot listen there.
    #[cfg(feature = "control")]
    #[error("{reason}")]
    NotControlled {
        /// What control said, naming the socket.
        reason: String,
    },
    /// A part of the tree did not start.
    #[error(transparent)]
    Tree(#[from] StartTreeError),
}
