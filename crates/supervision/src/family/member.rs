//! One child as its supervisor knows it.

use std::time::Duration;

use tokio::time::Instant;

use super::{Entry, Token};
use crate::backoff::Streak;
use crate::exit::{ChildState, DownReason};
use crate::names::ChildId;
use crate::policy::Policy;

/// Where a child is, as far as decisions go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// It will be started when its turn comes, or by a later life of the supervisor.
    Waiting,
    Starting {
        since: Instant,
    },
    Up {
        since: Instant,
    },
    BackingOff,
    Stopping {
        then: Then,
        step: Step,
        /// It was not ready when the stop began: a kill could not interrupt its `on_start`.
        starting: bool,
    },
    Down,
}

/// What follows a stop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Then {
    /// It is started again in its turn.
    Wait,
    /// It is gone.
    Retire(DownReason),
    /// Its start took too long.
    FailedStart,
}

/// How far a stop has gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Asked,
    Killed,
    Aborted,
}

/// One child.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) id: ChildId,
    pub(crate) policy: Policy,
    /// Started at run time: it leaves nothing behind when it ends for good.
    pub(super) dynamic: bool,
    pub(super) state: State,
    pub(crate) incarnation: u64,
    pub(crate) restarts: u64,
    pub(super) ever_up: bool,
    pub(super) streak: Streak,
    pub(crate) last_error: Option<String>,
    pub(super) due: Option<Instant>,
    pub(super) start_waiters: Vec<Token>,
    pub(super) stop_waiters: Vec<Token>,
    /// Those who want this id to live, while this child is on its way out.
    pub(super) successors: Vec<(Token, Entry)>,
}

impl Member {
    pub(super) fn new(id: ChildId, policy: Policy, dynamic: bool) -> Self {
        Self {
            id,
            policy,
            dynamic,
            state: State::Waiting,
            incarnation: 0,
            restarts: 0,
            ever_up: false,
            streak: Streak::default(),
            last_error: None,
            due: None,
            start_waiters: Vec::new(),
            stop_waiters: Vec::new(),
            successors: Vec::new(),
        }
    }

    /// A task of it exists.
    pub(super) fn lives(&self) -> bool {
        matches!(
            self.state,
            State::Starting { .. } | State::Up { .. } | State::Stopping { .. }
        )
    }

    /// What administrators see.
    pub(crate) fn shown(&self) -> ChildState {
        match self.state {
            State::Waiting if self.incarnation == 0 => ChildState::Starting,
            State::Waiting | State::BackingOff => ChildState::BackingOff,
            State::Starting { .. } => ChildState::Starting,
            State::Up { .. } => ChildState::Up,
            State::Stopping { .. } => ChildState::Stopping,
            State::Down => ChildState::Down,
        }
    }

    /// How long the present life has been up.
    pub(crate) fn uptime(&self, now: Instant) -> Option<Duration> {
        match self.state {
            State::Up { since } => Some(now.saturating_duration_since(since)),
            _ => None,
        }
    }

    /// Forgotten, rather than kept as down, when it ends for good.
    pub(super) fn leaves_nothing(&self) -> bool {
        self.dynamic || self.policy.restart == crate::policy::Restart::Temporary
    }
}
