//! Every metric this crate tells, by name, so that telemetry can describe and list them.
//!
//! Label `child`: the child's path, with `*` for what was started at run time (such names are unbounded). The first group
//! goes to the recorder of the process when it happens; the second is read out of the tree by
//! [`Administration::vitals`](crate::Administration::vitals).

/// Counter: restarts begun, by `child` and `reason`: `crashed`, `killed`, `start_failed`, `finished`, `group`, `asked`.
pub const RESTARTS: &str = "paraphym_supervision_restarts_total";
/// Counter: lives that ended by a crash, and starts that failed, by `child` and `reason`: `crashed`, `killed`,
/// `start_failed`.
pub const CRASHES: &str = "paraphym_supervision_crashes_total";
/// Histogram: rests chosen before a restart, by `child`. Its sum is the time in backoff, unless a rest was cut short.
pub const BACKOFF_SECONDS: &str = "paraphym_supervision_backoff_seconds";
/// Counter: supervisors that gave up, by `child`.
pub const ESCALATIONS: &str = "paraphym_supervision_escalations_total";
/// Counter: messages found stuck, that is handled for longer than their child's handler budget. By `child`.
pub const STUCK: &str = "paraphym_supervision_stuck_total";
/// Gauge: children of a supervisor, by `supervisor` (its path, with `*` for what was started at run time) and `state`:
/// `starting`, `up`, `backing_off`, `stuck`, `draining`, `down`.
pub const CHILDREN: &str = "paraphym_supervision_children";

/// Counter: messages handled to their end, by `child`.
pub const MESSAGES: &str = "paraphym_supervision_messages_total";
/// Histogram: how long messages were handled, by `child`. An estimate: handlers that wait are timed from their first wait,
/// and of the others one in 64 is timed and stands for all.
pub const HANDLING_SECONDS: &str = "paraphym_supervision_handling_seconds";
/// Gauge: messages queued, by `child`.
pub const QUEUE_DEPTH: &str = "paraphym_supervision_queue_depth";
/// Gauge: messages that may be queued, by `child`.
pub const QUEUE_CAPACITY: &str = "paraphym_supervision_queue_capacity";
/// Gauge: children whose queue was told to wait, by `child`.
pub const PAUSED: &str = "paraphym_supervision_paused";
/// Gauge: children, by `child` and `state` as above.
pub const HEALTH: &str = "paraphym_supervision_health";
