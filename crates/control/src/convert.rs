//! Our domain's values as the wire has them. Pure: both moments of a point in time are arguments.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use domain::{GenerationError, KeepAlive};
use memory_governor::LedgerStatus;
use model_host::{HostStatus, ModelState, ModelStatus};
use supervision::{
    AdminError, ChildSpecInfo, Kind, Lifecycle, LifecycleEvent, Restart, Shutdown, Strategy,
    Topology, TopologyNode,
};
use tokio::time::Instant;

use crate::protocol::events::Event;
use crate::protocol::look::{Actor, Load, Memory, Model, Spec};
use crate::protocol::rpc::{Code, RpcError};
use crate::protocol::tap::Tapped;

/// Whole milliseconds.
pub(crate) fn ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// Milliseconds since 1970.
pub(crate) fn unix_ms(wall: SystemTime) -> i64 {
    let since = wall.duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// When something was that is so long ago.
pub(crate) fn ago_ms(ago: Duration, wall: SystemTime) -> i64 {
    unix_ms(wall.checked_sub(ago).unwrap_or(UNIX_EPOCH))
}

/// What supervision refuses, with its own words.
pub(crate) fn refused(error: &AdminError) -> RpcError {
    let code = match error {
        AdminError::NotFound { .. } => Code::NotFound,
        AdminError::Path { .. } | AdminError::Limit { .. } => Code::Params,
        AdminError::Down { .. } | AdminError::Failed(_) | AdminError::Timeout { .. } => {
            Code::Unavailable
        }
        AdminError::TooManyTaps { .. } => Code::Busy,
        _ => Code::Refused,
    };
    RpcError::new(code, error)
}

/// A message that somebody looks at.
pub(crate) fn tapped(
    subscription: u64,
    one: &supervision::Tapped,
    now: Instant,
    wall: SystemTime,
) -> Tapped {
    Tapped {
        subscription,
        at_ms: ago_ms(now.saturating_duration_since(one.at), wall),
        message: one.message.clone(),
        life: one.incarnation,
        waited_us: one.waited.map(us),
        took_us: us(one.took),
        outcome: one.outcome.as_str().to_owned(),
        missed: one.missed,
    }
}

/// In microseconds; a longer time than there are numbers for is the longest.
fn us(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// What happened.
pub(crate) fn event(event: &LifecycleEvent, now: Instant, wall: SystemTime) -> Event {
    let (word, text, reason, abandoned) = told(&event.what);
    Event {
        at_ms: ago_ms(now.saturating_duration_since(event.at), wall),
        actor: event.child.as_str().to_owned(),
        life: event.incarnation,
        event: word.to_owned(),
        text,
        reason,
        abandoned,
    }
}

type Told = (&'static str, String, Option<String>, Vec<String>);

fn told(what: &Lifecycle) -> Told {
    let plain = |word: &'static str, text: String| (word, text, None, Vec::new());
    match what {
        Lifecycle::Starting => plain("starting", "starts".to_owned()),
        Lifecycle::Ready { took } => plain("ready", format!("was ready after {took:.0?}")),
        Lifecycle::Crashed { reason } => {
            let text = format!("crashed: {reason}");
            ("crashed", text, Some(reason.clone()), Vec::new())
        }
        Lifecycle::BackingOff {
            delay,
            restarts,
            allowed,
            ..
        } => plain(
            "backing_off",
            format!("rests for {delay:.0?} before its restart, {restarts} of {allowed} allowed"),
        ),
        Lifecycle::Restarted { restarts, cause } => {
            let text = format!("was started again, because {cause}; restarts: {restarts}");
            ("restarted", text, Some(cause.to_string()), Vec::new())
        }
        Lifecycle::Ordered { what, by } => plain("ordered", format!("{what}, ordered by {by}")),
        Lifecycle::Stopping => plain("stopping", "is stopping".to_owned()),
        Lifecycle::Stopped { reason, abandoned } => {
            let undone = match abandoned.as_slice() {
                [] => String::new(),
                some => format!("; left undone: {}", some.join("; ")),
            };
            let text = format!("stopped: {reason}{undone}");
            ("stopped", text, Some(reason.to_string()), abandoned.clone())
        }
        Lifecycle::Killed => plain(
            "killed",
            "was killed: by order, or because no time was left for its stop".to_owned(),
        ),
        Lifecycle::Escalated {
            restarts,
            period,
            child,
            reason,
        } => {
            let text = format!(
                "gave up after {restarts} restarts within {period:.0?}, at last of {child}: {reason}"
            );
            ("escalated", text, Some(reason.clone()), Vec::new())
        }
        Lifecycle::AutoShutdown { significant } => plain(
            "auto_shutdown",
            format!("ends because the significant {significant} did"),
        ),
        Lifecycle::Stuck {
            message,
            budget,
            for_,
        } => plain(
            "stuck",
            format!("has handled {message} for {for_:.1?}; its budget is {budget:.1?}"),
        ),
        Lifecycle::Unstuck { message, took } => plain(
            "unstuck",
            format!("is done with {message} after {took:.1?}"),
        ),
        Lifecycle::StartFailed { reason } => {
            let text = format!("did not start: {reason}");
            ("start_failed", text, Some(reason.clone()), Vec::new())
        }
    }
}

/// The whole tree, each before those below it.
pub(crate) fn actors(topology: &Topology) -> Vec<Actor> {
    topology.nodes().map(actor).collect()
}

/// One actor.
pub(crate) fn actor(node: &TopologyNode) -> Actor {
    let info = &node.info;
    let path = info.child.as_str();
    let kind = match (info.kind, info.capacity) {
        (Kind::Supervisor, _) => "supervisor",
        (Kind::Worker, 0) => "task",
        (Kind::Worker, _) => "actor",
    };
    Actor {
        actor: path.to_owned(),
        depth: path.matches('/').count(),
        kind: kind.to_owned(),
        strategy: node.strategy.map(|strategy| word(strategy).to_owned()),
        health: info.health.as_str().to_owned(),
        up_ms: info.uptime.map(ms),
        life: info.incarnation,
        restarts: info.restarts,
        queued: info.depth,
        capacity: info.capacity,
        paused: info.paused,
        handling: info.current.as_ref().map(|(message, _)| message.clone()),
        handling_ms: info.current.as_ref().map(|(_, time)| ms(*time)),
        work: info.work.clone(),
        last_error: info.last_error.clone(),
        down: info.down.as_ref().map(ToString::to_string),
        children_unknown: node.children_unknown.map(|why| why.to_string()),
    }
}

const fn word(strategy: Strategy) -> &'static str {
    match strategy {
        Strategy::OneForOne => "one_for_one",
        Strategy::OneForAll => "one_for_all",
        Strategy::RestForOne => "rest_for_one",
        Strategy::SimpleOneForOne => "simple_one_for_one",
    }
}

/// What a supervisor does with a child.
pub(crate) fn spec(info: &ChildSpecInfo) -> Spec {
    let policy = &info.policy;
    let restart = match policy.restart {
        Restart::Permanent => "permanent",
        Restart::Transient => "transient",
        Restart::Temporary => "temporary",
    };
    Spec {
        restart: restart.to_owned(),
        shutdown_ms: match policy.shutdown {
            Shutdown::BrutalKill => Some(0),
            Shutdown::Timeout(time) => Some(ms(time)),
            Shutdown::Infinity => None,
        },
        start_timeout_ms: Some(policy.start_timeout)
            .filter(|time| *time != Duration::MAX)
            .map(ms),
        handler_budget_ms: policy.handler_budget.map(ms),
        significant: policy.significant,
        depends_on: info.depends_on.iter().map(ToString::to_string).collect(),
    }
}

/// The budget.
pub(crate) fn memory(status: &LedgerStatus) -> Memory {
    Memory {
        limit_bytes: status.limit.0,
        leased_bytes: status.leased.0,
        available_bytes: status.available.0,
        configured_bytes: status.configured.map(|bytes| bytes.0),
        pressure: status.pressure.level.as_str().to_owned(),
        pressure_source: status.pressure.source.as_str().to_owned(),
        waiting: status.waiters.len(),
    }
}

/// The models together.
pub(crate) fn load(status: &HostStatus) -> Load {
    let models = &status.models;
    Load {
        loaded: models.iter().filter(|one| is_loaded(&one.state)).count(),
        answering: models.iter().map(|one| one.active).sum(),
        waiting: models.iter().map(|one| one.waiting).sum(),
    }
}

const fn is_loaded(state: &ModelState) -> bool {
    matches!(state, ModelState::Ready | ModelState::Stuck { .. })
}

/// One model, and how many leases are held for it.
pub(crate) fn model(status: &ModelStatus, leases: usize) -> Model {
    let (state, detail) = state(&status.state);
    Model {
        model: status.name.to_string(),
        state: state.to_owned(),
        detail,
        weights_bytes: status.weights_bytes.0,
        kv_bytes: status.kv_leased.0,
        kept_bytes: status.kv_kept.0,
        leases,
        answering: status.active,
        waiting: status.waiting,
        idle_ms: status.idle_for.map(ms),
        keep_alive_ms: match status.keep_alive {
            KeepAlive::For(time) => Some(ms(time)),
            KeepAlive::Forever => None,
        },
        expires_in_ms: status.expires_in.map(ms),
        pinned: status.pinned,
        crashes: status.crashes,
    }
}

fn state(state: &ModelState) -> (&'static str, Option<String>) {
    match state {
        ModelState::Unloaded => ("unloaded", None),
        ModelState::Loading { fraction } => (
            "loading",
            Some(format!("{:.0} %", f64::from(*fraction) * 100.0)),
        ),
        ModelState::Ready => ("ready", None),
        ModelState::LoadFailed { .. } => ("load_failed", state.refusing()),
        ModelState::CircuitOpen { .. } => ("circuit_open", state.refusing()),
        ModelState::Stuck { elapsed } => {
            let text = format!("no progress for {} s", elapsed.as_secs());
            ("stuck", Some(text))
        }
        ModelState::BackingOff => ("backing_off", None),
        ModelState::Stopping => ("stopping", None),
    }
}

/// A refusal of the model host's.
pub(crate) fn refusal(error: &GenerationError) -> RpcError {
    let code = match error {
        GenerationError::Invalid(_) => Code::Params,
        GenerationError::ModelNotFound { .. } => Code::NotFound,
        GenerationError::Overloaded { .. } => Code::Busy,
        GenerationError::Unavailable { .. } => Code::Unavailable,
        _ => Code::Refused,
    };
    RpcError::new(code, error)
}

#[cfg(test)]
mod tests {
    use supervision::{ChildPath, DownReason, Intervention, RestartCause};

    use super::*;
    use crate::protocol::events::WORDS;

    #[tokio::test(start_paused = true)]
    async fn every_step_has_its_word_and_its_moment() {
        let reason = || "boom".to_owned();
        let second = Duration::from_secs(1);
        let steps = [
            Lifecycle::Starting,
            Lifecycle::Ready { took: second },
            Lifecycle::Crashed { reason: reason() },
            Lifecycle::BackingOff {
                delay: second,
                in_a_row: 1,
                restarts: 1,
                allowed: 3,
            },
            Lifecycle::Restarted {
                restarts: 2,
                cause: RestartCause::Crashed,
            },
            Lifecycle::Stopping,
            Lifecycle::Stopped {
                reason: DownReason::Stopped,
                abandoned: vec!["2 queued `Ping`".to_owned()],
            },
            Lifecycle::Killed,
            Lifecycle::Escalated {
                restarts: 3,
                period: second,
                child: "b".into(),
                reason: reason(),
            },
            Lifecycle::AutoShutdown {
                significant: "b".into(),
            },
            Lifecycle::Stuck {
                message: reason(),
                budget: second,
                for_: second,
            },
            Lifecycle::Unstuck {
                message: reason(),
                took: second,
            },
            Lifecycle::StartFailed { reason: reason() },
            Lifecycle::Ordered {
                what: Intervention::Restart,
                by: "ctl".to_owned(),
            },
        ];
        let now = Instant::now() + Duration::from_secs(9);
        let wall = UNIX_EPOCH + Duration::from_secs(100);
        let mut words = Vec::new();
        for what in steps {
            let step = LifecycleEvent {
                child: ChildPath::root(&"a".into()),
                incarnation: 4,
                at: now - Duration::from_secs(3),
                what,
            };
            let told = event(&step, now, wall);
            assert_eq!((told.at_ms, told.life), (97_000, 4));
            words.push(told.event);
        }
        assert_eq!(words, WORDS);
    }

    #[test]
    fn refusals_have_codes() {
        let unavailable = GenerationError::Unavailable {
            part: "a".to_owned(),
            reason: "b".to_owned(),
        };
        assert_eq!(refusal(&unavailable).kind(), Some(Code::Unavailable));
        assert_eq!(
            refusal(&GenerationError::Cancelled).kind(),
            Some(Code::Refused)
        );
    }
}
