//! Why: the metrics facade has one recorder per process, and an app may start the tree twice. Whoever comes first
//! installs it; whoever comes later gets the same one.

use std::sync::OnceLock;

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

/// Seconds, from a fast step to a slow load.
const SECONDS: [f64; 14] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0,
];

/// The facade's recorder is process-wide, so its handle is too.
static INSTALLED: OnceLock<PrometheusHandle> = OnceLock::new();

/// Reads what was measured.
#[derive(Clone, Debug)]
pub struct Metrics {
    handle: PrometheusHandle,
}

/// Why there are no metrics.
#[derive(Debug, thiserror::Error)]
pub enum MetricsError {
    /// The histogram buckets were refused.
    #[error("the metrics recorder could not be built: {0}")]
    Build(String),
    /// The app has a recorder of its own.
    #[error("the process has another metrics recorder: scrape that one")]
    Foreign,
}

impl Metrics {
    /// Installs the recorder, or gives the one installed before.
    ///
    /// # Errors
    /// `Foreign` if the app installed a recorder of its own; our numbers then go to it.
    pub fn install() -> Result<Self, MetricsError> {
        if let Some(handle) = INSTALLED.get() {
            return Ok(Self {
                handle: handle.clone(),
            });
        }
        let recorder = PrometheusBuilder::new()
            .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS)
            .map_err(|error| MetricsError::Build(error.to_string()))?
            .build_recorder();
        let handle = recorder.handle();
        if metrics::set_global_recorder(recorder).is_err() {
            return match INSTALLED.get() {
                Some(handle) => Ok(Self {
                    handle: handle.clone(),
                }),
                None => Err(MetricsError::Foreign),
            };
        }
        crate::names::describe();
        let handle = INSTALLED.get_or_init(|| handle).clone();
        Ok(Self { handle })
    }

    /// Everything, as Prometheus text (exposition format 0.0.4).
    pub fn render(&self) -> String {
        self.upkeep();
        self.handle.render()
    }

    /// Moves samples from their buffers into the histograms. Called by `render`, and by the tree every few seconds so
    /// that buffers stay small when nobody scrapes.
    pub fn upkeep(&self) {
        self.handle.run_upkeep();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_start_reads_the_same_numbers() {
        let first = Metrics::install().unwrap();
        metrics::counter!(crate::names::TOKENS_GENERATED, "model" => "tiny").increment(3);
        metrics::histogram!(crate::names::STEP_SECONDS, "model" => "tiny").record(0.004);
        let second = Metrics::install().unwrap();
        for text in [first.render(), second.render()] {
            assert!(
                text.contains("paraphym_tokens_generated_total{model=\"tiny\"} 3"),
                "{text}"
            );
            assert!(
                text.contains("paraphym_step_seconds_bucket{model=\"tiny\",le=\"0.005\"} 1"),
                "{text}"
            );
            assert!(
                text.contains("# HELP paraphym_tokens_generated_total"),
                "{text}"
            );
        }
    }
}
