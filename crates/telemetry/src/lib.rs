//! Tracing setup, every metric name, Prometheus text.
