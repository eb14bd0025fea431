//! What a supervisor has to know about a child to decide, and nothing it would need to run it.

use std::time::Duration;

use crate::backoff::Backoff;

/// Which ends of a child are answered by a new start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Restart {
    /// Always started again.
    Permanent,
    /// Started again after a crash, not after a normal end.
    Transient,
    /// Never started again; its entry is forgotten when it ends.
    Temporary,
}

/// How a child is asked to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shutdown {
    /// Killed at once: the handler is dropped where it stands, queued messages are abandoned.
    BrutalKill,
    /// May handle what is queued and finish its work for this long, then it is killed.
    Timeout(Duration),
    /// May take as long as it likes (until the root's own deadline). For supervisors.
    Infinity,
}

/// What a child is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An actor or a task.
    Worker,
    /// A supervisor with children of its own.
    Supervisor,
}

/// Who else is restarted when a child is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Strategy {
    /// Nobody.
    OneForOne,
    /// All siblings: they are stopped in reverse order, then all are started in order.
    OneForAll,
    /// Those started after it, in the same way.
    RestForOne,
    /// Nobody; all children come from one template, at run time, and leave nothing behind when they end. See
    /// [`SupervisorSpec::simple_one_for_one`](crate::SupervisorSpec::simple_one_for_one).
    SimpleOneForOne,
}

/// Which ends of significant children end their supervisor too. Only ends by themselves and for good count: not a
/// crash that is answered by a restart, not `terminate_child`, not a restart of the group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AutoShutdown {
    /// None.
    Never,
    /// The first.
    AnySignificant,
    /// The last: no other significant child lives or is to be started again.
    AllSignificant,
}

/// How long a start may take unless its spec says otherwise: 30 s, long enough to open a large file on a slow disk.
pub const DEFAULT_START_TIMEOUT: Duration = Duration::from_secs(30);
/// How long an actor may handle one message unless its spec says otherwise: 10 s. Handlers are meant to be short (work
/// goes beside them), whoever waits behind one waits with a deadline of seconds, and a false alarm costs one log line.
pub const DEFAULT_HANDLER_BUDGET: Duration = Duration::from_secs(10);
/// The shortest handler budget: 1 ms, the grain of tokio's timers.
pub const MIN_HANDLER_BUDGET: Duration = Duration::from_millis(1);
/// How long a worker may take to stop unless its spec says otherwise: 5 s, as in OTP.
pub const DEFAULT_SHUTDOWN: Duration = Duration::from_secs(5);
/// How long a killed worker may take to come to its end (its `on_stop`) before its task is aborted: 1 s.
pub const KILL_GRACE: Duration = Duration::from_secs(1);
/// The same for a supervisor: its own children are killed side by side and get `KILL_GRACE`, so twice that is enough
/// at any depth.
pub const SUPERVISOR_KILL_GRACE: Duration = Duration::from_secs(2);

/// The decisions of one child spec, as data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Which ends are answered by a new start.
    pub restart: Restart,
    /// How it is asked to end.
    pub shutdown: Shutdown,
    /// Worker or supervisor.
    pub kind: Kind,
    /// Whether its end may end the supervisor.
    pub significant: bool,
    /// How long it rests before a restart.
    pub backoff: Backoff,
    /// How long a start may take.
    pub start_timeout: Duration,
    /// How long it may handle one message before it is reported stuck; `None` for what is not watched.
    pub handler_budget: Option<Duration>,
}

impl Policy {
    /// A permanent actor.
    pub fn worker() -> Self {
        Self {
            restart: Restart::Permanent,
            shutdown: Shutdown::Timeout(DEFAULT_SHUTDOWN),
            kind: Kind::Worker,
            significant: false,
            backoff: Backoff::default(),
            start_timeout: DEFAULT_START_TIMEOUT,
            handler_budget: Some(DEFAULT_HANDLER_BUDGET),
        }
    }

    /// A permanent task: it handles no messages, so there is no budget to exceed.
    pub fn task() -> Self {
        Self {
            handler_budget: None,
            ..Self::worker()
        }
    }

    /// A permanent supervisor. Its start may take as long as its children's own start timeouts allow.
    pub fn supervisor() -> Self {
        Self {
            shutdown: Shutdown::Infinity,
            kind: Kind::Supervisor,
            start_timeout: Duration::MAX,
            handler_budget: None,
            ..Self::worker()
        }
    }

    /// How long a kill may take before the task is aborted.
    pub(crate) fn kill_grace(&self) -> Duration {
        match self.kind {
            Kind::Worker => KILL_GRACE,
            Kind::Supervisor => SUPERVISOR_KILL_GRACE,
        }
    }
}
