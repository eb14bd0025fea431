//! What administrators see of children.

use std::time::Duration;

use crate::exit::{ChildState, DownReason};
use crate::handling::Handling;
use crate::health::Health;
use crate::names::{ChildId, ChildPath};
use crate::policy::{Kind, Policy, Restart};

/// What can be seen of a child.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChildInfo {
    /// The id under its supervisor.
    pub id: ChildId,
    /// Where in the tree.
    pub child: ChildPath,
    /// Where in its life.
    pub state: ChildState,
    /// How it is, in one word.
    pub health: Health,
    /// Worker or supervisor.
    pub kind: Kind,
    /// Which of its ends are answered by a new start.
    pub restart: Restart,
    /// Started at run time: a later life of its supervisor does not start it again, and its metrics are labelled `*`.
    pub dynamic: bool,
    /// Its queue waits, because an administrator said so.
    pub paused: bool,
    /// Which life, from 1; 0 before the first.
    pub incarnation: u64,
    /// Restarts that succeeded under the present life of its supervisor.
    pub restarts: u64,
    /// Messages queued now.
    pub depth: usize,
    /// Messages that may be queued; 0 for what has no queue.
    pub capacity: usize,
    /// Messages handled to their end, over all lives.
    pub handled: u64,
    /// How long messages are handled; `None` before the first was timed.
    pub handling: Option<Handling>,
    /// The message being handled and for how long it has been.
    pub current: Option<(String, Duration)>,
    /// How long it may handle one message before it counts as stuck; `None` if it is not watched.
    pub handler_budget: Option<Duration>,
    /// Labels of the work under way.
    pub work: Vec<String>,
    /// Why it last crashed or did not start.
    pub last_error: Option<String>,
    /// Why it is down, if it is.
    pub down: Option<DownReason>,
    /// How long the present life has been up.
    pub uptime: Option<Duration>,
}

/// How many children a supervisor has (OTP's `count_children`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ChildCounts {
    /// Children, dead or alive.
    pub specs: usize,
    /// Those of which a life exists: starting, up or stopping.
    pub active: usize,
    /// Supervisors, dead or alive.
    pub supervisors: usize,
    /// Workers, dead or alive.
    pub workers: usize,
}

/// The decisions of one child's spec (OTP's `get_childspec`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChildSpecInfo {
    /// The id under its supervisor.
    pub id: ChildId,
    /// Where in the tree.
    pub child: ChildPath,
    /// What its supervisor does when it ends, and when.
    pub policy: Policy,
    /// Siblings that it is started after.
    pub depends_on: Vec<ChildId>,
    /// Messages that may be queued; 0 for what has no queue.
    pub capacity: usize,
}
