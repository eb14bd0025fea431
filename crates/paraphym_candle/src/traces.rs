//! The child that sends traces to a collector, where that is built in. It begins before all others and ends behind them, so
//! that their last spans are sent, too.

use supervision::SupervisorSpec;

/// What is to be sent, if anything.
#[derive(Default)]
pub(crate) struct Wished {
    #[cfg(feature = "otlp")]
    pub(crate) traces: Option<telemetry::Traces>,
}

#[cfg(not(feature = "otlp"))]
pub(crate) fn add_to(spec: SupervisorSpec, Wished {}: Wished) -> SupervisorSpec {
    spec
}

/// Adds the child `traces`, if anything is to be sent.
#[cfg(feature = "otlp")]
pub(crate) fn add_to(spec: SupervisorSpec, Wished { traces }: Wished) -> SupervisorSpec {
    use std::time::Duration;
    use supervision::{ChildSpec, Shutdown, TaskContext, TaskError};

    let Some(traces) = traces else { return spec };
    let child = ChildSpec::task("traces", move |context: TaskContext| {
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
