//! What an operator sees: log lines on standard error, and numbers as Prometheus text.
//!
//! Invariants: this crate starts no thread and no listener (the exporter's own listener is never used: the gateway
//! serves `Metrics::render`). Every metric the project has is named in `names`, once.

mod logging;
mod metrics;
pub mod names;

pub use logging::{LogControl, LogError, LogFormat, check_filter, init_logging, log_panics};
pub use metrics::{Metrics, MetricsError};
