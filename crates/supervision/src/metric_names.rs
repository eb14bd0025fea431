//! Every metric this crate emits, by name, so that telemetry can describe and list them.

/// Counter: restarts begun. Label `child`: the child's path, or `<supervisor>/*` for children started at run time (their
/// names are unbounded).
pub const RESTARTS: &str = "paraphym_supervision_restarts_total";
