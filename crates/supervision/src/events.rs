//! Every step of every life is an event on one bounded stream: the source of logs, metrics and `why`.
//!
//! Nobody waits for a listener: one that falls behind loses the oldest events and is told how many.

use std::hash::{BuildHasher, Hasher};
use std::time::Duration;

use tokio::sync::broadcast;
use tokio::time::Instant;

use crate::admin::Intervention;
use crate::exit::DownReason;
use crate::family::RestartCause;
use crate::names::{ChildId, ChildPath};

/// Events kept for a listener that falls behind unless asked otherwise: 1024, a few kilobytes, more than a tree of fifty
/// actors emits while it starts and stops.
pub const DEFAULT_EVENT_CAPACITY: usize = 1024;

/// One step in the life of one child.
#[derive(Clone, Debug)]
pub struct LifecycleEvent {
    /// Whose.
    pub child: ChildPath,
    /// Which of its lives, from 1; 0 before the first.
    pub incarnation: u64,
    /// When, on tokio's clock.
    pub at: Instant,
    /// What happened.
    pub what: Lifecycle,
}

/// The steps of a life.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lifecycle {
    /// A start has begun.
    Starting,
    /// The first start succeeded.
    Ready {
        /// From `Starting` to here.
        took: Duration,
    },
    /// A life ended that should not have.
    Crashed {
        /// The panic message or error.
        reason: String,
    },
    /// A restart is due after a rest.
    BackingOff {
        /// How long the rest is.
        delay: Duration,
        /// Crashes in a row, this one included: the rest grows with them.
        in_a_row: u32,
        /// Restarts of the whole supervisor within its period, this one included …
        restarts: u32,
        /// … of so many it allows.
        allowed: u32,
    },
    /// A later start succeeded.
    Restarted {
        /// How often this child has been restarted under this life of its supervisor.
        restarts: u64,
        /// Why it had to be.
        cause: RestartCause,
    },
    /// A stop has begun.
    Stopping,
    /// It takes no more messages.
    Stopped {
        /// Why.
        reason: DownReason,
        /// What it leaves undone: queued messages by name, the interrupted one, work labels.
        abandoned: Vec<String>,
    },
    /// What it did was dropped where it stood: it outlasted its stop deadline, its spec or the root's deadline left no time,
    /// or an administrator ordered it.
    Killed,
    /// It is a supervisor and gave up.
    Escalated {
        /// Restarts it had counted …
        restarts: u32,
        /// … within this time.
        period: Duration,
        /// Whose crash was one too many.
        child: ChildId,
        /// Why that one crashed.
        reason: String,
    },
    /// It is a supervisor, and ends because a significant child did.
    AutoShutdown {
        /// Which.
        significant: ChildId,
    },
    /// Its present message has been handled for its whole handler budget and is not done. Said once per message. "Stuck" is
    /// what application servers call it too (`WebLogic`, Tomcat).
    Stuck {
        /// The message's name, without its path.
        message: String,
        /// The handler budget of its spec.
        budget: Duration,
        /// For how long it has been handled.
        for_: Duration,
    },
    /// The message that was stuck is done. A life that ends while it is stuck has the words of its end instead.
    Unstuck {
        /// The message's name, without its path.
        message: String,
        /// How long it was handled: exact if another message followed at once, else at most a tenth of the budget too
        /// much.
        took: Duration,
    },
    /// An administrator's order was taken; what it leads to follows.
    Ordered {
        /// What to do.
        what: Intervention,
        /// On whose behalf.
        by: String,
    },
    /// A start failed.
    StartFailed {
        /// Why.
        reason: String,
    },
}

/// The stream of lifecycle events of one tree, and the seed of its chance.
#[derive(Clone, Debug)]
pub struct Events {
    sender: broadcast::Sender<LifecycleEvent>,
    seed: u64,
}

impl Default for Events {
    /// Room for `DEFAULT_EVENT_CAPACITY` events, and a seed from the operating system.
    fn default() -> Self {
        let seed = std::collections::hash_map::RandomState::new()
            .build_hasher()
            .finish();
        Self::new(DEFAULT_EVENT_CAPACITY, seed)
    }
}

impl Events {
    /// A listener may fall `capacity` (at least 1) events behind. `seed` decides the jitter of every restart in the tree.
    pub fn new(capacity: usize, seed: u64) -> Self {
        Self {
            sender: broadcast::Sender::new(capacity.max(1)),
            seed,
        }
    }

    /// The default room with a fixed seed, for tests.
    pub fn with_seed(seed: u64) -> Self {
        Self::new(DEFAULT_EVENT_CAPACITY, seed)
    }

    /// What happens from now on.
    pub fn subscribe(&self) -> broadcast::Receiver<LifecycleEvent> {
        self.sender.subscribe()
    }

    pub(crate) fn seed(&self) -> u64 {
        self.seed
    }

    /// Logs the step and sends it to whoever listens.
    pub(crate) fn announce(&self, event: LifecycleEvent) {
        log(&event);
        // An error only means that nobody listens.
        drop(self.sender.send(event));
    }
}

fn log(event: &LifecycleEvent) {
    let (child, incarnation) = (event.child.as_str(), event.incarnation);
    match &event.what {
        Lifecycle::Starting => tracing::info!(child, incarnation, "starting"),
        Lifecycle::Ready { took } => tracing::info!(child, incarnation, ?took, "ready"),
        Lifecycle::Crashed { reason } => {
            tracing::warn!(child, incarnation, reason = reason.as_str(), "crashed");
        }
        Lifecycle::BackingOff {
            delay,
            in_a_row,
            restarts,
            allowed,
        } => {
            tracing::info!(
                child,
                incarnation,
                ?delay,
                in_a_row,
                restarts,
                allowed,
                "backing off"
            );
        }
        Lifecycle::Restarted { restarts, cause } => {
            tracing::info!(child, incarnation, restarts, %cause, "restarted");
        }
        Lifecycle::Stopping => tracing::info!(child, incarnation, "stopping"),
        Lifecycle::Stopped { reason, abandoned } if abandoned.is_empty() => {
            tracing::info!(child, incarnation, %reason, "stopped");
        }
        Lifecycle::Stopped { reason, abandoned } => {
            tracing::warn!(child, incarnation, %reason, ?abandoned, "stopped with work undone");
        }
        Lifecycle::Killed => {
            tracing::warn!(child, incarnation, "killed");
        }
        Lifecycle::StartFailed { reason } => {
            tracing::warn!(child, incarnation, reason = reason.as_str(), "start failed");
        }
        rare => log_rare(child, incarnation, rare),
    }
}

/// What hardly ever happens.
fn log_rare(child: &str, incarnation: u64, what: &Lifecycle) {
    match what {
        Lifecycle::Escalated {
            restarts,
            period,
            child: last,
            reason,
        } => {
            let reason = reason.as_str();
            tracing::warn!(child, incarnation, restarts, ?period, %last, reason, "gave up");
        }
        Lifecycle::Ordered { what, by } => {
            tracing::info!(child, incarnation, %what, by = by.as_str(), "ordered");
        }
        Lifecycle::AutoShutdown { significant } => {
            tracing::info!(child, incarnation, %significant, "ends with its significant child");
        }
        Lifecycle::Stuck {
            message,
            budget,
            for_,
        } => {
            let message = message.as_str();
            tracing::warn!(
                child,
                incarnation,
                handling = message,
                ?for_,
                ?budget,
                "stuck"
            );
        }
        Lifecycle::Unstuck { message, took } => {
            let message = message.as_str();
            tracing::info!(child, incarnation, handled = message, ?took, "unstuck");
        }
        // All others are told above.
        _ => {}
    }
}

/// Counts one restart under a label whose values are bounded by the specs.
pub(crate) fn count_restart(child: &str, why: &RestartCause) {
    let child = child.to_owned();
    metrics::counter!(metric_names::RESTARTS, "child" => child, "reason" => why.as_str())
        .increment(1);
}

/// Counts one crash, or one failed start.
pub(crate) fn count_crash(child: &str, reason: &'static str) {
    metrics::counter!(metric_names::CRASHES, "child" => child.to_owned(), "reason" => reason)
        .increment(1);
}

/// Notes a rest that was chosen.
pub(crate) fn note_backoff(child: &str, delay: Duration) {
    metrics::histogram!(metric_names::BACKOFF_SECONDS, "child" => child.to_owned()).record(delay);
}

/// Counts a supervisor that gave up.
pub(crate) fn count_escalation(child: &str) {
    metrics::counter!(metric_names::ESCALATIONS, "child" => child.to_owned()).increment(1);
}

/// Counts one stuck message under a label whose values are bounded by the specs.
pub(crate) fn count_stuck(child: &str) {
    metrics::counter!(metric_names::STUCK, "child" => child.to_owned()).increment(1);
}

#[cfg(test)]
mod tests {
    use super::*;
    use metrics::{
        Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit,
    };
    use std::sync::{Arc, Mutex};

    /// Writes down which counters are asked for.
    #[derive(Default)]
    struct Notes(Mutex<Vec<String>>);

    impl Recorder for Notes {
        fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
        fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
        fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
        fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
            self.0.lock().unwrap().push(key.to_string());
            Counter::noop()
        }
        fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
            Gauge::noop()
        }
        fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
            Histogram::noop()
        }
    }

    #[test]
    fn a_restart_is_counted_under_its_child() {
        let notes = Arc::new(Notes::default());
        metrics::with_local_recorder(&*notes, || {
            count_restart("root/a", &RestartCause::Killed);
        });
        let seen = notes.0.lock().unwrap().join("; ");
        assert!(seen.contains(metric_names::RESTARTS), "{seen}");
        assert!(seen.contains("child = root/a"), "{seen}");
        assert!(seen.contains("reason = killed"), "{seen}");
    }

    #[test]
    fn a_stuck_message_is_counted_under_its_child() {
        let notes = Arc::new(Notes::default());
        metrics::with_local_recorder(&*notes, || count_stuck("root/a"));
        let seen = notes.0.lock().unwrap().join("; ");
        assert!(seen.contains(metric_names::STUCK), "{seen}");
        assert!(seen.contains("child = root/a"), "{seen}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_listener_that_falls_behind_loses_the_oldest_and_is_told_how_many() {
        let events = Events::new(2, 1);
        let mut heard = events.subscribe();
        for incarnation in 1..=5 {
            events.announce(LifecycleEvent {
                child: ChildPath::root(&"a".into()),
                incarnation,
                at: Instant::now(),
                what: Lifecycle::Starting,
            });
        }
        let lost = heard.recv().await.unwrap_err();
        assert_eq!(lost, broadcast::error::RecvError::Lagged(3));
        assert_eq!(heard.recv().await.unwrap().incarnation, 4);
    }
}
