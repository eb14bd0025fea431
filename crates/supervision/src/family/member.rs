//! One child as its supervisor knows it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::restart_plan::Stage;
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
    Retire(Box<DownReason>),
    /// Its start took too long.
    FailedStart,
    /// It is started again at once.
    Again,
    /// An administrator killed it after a life of this length: what follows a crash.
    Crash(Duration),
}

impl Then {
    pub(super) fn retire(reason: DownReason) -> Self {
        Self::Retire(Box::new(reason))
    }
}

/// How far a stop has gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Asked,
    Killed,
    Aborted,
}

/// On whose demand a child is being started. A start that somebody waits for is not tried again when it fails.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) enum Demand {
    /// The spec's, or a crash's.
    #[default]
    None,
    /// Its first start, at run time: if it fails, nothing is left.
    Added,
    /// `restart_child`: if it fails, the spec is kept.
    Asked,
}

/// Why a child is started again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum RestartCause {
    /// It panicked, failed, or was cut off.
    #[default]
    Crashed,
    /// An administrator killed it.
    Killed,
    /// Its last start had failed.
    StartFailed,
    /// It had ended normally, and is permanent.
    Finished,
    /// It fell with its group, because this sibling crashed or was restarted.
    Group {
        /// Which.
        with: ChildId,
    },
    /// An administrator asked for it.
    Asked,
}

impl RestartCause {
    /// `start_failed` for `StartFailed`; the value of the metric label `reason`.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Crashed => "crashed",
            Self::Killed => "killed",
            Self::StartFailed => "start_failed",
            Self::Finished => "finished",
            Self::Group { .. } => "group",
            Self::Asked => "asked",
        }
    }
}

impl fmt::Display for RestartCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Crashed => f.write_str("it had crashed"),
            Self::Killed => f.write_str("it had been killed"),
            Self::StartFailed => f.write_str("its last start had failed"),
            Self::Finished => f.write_str("it had ended, and is permanent"),
            Self::Group { with } => write!(f, "its group is restarted with {with}"),
            Self::Asked => f.write_str("it was asked for"),
        }
    }
}

/// One child.
#[derive(Debug)]
#[cfg_attr(test, derive(Clone))]
pub(crate) struct Member {
    pub(crate) id: ChildId,
    pub(crate) policy: Arc<Policy>,
    /// Started at run time: a later life of the supervisor does not start it again.
    pub(super) dynamic: bool,
    /// Who will hear if its present start fails.
    pub(super) demand: Demand,
    pub(super) state: State,
    pub(crate) incarnation: u64,
    pub(crate) restarts: u64,
    pub(super) ever_up: bool,
    pub(super) streak: Streak,
    /// Why its next start is not its first.
    pub(crate) cause: RestartCause,
    pub(crate) last_error: Option<Box<str>>,
    pub(super) due: Option<Instant>,
    /// The state it is counted in.
    pub(super) counted: ChildState,
    /// Apart, because hardly any child is waited for, and there may be a hundred thousand.
    waiters: Option<Box<Waiters>>,
}

/// Those who wait for something of one child.
#[derive(Debug, Default)]
#[cfg_attr(test, derive(Clone))]
pub(super) struct Waiters {
    pub(super) start: Vec<Token>,
    pub(super) stop: Vec<Token>,
    /// Those who want this id to live, while this child is on its way out.
    pub(super) successors: Vec<(Token, Entry)>,
}

impl Member {
    pub(super) fn new(id: ChildId, policy: Arc<Policy>, dynamic: bool) -> Self {
        Self {
            id,
            policy,
            dynamic,
            demand: Demand::None,
            state: State::Waiting,
            incarnation: 0,
            restarts: 0,
            ever_up: false,
            streak: Streak::default(),
            cause: RestartCause::default(),
            last_error: None,
            due: None,
            counted: ChildState::Starting,
            waiters: None,
        }
    }

    pub(super) fn waiters(&mut self) -> &mut Waiters {
        self.waiters.get_or_insert_default()
    }

    /// All of them; nobody waits any more.
    pub(super) fn take_waiters(&mut self) -> Waiters {
        self.waiters
            .take()
            .map(|waiters| *waiters)
            .unwrap_or_default()
    }

    #[cfg(test)]
    pub(super) fn seen_waiters(&self) -> Waiters {
        self.waiters.as_deref().cloned().unwrap_or_default()
    }

    /// Those who wait for its start; nobody waits for that any more.
    pub(super) fn take_starters(&mut self) -> Vec<Token> {
        let taken = self.waiters.as_mut().map(|w| std::mem::take(&mut w.start));
        self.drop_empty_waiters();
        taken.unwrap_or_default()
    }

    /// Those who wait to follow it; nobody waits for that any more.
    pub(super) fn take_successors(&mut self) -> Vec<(Token, Entry)> {
        let waiters = self.waiters.as_mut();
        let taken = waiters.map(|w| std::mem::take(&mut w.successors));
        self.drop_empty_waiters();
        taken.unwrap_or_default()
    }

    fn drop_empty_waiters(&mut self) {
        self.waiters
            .take_if(|w| w.start.is_empty() && w.stop.is_empty() && w.successors.is_empty());
    }

    /// Where it is, as far as order goes.
    pub(super) fn stage(&self) -> Stage {
        match self.state {
            State::Waiting => Stage::Idle,
            State::BackingOff => Stage::Resting,
            State::Starting { .. } => Stage::Coming,
            State::Up { .. } => Stage::Living,
            State::Stopping { .. } => Stage::Leaving,
            State::Down => Stage::Gone,
        }
    }

    /// A task of it exists.
    pub(crate) fn lives(&self) -> bool {
        matches!(self.stage(), Stage::Coming | Stage::Living | Stage::Leaving)
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
}
