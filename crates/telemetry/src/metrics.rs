//! Why: the metrics facade has one recorder per process, and an app may start the tree twice. Whoever comes first
//! installs it; whoever comes later gets the same one.

use std::sync::OnceLock;

use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};

/// What records, as an app installs it itself.
pub use metrics_exporter_prometheus::PrometheusRecorder;

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
        let (recorder, metrics) = Self::unregistered()?;
        if metrics::set_global_recorder(recorder).is_err() {
            return match INSTALLED.get() {
                Some(handle) => Ok(Self {
                    handle: handle.clone(),
                }),
                None => Err(MetricsError::Foreign),
            };
        }
        let handle = INSTALLED.get_or_init(|| metrics.handle).clone();
        Ok(Self { handle })
    }

    /// A recorder with our buckets that is not the process's, and how to read it: for an app that puts it behind a recorder of its
    /// own, or installs it itself.
    ///
    /// # Errors
    /// `Build` if the buckets are refused.
    pub fn unregistered() -> Result<(PrometheusRecorder, Self), MetricsError> {
        let builder = builder().map_err(|error| MetricsError::Build(error.to_string()))?;
        let recorder = builder.build_recorder();
        metrics::with_local_recorder(&recorder, crate::describe::describe);
        let handle = recorder.handle();
        Ok((recorder, Self { handle }))
    }

    /// Everything that was recorded, and what the kernel says of the process, as Prometheus text (exposition format 0.0.4).
    /// What the actors of a tree do is not in it: `supervision::Vitals` says that.
    pub fn render(&self) -> String {
        self.upkeep();
        let mut text = self.handle.render();
        text.push_str(&crate::process::text());
        text
    }

    /// Moves samples from their buffers into the histograms. Called by `render`, and by the tree every few seconds so
    /// that buffers stay small when nobody scrapes.
    pub fn upkeep(&self) {
        self.handle.run_upkeep();
    }
}

/// Each histogram has the buckets of its unit.
fn builder() -> Result<PrometheusBuilder, BuildError> {
    metric_names::families().try_fold(PrometheusBuilder::new(), |builder, family| {
        match family.buckets() {
            [] => Ok(builder),
            buckets => {
                builder.set_buckets_for_metric(Matcher::Full(family.name.to_owned()), buckets)
            }
        }
    })
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

    #[test]
    fn one_that_is_not_the_process_s_records_what_is_given_to_it_alone() {
        let (recorder, own) = Metrics::unregistered().unwrap();
        let count =
            || metrics::counter!(crate::names::TOKENS_GENERATED, "model" => "apart").increment(2);
        metrics::with_local_recorder(&recorder, count);
        let line = "paraphym_tokens_generated_total{model=\"apart\"} 2";
        assert!(own.render().contains(line), "{}", own.render());
        assert!(
            own.render()
                .contains("# HELP paraphym_tokens_generated_total")
        );
        let of_process = Metrics::install().unwrap().render();
        assert!(!of_process.contains("apart"), "{of_process}");
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn upkeep_keeps_buffers_small_when_nobody_reads() {
        const ROUNDS: usize = 40;
        const SAMPLES: usize = 100_000;
        let metrics = Metrics::install().unwrap();
        let waits = metrics::histogram!(crate::names::QUEUE_WAIT_SECONDS, "model" => "kept");
        let resident = || metrics_process::collector::collect().resident_memory_bytes;
        let round = || {
            for _ in 0..SAMPLES {
                waits.record(0.004);
            }
            metrics.upkeep();
        };
        round();
        let before = resident().unwrap();
        for _ in 0..ROUNDS {
            round();
        }
        let grown = resident().unwrap().saturating_sub(before);
        // Eight bytes a sample would be 32 MB.
        let unread = (ROUNDS * SAMPLES * 8) as u64;
        assert!(grown < unread / 2, "{grown} bytes of {unread}");
        let counted = "paraphym_queue_wait_seconds_count{model=\"kept\"} 4100000";
        assert!(metrics.render().contains(counted), "none is lost");
    }
}
