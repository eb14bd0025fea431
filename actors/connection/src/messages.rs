//! What a connection can be asked: the whole inbox of others in one file.

use std::time::Duration;

use kameo::Reply;

use crate::session::{State, Tally};
use crate::transport::Transport;
use crate::wire::CloseCode;

/// Its client is back over this transport, and has everything up to `seq`. What it was spoken over before is closed. Reply:
/// `Result<(), NotResumable>`; then the session is over, and the transport comes back to be begun anew.
pub struct TakeOver {
    /// The transport.
    pub transport: Transport,
    /// The last number that arrived.
    pub seq: u64,
}

/// The session could not be gone on with.
#[derive(thiserror::Error)]
#[error("{reason}")]
pub struct NotResumable {
    /// Why.
    pub reason: String,
    /// As it was given.
    pub transport: Transport,
}

impl std::fmt::Debug for NotResumable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "NotResumable({})", self.reason)
    }
}

/// Ends the session. Reply: `()`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Close(
    /// Why.
    pub CloseCode,
);

/// Asks how it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status;

/// How a connection is.
#[derive(Clone, Debug, PartialEq, Eq, Reply)]
pub struct ConnectionStatus {
    /// Its id.
    pub connection: String,
    /// Its session.
    pub session: String,
    /// Whose.
    pub user: String,
    /// How it is.
    pub state: State,
    /// For how long.
    pub up: Duration,
    /// Conversations it shows.
    pub joined: usize,
    /// Bytes held for it.
    pub bytes: usize,
    /// Frames joined on the way to a slow reader.
    pub merged: u64,
    /// What was counted.
    pub tally: Tally,
}
