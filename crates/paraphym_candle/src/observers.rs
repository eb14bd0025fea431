//! Observers: the children that show others what goes on, where they are built in. They begin before all others and end behind them: the
//! last spans of those are sent, too, and their last tasks seen.

use supervision::SupervisorSpec;

/// Sends spans to a collector.
pub(crate) const TRACES: &str = "traces";
/// Shows tasks.
pub(crate) const CONSOLE: &str = "console";

/// Who observes, if anybody.
#[derive(Default)]
pub(crate) struct Observers {
    #[cfg(feature = "otel")]
    traces: Option<telemetry::Traces>,
    #[cfg(feature = "console")]
    console: Option<telemetry::TaskConsole>,
}

impl crate::Builder {
    /// The spans on their way to a collector, as `telemetry::Logging::send_traces` makes them.
    #[cfg(feature = "otel")]
    pub fn traces(mut self, traces: telemetry::Traces) -> Self {
        self.observers.traces = Some(traces);
        self
    }

    /// The tasks for tokio-console, as `telemetry::Logging::watch_tasks` notes them.
    #[cfg(feature = "console")]
    pub fn console(mut self, console: telemetry::TaskConsole) -> Self {
        self.observers.console = Some(console);
        self
    }
}

/// Adds the children `traces` and `console`, if there is something to show.
#[cfg_attr(
    not(any(feature = "otel", feature = "console")),
    expect(clippy::needless_pass_by_value, reason = "there is nothing to show")
)]
pub(crate) fn add_to(spec: SupervisorSpec, observers: Observers) -> SupervisorSpec {
    let Observers {
        #[cfg(feature = "otel")]
        traces,
        #[cfg(feature = "console")]
        console,
    } = observers;
    #[cfg(feature = "console")]
    let spec = with_console(spec, console);
    #[cfg(feature = "otel")]
    let spec = with_traces(spec, traces);
    spec
}

#[cfg(feature = "otel")]
fn with_traces(spec: SupervisorSpec, traces: Option<telemetry::Traces>) -> SupervisorSpec {
    use std::time::Duration;
    use supervision::{ChildSpec, Shutdown, TaskContext, TaskError};

    let Some(traces) = traces else { return spec };
    let child = ChildSpec::task(TRACES, move |context: TaskContext| {
        let traces = traces.clone();
        async move {
            context.ready();
            traces.run(context.stopping()).await;
            Ok::<(), TaskError>(())
        }
    });
    // Its last words take 4 s at most.
    spec.first_child(child.shutdown(Shutdown::Timeout(Duration::from_secs(5))))
}

#[cfg(feature = "console")]
fn with_console(spec: SupervisorSpec, console: Option<telemetry::TaskConsole>) -> SupervisorSpec {
    use supervision::{ChildSpec, TaskContext, TaskError};

    let Some(console) = console else { return spec };
    let child = ChildSpec::task(CONSOLE, move |context: TaskContext| {
        let console = console.clone();
        async move {
            context.ready();
            if let Err(error) = console.run(context.stopping()).await {
                tracing::warn!("{error}");
            }
            Ok::<(), TaskError>(())
        }
    });
    // Who looks on is not worth a tree: whatever ends it, it is not started again.
    spec.first_child(child.temporary())
}
