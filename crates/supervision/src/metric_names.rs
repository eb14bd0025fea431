//! Every metric this crate emits, by name, so that telemetry can describe and list them.

/// Counter: restarts begun. Label `child`: the child's path, or `<supervisor>/*` for children started at run time (their
/// names are unbounded).
pub const RESTARTS: &str = "paraphym_supervision_restarts_total";
/// Counter: messages found stuck, that is handled for longer than their child's handler budget. Label `child` as above.
pub const STUCK: &str = "paraphym_supervision_stuck_total";
/// Gauge: children of a supervisor, by `supervisor` (its path, with `*` for what was started at run time) and `state`:
/// `starting`, `up`, `backing_off`, `stuck`, `draining`, `down`.
pub const CHILDREN: &str = "paraphym_supervision_children";
