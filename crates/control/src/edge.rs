//! What control asks of the server that takes requests from outside. They stand side by side, and neither may name the
//! other, so whoever joins them says how this is done.
//!
//! Invariants: nothing here waits, computes or reaches a disk.

use domain::RequestId;

use crate::protocol::connections::{Connection, ConnectionsAnswer};

/// The server for requests, for whoever operates it. It outlives the lives of its listener.
pub trait Edge: Send + Sync {
    /// The answers under way that are called so, by their request's name or their own, whoever asked for them.
    fn called(&self, name: &str) -> Vec<Called>;

    /// Ends them for their clients; who they were. The model host is to hear of them, too.
    fn cancel(&self, name: &str) -> Vec<Called>;

    /// The open connections, at most [`crate::protocol::connections::LISTED`] of them.
    fn connections(&self) -> ConnectionsAnswer;

    /// The open connection of that number.
    fn connection(&self, id: u64) -> Option<Connection>;

    /// Closes it; which it was.
    fn kick(&self, id: u64) -> Option<Connection>;

    /// From now on at most so many; those that are open stay, also where they are more. How many are open.
    fn limit_connections(&self, most: usize) -> usize;

    /// Nothing new is taken from now on, for as long as the process lives; whoever asks is told so, and what is under way goes
    /// on.
    fn drain(&self);

    /// Whether that was said.
    fn is_draining(&self) -> bool;

    /// How many answers are under way.
    fn under_way(&self) -> usize;
}

/// An answer that is meant by a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Called {
    /// What the model host calls it.
    pub answer: RequestId,
    /// What its request is called, as `x-request-id` says it.
    pub request: RequestId,
    /// Whose token it was asked with, by that token's name.
    pub owner: Option<String>,
}

impl std::fmt::Display for Called {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} (request {}", self.answer, self.request)?;
        if let Some(owner) = &self.owner {
            write!(f, ", token {owner}")?;
        }
        write!(f, ")")
    }
}
