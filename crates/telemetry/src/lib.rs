//! What an operator sees: log lines on standard error, and numbers as Prometheus text.
//!
//! Invariants: this crate starts no thread and no listener (the exporter's own listener is never used: the gateway
//! serves `Metrics::render`). Every metric the project has is in the list that `names` is.

#[cfg(feature = "console")]
mod console;
mod describe;
mod logging;
mod metrics;
mod process;
#[cfg(feature = "otlp")]
mod traces;

pub use metric_names as names;

#[cfg(feature = "console")]
pub use console::{CONSOLE_BIND, ConsoleError, TaskConsole};
pub use logging::{
    LogControl, LogError, LogFormat, Logging, SAID, check_filter, init_logging, log_panics,
    says_objects,
};
pub use metrics::{Metrics, MetricsError, PrometheusRecorder};
#[cfg(feature = "otlp")]
pub use traces::{ENDPOINT, Traces, TracesError};
