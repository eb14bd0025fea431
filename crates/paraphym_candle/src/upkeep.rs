//! Why: histogram buffers grow until someone reads them, and a census is only a metric if somebody takes it. A child of
//! the tree does both every few seconds.

use std::time::Duration;

use runtime::{Clock, CoarseClock, Role, Runtime};
use supervision::{ChildSpec, TaskContext, TaskError};
use telemetry::Metrics;

/// How often: a buffer then holds a few thousand samples at most, and a census costs microseconds.
const EVERY: Duration = Duration::from_secs(5);

/// The child `telemetry`.
pub(crate) fn child(runtime: Runtime, metrics: Option<Metrics>) -> ChildSpec {
    ChildSpec::task("telemetry", move |context: TaskContext| {
        let (runtime, metrics) = (runtime.clone(), metrics.clone());
        async move {
            context.ready();
            let staleness = CoarseClock::default().staleness().as_secs_f64();
            metrics::gauge!(telemetry::names::CLOCK_STALENESS_SECONDS).set(staleness);
            let mut stopping = std::pin::pin!(context.stopping());
            loop {
                count_threads(&runtime);
                if let Some(metrics) = &metrics {
                    metrics.upkeep();
                }
                tokio::select! {
                    () = &mut stopping => return Ok::<(), TaskError>(()),
                    () = tokio::time::sleep(EVERY) => {}
                }
            }
        }
    })
}

fn count_threads(runtime: &Runtime) {
    let census = runtime.census();
    for role in Role::ALL {
        let count = census.count(role) as f64;
        metrics::gauge!(telemetry::names::THREADS, "role" => role.as_str()).set(count);
    }
}
